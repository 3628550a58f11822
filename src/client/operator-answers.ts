/**
 * @agent any
 *
 * What an operator's tools ask of a consumer through its broker: where it stands (221), how it runs
 * (307), consume this message now (309). Tables with queues as keys are in fastjson's form: whole objects
 * stand as keys. Node's entry point brings this in; a page has no operators, and need not load it.
 *
 * Source: ClientRemotingProcessor.java, ConsumerRunningInfo.java.
 */
import { MILLRACE_PROTOCOL_VERSION } from '../protocol/codes.ts';
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { printDouble, printFastjsonTable } from '../protocol/fastjson.ts';
import { consumeOnce } from './consume-once.ts';
import type { ConsumedObserver, ConsumerInside } from './broker-questions.ts';
import { ConsumeStatistics } from './consume-statistics.ts';
import type { MessageQueue } from './message.ts';
import type { QueueAssignment } from './queue-assignments.ts';

interface Answer {
  code: number;
  remark?: string;
  body?: Uint8Array;
}

const encoder = new TextEncoder();
const MEBIBYTE = 1024 * 1024;

export function serveOperators(consumer: ConsumerInside): ConsumedObserver {
  const answers = new OperatorAnswers(consumer);
  answers.serve();
  return (topic, messageCount, isOk, tookMs) =>
    answers.statistics.add(topic, messageCount, isOk, tookMs);
}

class OperatorAnswers {
  readonly statistics = new ConsumeStatistics();
  readonly #options: ConsumerInside;

  constructor(options: ConsumerInside) {
    this.#options = options;
  }

  serve(): void {
    const { core } = this.#options;
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

  #positions(topic: string): Answer {
    const table = printFastjsonTable(
      [...this.#options.assignments.all]
        .filter(({ queue }) => queue.topic === topic)
        .map(({ queue, processQueue }) => [keyOf(queue), String(processQueue.commitOffset)]),
    );
    return jsonAnswer(`{"consumerTable":{},"messageQueueTable":${table}}`);
  }

  #runningInfo(): Answer {
    const { statistics } = this;
    const { describe, servers, assignments, isOrdered, concurrency, startTimestampMs } =
      this.#options;
    const { subscriptionDataSet, consumeType } = describe();
    const properties = {
      PROP_CLIENT_VERSION: 'V5_3_3',
      PROP_CONSUMEORDERLY: String(isOrdered),
      PROP_CONSUMER_START_TIMESTAMP: String(startTimestampMs),
      PROP_CONSUME_TYPE: consumeType,
      PROP_NAMESERVER_ADDR: [servers].flat().join(';'),
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
    const outcome = await this.#callOnce(record, brokerName);
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

  async #callOnce(
    record: Uint8Array,
    brokerName: string,
  ): Promise<Awaited<ReturnType<typeof consumeOnce>> | null> {
    const listener = this.#options.listener();
    return listener === null ? null : consumeOnce(record, brokerName, listener);
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

function keyOf({ brokerName, queueId, topic }: MessageQueue): MessageQueue {
  return { brokerName, queueId, topic };
}

function jsonAnswer(text: string): Answer {
  return { code: ResponseCode.SUCCESS, body: encoder.encode(text) };
}
