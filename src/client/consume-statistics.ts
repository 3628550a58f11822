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
  #sliceStartMs = performance.now();
  readonly #startMs = performance.now();

  add(topic: string, messageCount: number, isOk: boolean, tookMs: number): void {
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

  /** To be called now and then; begins a new slice when one is over. */
  roll(nowMs = performance.now()): void {
    if (nowMs - this.#sliceStartMs < SLICE_MS) return;
    this.#sliceStartMs = nowMs;
    for (const of of this.#topics.values())
      of.slices = [emptySums(), ...of.slices].slice(0, SLICE_COUNT);
  }

  status(topic: string, nowMs = performance.now()): ConsumeStatus {
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
