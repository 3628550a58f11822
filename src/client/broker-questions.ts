/**
 * @agent any
 *
 * What brokers ask of a consumer: look who is there (40), go on at these offsets (220), and what the
 * entry point brings in for operators (operator-answers.ts).
 *
 * Source: ClientRemotingProcessor.java.
 */
import * as RequestCode from '../protocol/request-code.ts';
import type { ClientCore, ConsumerData } from './client-core.ts';
import type { ConsumedRecord } from './consumed-message.ts';
import { parseLooseJson } from './loose-json.ts';
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
  /** As the program has named them. */
  readonly servers: string | readonly string[];
  readonly isOrdered: boolean;
  readonly concurrency: number;
  readonly startTimestampMs: number;
  readonly assignments: QueueAssignments;
  readonly describe: () => ConsumerData;
  readonly onMembersChanged: () => void;
  /** Null where the program takes messages by itself. */
  readonly listener: () => ListenerCall | null;
}

/** Of each call of a listener: the topic it was read from, how many messages, how it ended, how long it took. */
export type ConsumedObserver = (
  topic: string,
  messageCount: number,
  isOk: boolean,
  tookMs: number,
) => void;

let serveMore: ((consumer: ConsumerInside) => ConsumedObserver) | null = null;

/** For an entry point that has more answers, and counts for them. */
export function installAnswers(serve: (consumer: ConsumerInside) => ConsumedObserver): void {
  serveMore = serve;
}

const decoder = new TextDecoder();

export function serveBroker(consumer: ConsumerInside): ConsumedObserver {
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
  return serveMore?.(consumer) ?? (() => {});
}

/**
 * `{"offsetTable":{{queue}:offset}}` with queues as keys; or, as brokers write it for C++ clients, a list
 * of `{queue fields, offset}`. What is neither is passed over.
 */
function offsetTableOf(text: string): { queue: MessageQueue; offset: number }[] {
  try {
    const { offsetTable } = parseLooseJson(text) as { offsetTable?: object };
    const items: unknown[] = Array.isArray(offsetTable)
      ? offsetTable
      : Object.entries(offsetTable ?? {}).map(([key, offset]): unknown =>
          Object.assign(JSON.parse(key) as object, { offset: offset as unknown }),
        );
    return items.flatMap((item) => {
      const { topic, brokerName, queueId, offset } = Object(item) as Record<string, unknown>;
      const isEntry =
        typeof topic === 'string' &&
        typeof brokerName === 'string' &&
        typeof queueId === 'number' &&
        typeof offset === 'number' &&
        offset >= 0;
      return isEntry ? [{ queue: { topic, brokerName, queueId }, offset }] : [];
    });
  } catch {
    return [];
  }
}
