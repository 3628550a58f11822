/**
 * @agent dispatcher
 *
 * Pulls that found nothing and wait for a message or for their deadline: by queue, to be woken, and
 * in a heap by deadline. A pull that was answered stays in the heap until its time, marked done.
 */

export interface HeldPull {
  /** Monotonic time at which it is answered whatever happens. */
  deadlineMs: number;
  isDone: boolean;
}

export class HeldPullTable<Pull extends HeldPull> {
  readonly #heap: Pull[] = [];
  #waitingCount = 0;

  /** Pulls that wait. */
  get count(): number {
    return this.#waitingCount;
  }

  nextDeadlineMs(): number {
    return this.#heap[0]?.deadlineMs ?? Infinity;
  }

  add(pull: Pull): void {
    this.#waitingCount++;
    const heap = this.#heap;
    let index = heap.length;
    heap.push(pull);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent].deadlineMs <= pull.deadlineMs) break;
      heap[index] = heap[parent];
      index = parent;
    }
    heap[index] = pull;
  }

  /** The pull was answered; it is not returned by `takeExpired` any more. */
  finish(pull: Pull): void {
    if (pull.isDone) return;
    pull.isDone = true;
    this.#waitingCount--;
  }

  /** A pull whose deadline has passed, or null. It still has to be finished. */
  takeExpired(nowMs: number): Pull | null {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || (first.deadlineMs > nowMs && !first.isDone)) return null;
      this.#removeFirst();
      if (!first.isDone) return first;
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop() as Pull;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1].deadlineMs < heap[child].deadlineMs) child++;
      if (heap[child].deadlineMs >= last.deadlineMs) break;
      heap[index] = heap[child];
      index = child;
    }
    heap[index] = last;
  }
}
