/**
 * @agent any
 *
 * A calendar that stands still until a test moves it. It goes from one due time to the next and lets
 * everything that is due there be done, before it goes on:
 *
 * ```
 *  now ──▶ due: a message is delivered ──▶ due: a producer is asked ──▶ … ──▶ the time asked for
 *          settle                          settle                            settle
 * ```
 * **Settled** means, in two looks at the event loop one after the other: no agent of a broker that keeps this
 * time has anything to do; no client of this process has begun anything that it has not ended
 * (client-activity.ts); and each byte that one of them or a broker wrote has been read at the other end. Of
 * a client elsewhere nothing is known but its bytes: it counts as settled once it has been quiet for a moment.
 *
 * What depends on real time stays so: liveness, long polls, locks, time limits of requests.
 */
import type { WallClock } from '../base/clock.ts';
import type { Timekeeping } from '../cli/timekeeping.ts';
import { clientActivity } from '../client/client-activity.ts';
import { type Duration, durationMs } from './duration.ts';

/**
 * Where time begins unless a test says otherwise: the same in each run, and long enough ago that a time made of
 * the machine's clock is refused for being too far ahead, rather than taken for one that has passed.
 */
const START_MS = Date.UTC(2024, 0, 1);
/** Real time for one step to settle; a guess, far above what a listener of a test should take. */
const SETTLE_MS_MAX = 10_000;
/** Looks in a row that must find nothing pending. */
const QUIET_LOOKS = 2;
/** Real time without a byte after which a client of another process counts as settled; a guess. */
const ELSEWHERE_QUIET_MS = 20;
/** One that is never quiet for so long is not waited for any longer in this step. */
const ELSEWHERE_MS_MAX = 1000;

export interface VirtualWallClockOptions {
  /** Real time that one step may take to settle before `advance` gives up; 10,000 unless said. */
  settleTimeoutMs?: number;
}

export class VirtualWallClock implements WallClock {
  /** Time stands still between two moves: readings are exact. */
  readonly cutMs = 0;
  readonly #settleTimeoutMs: number;
  readonly #brokers = new Set<Timekeeping>();
  #nowMs: number;
  /** The advance that goes on: they take place one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  /** Bytes of each connection to elsewhere at the last look, and since when there were no more. */
  #elsewhere = new Map<string, number>();
  #elsewhereSinceMs = -Infinity;

  constructor(start: Date | number = START_MS, options: VirtualWallClockOptions = {}) {
    this.#nowMs = Number(start);
    if (!Number.isSafeInteger(this.#nowMs)) throw new RangeError('the clock starts at no time');
    this.#settleTimeoutMs = options.settleTimeoutMs ?? SETTLE_MS_MAX;
  }

  /** Milliseconds since the epoch. */
  nowMs(): number {
    return this.#nowMs;
  }

  /**
   * Moves the clock by milliseconds, or by `'30m'`, `'1h30m'`; resolves with the time that it is then, when
   * all that became due has been done. Rejects when something does not settle, and says what; the clock then
   * stands where that was.
   */
  advance(by: Duration): Promise<number> {
    const ms = Math.round(durationMs(by));
    return this.#enqueue(() => this.#moveTo(this.#nowMs + ms));
  }

  /** The same to a time; rejects for one that has passed. */
  advanceTo(time: Date | number): Promise<number> {
    const targetMs = Number(time);
    return this.#enqueue(() => {
      if (!(targetMs >= this.#nowMs))
        throw new RangeError(`${String(time)} is before the clock's ${isoText(this.#nowMs)}`);
      return this.#moveTo(targetMs);
    });
  }

  /** Waits until what was done at the present time has had its effects. */
  settle(): Promise<number> {
    return this.advance(0);
  }

  /** A broker that keeps this time, from now until the function is called that this returns. */
  join(broker: Timekeeping): () => void {
    this.#brokers.add(broker);
    return () => this.#brokers.delete(broker);
  }

  #enqueue(move: () => Promise<number>): Promise<number> {
    const done = this.#last.then(move);
    this.#last = done.catch(() => {});
    return done;
  }

  async #moveTo(targetMs: number): Promise<number> {
    for (;;) {
      await this.#settle();
      if (this.#nowMs >= targetMs) return this.#nowMs;
      let nextMs = targetMs;
      for (const broker of this.#brokers) nextMs = Math.min(nextMs, broker.nextWallDeadlineMs());
      // Whole milliseconds, as store timestamps are.
      this.#nowMs = Math.min(targetMs, Math.max(this.#nowMs, Math.ceil(nextMs)));
    }
  }

  async #settle(): Promise<void> {
    const beganMs = performance.now();
    const giveUpMs = beganMs + this.#settleTimeoutMs;
    let quietLooks = 0;
    let begunBefore = -1;
    for (;;) {
      for (const broker of this.#brokers) broker.wake();
      await nextTurn();
      const pending = this.#pending(beganMs);
      const { begunCount } = clientActivity;
      quietLooks = pending === null && begunCount === begunBefore ? quietLooks + 1 : 0;
      begunBefore = begunCount;
      if (quietLooks >= QUIET_LOOKS) return;
      if (performance.now() > giveUpMs) {
        throw new Error(
          `the clock stands at ${isoText(this.#nowMs)}: not settled within ${this.#settleTimeoutMs} ms, still pending: ${pending ?? 'clients that begin one thing after the other'}`,
        );
      }
    }
  }

  /** What is not settled since the step began, or null. */
  #pending(beganMs: number): string | null {
    const { pendingCount } = clientActivity;
    if (pendingCount > 0)
      return `${pendingCount} piece(s) of work of clients in this process (calls not answered, messages not acknowledged)`;
    for (const broker of this.#brokers) {
      const pending = broker.pending();
      if (pending !== null) return `${pending} in a broker`;
      if (broker.nextWallDeadlineMs() <= this.#nowMs)
        return 'something that is due, and a broker does not get done';
    }
    return this.#pendingBytes(beganMs);
  }

  #pendingBytes(beganMs: number): string | null {
    const clientEnds = new Map<string, { bytesRead: number; bytesWritten: number }>();
    for (const end of clientActivity.connections)
      clientEnds.set(`${end.localPort} ${end.remotePort}`, end);
    const nowMs = performance.now();
    const elsewhere = new Map<string, number>();
    for (const broker of this.#brokers) {
      for (const end of broker.connections()) {
        if (end.isWriting) return `answers to port ${end.remotePort} that are not read`;
        const key = `${end.remotePort} ${end.localPort}`;
        const clientEnd = clientEnds.get(key);
        if (clientEnd === undefined) {
          const bytes = end.bytesRead + end.bytesWritten;
          if (bytes !== (this.#elsewhere.get(key) ?? 0)) this.#elsewhereSinceMs = nowMs;
          elsewhere.set(key, bytes);
        } else if (
          clientEnd.bytesRead !== end.bytesWritten ||
          clientEnd.bytesWritten !== end.bytesRead
        )
          return `bytes on their way between a broker and port ${end.remotePort}`;
      }
    }
    this.#elsewhere = elsewhere;
    return elsewhere.size > 0 &&
      nowMs - this.#elsewhereSinceMs < ELSEWHERE_QUIET_MS &&
      nowMs - beganMs < ELSEWHERE_MS_MAX
      ? 'a client that is not of this process has just been heard or told something'
      : null;
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function isoText(ms: number): string {
  return new Date(ms).toISOString();
}
