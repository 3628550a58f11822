/**
 * @agent any
 *
 * Where a message goes that a consumer group could not consume: to its retry topic once more, or to
 * its dead letters. Clients ask with CONSUMER_SEND_MSG_BACK (36); when that fails, and from ordered
 * consumers, they send the message themselves to %RETRY%group.
 *
 * Source: AbstractSendMessageProcessor.java (consumerSendMsgBack), SendMessageProcessor.java
 * (handleRetryAndDLQ).
 */
import { Version } from '../protocol/codes.ts';
import { PropertyName } from '../protocol/message-properties.ts';
import { deadLetterTopicOf, retryTopicOf } from './resource-name.ts';
import type { SubscriptionGroupConfig } from './subscription-group-config.ts';

/** A dead-letter topic has one queue. */
export const DEAD_LETTER_QUEUE_COUNT = 1;
/** Delay level of the first retry, from which each further one is a level higher. */
const FIRST_RETRY_LEVEL = 3;

export interface RetryDecision {
  readonly isDeadLetter: boolean;
  readonly topic: string;
  /** The DELAY property to store; undefined leaves what the message has. */
  readonly delay: string | undefined;
}

/** The tries that count: a client's own limit, if it is new enough to state one, or its group's. */
export function maxReconsumeTimesOf(
  groupConfig: Pick<SubscriptionGroupConfig, 'retryMaxTimes'>,
  stated: number | undefined,
  clientVersion: number,
): number {
  return stated !== undefined && clientVersion >= Version.V3_4_9
    ? stated
    : groupConfig.retryMaxTimes;
}

/** Decides a send-back. `reconsumeTimes` are those of the stored message. */
export function decideSendBack(asked: {
  group: string;
  reconsumeTimes: number;
  maxReconsumeTimes: number;
  /** 0 leaves the delay to the broker, negative asks for a dead letter. */
  delayLevel: number;
}): RetryDecision {
  if (asked.reconsumeTimes >= asked.maxReconsumeTimes || asked.delayLevel < 0) {
    return { isDeadLetter: true, topic: deadLetterTopicOf(asked.group), delay: '0' };
  }
  const level =
    asked.delayLevel === 0 ? FIRST_RETRY_LEVEL + asked.reconsumeTimes : asked.delayLevel;
  return { isDeadLetter: false, topic: retryTopicOf(asked.group), delay: String(level) };
}

/** Decides a send to %RETRY%group. `reconsumeTimes` already counts the try that failed. */
export function decideRetrySend(asked: {
  group: string;
  reconsumeTimes: number;
  maxReconsumeTimes: number;
  /** The group holds live queue locks: it consumes in order, and a retry would break the order. */
  isOrdered: boolean;
}): RetryDecision {
  if (asked.reconsumeTimes > asked.maxReconsumeTimes || asked.isOrdered) {
    return { isDeadLetter: true, topic: deadLetterTopicOf(asked.group), delay: '-1' };
  }
  return { isDeadLetter: false, topic: retryTopicOf(asked.group), delay: undefined };
}

/** Puts a decision's delay into the message's properties. */
export function applyDelay(decision: RetryDecision, properties: Map<string, string>): void {
  if (decision.delay !== undefined) properties.set(PropertyName.DELAY, decision.delay);
}
