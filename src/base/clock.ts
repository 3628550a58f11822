/**
 * @agent any
 *
 * The two clocks of the broker. Nothing below the edges reads the machine's time by itself: a
 * clock comes in, so that tests and simulations decide what time it is.
 */

/** Calendar time in milliseconds since the epoch: store timestamps, delays, retention. */
export interface WallClock {
  readonly nowMs: () => number;
  /**
   * What a reading may be short of the moment it was taken at, as it is cut to the millisecond: a delay
   * counted from a reading is over, for whoever measures it better, only so much later.
   */
  readonly cutMs: 0 | 1;
}

/** Milliseconds that only rise, from an arbitrary zero: liveness, long polls, queue locks. */
export interface MonotonicClock {
  readonly nowMs: () => number;
}

export const systemWallClock: WallClock = {
  nowMs: () => Date.now(),
  cutMs: 1,
};

export const systemMonotonicClock: MonotonicClock = {
  nowMs: () => performance.now(),
};

/** A clock that stands still until a test moves it. Serves as either kind. */
export class ManualClock implements WallClock, MonotonicClock {
  readonly cutMs: 0 | 1;
  #nowMs: number;

  /** With `cutMs` 1 it behaves as a machine's clock, whose readings are cut. */
  constructor(startMs = 0, cutMs: 0 | 1 = 0) {
    this.#nowMs = startMs;
    this.cutMs = cutMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }
}
