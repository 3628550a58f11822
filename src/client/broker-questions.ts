/**
 * @agent any
 *
 * What brokers ask of a consumer: look who is there (40), go on at these offsets (220), and what the
 * entry point brings in for operators (operator-answers.ts).
 *
 * Source: ClientRemotingProcessor.java.
 */
import { RequestCode } from '../protocol/codes.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import type { ClientCore, ConsumerData } from './client-core.ts';
import type { ConsumeStatistics } from './consume-statistics.ts';
import type { ConsumedRecord } from './consumed-message.ts';
import type { MessageQueue } from './message.ts';
import type { QueueAssignments } from './queue-assignments.ts';

/** A listener, and whether it takes one message or an array. */
export interface ListenerCall {
  readonly call: (messages: ConsumedRecord | ConsumedRecord[]) => unknown;
  readonly isBatch: boolean;
}

/** Of a consumer, what questions are answered from. */
export interface ConsumerInside {
  readonly core: ClientCore;
  readonly group: string;
  readonly isOrdered: boolean;
  readonly concurrency: number;
  readonly startTimestampMs: number;
  readonly assignments: QueueAssignments;
  readonly statistics: ConsumeStatistics;
  readonly describe: () => ConsumerData;
  readonly onMembersChanged: () => void;
  /** Null where the program takes messages by itself. */
  readonly listener: () => ListenerCall | null;
}

let serveMore: ((consumer: ConsumerInside) => void) | null = null;

/** For an entry point that has more answers. */
export function installAnswers(serve: (consumer: ConsumerInside) => void): void {
  serveMore = serve;
}

const decoder = new TextDecoder();

export function serveBroker(consumer: ConsumerInside): void {
  const { core, group, assignments } = consumer;
  core.onBrokerRequest(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, () => {
    consumer.onMembersChanged();
    return Promise.resolve(null);
  });
  core.onBrokerRequest(RequestCode.RESET_CONSUMER_CLIENT_OFFSET, async ({ fields, body }) => {
    if (fields.get('group') !== group) return null;
    await Promise.all(
      offsetTableOf(decoder.decode(body))
        .filter(({ queue }) => queue.topic === fields.get('topic'))
        .map(({ queue, offset }) => assignments.move(queue, offset, 'moved')),
    );
    return null;
  });
  serveMore?.(consumer);
}

/**
 * `{"offsetTable":{{queue}:offset}}` with queues as keys; or, as brokers write it for C++ clients, a list
 * of `{queue fields, offset}`. What is neither is passed over.
 */
function offsetTableOf(text: string): { queue: MessageQueue; offset: number }[] {
  let table: unknown;
  try {
    table = (parseFastjson(text) as { offsetTable?: unknown }).offsetTable;
  } catch {
    return [];
  }
  if (!Array.isArray(table)) return [];
  const entries: { queue: MessageQueue; offset: number }[] = [];
  for (const item of table as unknown[]) {
    const [key, value] = Array.isArray(item)
      ? (item as unknown[])
      : [item, (Object(item) as { offset?: unknown }).offset];
    const { topic, brokerName, queueId } = Object(key) as Partial<MessageQueue>;
    const isQueue =
      typeof topic === 'string' && typeof brokerName === 'string' && typeof queueId === 'number';
    if (isQueue && Number.isSafeInteger(value) && (value as number) >= 0)
      entries.push({ queue: { topic, brokerName, queueId }, offset: value as number });
  }
  return entries;
}
