/**
 * @agent worker
 *
 * The general path for a send whose properties change what is stored: a delay level sends it through
 * the schedule topic, and names that belong to the broker are taken out before it adds its own.
 */
import { delayLevelOf, type DelayLevels, interceptDelay } from '../broker/delay-level.ts';
import {
  hasTimer,
  interceptTimer,
  timerRefusal,
  type TimerSettings,
  wantedDeliverMs,
} from '../broker/timer-message.ts';
import { ResponseCode } from '../protocol/codes.ts';
import {
  decodeProperties,
  encodeProperties,
  PropertyName,
} from '../protocol/message-properties.ts';

export interface RewrittenSend {
  topicId: number;
  topic: string;
  queueId: number;
  properties: string;
}

export interface SendRefusal {
  code: number;
  remark: string;
}

/** What to store instead; `topicId` is left 0 for the caller to fill in. */
export function rewriteSend(
  text: string,
  topic: string,
  queueId: number,
  reconsumeTimes: number,
  levels: DelayLevels,
  timer: TimerSettings,
  nowMs: number,
): RewrittenSend | SendRefusal {
  const properties = decodeProperties(text);
  properties.delete(PropertyName.POP_CK);
  properties.delete(PropertyName.RECORD_CRC);
  properties.delete(PropertyName.MSG_REGION);
  properties.delete(PropertyName.TRACE_ON);
  properties.delete(PropertyName.CLUSTER);
  const level = delayLevelOf(properties.get(PropertyName.DELAY));
  if (properties.get(PropertyName.TRANSACTION_PREPARED)?.toLowerCase() === 'true') {
    // A retried copy of a committed message still has the property (clients before 4.6.1).
    if (!(reconsumeTimes > 0 && level > 0)) {
      return {
        code: ResponseCode.NO_PERMISSION,
        remark: 'transactional messages are not supported yet',
      };
    }
  }
  if (level <= 0 && hasTimer(properties)) {
    const deliverMs = wantedDeliverMs(properties, nowMs, timer);
    if (!timer.timerWheelEnable && !properties.has(PropertyName.TIMER_OUT_MS)) {
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: 'accurate timer message is not enabled, timerWheelEnable is false',
      };
    }
    if (Number.isNaN(deliverMs))
      return { code: ResponseCode.MESSAGE_ILLEGAL, remark: timerRefusal(timer) };
    if (deliverMs !== null) {
      const waiting = interceptTimer({ topic, queueId }, properties, deliverMs);
      return { topicId: 0, ...waiting, properties: encodeProperties(properties) };
    }
  }
  const destination = interceptDelay({ topic, queueId }, properties, levels);
  return { topicId: 0, ...destination, properties: encodeProperties(properties) };
}
