/**
 * @agent any
 *
 * How consumption goes, by topic, over the last minute: what a broker's tools ask a consumer for.
 * Source: ConsumeStatus.java.
 */
interface Sums {
  okCount: number;
  failedCount: number;
  tookMs: number;
}

export interface ConsumeStatus {
  readonly okPerSecond: number;
  readonly failedPerSecond: number;
  readonly meanMs: number;
  /** Since the start. */
  readonly failedCount: number;
}

const SLICE_MS = 10_000;
const SLICE_COUNT = 6;

export class ConsumeStatistics {
  readonly #topics = new Map<string, { slices: Sums[]; failedCount: number }>();
  readonly #startMs: number;
  #sliceStartMs: number;

  constructor(nowMs = performance.now()) {
    this.#startMs = nowMs;
    this.#sliceStartMs = nowMs;
  }

  add(
    topic: string,
    messageCount: number,
    isOk: boolean,
    tookMs: number,
    nowMs = performance.now(),
  ): void {
    this.#roll(nowMs);
    let of = this.#topics.get(topic);
    if (of === undefined) this.#topics.set(topic, (of = { slices: [emptySums()], failedCount: 0 }));
    const slice = of.slices[0];
    slice.tookMs += tookMs;
    if (isOk) slice.okCount += messageCount;
    else {
      slice.failedCount += messageCount;
      of.failedCount += messageCount;
    }
  }

  /** Begins new slices where those at hand are over. */
  #roll(nowMs: number): void {
    const overCount = Math.floor((nowMs - this.#sliceStartMs) / SLICE_MS);
    if (overCount === 0) return;
    this.#sliceStartMs += overCount * SLICE_MS;
    const freshCount = Math.min(overCount, SLICE_COUNT);
    for (const of of this.#topics.values()) {
      const fresh = Array.from({ length: freshCount }, emptySums);
      of.slices = [...fresh, ...of.slices].slice(0, SLICE_COUNT);
    }
  }

  status(topic: string, nowMs = performance.now()): ConsumeStatus {
    this.#roll(nowMs);
    const of = this.#topics.get(topic) ?? { slices: [], failedCount: 0 };
    const seconds = Math.max(1, Math.min(nowMs - this.#startMs, SLICE_MS * SLICE_COUNT) / 1000);
    const total = emptySums();
    for (const slice of of.slices) {
      total.okCount += slice.okCount;
      total.failedCount += slice.failedCount;
      total.tookMs += slice.tookMs;
    }
    return {
      okPerSecond: total.okCount / seconds,
      failedPerSecond: total.failedCount / seconds,
      meanMs: total.tookMs / Math.max(1, total.okCount + total.failedCount),
      failedCount: of.failedCount,
    };
  }
}

function emptySums(): Sums {
  return { okCount: 0, failedCount: 0, tookMs: 0 };
}
