/**
 * @agent any
 *
 * What is ready, as async iterators: whoever asks first gets the next one. They end when the consumer
 * is closed. A loop that is left settles nothing: what it has and has not acknowledged comes again.
 */
export class MessageStream<Item> {
  /** The next item, or null where none is ready. */
  readonly #take: () => Item | null;
  readonly #waiting: ((result: IteratorResult<Item, undefined>) => void)[] = [];
  #isClosed = false;

  constructor(take: () => Item | null) {
    this.#take = take;
  }

  /** Something may be ready. */
  pump(): void {
    while (this.#waiting.length > 0) {
      const value = this.#take();
      if (value === null) return;
      this.#waiting.shift()?.({ value, done: false });
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const resolve of this.#waiting.splice(0)) resolve({ value: undefined, done: true });
  }

  /** `begin` is awaited before the first item; `end` is called when the loop is left. */
  iterator(begin: () => Promise<void>, end: () => void): AsyncIterableIterator<Item, undefined> {
    let isDone = false;
    let hasBegun = false;
    const own = new Set<(result: IteratorResult<Item, undefined>) => void>();
    const iterator: AsyncIterableIterator<Item, undefined> = {
      next: async () => {
        if (!hasBegun) {
          await begin();
          hasBegun = true;
        }
        if (isDone || this.#isClosed) return { value: undefined, done: true };
        const value = this.#waiting.length === 0 ? this.#take() : null;
        if (value !== null) return { value, done: false };
        return new Promise((resolve) => {
          const settle = (result: IteratorResult<Item, undefined>): void => {
            own.delete(settle);
            resolve(result);
          };
          own.add(settle);
          this.#waiting.push(settle);
        });
      },
      return: () => {
        isDone = true;
        for (const settle of own) {
          const at = this.#waiting.indexOf(settle);
          if (at >= 0) this.#waiting.splice(at, 1);
          settle({ value: undefined, done: true });
        }
        end();
        return Promise.resolve({ value: undefined, done: true });
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }
}
