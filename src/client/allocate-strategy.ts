/**
 * @agent any
 *
 * How the queues of a topic are divided among the members of a group. Every member works it out for
 * itself from the same sorted lists, so all must come to the same result, Java's clients included: a
 * group may be mixed.
 *
 * Source: AllocateMessageQueueAveragely.java, …AveragelyByCircle, …ConsistentHash, …ByMachineRoom.
 */
import { ClientError } from './client-error.ts';
import { md5Head } from './md5.ts';
import type { MessageQueue } from './message.ts';

export interface AllocationInput {
  readonly group: string;
  /** This member; one of `members`, or it gets nothing. */
  readonly clientId: string;
  /** Sorted by topic, broker name and queue. */
  readonly queues: readonly MessageQueue[];
  /** Client ids, sorted by UTF-16 units. */
  readonly members: readonly string[];
}

/** The queues of `input.queues` that this member is to read. Each must fall to exactly one member. */
export type AllocateStrategy = (input: AllocationInput) => readonly MessageQueue[];

/** The others are functions to be imported, so that a page that does not use them does not load them. */
export type StrategyName = 'averagely' | 'averagely-by-circle';

/** Neighbouring queues to the same member, one more to the first ones. Java's default. */
export const averagely: AllocateStrategy = ({ clientId, queues, members }) => {
  const index = members.indexOf(clientId);
  if (index < 0) return [];
  const share = Math.floor(queues.length / members.length);
  const rest = queues.length % members.length;
  const start = index * share + Math.min(index, rest);
  return queues.slice(start, start + share + (index < rest ? 1 : 0));
};

/** One queue to each member in turn. */
export const averagelyByCircle: AllocateStrategy = ({ clientId, queues, members }) => {
  const index = members.indexOf(clientId);
  if (index < 0) return [];
  return queues.filter((_, queueIndex) => queueIndex % members.length === index);
};

/** Of each member on the ring, AllocateMessageQueueConsistentHash's default. */
const VIRTUAL_NODE_COUNT = 10;

/** Few queues change hands when a member comes or goes. */
export function consistentHash(virtualNodeCount = VIRTUAL_NODE_COUNT): AllocateStrategy {
  return ({ clientId, queues, members }) => {
    if (!members.includes(clientId)) return [];
    // A place that two share belongs to the later one, as in the map that Java keeps them in.
    const owners = new Map<number, string>();
    for (const member of members) {
      for (let node = 0; node < virtualNodeCount; node++)
        owners.set(md5Head(`${member}-${node}`), member);
    }
    const ring = [...owners].sort(([left], [right]) => left - right);
    return queues.filter(({ topic, brokerName, queueId }) => {
      const place = md5Head(
        `MessageQueue [topic=${topic}, brokerName=${brokerName}, queueId=${queueId}]`,
      );
      const owner = ring.find(([at]) => at >= place) ?? ring[0];
      return owner !== undefined && owner[1] === clientId;
    });
  };
}

/** Only queues of brokers named `room@name` in one of these rooms; what is over goes one by one. */
export function machineRoom(rooms: readonly string[]): AllocateStrategy {
  return ({ clientId, queues, members }) => {
    const index = members.indexOf(clientId);
    if (index < 0) return [];
    const near = queues.filter(({ brokerName }) => {
      const parts = brokerName.split('@');
      return parts.length === 2 && rooms.includes(parts[0] ?? '');
    });
    const share = Math.floor(near.length / members.length);
    const extra = near.slice(share * members.length)[index];
    const own = near.slice(share * index, share * (index + 1));
    return extra === undefined ? own : [...own, extra];
  };
}

/** @throws ClientError INVALID_ARGUMENT */
export function strategyOf(
  strategy: StrategyName | AllocateStrategy | undefined,
): AllocateStrategy {
  if (typeof strategy === 'function') return strategy;
  switch (strategy) {
    case undefined:
    case 'averagely':
      return averagely;
    case 'averagely-by-circle':
      return averagelyByCircle;
    default:
      throw new ClientError(
        'INVALID_ARGUMENT',
        `strategy is "averagely", "averagely-by-circle" or a function such as consistentHash(), not ${String(strategy)}`,
      );
  }
}

/** As Java sorts queues: by topic, broker name, queue id. */
export function compareQueues(left: MessageQueue, right: MessageQueue): number {
  return (
    compareTexts(left.topic, right.topic) ||
    compareTexts(left.brokerName, right.brokerName) ||
    left.queueId - right.queueId
  );
}

/** By UTF-16 units. */
function compareTexts(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
