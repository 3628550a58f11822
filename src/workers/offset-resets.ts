/**
 * @agent dispatcher
 *
 * Resets of consumer offsets (222): where a time or an offset leads in each queue, and how the group
 * gets there.
 *
 * In the broker (useServerSideResetOffset): the targets wait at the group; its next pull of such a
 * queue takes one and is answered 21 with it, commits are passed over until then. Pulls that are held
 * take theirs at once.
 *
 * ```
 * 222 ─▶ assigned ── pull of the queue ──▶ taken (answer 21)
 * ```
 * By the clients: every member is sent the table (220) and seeks by itself.
 *
 * Source: AdminBrokerProcessor.java (resetOffsetInner), Broker2Client.java (resetOffset).
 */
import type { ClientResetQuestion, ResetQuestion } from '../broker/control-effects.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { printFastjsonTable } from '../protocol/fastjson.ts';
import { type Answer, encodeRequest, FLAG_ONEWAY } from '../protocol/remoting-command.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import type { GroupState, TopicStates } from './topic-state.ts';

export interface OffsetResetsOptions {
  topics: TopicStates;
  brokerName: string;
  /** First offset of a queue whose message is not older. */
  offsetByTime: (queue: ConsumeQueue, timestampMs: number) => number;
  /** Tells control, before any later commit. */
  onAssigned: (group: string, topic: string, targets: readonly [number, number][]) => void;
  /** Looks again at pulls that are held at these queues. */
  wake: (topic: string, queueIds: readonly number[]) => void;
  /** Sends a finished oneway request to a client. */
  requestClient: (connectionId: number, frame: Buffer) => void;
}

export class OffsetResets {
  readonly #options: OffsetResetsOptions;

  constructor(options: OffsetResetsOptions) {
    this.#options = options;
  }

  reset(question: ResetQuestion): Answer {
    const { topic, group, queueIds, timestampMs, offset } = question;
    const targets: [number, number][] = [];
    for (const queueId of queueIds) {
      const queue = this.#queue(topic, queueId);
      if (offset === null) {
        targets.push([queueId, this.#byTime(queue, timestampMs)]);
        continue;
      }
      const minOffset = queue?.minOffset ?? 0;
      const maxOffset = queue?.maxOffset ?? 0;
      if (offset < minOffset || offset > maxOffset) {
        return {
          code: ResponseCode.SYSTEM_ERROR,
          remark: `Target offset ${offset} not in consume queue range [${minOffset}-${maxOffset}]`,
        };
      }
      targets.push([queueId, offset]);
    }
    const state = this.#options.topics.groupNamed(group);
    for (const [queueId, target] of targets) assign(state, topic, queueId, target);
    this.#options.onAssigned(group, topic, targets);
    this.#options.wake(topic, queueIds);
    return tableAnswer(this.#table(topic, targets));
  }

  resetByClients(question: ClientResetQuestion): Answer {
    const { topic, group, consumerOffsets, timestampMs, isForced, isCpp } = question;
    const targets = consumerOffsets.map((consumerOffset, queueId): [number, number] => {
      const target = this.#byTime(this.#queue(topic, queueId), timestampMs);
      return [queueId, isForced || target < consumerOffset ? target : consumerOffset];
    });
    const table = this.#table(topic, targets);
    const body = isCpp ? this.#list(topic, targets) : table;
    const frame = encodeRequest({
      code: RequestCode.RESET_CONSUMER_CLIENT_OFFSET,
      opaque: 0,
      flag: FLAG_ONEWAY,
      extFields: [
        ['topic', topic],
        ['group', group],
        ['timestamp', String(timestampMs)],
        ['isForce', 'false'],
        // All that are in the body.
        ['queueId', '-1'],
      ],
      body: Buffer.from(body),
    });
    for (const connectionId of question.connectionIds)
      this.#options.requestClient(connectionId, frame);
    return tableAnswer(table);
  }

  #queue(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.#options.topics.topicNamed(topic)?.queues[queueId];
  }

  /** A negative time means the end of the queue. */
  #byTime(queue: ConsumeQueue | undefined, timestampMs: number): number {
    if (queue === undefined) return 0;
    return timestampMs < 0 ? queue.maxOffset : this.#options.offsetByTime(queue, timestampMs);
  }

  #table(topic: string, targets: readonly [number, number][]): string {
    const { brokerName } = this.#options;
    const entries = targets.map(([queueId, target]): [object, string] => [
      { brokerName, queueId, topic },
      String(target),
    ]);
    return `{"offsetTable":${printFastjsonTable(entries)}}`;
  }

  /** ResetOffsetBodyForC.java: clients in C++ read no objects as keys. */
  #list(topic: string, targets: readonly [number, number][]): string {
    const { brokerName } = this.#options;
    const offsetTable = targets.map(([queueId, offset]) => ({
      brokerName,
      offset,
      queueId,
      topic,
    }));
    return JSON.stringify({ offsetTable });
  }
}

function assign(group: GroupState, topic: string, queueId: number, target: number): void {
  group.resets ??= new Map();
  let queues = group.resets.get(topic);
  if (queues === undefined) group.resets.set(topic, (queues = new Map()));
  queues.set(queueId, target);
}

/** The target that waits for this queue; null where none does. It is gone once `takeReset` was called. */
export function pendingReset(group: GroupState, topic: string, queueId: number): number | null {
  return group.resets?.get(topic)?.get(queueId) ?? null;
}

export function takeReset(group: GroupState, topic: string, queueId: number): void {
  const queues = group.resets?.get(topic);
  queues?.delete(queueId);
  if (queues?.size === 0) group.resets?.delete(topic);
  if (group.resets?.size === 0) group.resets = null;
}

function tableAnswer(text: string): Answer {
  return { code: ResponseCode.SUCCESS, body: Buffer.from(text) };
}
