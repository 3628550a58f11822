/**
 * @agent any
 *
 * The two clocks of the broker. Nothing below the edges reads the machine's time by itself: a
 * clock comes in, so that tests and simulations decide what time it is.
 */

/** Calendar time in milliseconds since the epoch: store timestamps, delays, retention. */
export interface WallClock {
  readonly nowMs: () => number;
}

/** Milliseconds that only rise, from an arbitrary zero: liveness, long polls, queue locks. */
export interface MonotonicClock {
  readonly nowMs: () => number;
}

export const systemWallClock: WallClock = {
  nowMs: () => Date.now(),
};

export const systemMonotonicClock: MonotonicClock = {
  nowMs: () => performance.now(),
};

/** A clock that stands still until a test moves it. Serves as either kind. */
export class ManualClock implements WallClock, MonotonicClock {
  #nowMs: number;

  constructor(startMs = 0) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }
}
