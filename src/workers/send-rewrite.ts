/**
 * @agent worker
 *
 * The general path for a send whose properties change what is stored: a delay level sends it through
 * the schedule topic, a time through the timer topic, a transaction through the half topic; and names
 * that belong to the broker are taken out before it adds its own.
 */
import type { WallClock } from '../base/clock.ts';
import {
  delayLevelOf,
  type DelayLevels,
  type Destination,
  interceptDelay,
} from '../broker/delay-level.ts';
import {
  encodeRecallHandle,
  hasTimer,
  interceptTimer,
  timerRefusal,
  type TimerSettings,
  wantedDeliverMs,
} from '../broker/timer-message.ts';
import {
  interceptTransaction,
  isTransactional,
  TRANSACTION_ID_LENGTH_MAX,
} from '../broker/transaction-message.ts';
import type { AnswerExtra } from '../protocol/answer-extra.ts';
import { ResponseCode } from '../protocol/codes.ts';
import { encodeProperties, PropertyName } from '../protocol/message-properties.ts';

export interface RewriteSettings {
  brokerName: string;
  delayLevels: DelayLevels;
  timer: TimerSettings;
  rejectTransactionMessage: boolean;
  wallClock: WallClock;
}

/** A send, as its sender wants it. */
export interface SendWish {
  /** With a UNIQ_KEY; changed to what is to be stored. */
  properties: Map<string, string>;
  real: Destination;
  reconsumeTimes: number;
}

export interface RewrittenSend {
  topicId: number;
  topic: string;
  queueId: number;
  properties: string;
  /** What the answer says besides. */
  extra: AnswerExtra | null;
}

export interface SendRefusal {
  code: number;
  remark: string;
}

/** What to store instead; `topicId` is left 0 for the caller to fill in. */
export function rewriteSend(
  { properties, real, reconsumeTimes }: SendWish,
  settings: RewriteSettings,
): RewrittenSend | SendRefusal {
  const { delayLevels, timer, brokerName, wallClock } = settings;
  properties.delete(PropertyName.POP_CK);
  properties.delete(PropertyName.RECORD_CRC);
  properties.delete(PropertyName.MSG_REGION);
  properties.delete(PropertyName.TRACE_ON);
  properties.delete(PropertyName.CLUSTER);
  const uniqueKey = properties.get(PropertyName.UNIQUE_KEY) ?? '';
  const level = delayLevelOf(properties.get(PropertyName.DELAY));
  // A retried copy of a committed message still has the property (clients before 4.6.1).
  if (isTransactional(properties) && !(reconsumeTimes > 0 && level > 0)) {
    if (settings.rejectTransactionMessage) {
      return {
        code: ResponseCode.NO_PERMISSION,
        remark: 'the broker does not take transactional messages (rejectTransactionMessage)',
      };
    }
    const half = interceptTransaction(real, properties);
    const extra: AnswerExtra = ['transactionId', uniqueKey.slice(0, TRANSACTION_ID_LENGTH_MAX)];
    return { topicId: 0, ...half, properties: encodeProperties(properties), extra };
  }
  if (level <= 0 && hasTimer(properties)) {
    const deliverMs = wantedDeliverMs(properties, wallClock, timer);
    if (!timer.timerWheelEnable && !properties.has(PropertyName.TIMER_OUT_MS)) {
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: 'accurate timer message is not enabled, timerWheelEnable is false',
      };
    }
    if (Number.isNaN(deliverMs))
      return { code: ResponseCode.MESSAGE_ILLEGAL, remark: timerRefusal(timer) };
    if (deliverMs !== null) {
      const waiting = interceptTimer(real, properties, deliverMs);
      const handle = encodeRecallHandle({ topic: real.topic, brokerName, deliverMs, uniqueKey });
      const extra: AnswerExtra | null = handle === null ? null : ['recallHandle', handle];
      return { topicId: 0, ...waiting, properties: encodeProperties(properties), extra };
    }
  }
  const destination = interceptDelay(real, properties, delayLevels);
  return { topicId: 0, ...destination, properties: encodeProperties(properties), extra: null };
}
