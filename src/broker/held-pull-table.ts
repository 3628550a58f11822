/**
 * @agent dispatcher
 *
 * Pulls that found nothing and wait for a message or for their deadline, in a heap by deadline. A pull
 * knows its place there, so that one that is answered leaves at once: a consumer of a busy queue makes
 * thousands a second, and each would otherwise stay for its whole time.
 */

export interface HeldPull {
  /** Monotonic time at which it is answered whatever happens. */
  readonly deadlineMs: number;
  /** Place in the heap, -1 while it is not there. Belongs to the table. */
  heldIndex: number;
}

export class HeldPullTable<Pull extends HeldPull> {
  readonly #heap: Pull[] = [];

  /** Pulls that wait. */
  get count(): number {
    return this.#heap.length;
  }

  nextDeadlineMs(): number {
    return this.#heap.length === 0 ? Infinity : this.#heap[0].deadlineMs;
  }

  add(pull: Pull): void {
    this.#heap.push(pull);
    this.#rise(pull, this.#heap.length - 1);
  }

  /** The pull was answered; it is not returned by `takeExpired` any more. */
  finish(pull: Pull): void {
    const index = pull.heldIndex;
    if (index < 0) return;
    pull.heldIndex = -1;
    const last = this.#heap.pop() as Pull;
    if (last === pull) return;
    this.#rise(last, index);
    this.#sink(last, last.heldIndex);
  }

  /** Takes a pull whose deadline has passed out of the table, or null. */
  takeExpired(nowMs: number): Pull | null {
    if (this.#heap.length === 0 || this.#heap[0].deadlineMs > nowMs) return null;
    const first = this.#heap[0];
    this.finish(first);
    return first;
  }

  /** Places `pull` at `index` or above. */
  #rise(pull: Pull, index: number): void {
    const heap = this.#heap;
    while (index > 0) {
      const parent = heap[(index - 1) >> 1];
      if (parent.deadlineMs <= pull.deadlineMs) break;
      heap[index] = parent;
      parent.heldIndex = index;
      index = (index - 1) >> 1;
    }
    heap[index] = pull;
    pull.heldIndex = index;
  }

  /** Places `pull` at `index` or below. */
  #sink(pull: Pull, index: number): void {
    const heap = this.#heap;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1].deadlineMs < heap[child].deadlineMs) child++;
      if (heap[child].deadlineMs >= pull.deadlineMs) break;
      heap[index] = heap[child];
      heap[index].heldIndex = index;
      index = child;
    }
    heap[index] = pull;
    pull.heldIndex = index;
  }
}
