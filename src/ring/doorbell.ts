/**
 * @agent any
 *
 * How a sleeping thread is woken, once for any number of records. One doorbell a thread, rung by
 * every producer whose consumer lives on that thread.
 *
 * ```
 * int32[0] sequence  rises with each ring; the futex word of a thread that waits in Atomics.wait
 * int32[1] sleeping  1 while the thread sleeps or is about to; the ringer that turns it to 0 wakes
 * ```
 * To sleep without missing a wake-up: `prepareToSleep` (reads the sequence, then sets `sleeping`), look at
 * all rings once more, and only then `sleep`: a ring in between has changed the sequence, so the
 * wait ends at once. The main thread never waits: it goes back to its event loop and is woken by
 * one posted message, which only the ringer that finds it asleep sends.
 */
export class Doorbell {
  readonly memory: SharedArrayBuffer;
  readonly #cells: Int32Array;
  readonly #wakeEventLoop: (() => void) | null;

  /**
   * `wakeEventLoop` makes it the doorbell of a thread with an event loop, seen from the ringer's
   * thread: it posts whatever wakes that loop. Without it, the owner waits in `sleep`.
   */
  constructor(memory: SharedArrayBuffer, wakeEventLoop: (() => void) | null) {
    this.memory = memory;
    this.#cells = new Int32Array(memory);
    this.#wakeEventLoop = wakeEventLoop;
  }

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(8);
  }

  /** Any thread: says that there is something to do. Cheap while the owner is awake. */
  ring(): void {
    Atomics.add(this.#cells, 0, 1);
    if (Atomics.load(this.#cells, 1) === 0) return;
    if (Atomics.compareExchange(this.#cells, 1, 1, 0) !== 1) return;
    if (this.#wakeEventLoop === null) Atomics.notify(this.#cells, 0, 1);
    else this.#wakeEventLoop();
  }

  /** Owner: announces sleep. Returns the sequence to hand to `sleep`. */
  prepareToSleep(): number {
    const sequence = Atomics.load(this.#cells, 0);
    Atomics.store(this.#cells, 1, 1);
    return sequence;
  }

  /** Owner: found work after all. */
  stayAwake(): void {
    Atomics.store(this.#cells, 1, 0);
  }

  /** Owner without event loop: waits until rung since `prepareToSleep`, or `timeoutMs` has passed. */
  sleep(sequence: number, timeoutMs: number): void {
    Atomics.wait(this.#cells, 0, sequence, timeoutMs);
    Atomics.store(this.#cells, 1, 0);
  }
}
