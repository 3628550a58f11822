/**
 * @agent any
 *
 * Gives a message that could not be consumed back to the broker, which delivers it again later or puts
 * it to the dead letters of the group: by its place in the log (36), or, where that fails, as a message
 * of its own to the group's retry topic.
 *
 * Source: DefaultMQPushConsumerImpl.java (sendMessageBack), ConsumeMessageOrderlyService.java
 * (sendMessageBack).
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { answerError } from './answer-error.ts';
import type { ClientCore } from './client-core.ts';
import { asClientError, ClientError } from './client-error.ts';
import type { ConsumedRecord } from './consumed-message.ts';
import type { MessageQueue } from './message.ts';
import { retryTopicOf } from './subscription.ts';

/** The delay of a first retry where nobody says: level 3, one higher for each further one. */
const FIRST_RETRY_LEVEL = 3;
/** Java's, for a client that states none of its own. */
const RECONSUME_TIMES_MAX = 16;

/**
 * Properties that would make the broker treat the copy as a timed or half message, or that say where
 * the original was.
 */
const leftOut: ReadonlySet<string> = new Set(
  'DELAY REAL_TOPIC REAL_QID TRAN_MSG TRAN_PREPARED_QUEUE_OFFSET TRANSACTION_CHECK_TIMES TIMER_DELIVER_MS TIMER_DELAY_MS TIMER_DELAY_SEC TIMER_OUT_MS TIMER_ENQUEUE_MS TIMER_DEQUEUE_MS TIMER_DEL_UNIQKEY __CRC32# CLUSTER MSG_REGION TRACE_ON'.split(
    ' ',
  ),
);

export interface RetrySenderOptions {
  readonly core: ClientCore;
  readonly group: string;
  /** Deliveries of a message, the first one included; null leaves it to the group. */
  readonly maxAttempts: number | null;
  readonly onError: (error: ClientError) => void;
}

export class RetrySender {
  readonly #options: RetrySenderOptions;

  constructor(options: RetrySenderOptions) {
    this.#options = options;
  }

  /** True when the broker has it, for later or among the dead letters. Never rejects. */
  async sendBack(message: ConsumedRecord, delayLevel: number): Promise<boolean> {
    const { core, group, maxAttempts, onError } = this.#options;
    try {
      const answer = await core.ask(core.masterAddress(message.queue.brokerName), {
        code: RequestCode.CONSUMER_SEND_MSG_BACK,
        fields: {
          offset: message.physicalOffset,
          group,
          delayLevel,
          originMsgId: message.messageId,
          originTopic: message.topic,
          unitMode: false,
          maxReconsumeTimes: maxAttempts === null ? undefined : maxAttempts - 1,
        },
      });
      if (answer.code === ResponseCode.SUCCESS) return true;
      onError(answerError(answer, `giving back a message of ${message.topic}`));
    } catch (error) {
      onError(asClientError(error, `giving back a message of ${message.topic}`));
    }
    return this.#sendCopy(message, {
      reconsumeTimes: message.reconsumeTimes + 1,
      reconsumeTimesMax: maxAttempts === null ? RECONSUME_TIMES_MAX : maxAttempts - 1,
      delayLevel: delayLevel > 0 ? delayLevel : FIRST_RETRY_LEVEL + message.reconsumeTimes,
    });
  }

  /** True when the broker has it among the dead letters. Never rejects. */
  sendDead(message: ConsumedRecord): Promise<boolean> {
    // More tries than there may be: whoever holds locks or not, that is a dead letter.
    const reconsumeTimesMax = message.deliveryAttempt - 1;
    return this.#sendCopy(message, {
      reconsumeTimes: message.deliveryAttempt,
      reconsumeTimesMax,
      delayLevel: FIRST_RETRY_LEVEL + reconsumeTimesMax,
    });
  }

  async #sendCopy(
    message: ConsumedRecord,
    retry: { reconsumeTimes: number; reconsumeTimesMax: number; delayLevel: number },
  ): Promise<boolean> {
    const { core, group, onError } = this.#options;
    try {
      const { writeQueues } = await core.route(retryTopicOf(group));
      const queue = writeQueues[Math.floor(Math.random() * writeQueues.length)];
      if (queue === undefined)
        throw new ClientError('TOPIC_NOT_FOUND', `${retryTopicOf(group)} has no queue to send to`);
      const answer = await core.ask(core.masterAddress(queue.brokerName), {
        code: RequestCode.SEND_MESSAGE_V2,
        fields: this.#fieldsOf(message, queue, retry),
        body: message.body,
      });
      const isStored =
        answer.code === ResponseCode.SUCCESS ||
        (answer.code >= ResponseCode.FLUSH_DISK_TIMEOUT &&
          answer.code <= ResponseCode.FLUSH_SLAVE_TIMEOUT);
      if (isStored) return true;
      onError(answerError(answer, `a send to ${queue.topic}`));
    } catch (error) {
      onError(asClientError(error, `a send to the retry topic of ${group}`));
    }
    return false;
  }

  /** SendMessageRequestHeaderV2. */
  #fieldsOf(
    message: ConsumedRecord,
    queue: MessageQueue,
    retry: { reconsumeTimes: number; reconsumeTimesMax: number; delayLevel: number },
  ): Record<string, string | number | boolean> {
    const properties = new Map<string, string>();
    for (const [name, value] of Object.entries(message.properties)) {
      if (value !== undefined && !leftOut.has(name)) properties.set(name, value);
    }
    properties.set('RETRY_TOPIC', message.topic);
    properties.set('DELAY', String(retry.delayLevel));
    if (!properties.has('ORIGIN_MESSAGE_ID'))
      properties.set('ORIGIN_MESSAGE_ID', message.offsetMessageId);
    return {
      a: this.#options.group,
      b: queue.topic,
      c: 'TBW102',
      d: 4,
      e: queue.queueId,
      f: 0,
      g: message.bornTimestampMs,
      h: 0,
      i: Array.from(properties, ([name, value]) => `${name}\x01${value}\x02`).join(''),
      j: retry.reconsumeTimes,
      k: false,
      l: retry.reconsumeTimesMax,
      m: false,
      n: queue.brokerName,
    };
  }
}
