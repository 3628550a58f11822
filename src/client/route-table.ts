/**
 * @agent any
 *
 * What name servers say of topics, as queues; and which brokers are known from it.
 */
import type { TopicRoute } from './client-core.ts';
import { ClientError } from './client-error.ts';
import { parseLooseJson } from './loose-json.ts';
import type { MessageQueue } from './message.ts';

/** PermName.java. */
const PERM_READ = 4;
const PERM_WRITE = 2;
const MASTER_ID = '0';
/** Protects loops against what a stranger says. */
const QUEUE_COUNT_MAX = 65_536;

export interface BrokerAddresses {
  readonly masterAddress: string | null;
  /** The master's first. */
  readonly addresses: readonly string[];
}

/**
 * Decodes TopicRouteData. `addressInstead` is the URL that was asked, where no address of the route
 * can be used. @throws ClientError PROTOCOL_ERROR
 */
export function decodeRoute(topic: string, text: string, addressInstead?: string): TopicRoute {
  let parsed: Record<string, unknown>;
  try {
    parsed = objectOf(parseLooseJson(text));
  } catch (cause) {
    throw new ClientError('PROTOCOL_ERROR', `the route of ${topic} is no JSON`, { cause });
  }
  const brokers = new Map<string, BrokerAddresses>();
  for (const item of listOf(parsed['brokerDatas'])) {
    const addresses = Object.entries(objectOf(item['brokerAddrs']))
      .filter((entry): entry is [string, string] => typeof entry[1] === 'string')
      .sort(([left], [right]) => Number(left) - Number(right));
    const master = addresses.find(([id]) => id === MASTER_ID)?.[1] ?? null;
    brokers.set(
      textOf(item['brokerName']),
      addressInstead === undefined
        ? { masterAddress: master, addresses: addresses.map(([, address]) => address) }
        : { masterAddress: addressInstead, addresses: [addressInstead] },
    );
  }
  const writeQueues: MessageQueue[] = [];
  const readQueues: MessageQueue[] = [];
  const orderedCounts = orderedQueueCounts(parsed['orderTopicConf']);
  const queueDatas = listOf(parsed['queueDatas']).sort((left, right) =>
    textOf(left['brokerName']) < textOf(right['brokerName']) ? -1 : 1,
  );
  for (const item of queueDatas) {
    const brokerName = textOf(item['brokerName']);
    const broker = brokers.get(brokerName);
    if (broker === undefined) continue;
    const perm = countOf(item['perm']);
    const orderedCount = orderedCounts?.get(brokerName) ?? 0;
    if ((perm & PERM_WRITE) !== 0 && broker.masterAddress !== null)
      addQueues(
        writeQueues,
        topic,
        brokerName,
        orderedCounts === null ? countOf(item['writeQueueNums']) : orderedCount,
      );
    if ((perm & PERM_READ) !== 0)
      addQueues(readQueues, topic, brokerName, countOf(item['readQueueNums']));
  }
  return { topic, brokers, writeQueues, readQueues };
}

/** `broker-a:4;broker-b:4` of a topic whose queues are fixed, null for any other. */
function orderedQueueCounts(value: unknown): Map<string, number> | null {
  if (typeof value !== 'string' || value === '') return null;
  return new Map(
    value.split(';').map((part) => {
      const [name = '', count] = part.split(':');
      return [name, countOf(Number(count))];
    }),
  );
}

function addQueues(
  queues: MessageQueue[],
  topic: string,
  brokerName: string,
  queueCount: number,
): void {
  for (let queueId = 0; queueId < queueCount; queueId++)
    queues.push({ topic, brokerName, queueId });
}

/** Routes of several servers, each for itself alone, as one. */
export function mergeRoutes(topic: string, routes: readonly TopicRoute[]): TopicRoute {
  const byName = (left: MessageQueue, right: MessageQueue): number =>
    left.brokerName === right.brokerName
      ? left.queueId - right.queueId
      : left.brokerName < right.brokerName
        ? -1
        : 1;
  return {
    topic,
    brokers: new Map(routes.flatMap((route) => [...route.brokers])),
    writeQueues: routes.flatMap((route) => route.writeQueues).sort(byName),
    readQueues: routes.flatMap((route) => route.readQueues).sort(byName),
  };
}

/**
 * What a producer takes for a topic that is not there yet: as many queues as the broker will make of
 * the route of TBW102, whose settings it inherits.
 */
export function inheritedRoute(
  topic: string,
  template: TopicRoute,
  queueCount: number,
): TopicRoute {
  const renamed = (queues: readonly MessageQueue[]): MessageQueue[] =>
    queues
      .filter(({ queueId }) => queueId < queueCount)
      .map(({ brokerName, queueId }) => ({ topic, brokerName, queueId }));
  return {
    topic,
    brokers: template.brokers,
    writeQueues: renamed(template.writeQueues),
    readQueues: renamed(template.readQueues),
  };
}

export function isSameRoute(left: TopicRoute, right: TopicRoute): boolean {
  return describe(left) === describe(right);
}

function describe(route: TopicRoute): string {
  return JSON.stringify([[...route.brokers], route.writeQueues, route.readQueues]);
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function countOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value)
    ? Math.min(Math.max(value, 0), QUEUE_COUNT_MAX)
    : 0;
}
