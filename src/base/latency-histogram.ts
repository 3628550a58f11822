/**
 * @agent any
 *
 * How long things took, counted by one thread and read by others, in shared memory. Four buckets for
 * each doubling of microseconds: an error of at most a quarter, and a few instructions to count.
 */
const SUB_BITS = 2;
const SUB_COUNT = 1 << SUB_BITS;
/** Up to 2^31 us, some 35 minutes. */
const BUCKET_COUNT = 31 * SUB_COUNT;
const MAX_INDEX = BUCKET_COUNT;
const FAILED_INDEX = BUCKET_COUNT + 1;

export class LatencyHistogram {
  readonly memory: SharedArrayBuffer;
  readonly #counts: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer((BUCKET_COUNT + 2) * 4)) {
    this.memory = memory;
    this.#counts = new Int32Array(memory);
  }

  /** Counts one; only the owner calls it. Milliseconds, which may have a fraction. */
  record(ms: number): void {
    const us = ms > 0 ? Math.min(ms * 1000, 0x7fffffff) | 0 : 0;
    const counts = this.#counts;
    const index = bucketOf(us);
    counts[index] = (counts[index] + 1) | 0;
    if (us > counts[MAX_INDEX]) counts[MAX_INDEX] = us;
  }

  recordFailure(): void {
    this.#counts[FAILED_INDEX] = (this.#counts[FAILED_INDEX] + 1) | 0;
  }

  get maxMs(): number {
    return this.#counts[MAX_INDEX] / 1000;
  }

  get failureCount(): number {
    return this.#counts[FAILED_INDEX] >>> 0;
  }

  /** The counts so far, to be compared with later ones. */
  copy(): Int32Array {
    return this.#counts.slice(0, BUCKET_COUNT);
  }
}

function bucketOf(us: number): number {
  if (us < SUB_COUNT) return us;
  const exponent = 31 - Math.clz32(us);
  return (exponent - SUB_BITS + 1) * SUB_COUNT + ((us >> (exponent - SUB_BITS)) & (SUB_COUNT - 1));
}

/** First value, in ms, above those of a bucket. */
function bucketEndMs(index: number): number {
  if (index < SUB_COUNT) return (index + 1) / 1000;
  const shift = Math.floor(index / SUB_COUNT) - 1;
  return ((SUB_COUNT + (index % SUB_COUNT) + 1) * 2 ** shift) / 1000;
}

/** The middle of a bucket of `copy`, in ms. */
export function bucketMidMs(index: number): number {
  const startMs = index === 0 ? 0 : bucketEndMs(index - 1);
  return (startMs + bucketEndMs(index)) / 2;
}

/** What was counted between two copies. */
export class LatencyCounts {
  readonly #counts: number[];
  readonly total: number;

  constructor(before: Int32Array, after: Int32Array) {
    this.#counts = Array.from(after, (count, index) => (count - before[index]) >>> 0);
    this.total = this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** Milliseconds that the share (0 to 1) of them did not exceed; 0 where nothing was counted. */
  percentileMs(share: number): number {
    let left = Math.ceil(this.total * share);
    if (left === 0) return 0;
    for (const [index, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return bucketEndMs(index);
    }
    return bucketEndMs(BUCKET_COUNT - 1);
  }

  /** How many took less than each bound, in ms and rising, and not less than the one before; then the rest. */
  between(boundsMs: readonly number[]): number[] {
    const counts = Array.from({ length: boundsMs.length + 1 }, () => 0);
    for (const [index, count] of this.#counts.entries()) {
      if (count === 0) continue;
      const endMs = bucketEndMs(index);
      const at = boundsMs.findIndex((boundMs) => endMs <= boundMs);
      counts[at < 0 ? boundsMs.length : at] += count;
    }
    return counts;
  }
}
