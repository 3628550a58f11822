/**
 * @agent worker, control, dispatcher
 *
 * Timed messages, as their properties say: what a sender wishes, how they are stored until their time,
 * and the handle by which one is recalled.
 *
 * Where RocketMQ keeps time by whole seconds and delivers up to one early, times here are those that
 * were asked for, to the millisecond. Source: HookUtils.java, RecallMessageHandle.java.
 */
import type { WallClock } from '../base/clock.ts';
import { PropertyName } from '../protocol/message-properties.ts';
import { type Destination } from './delay-level.ts';
import { groupOfRetryTopic, SystemTopic } from './resource-name.ts';

/** The settings that decide which wishes are granted. */
export interface TimerSettings {
  timerWheelEnable: boolean;
  /** Longest delay. */
  timerMaxDelaySec: number;
}

/** When a message is to be delivered; null: now, as any other message; NaN: the wish can't be granted. */
export function wantedDeliverMs(
  properties: ReadonlyMap<string, string>,
  wallClock: WallClock,
  { timerMaxDelaySec }: TimerSettings,
): number | null {
  // Has it already: a copy of a message that was delivered at its time.
  if (properties.has(PropertyName.TIMER_OUT_MS)) return null;
  const nowMs = wallClock.nowMs();
  const delaySec = properties.get(PropertyName.TIMER_DELAY_SEC);
  const delayMs = properties.get(PropertyName.TIMER_DELAY_MS);
  let waitMs: number;
  if (delaySec !== undefined) waitMs = integerOf(delaySec) * 1000;
  else if (delayMs !== undefined) waitMs = integerOf(delayMs);
  else waitMs = integerOf(properties.get(PropertyName.TIMER_DELIVER_MS) ?? '') - nowMs;
  if (Number.isNaN(waitMs) || waitMs > timerMaxDelaySec * 1000) return NaN;
  if (waitMs <= 0) return null;
  const isDelay = delaySec !== undefined || delayMs !== undefined;
  return nowMs + waitMs + (isDelay ? wallClock.cutMs : 0);
}

export function hasTimer(properties: ReadonlyMap<string, string>): boolean {
  return (
    properties.has(PropertyName.TIMER_DELIVER_MS) ||
    properties.has(PropertyName.TIMER_DELAY_SEC) ||
    properties.has(PropertyName.TIMER_DELAY_MS)
  );
}

/** The remark of code 13. */
export function timerRefusal({ timerMaxDelaySec }: TimerSettings): string {
  return `timer message illegal, the delay time should not be bigger than the max delay ${timerMaxDelaySec * 1000}ms; or if set del msg, the delay time should be bigger than the current time`;
}

/** Where a message for `real` waits for its time; `properties` get what is needed to deliver it. */
export function interceptTimer(
  real: Destination,
  properties: Map<string, string>,
  deliverMs: number,
): Destination {
  properties.set(PropertyName.TIMER_OUT_MS, String(deliverMs));
  properties.set(PropertyName.REAL_TOPIC, real.topic);
  properties.set(PropertyName.REAL_QUEUE_ID, String(real.queueId));
  return { topic: SystemTopic.WHEEL_TIMER, queueId: 0 };
}

/** What a timed message and the marker that recalls it have in common. */
export function timerKey(realTopic: string, uniqueKey: string): string {
  return `${realTopic}+${uniqueKey}`;
}

export interface RecallHandle {
  topic: string;
  brokerName: string;
  /** When the message is due. */
  deliverMs: number;
  uniqueKey: string;
}

/** Longer ones would not fit an answer: who sends with such an id can't recall. */
const HANDLE_CHARACTERS_MAX = 800;

/** What a sender may recall a timed message by; null for what is no sender's own. */
export function encodeRecallHandle(handle: RecallHandle): string | null {
  if (groupOfRetryTopic(handle.topic) !== null) return null;
  const text = `v1 ${handle.topic} ${handle.brokerName} ${handle.deliverMs} ${handle.uniqueKey}`;
  // The padding is RocketMQ's.
  const encoded = Buffer.from(text).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
  return encoded.length <= HANDLE_CHARACTERS_MAX ? encoded : null;
}

/** Null where it is none. */
export function decodeRecallHandle(text: string): RecallHandle | null {
  if (text.length > HANDLE_CHARACTERS_MAX || !/^[\w-]+={0,2}$/.test(text)) return null;
  const [version, topic, brokerName, deliverMs, uniqueKey] = Buffer.from(text, 'base64url')
    .toString()
    .split(' ');
  if (version !== 'v1' || uniqueKey === undefined || uniqueKey === '') return null;
  return { topic, brokerName, deliverMs: integerOf(deliverMs), uniqueKey };
}

/** A Java long; NaN where it is none, or none that a double holds. */
function integerOf(text: string): number {
  const value = /^[+-]?\d{1,16}$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(value) ? value : NaN;
}
