/**
 * @agent dispatcher
 *
 * The slot table of an IndexFile in memory: big-endian int32, as it is stored, in pages of 4 KiB that
 * are read when first touched and written when they have changed. Untouched pages take no memory.
 */
import { freshBuffer } from '../base/fresh-memory.ts';
import { writeInt32 } from '../protocol/message-record.ts';
export const SLOT_BYTES = 4;
const PAGE_SLOTS = 1024;
const PAGE_BYTES = PAGE_SLOTS * SLOT_BYTES;
/** Pages read at once where the whole table is compared: 256 KiB. */
const COMPARE_PAGES = 64;
/** Pages that one call writes ahead: 1 MiB. */
const AHEAD_PAGES = 256;
/** Unchanged pages between changed ones that are written along, to save a call. */
const RUN_GAP_PAGES = 16;

/** The place of the table in its file; positions are bytes from its start. */
export interface SlotFile {
  read(target: Buffer, bytes: number, position: number): void;
  write(source: Buffer, from: number, to: number, position: number): void;
}

export class IndexSlots {
  readonly #bytes: Buffer;
  readonly #byteCount: number;
  readonly #isLoaded: Uint8Array;
  readonly #isChanged: Uint8Array;
  readonly #file: SlotFile;
  /** Pages below have been written ahead. */
  #aheadTo = 0;

  private constructor(slotCount: number, file: SlotFile, isLoaded: boolean) {
    const pageCount = Math.ceil(slotCount / PAGE_SLOTS);
    this.#file = file;
    this.#byteCount = slotCount * SLOT_BYTES;
    this.#bytes = freshBuffer(pageCount * PAGE_BYTES);
    this.#isLoaded = new Uint8Array(pageCount).fill(isLoaded ? 1 : 0);
    this.#isChanged = new Uint8Array(pageCount);
  }

  /** A table of zeroes, whatever the file holds. */
  static createEmpty(slotCount: number, file: SlotFile): IndexSlots {
    return new IndexSlots(slotCount, file, true);
  }

  /** The table in the file. */
  static createStored(slotCount: number, file: SlotFile): IndexSlots {
    return new IndexSlots(slotCount, file, false);
  }

  get(slot: number): number {
    const page = (slot / PAGE_SLOTS) | 0;
    if (this.#isLoaded[page] === 0) this.#load(page);
    return this.#bytes.readInt32BE(slot * SLOT_BYTES);
  }

  /** The slot's page must have been touched by `get`. */
  set(slot: number, value: number): void {
    writeInt32(this.#bytes, value, slot * SLOT_BYTES);
    this.#isChanged[(slot / PAGE_SLOTS) | 0] = 1;
  }

  /** Finds out which pages the file already holds as they are here; the others count as changed. */
  compareWithFile(): void {
    const stored = Buffer.alloc(COMPARE_PAGES * PAGE_BYTES);
    for (let start = 0; start < this.#byteCount; start += stored.length) {
      const bytes = Math.min(stored.length, this.#byteCount - start);
      this.#file.read(stored, bytes, start);
      for (let at = 0; at < bytes; at += PAGE_BYTES) {
        const end = Math.min(at + PAGE_BYTES, bytes);
        const isSame = stored.compare(this.#bytes, start + at, start + end, at, end) === 0;
        this.#isChanged[(start + at) / PAGE_BYTES] = isSame ? 0 : 1;
      }
    }
  }

  /** Writes changed pages, in runs: with random keys nearly all are, and one call beats thousands. Returns the bytes. */
  write(): number {
    return this.#writePages(0, this.#isChanged.length);
  }

  /**
   * Writes some of the pages that lie in this share of the table, once each, though they will change again: the
   * page cache has room for them when all are written, which else took 82 ms of one turn. Returns the bytes.
   */
  writeAhead(share: number): number {
    const pageCount = this.#isChanged.length;
    const wanted = Math.floor(Math.min(1, share) * pageCount);
    const from = this.#aheadTo;
    this.#aheadTo = Math.max(from, Math.min(wanted, from + AHEAD_PAGES));
    return this.#writePages(from, this.#aheadTo);
  }

  #writePages(from: number, to: number): number {
    const changed = this.#isChanged;
    const loaded = this.#isLoaded;
    let bytes = 0;
    for (let page = from; page < to; page++) {
      if (changed[page] === 0) continue;
      let last = page;
      for (let next = page + 1; next < to && next - last <= RUN_GAP_PAGES; next++) {
        if (loaded[next] === 0) break;
        if (changed[next] === 1) last = next;
      }
      const start = page * PAGE_BYTES;
      const end = Math.min((last + 1) * PAGE_BYTES, this.#byteCount);
      this.#file.write(this.#bytes, start, end, start);
      changed.fill(0, page, last + 1);
      bytes += end - start;
      page = last;
    }
    return bytes;
  }

  #load(page: number): void {
    const start = page * PAGE_BYTES;
    const bytes = Math.min(PAGE_BYTES, this.#byteCount - start);
    this.#file.read(this.#bytes.subarray(start, start + bytes), bytes, start);
    this.#isLoaded[page] = 1;
  }
}
