/**
 * @agent any
 *
 * The levels of delayed messages: `messageDelayLevel`, "1s 5s 10s …", names the delay of level 1,
 * 2, 3 and so on. A message with a level waits in SCHEDULE_TOPIC_XXXX, in the queue of its level,
 * and carries its real topic and queue in two properties.
 *
 * Source: ScheduleMessageService.java, HookUtils.java (transformDelayLevelMessage).
 */
import { BrokerError } from '../base/errors.ts';
import { PropertyName } from '../protocol/message-properties.ts';
import { SystemTopic } from './resource-name.ts';

const unitMs: ReadonlyMap<string, number> = new Map([
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

export class DelayLevels {
  /** By level - 1. */
  readonly #delaysMs: readonly number[];

  /** @throws BrokerError CONFIG_INVALID */
  constructor(messageDelayLevel: string) {
    this.#delaysMs = messageDelayLevel.trim().split(/\s+/).map(parseDelay);
  }

  get maxLevel(): number {
    return this.#delaysMs.length;
  }

  /** Delay of a level; one that does not exist counts as RocketMQ's fallback of a second. */
  delayMs(level: number): number {
    return this.#delaysMs[level - 1] ?? 1_000;
  }

  /** When a message of this level, stored then, is due: its tagsCode in the ConsumeQueue. */
  dueMs(level: number, storeTimestampMs: number): number {
    return storeTimestampMs + this.delayMs(level);
  }

  /** The level that counts for a wish: 0 for none, never above the highest. */
  cap(level: number): number {
    return level <= 0 ? 0 : Math.min(level, this.maxLevel);
  }
}

export function queueIdOfLevel(level: number): number {
  return level - 1;
}

export function levelOfQueueId(queueId: number): number {
  return queueId + 1;
}

/** The level that a property value names; 0 where there is none or it is no int32. */
export function delayLevelOf(value: string | undefined): number {
  const level = value !== undefined && /^[+-]?\d{1,10}$/.test(value) ? Number(value) : 0;
  return level === (level | 0) ? level : 0;
}

export interface Destination {
  topic: string;
  queueId: number;
}

/**
 * Where a message for `real` is stored: there, or in the schedule topic when its DELAY asks for a
 * level. Then `properties` gets the real destination, the capped level, and loses the timer
 * properties, which a level overrides.
 */
export function interceptDelay(
  real: Destination,
  properties: Map<string, string>,
  levels: DelayLevels,
): Destination {
  const level = levels.cap(delayLevelOf(properties.get(PropertyName.DELAY)));
  if (level === 0) return real;
  properties.delete(PropertyName.TIMER_DELIVER_MS);
  properties.delete(PropertyName.TIMER_DELAY_SEC);
  properties.delete(PropertyName.TIMER_DELAY_MS);
  properties.set(PropertyName.DELAY, String(level));
  properties.set(PropertyName.REAL_TOPIC, real.topic);
  properties.set(PropertyName.REAL_QUEUE_ID, String(real.queueId));
  return { topic: SystemTopic.SCHEDULE, queueId: queueIdOfLevel(level) };
}

function parseDelay(text: string): number {
  const unit = unitMs.get(text.slice(-1));
  const count = text.slice(0, -1);
  if (unit === undefined || !/^\d{1,9}$/.test(count)) {
    throw new BrokerError(
      'CONFIG_INVALID',
      `messageDelayLevel has "${text}" where 5s, 1m, 2h or 1d is expected`,
    );
  }
  return Number(count) * unit;
}
