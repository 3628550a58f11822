/**
 * @agent dispatcher
 *
 * One file of the message index: a hash table on disk from keys to places in the log.
 *
 * ```
 * | header 40 | slots: i32 newest entry of the slot, 0 for none | entries of 20 bytes, from number 1 |
 * entry:  | keyHash i32 | physicalOffset i64 | seconds since beginTimestamp i32 | previous entry i32 |
 * ```
 * Sparse at its full size. The slot table is kept in memory, its pages read when first touched and
 * written when dirty; entries are appended through a buffer. Source: IndexFile.java, IndexHeader.java.
 */
import { layout } from '../base/layout.ts';
import { readLong, writeLong } from '../protocol/message-record.ts';
import { indexKeyHash } from '../protocol/java-string-hash.ts';
import type { StoreFiles } from './segment.ts';

export const indexHeader = layout(
  {
    beginTimestamp: 'i64',
    endTimestamp: 'i64',
    beginPhysicalOffset: 'i64',
    endPhysicalOffset: 'i64',
    slotCount: 'i32',
    /** One more than there are entries: number 0 is not used. */
    entryNumber: 'i32',
  },
  40,
);
export const indexEntry = layout({ keyHash: 'i32', physicalOffset: 'i64', seconds: 'i32', previous: 'i32' }, 20);

const SLOT_BYTES = 4;
const PAGE_SLOTS = 1024;
const PAGE_BYTES = PAGE_SLOTS * SLOT_BYTES;
const ENTRY_BUFFER_COUNT = 4096;
/** Clean pages between dirty ones that are written along, to save a call. */
const PAGE_GAP_MAX = 16;

export class IndexFile {
  readonly path: string;
  beginTimestampMs = 0;
  endTimestampMs = 0;
  beginPhysicalOffset = 0;
  endPhysicalOffset = 0;
  /** Number of the next entry. */
  entryNumber = 1;
  readonly #files: StoreFiles;
  readonly #slotCount: number;
  readonly #entryCountMax: number;
  readonly #descriptor: number;
  readonly #slots: Buffer;
  readonly #pageLoaded: Uint8Array;
  readonly #pageDirty: Uint8Array;
  readonly #buffer = Buffer.alloc(ENTRY_BUFFER_COUNT * indexEntry.totalBytes);
  /** Number of the first entry in the buffer. */
  #bufferFrom = 1;
  #usedSlots = 0;
  #isDirty = false;

  constructor(files: StoreFiles, path: string, slotCount: number, entryCountMax: number) {
    this.#files = files;
    this.path = path;
    this.#slotCount = slotCount;
    this.#entryCountMax = entryCountMax;
    const pageCount = Math.ceil(slotCount / PAGE_SLOTS);
    const isNew = !files.exists(path);
    this.#descriptor = files.open(path, true);
    // Untouched pages of a fresh ArrayBuffer take no memory.
    this.#slots = Buffer.from(new ArrayBuffer(pageCount * PAGE_BYTES));
    this.#pageLoaded = new Uint8Array(pageCount).fill(isNew ? 1 : 0);
    this.#pageDirty = new Uint8Array(pageCount);
    if (isNew) files.truncate(this.#descriptor, indexFileBytes(slotCount, entryCountMax));
    else this.#loadHeader();
  }

  get isFull(): boolean {
    return this.entryNumber >= this.#entryCountMax;
  }

  /** Adds an entry. Allocates nothing. */
  put(hash: number, physicalOffset: number, storeTimestampMs: number): void {
    if (this.entryNumber - this.#bufferFrom === ENTRY_BUFFER_COUNT) this.#writeEntries();
    const keyHash = indexKeyHash(hash);
    const slot = keyHash % this.#slotCount;
    let previous = this.#slotAt(slot);
    if (previous < 0 || previous >= this.entryNumber) previous = 0;
    if (previous === 0) this.#usedSlots++;
    if (this.entryNumber === 1) {
      this.beginTimestampMs = storeTimestampMs;
      this.beginPhysicalOffset = physicalOffset;
    }
    const seconds = Math.floor((storeTimestampMs - this.beginTimestampMs) / 1000);
    const at = (this.entryNumber - this.#bufferFrom) * indexEntry.totalBytes;
    const buffer = this.#buffer;
    buffer.writeInt32BE(keyHash, at);
    writeLong(buffer, physicalOffset, at + indexEntry.physicalOffset);
    buffer.writeInt32BE(Math.min(Math.max(seconds, 0), 0x7fff_ffff), at + indexEntry.seconds);
    buffer.writeInt32BE(previous, at + indexEntry.previous);
    this.#slots.writeInt32BE(this.entryNumber, slot * SLOT_BYTES);
    this.#pageDirty[(slot / PAGE_SLOTS) | 0] = 1;
    this.entryNumber++;
    this.endTimestampMs = storeTimestampMs;
    this.endPhysicalOffset = physicalOffset;
    this.#isDirty = true;
  }

  /** Adds places of entries with this hash and time to `found`, newest first, until it has `countMax`. */
  query(hash: number, beginMs: number, endMs: number, countMax: number, found: number[]): void {
    const keyHash = indexKeyHash(hash);
    const entry = Buffer.alloc(indexEntry.totalBytes);
    let number = this.#slotAt(keyHash % this.#slotCount);
    while (number > 0 && number < this.entryNumber && found.length < countMax) {
      this.#readEntry(number, entry);
      const timestampMs = this.beginTimestampMs + entry.readInt32BE(indexEntry.seconds) * 1000;
      // Entries know their second only: the whole second counts.
      if (entry.readInt32BE(0) === keyHash && timestampMs + 999 >= beginMs && timestampMs <= endMs) {
        found.push(readLong(entry, indexEntry.physicalOffset));
      }
      const previous = entry.readInt32BE(indexEntry.previous);
      if (previous >= number || timestampMs + 999 < beginMs) return;
      number = previous;
    }
  }

  /** Takes back every entry of a record at or past this place of the log. */
  truncateTo(physicalOffset: number): void {
    const entry = Buffer.alloc(indexEntry.totalBytes);
    while (this.entryNumber > 1) {
      const number = this.entryNumber - 1;
      this.#readEntry(number, entry);
      if (readLong(entry, indexEntry.physicalOffset) < physicalOffset && entry.readInt32BE(indexEntry.previous) < number) {
        this.endPhysicalOffset = readLong(entry, indexEntry.physicalOffset);
        this.endTimestampMs = this.beginTimestampMs + entry.readInt32BE(indexEntry.seconds) * 1000;
        break;
      }
      const slot = entry.readInt32BE(0) % this.#slotCount;
      if (slot >= 0 && this.#slotAt(slot) === number) {
        this.#slots.writeInt32BE(entry.readInt32BE(indexEntry.previous), slot * SLOT_BYTES);
        this.#pageDirty[(slot / PAGE_SLOTS) | 0] = 1;
      }
      this.entryNumber = number;
      this.#isDirty = true;
    }
    this.#bufferFrom = Math.min(this.#bufferFrom, this.entryNumber);
  }

  /** Writes entries, dirty slot pages, and last the header; returns whether there was anything. */
  writePending(): boolean {
    if (!this.#isDirty) return false;
    this.#writeEntries();
    this.#writeSlots();
    const header = Buffer.alloc(indexHeader.totalBytes);
    writeLong(header, this.beginTimestampMs, indexHeader.beginTimestamp);
    writeLong(header, this.endTimestampMs, indexHeader.endTimestamp);
    writeLong(header, this.beginPhysicalOffset, indexHeader.beginPhysicalOffset);
    writeLong(header, this.endPhysicalOffset, indexHeader.endPhysicalOffset);
    header.writeInt32BE(this.#usedSlots, indexHeader.slotCount);
    header.writeInt32BE(this.entryNumber, indexHeader.entryNumber);
    this.#files.writeAt(this.#descriptor, header, 0, header.length, 0);
    this.#isDirty = false;
    return true;
  }

  close(): void {
    this.#files.closeDescriptor(this.#descriptor);
  }

  #loadHeader(): void {
    const header = Buffer.alloc(indexHeader.totalBytes);
    this.#files.readAt(this.#descriptor, header, 0, header.length, 0);
    this.beginTimestampMs = readLong(header, indexHeader.beginTimestamp);
    this.endTimestampMs = readLong(header, indexHeader.endTimestamp);
    this.beginPhysicalOffset = readLong(header, indexHeader.beginPhysicalOffset);
    this.endPhysicalOffset = readLong(header, indexHeader.endPhysicalOffset);
    this.#usedSlots = header.readInt32BE(indexHeader.slotCount);
    this.entryNumber = Math.min(Math.max(1, header.readInt32BE(indexHeader.entryNumber)), this.#entryCountMax);
    this.#bufferFrom = this.entryNumber;
  }

  #entryPosition(number: number): number {
    return indexHeader.totalBytes + this.#slotCount * SLOT_BYTES + number * indexEntry.totalBytes;
  }

  #readEntry(number: number, target: Buffer): void {
    if (number >= this.#bufferFrom) {
      const at = (number - this.#bufferFrom) * indexEntry.totalBytes;
      this.#buffer.copy(target, 0, at, at + indexEntry.totalBytes);
      return;
    }
    target.fill(0);
    this.#files.readAt(this.#descriptor, target, 0, indexEntry.totalBytes, this.#entryPosition(number));
  }

  #slotAt(slot: number): number {
    const page = (slot / PAGE_SLOTS) | 0;
    if (this.#pageLoaded[page] === 0) {
      const start = page * PAGE_BYTES;
      const bytes = Math.min(PAGE_BYTES, this.#slotCount * SLOT_BYTES - start);
      this.#files.readAt(this.#descriptor, this.#slots, start, bytes, indexHeader.totalBytes + start);
      this.#pageLoaded[page] = 1;
    }
    return this.#slots.readInt32BE(slot * SLOT_BYTES);
  }

  #writeEntries(): void {
    const count = this.entryNumber - this.#bufferFrom;
    if (count <= 0) return;
    const bytes = count * indexEntry.totalBytes;
    this.#files.writeAt(this.#descriptor, this.#buffer, 0, bytes, this.#entryPosition(this.#bufferFrom));
    this.#bufferFrom = this.entryNumber;
  }

  /** Writes dirty pages in runs: with random keys nearly all are dirty, and one call beats thousands. */
  #writeSlots(): void {
    const dirty = this.#pageDirty;
    const loaded = this.#pageLoaded;
    for (let page = 0; page < dirty.length; page++) {
      if (dirty[page] === 0) continue;
      let last = page;
      for (let next = page + 1; next < dirty.length && next - last <= PAGE_GAP_MAX; next++) {
        if (loaded[next] === 0) break;
        if (dirty[next] === 1) last = next;
      }
      const start = page * PAGE_BYTES;
      const end = Math.min((last + 1) * PAGE_BYTES, this.#slotCount * SLOT_BYTES);
      this.#files.writeAt(this.#descriptor, this.#slots, start, end, indexHeader.totalBytes + start);
      dirty.fill(0, page, last + 1);
      page = last;
    }
  }
}

export function indexFileBytes(slotCount: number, entryCountMax: number): number {
  return indexHeader.totalBytes + slotCount * SLOT_BYTES + entryCountMax * indexEntry.totalBytes;
}
