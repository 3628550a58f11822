/**
 * @agent dispatcher
 *
 * Which half messages are undecided, by their offsets in the half queue. Everything below `first` is
 * decided; a bit says it of the others, in pages that go when all of theirs are decided: 1,000,000
 * transactions behind one that waits take 125 KB.
 */

const PAGE_BITS = 32_768;

interface Page {
  bits: Uint32Array;
  count: number;
}

export class TransactionTable {
  readonly #pages = new Map<number, Page>();
  /** Below, all are decided. */
  #first: number;
  #end: number;

  /** All halves in [first, end) are undecided until told otherwise. */
  constructor(first: number, end: number) {
    this.#first = first;
    this.#end = first;
    while (this.#end < end) this.add(this.#end);
  }

  /** A half message was stored. */
  add(offset: number): void {
    if (offset < this.#first || this.isUndecided(offset)) return;
    const index = Math.floor(offset / PAGE_BITS);
    let page = this.#pages.get(index);
    if (page === undefined) {
      page = { bits: new Uint32Array(PAGE_BITS / 32), count: 0 };
      this.#pages.set(index, page);
    }
    const bit = offset % PAGE_BITS;
    page.bits[bit >> 5] |= 1 << (bit & 31);
    page.count++;
    this.#end = Math.max(this.#end, offset + 1);
  }

  isUndecided(offset: number): boolean {
    const page = this.#pages.get(Math.floor(offset / PAGE_BITS));
    if (page === undefined) return false;
    const bit = offset % PAGE_BITS;
    return (page.bits[bit >> 5] & (1 << (bit & 31))) !== 0;
  }

  /** Returns whether it was undecided before. */
  decide(offset: number): boolean {
    if (!this.isUndecided(offset)) return false;
    const index = Math.floor(offset / PAGE_BITS);
    const page = this.#pages.get(index) as Page;
    const bit = offset % PAGE_BITS;
    page.bits[bit >> 5] &= ~(1 << (bit & 31));
    if (--page.count === 0) this.#pages.delete(index);
    return true;
  }

  /** The first that is undecided, or where the next one will be. */
  firstUndecided(): number {
    while (this.#first < this.#end && !this.isUndecided(this.#first)) {
      const page = Math.floor(this.#first / PAGE_BITS);
      this.#first = this.#pages.has(page)
        ? this.#first + 1
        : Math.min(this.#end, (page + 1) * PAGE_BITS);
    }
    return this.#first;
  }
}
