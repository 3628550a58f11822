/**
 * @agent control, dispatcher
 *
 * Counts of what passes through the broker, and their rates over the last minute, hour and day, as
 * tools show them. Counting is adding to three fields; once every 10 s, 10 min and hour the counts are
 * remembered, and what a window shows is the difference between now and its oldest sample. Each
 * table has one owner; nothing here is shared between threads.
 *
 * Source: StatsItem.java, StatsItemSet.java, BrokerStatsManager.java.
 */
import { printDouble } from '../protocol/fastjson.ts';

export const StatsWindow = { MINUTE: 0, HOUR: 1, DAY: 2 } as const;
export type StatsWindow = (typeof StatsWindow)[keyof typeof StatsWindow];

const SAMPLE_INTERVALS_MS = [10_000, 600_000, 3_600_000] as const;
/** Samples that are kept: the oldest is a minute, an hour, a day old. */
const SAMPLE_COUNTS = [7, 7, 25] as const;
/** Time, times, messages, bytes. */
const SAMPLE_FIELDS = 4;
/** What is younger has no rate yet that means anything. */
const AGE_MIN_MS = 1000;

/** BrokerStatsItem.java */
export interface StatsSnapshot {
  sum: number;
  /** A second. */
  tps: number;
  /** A time that was counted. */
  avgpt: number;
}

export class StatsItem {
  /** Requests, or records where requests are not known. */
  times = 0;
  messages = 0;
  bytes = 0;
  readonly #samples: readonly [number[], number[], number[]];

  constructor(nowMs: number) {
    this.#samples = [
      [nowMs, 0, 0, 0],
      [nowMs, 0, 0, 0],
      [nowMs, 0, 0, 0],
    ];
  }

  /** What a window shows of the messages, or of the bytes. */
  snapshot(window: StatsWindow, nowMs: number, of: 'messages' | 'bytes'): StatsSnapshot {
    const samples = this.#samples[window];
    const sum = of === 'messages' ? this.messages - samples[2] : this.bytes - samples[3];
    const times = this.times - samples[1];
    const ageMs = Math.max(nowMs - samples[0], AGE_MIN_MS);
    return { sum, tps: (sum * 1000) / ageMs, avgpt: times > 0 ? sum / times : 0 };
  }

  sample(window: StatsWindow, nowMs: number): void {
    const samples = this.#samples[window];
    samples.push(nowMs, this.times, this.messages, this.bytes);
    if (samples.length > SAMPLE_COUNTS[window] * SAMPLE_FIELDS) samples.splice(0, SAMPLE_FIELDS);
  }
}

/** Items by name, sampled together. */
export class StatsTable {
  readonly #items = new Map<string, StatsItem>();
  readonly #nextSampleMs: number[];

  constructor(nowMs: number) {
    this.#nextSampleMs = SAMPLE_INTERVALS_MS.map((intervalMs) => nowMs + intervalMs);
  }

  get(name: string): StatsItem | undefined {
    return this.#items.get(name);
  }

  getOrCreate(name: string, nowMs: number): StatsItem {
    let item = this.#items.get(name);
    if (item === undefined) this.#items.set(name, (item = new StatsItem(nowMs)));
    return item;
  }

  entries(): Iterable<[name: string, item: StatsItem]> {
    return this.#items;
  }

  deleteWhere(matches: (name: string) => boolean): void {
    for (const name of this.#items.keys()) if (matches(name)) this.#items.delete(name);
  }

  /** Takes the samples that are due. */
  sample(nowMs: number): void {
    for (const window of [StatsWindow.MINUTE, StatsWindow.HOUR, StatsWindow.DAY]) {
      if (nowMs < this.#nextSampleMs[window]) continue;
      this.#nextSampleMs[window] = nowMs + SAMPLE_INTERVALS_MS[window];
      for (const item of this.#items.values()) item.sample(window, nowMs);
    }
  }
}

/** The body of code 315: BrokerStatsData.java. */
export function statsDataJson(item: StatsItem, nowMs: number, of: 'messages' | 'bytes'): string {
  const ordered = ({ avgpt, sum, tps }: StatsSnapshot): StatsSnapshot => ({ avgpt, sum, tps });
  return JSON.stringify({
    statsDay: ordered(item.snapshot(StatsWindow.DAY, nowMs, of)),
    statsHour: ordered(item.snapshot(StatsWindow.HOUR, nowMs, of)),
    statsMinute: ordered(item.snapshot(StatsWindow.MINUTE, nowMs, of)),
  });
}

/** Counters of which StoreStatsService.java shows rates over 10 s, 1 min and 10 min. */
const RATE_WINDOWS_S = [10, 60, 600] as const;
const RATE_SAMPLE_COUNT = 601;

/** One sample a second of a few counters, for ten minutes. */
export class RateHistory {
  readonly #counterCount: number;
  readonly #times = new Float64Array(RATE_SAMPLE_COUNT);
  readonly #values: Float64Array;
  #count = 0;

  constructor(counterCount: number, nowMs: number) {
    this.#counterCount = counterCount;
    this.#values = new Float64Array(RATE_SAMPLE_COUNT * counterCount);
    this.sample(
      nowMs,
      Array.from({ length: counterCount }, () => 0),
    );
  }

  sample(nowMs: number, counters: readonly number[]): void {
    const at = this.#count++ % RATE_SAMPLE_COUNT;
    this.#times[at] = nowMs;
    this.#values.set(counters, at * this.#counterCount);
  }

  /** "10s 1min 10min" of a counter, per second. */
  rates(counter: number, nowMs: number, current: number): string {
    const oldest = Math.max(0, this.#count - RATE_SAMPLE_COUNT);
    return RATE_WINDOWS_S.map((seconds) => {
      const at = Math.max(oldest, this.#count - seconds) % RATE_SAMPLE_COUNT;
      const ageMs = Math.max(nowMs - this.#times[at], AGE_MIN_MS);
      const since = current - this.#values[at * this.#counterCount + counter];
      return printDouble((since * 1000) / ageMs);
    }).join(' ');
  }
}
