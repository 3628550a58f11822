/**
 * When the messages of a paced run are meant to be sent: a fixed schedule that nothing delays. The
 * messages of one tick are meant for its beginning.
 */

/** Length of a tick; a guess between even load and few wake-ups. */
export const TICK_MS = 1;

export class SendSchedule {
  readonly #startMs: number;
  readonly #endMs: number;
  readonly #perTick: number;
  #nextIndex = 0;

  constructor(options: { ratePerSecond: number; startMs: number; endMs: number }) {
    this.#startMs = options.startMs;
    this.#endMs = options.endMs;
    this.#perTick = (options.ratePerSecond * TICK_MS) / 1000;
  }

  /** Number of the next message, from 0. */
  get nextIndex(): number {
    return this.#nextIndex;
  }

  /** When the next message is meant to go; Infinity after the last. */
  get nextMs(): number {
    const intendedMs = this.#startMs + Math.floor(this.#nextIndex / this.#perTick) * TICK_MS;
    return intendedMs < this.#endMs ? intendedMs : Infinity;
  }

  advance(): void {
    this.#nextIndex++;
  }
}
