/**
 * One file in memory: what the running process reads of it, and what a loss of power leaves.
 *
 * Sparse, in pages of 4 KiB: a ConsumeQueue is 6 MB of holes, and a crash state must cost no more than what
 * is in it. A durable page is never changed in place; a page of both is copied when it is written.
 *
 * ```
 *  pages     what was written                        absent: a hole, zeroes
 *  segment   the same in one piece, for a segment, whose owner writes to it without a call
 *  durable   what was synced
 *  failed    pages of a sync that failed, as they were: Linux holds them for clean (fsyncgate)
 * ```
 */

export const PAGE_BYTES = 4096;
const HOLE = Buffer.alloc(PAGE_BYTES);

/** Asked for each unit that is not durable: whether the disk has it all the same. */
export interface CrashOptions {
  unitBytes: 512 | 4096;
  isKept: () => boolean;
}

export class FaultyInode {
  bytes = 0;
  /** Of a segment; else null. */
  segment: Buffer | null = null;
  /** Milliseconds since the epoch, by whatever clock the files have. */
  modifiedMs = 0;
  #durableBytes = 0;
  #pages = new Map<number, Buffer>();
  #durable = new Map<number, Buffer>();
  /** Pages that may differ from the durable ones; of a segment all may. */
  readonly #dirty = new Set<number>();
  readonly #failed = new Map<number, Buffer>();

  /** A file that was written whole, and is not durable yet. */
  static of(content: Uint8Array): FaultyInode {
    const inode = new FaultyInode();
    inode.write(content, 0, content.length, 0);
    return inode;
  }

  /** Makes the file one piece of memory, as a mapping does. */
  map(): Buffer {
    if (this.segment === null) {
      this.segment = Buffer.alloc(this.bytes);
      for (const [index, page] of this.#pages) page.copy(this.segment, index * PAGE_BYTES);
      this.#pages.clear();
    }
    return this.segment;
  }

  read(target: Uint8Array, targetOffset: number, byteCount: number, position: number): number {
    const count = Math.max(0, Math.min(byteCount, this.bytes - position));
    for (let done = 0; done < count;) {
      const at = (position + done) % PAGE_BYTES;
      const part = Math.min(count - done, PAGE_BYTES - at);
      const page = this.#page((position + done - at) / PAGE_BYTES);
      target.set(page.subarray(at, at + part), targetOffset + done);
      done += part;
    }
    return count;
  }

  content(): Buffer {
    const content = Buffer.alloc(this.bytes);
    this.read(content, 0, this.bytes, 0);
    return content;
  }

  write(source: Uint8Array, from: number, to: number, position: number): void {
    this.bytes = Math.max(this.bytes, position + to - from);
    for (let done = from; done < to;) {
      const position_ = position + done - from;
      const at = position_ % PAGE_BYTES;
      const part = Math.min(to - done, PAGE_BYTES - at);
      this.#writable((position_ - at) / PAGE_BYTES).set(source.subarray(done, done + part), at);
      done += part;
    }
  }

  resize(bytes: number): void {
    if (bytes < this.bytes) {
      for (const index of this.#pages.keys()) {
        if (index * PAGE_BYTES < bytes) continue;
        this.#pages.delete(index);
        this.#dirty.add(index);
      }
      const last = Math.floor(bytes / PAGE_BYTES);
      if (this.#pages.has(last)) this.#writable(last).fill(0, bytes % PAGE_BYTES);
    }
    if (this.segment !== null) {
      const segment = Buffer.alloc(bytes);
      this.segment.copy(segment);
      this.segment = segment;
    }
    this.bytes = bytes;
  }

  /** Makes the pages that hold [from, to) durable, and the size. */
  sync(from = 0, to = Infinity): void {
    this.#durableBytes = this.bytes;
    for (const index of this.#unsynced(from, to)) {
      const page = this.#page(index);
      if (this.#failed.get(index)?.equals(page) === true) continue;
      this.#failed.delete(index);
      if (page === HOLE) this.#durable.delete(index);
      else this.#durable.set(index, this.segment === null ? page : Buffer.from(page));
      this.#dirty.delete(index);
    }
  }

  /** The sync failed: what it should have written counts as written, unless it is written anew. */
  failSync(from = 0, to = Infinity): void {
    for (const index of this.#unsynced(from, to))
      this.#failed.set(index, Buffer.from(this.#page(index)));
  }

  /** A copy with all that the process has written, durable or not. */
  copy(): FaultyInode {
    const inode = this.#durableCopy();
    inode.resize(this.bytes);
    for (const index of this.#unsynced(0, Infinity)) inode.#setPage(index, this.#page(index));
    if (this.segment !== null) inode.map();
    return inode;
  }

  /** What a disk may hold after the loss of power. */
  crashed({ unitBytes, isKept }: CrashOptions): FaultyInode {
    const inode = this.#durableCopy();
    if (this.#durableBytes !== this.bytes && isKept()) inode.resize(this.bytes);
    for (const index of this.#unsynced(0, Infinity)) {
      const end = Math.min(inode.bytes, this.bytes) - index * PAGE_BYTES;
      if (end <= 0) continue;
      const now = this.#page(index);
      const before = this.#durable.get(index) ?? HOLE;
      let page: Buffer | null = null;
      for (let at = 0; at < Math.min(end, PAGE_BYTES); at += unitBytes) {
        const to = Math.min(at + unitBytes, end);
        if (now.compare(before, at, to, at, to) === 0 || !isKept()) continue;
        page ??= Buffer.from(before);
        now.copy(page, at, at, to);
      }
      if (page !== null) inode.#setPage(index, page);
    }
    inode.sync();
    return inode;
  }

  #durableCopy(): FaultyInode {
    const inode = new FaultyInode();
    inode.bytes = this.#durableBytes;
    inode.#durableBytes = this.#durableBytes;
    inode.modifiedMs = this.modifiedMs;
    inode.#pages = new Map(this.#durable);
    inode.#durable = new Map(this.#durable);
    return inode;
  }

  #setPage(index: number, page: Buffer): void {
    if (page === HOLE) this.#pages.delete(index);
    else this.#pages.set(index, Buffer.from(page));
    this.#dirty.add(index);
  }

  /** Indexes of pages in [from, to) that are not as they are on the disk. */
  *#unsynced(from: number, to: number): Generator<number> {
    const first = Math.floor(from / PAGE_BYTES);
    const last = Math.ceil(Math.min(to, this.bytes) / PAGE_BYTES);
    if (this.segment === null) {
      for (const index of this.#dirty) if (index >= first && index < last) yield index;
      return;
    }
    for (let index = first; index < last; index++) {
      const page = this.#page(index);
      const durable = (this.#durable.get(index) ?? HOLE).subarray(0, page.length);
      if (!page.equals(durable)) yield index;
    }
  }

  #page(index: number): Buffer {
    if (this.segment === null) return this.#pages.get(index) ?? HOLE;
    return this.segment.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES);
  }

  #writable(index: number): Buffer {
    if (this.segment !== null) return this.#page(index);
    this.#dirty.add(index);
    let page = this.#pages.get(index);
    if (page === undefined || page === this.#durable.get(index)) {
      page = Buffer.from(page ?? HOLE);
      this.#pages.set(index, page);
    }
    return page;
  }
}
