/**
 * @agent flusher, preparer
 *
 * How fast the log grows, window by window.
 */
export class StreamRate {
  readonly #windowMs: number;
  #startMs = -Infinity;
  #start = 0;
  #bytesPerSecond = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Of the last whole window; `appended`: where the log ends now. */
  bytesPerSecond(nowMs: number, appended: number): number {
    const tookMs = nowMs - this.#startMs;
    if (tookMs < this.#windowMs) return this.#bytesPerSecond;
    this.#bytesPerSecond = ((appended - this.#start) * 1000) / tookMs;
    this.#startMs = nowMs;
    this.#start = appended;
    return this.#bytesPerSecond;
  }
}
