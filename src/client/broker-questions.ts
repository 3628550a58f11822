/**
 * @agent any
 *
 * What brokers ask of a consumer, for themselves (40) or for an operator's tool: reset offsets (220),
 * where it stands (221), how it runs (307), consume this message now (309). Tables with queues as keys
 * are in fastjson's form: whole objects stand as keys.
 *
 * Source: ClientRemotingProcessor.java, ConsumerRunningInfo.java.
 */
import { MILLRACE_PROTOCOL_VERSION, RequestCode, ResponseCode } from '../protocol/codes.ts';
import { parseFastjson, printDouble, printFastjsonTable } from '../protocol/fastjson.ts';
import type { ClientCore, ConsumerData } from './client-core.ts';
import type { ConsumeStatistics } from './consume-statistics.ts';
import type { MessageQueue } from './message.ts';
import type { QueueAssignment, QueueAssignments } from './queue-assignments.ts';

/** CMResult.java. */
export type DirectResult = 'CR_SUCCESS' | 'CR_LATER' | 'CR_THROW_EXCEPTION';

export interface BrokerQuestionsOptions {
  readonly core: ClientCore;
  readonly group: string;
  readonly isOrdered: boolean;
  readonly concurrency: number;
  readonly startTimestampMs: number;
  readonly assignments: QueueAssignments;
  readonly statistics: ConsumeStatistics;
  readonly describe: () => ConsumerData;
  readonly onMembersChanged: () => void;
  /** Null where no listener runs. */
  readonly consumeDirectly: (
    record: Uint8Array,
    brokerName: string,
  ) => Promise<{ result: DirectResult; remark: string | null } | null>;
}

interface Answer {
  code: number;
  remark?: string;
  body?: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const MEBIBYTE = 1024 * 1024;

export class BrokerQuestions {
  readonly #options: BrokerQuestionsOptions;

  constructor(options: BrokerQuestionsOptions) {
    this.#options = options;
  }

  serve(): void {
    const { core } = this.#options;
    core.onBrokerRequest(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, () => {
      this.#options.onMembersChanged();
      return Promise.resolve(null);
    });
    core.onBrokerRequest(RequestCode.RESET_CONSUMER_CLIENT_OFFSET, async ({ fields, body }) => {
      if (this.#isMine(fields.get('group'))) await this.#reset(fields.get('topic') ?? '', body);
      return null;
    });
    core.onBrokerRequest(RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, ({ fields }) =>
      Promise.resolve(
        this.#isMine(fields.get('group'))
          ? this.#positions(fields.get('topic') ?? '')
          : this.#stranger(),
      ),
    );
    core.onBrokerRequest(RequestCode.GET_CONSUMER_RUNNING_INFO, ({ fields }) =>
      Promise.resolve(
        this.#isMine(fields.get('consumerGroup')) ? this.#runningInfo() : this.#stranger(),
      ),
    );
    core.onBrokerRequest(RequestCode.CONSUME_MESSAGE_DIRECTLY, ({ fields, body }) =>
      this.#isMine(fields.get('consumerGroup'))
        ? this.#consumeDirectly(body, fields.get('brokerName') ?? '')
        : Promise.resolve(this.#stranger()),
    );
  }

  #isMine(group: string | undefined): boolean {
    return group === this.#options.group;
  }

  #stranger(): Answer {
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: `this client consumes for ${this.#options.group} alone`,
    };
  }

  async #reset(topic: string, body: Uint8Array): Promise<void> {
    const { assignments } = this.#options;
    await Promise.all(
      offsetTableOf(decoder.decode(body))
        .filter(({ queue }) => queue.topic === topic)
        .map(({ queue, offset }) => assignments.move(queue, offset, 'moved')),
    );
  }

  #positions(topic: string): Answer {
    const table = printFastjsonTable(
      [...this.#options.assignments.all]
        .filter(({ queue }) => queue.topic === topic)
        .map(({ queue, processQueue }) => [keyOf(queue), String(processQueue.commitOffset)]),
    );
    return jsonAnswer(`{"consumerTable":{},"messageQueueTable":${table}}`);
  }

  #runningInfo(): Answer {
    const { describe, statistics, assignments, isOrdered, concurrency, startTimestampMs } =
      this.#options;
    const { subscriptionDataSet, consumeType } = describe();
    const properties = {
      PROP_CLIENT_VERSION: 'V5_3_3',
      PROP_CONSUMEORDERLY: String(isOrdered),
      PROP_CONSUMER_START_TIMESTAMP: String(startTimestampMs),
      PROP_CONSUME_TYPE: consumeType,
      PROP_NAMESERVER_ADDR: '',
      PROP_THREADPOOL_CORE_SIZE: String(concurrency),
      PROP_PROTOCOL_VERSION: String(MILLRACE_PROTOCOL_VERSION),
    };
    const queues = printFastjsonTable(
      [...assignments.all].map((assignment) => [keyOf(assignment.queue), queueInfo(assignment)]),
    );
    const statuses = subscriptionDataSet.map(({ topic }) => {
      const { okPerSecond, failedPerSecond, meanMs, failedCount } = statistics.status(topic);
      return `${JSON.stringify(topic)}:{"consumeFailedMsgs":${failedCount},"consumeFailedTPS":${printDouble(failedPerSecond)},"consumeOKTPS":${printDouble(okPerSecond)},"consumeRT":${printDouble(meanMs)},"pullRT":0.0,"pullTPS":${printDouble(okPerSecond + failedPerSecond)}}`;
    });
    const subscriptions = subscriptionDataSet.map((subscription) => ({
      classFilterMode: false,
      codeSet: subscription.codeSet,
      expressionType: subscription.expressionType,
      subString: subscription.subString,
      subVersion: subscription.subVersion,
      tagsSet: subscription.tagsSet,
      topic: subscription.topic,
    }));
    return jsonAnswer(
      `{"mqPopTable":{},"mqTable":${queues},"properties":${JSON.stringify(properties)},"statusTable":{${statuses.join(',')}},"subscriptionSet":${JSON.stringify(subscriptions)},"userConsumerInfo":{}}`,
    );
  }

  async #consumeDirectly(record: Uint8Array, brokerName: string): Promise<Answer> {
    const startMs = performance.now();
    const outcome = await this.#options.consumeDirectly(record, brokerName);
    if (outcome === null) {
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: 'this consumer has no listener: its program takes messages by itself',
      };
    }
    const { result, remark } = outcome;
    return jsonAnswer(
      JSON.stringify({
        autoCommit: true,
        consumeResult: result,
        order: this.#options.isOrdered,
        ...(remark === null ? {} : { remark }),
        spentTimeMills: Math.round(performance.now() - startMs),
      }),
    );
  }
}

/** ProcessQueueInfo.java, in the order of its fields' names. */
function queueInfo({ processQueue }: QueueAssignment): string {
  const { openCount, openBytes, commitOffset, nextOffset, isDropped } = processQueue;
  const nowMs = performance.now();
  const isLocked = processQueue.isOrdered && nowMs < processQueue.lockedUntilMs;
  return JSON.stringify({
    cachedMsgCount: openCount,
    cachedMsgMaxOffset: openCount === 0 ? 0 : nextOffset - 1,
    cachedMsgMinOffset: openCount === 0 ? 0 : commitOffset,
    cachedMsgSizeInMiB: Math.floor(openBytes / MEBIBYTE),
    commitOffset,
    droped: isDropped,
    lastConsumeTimestamp: processQueue.lastConsumeMs,
    lastLockTimestamp: 0,
    lastPullTimestamp: processQueue.lastPullMs,
    locked: isLocked,
    transactionMsgCount: 0,
    transactionMsgMaxOffset: 0,
    transactionMsgMinOffset: 0,
    tryUnlockTimes: 0,
  });
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

function keyOf({ brokerName, queueId, topic }: MessageQueue): MessageQueue {
  return { brokerName, queueId, topic };
}

function jsonAnswer(text: string): Answer {
  return { code: ResponseCode.SUCCESS, body: encoder.encode(text) };
}
