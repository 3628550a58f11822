/**
 * @agent dispatcher
 *
 * One file of the message index: a hash table on disk from keys to places in the log.
 *
 * ```
 * | header 40 | slots: i32 newest entry of the slot, 0 for none | entries of 20 bytes, from number 1 |
 * entry:  | keyHash i32 | physicalOffset i64 | seconds since beginTimestamp i32 | previous entry i32 |
 * entry 0, which RocketMQ does not use:
 *         | magic i32 | number of the next entry when the slots were stored i32 | 12 bytes 0 |
 * ```
 * Random keys dirty nearly all of the slot table's 20 MB each second. So only entries and header are
 * written as the file grows; the slots live in memory and are stored once, when the file is full or the
 * store closes. Entry 0 tells whether they were: if not, they are built again from the entries, each of
 * which must name as `previous` what its slot then holds. A file without that mark is Apache's, whose
 * slots are good.
 *
 * Nothing touches the disk before the first `writePending`, and `put` never throws for lack of space.
 * Source: IndexFile.java, IndexHeader.java.
 */
import path from 'node:path';
import { layout } from '../base/layout.ts';
import { indexKeyHash } from '../protocol/java-string-hash.ts';
import { readLong, writeInt32, writeLong } from '../protocol/message-record.ts';
import type { DescriptorCache } from './descriptor-cache.ts';
import { throwUnlessNoSpace } from './file-calls.ts';
import { IndexSlots, SLOT_BYTES } from './index-slots.ts';
import type { StoreFiles } from './segment.ts';

export const indexHeader = layout(
  {
    beginTimestamp: 'i64',
    endTimestamp: 'i64',
    beginPhysicalOffset: 'i64',
    endPhysicalOffset: 'i64',
    /** Slots that are not 0. */
    usedSlotCount: 'i32',
    /** One more than there are entries: number 0 is not used. */
    entryNumber: 'i32',
  },
  40,
);
export const indexEntry = layout(
  { keyHash: 'i32', physicalOffset: 'i64', seconds: 'i32', previous: 'i32' },
  20,
);
const slotMark = layout({ magic: 'i32', entryNumber: 'i32', reserved: 12 }, indexEntry.totalBytes);

const MARK_MAGIC = 0x4d49_4c4c; // "MILL"
/** Entries that are written at once, and read at once where slots are built again. */
const ENTRY_BUFFER_COUNT = 4096;
/** Entries of one slot that a query looks at; keys that many messages share would hold up everyone. */
const CHAIN_COUNT_MAX = 100_000;
/** How full a file is when all of its slots have been written once; what stands there counts only once it is full. */
const AHEAD_UNTIL = 0.9;
const NO_BUFFER = Buffer.alloc(0);

export interface IndexFileOptions {
  files: StoreFiles;
  descriptors: DescriptorCache;
  path: string;
  slotCount: number;
  entryCountMax: number;
}

export class IndexFile {
  readonly path: string;
  beginTimestampMs = 0;
  endTimestampMs = 0;
  beginPhysicalOffset = 0;
  endPhysicalOffset = 0;
  /** Number of the next entry. */
  entryNumber = 1;
  readonly #options: IndexFileOptions;
  #slots: IndexSlots | null = null;
  #usedSlotCount = 0;
  #buffer: Buffer = NO_BUFFER;
  /** Number of the first entry in the buffer; all before are in the file. */
  #bufferFrom = 1;
  #isCreated = false;
  /** What entry 0 of the file says: slots are stored; they are not. */
  #isMarkedStored = false;
  #isMarkedOpen = false;
  /** The disk may hold slots that a start would trust. */
  #hasTrustedSlots = false;
  #isDirty = false;
  readonly #slotFile = {
    read: (target: Buffer, bytes: number, position: number): void =>
      this.#readFile(target, bytes, indexHeader.totalBytes + position),
    write: (source: Buffer, from: number, to: number, position: number): void =>
      this.#writeFile(source, from, to, indexHeader.totalBytes + position),
  };

  constructor(options: IndexFileOptions) {
    this.#options = options;
    this.path = options.path;
  }

  get isEmpty(): boolean {
    return this.entryNumber === 1;
  }

  get isFull(): boolean {
    return this.entryNumber >= this.#options.entryCountMax;
  }

  /**
   * Opens what is on disk. `physicalOffset`: everything below was on disk whole when the last broker
   * said so, slots of full files included; entries at or past it are taken back.
   */
  load(physicalOffset: number): void {
    this.#isCreated = true;
    const header = Buffer.alloc(indexHeader.totalBytes);
    this.#readFile(header, header.length, 0);
    this.beginTimestampMs = readLong(header, indexHeader.beginTimestamp);
    this.endTimestampMs = readLong(header, indexHeader.endTimestamp);
    this.beginPhysicalOffset = readLong(header, indexHeader.beginPhysicalOffset);
    this.endPhysicalOffset = readLong(header, indexHeader.endPhysicalOffset);
    this.#usedSlotCount = header.readInt32BE(indexHeader.usedSlotCount);
    const number = header.readInt32BE(indexHeader.entryNumber);
    this.entryNumber = Math.min(Math.max(1, number), this.#options.entryCountMax);
    this.#bufferFrom = this.entryNumber;
    const mark = Buffer.alloc(slotMark.totalBytes);
    this.#readFile(mark, mark.length, this.#entryPosition(0));
    const isOwn = mark.readInt32BE(slotMark.magic) === MARK_MAGIC;
    const markedNumber = mark.readInt32BE(slotMark.entryNumber);
    this.#isMarkedOpen = isOwn && markedNumber === 0;
    this.#isMarkedStored = isOwn && markedNumber === this.entryNumber;
    this.#hasTrustedSlots = !this.#isMarkedOpen;
    const isBeyond = this.endPhysicalOffset >= physicalOffset;
    if (isBeyond || (this.#isMarkedOpen && !this.isFull)) this.#rebuild(physicalOffset);
  }

  /** Adds an entry by the Java hash of its key. Allocates nothing but room. */
  put(hash: number, physicalOffset: number, storeTimestampMs: number): void {
    let at = (this.entryNumber - this.#bufferFrom) * indexEntry.totalBytes;
    if (at === this.#buffer.length) {
      this.#makeRoom();
      at = (this.entryNumber - this.#bufferFrom) * indexEntry.totalBytes;
    }
    const slots = this.#slots ?? this.#openSlots();
    const keyHash = indexKeyHash(hash);
    const slot = keyHash % this.#options.slotCount;
    let previous = slots.get(slot);
    if (previous < 0 || previous >= this.entryNumber) previous = 0;
    if (previous === 0) this.#usedSlotCount++;
    if (this.entryNumber === 1) {
      this.beginTimestampMs = storeTimestampMs;
      this.beginPhysicalOffset = physicalOffset;
    }
    const seconds = Math.floor((storeTimestampMs - this.beginTimestampMs) / 1000);
    const buffer = this.#buffer;
    writeInt32(buffer, keyHash, at);
    writeLong(buffer, physicalOffset, at + indexEntry.physicalOffset);
    writeInt32(buffer, Math.min(Math.max(seconds, 0), 0x7fff_ffff), at + indexEntry.seconds);
    writeInt32(buffer, previous, at + indexEntry.previous);
    slots.set(slot, this.entryNumber);
    this.entryNumber++;
    this.endTimestampMs = storeTimestampMs;
    this.endPhysicalOffset = physicalOffset;
    this.#isDirty = true;
  }

  /**
   * Adds places of entries with this hash and time to `found`, newest first, until it has `countMax`;
   * false where it gave up before the end.
   */
  query(hash: number, beginMs: number, endMs: number, countMax: number, found: number[]): boolean {
    const keyHash = indexKeyHash(hash);
    const entry = Buffer.alloc(indexEntry.totalBytes);
    let number = this.#slotAt(keyHash % this.#options.slotCount);
    for (let step = 0; step < CHAIN_COUNT_MAX; step++) {
      if (number <= 0 || number >= this.entryNumber || found.length >= countMax) return true;
      this.#readEntry(number, entry);
      const timestampMs = this.beginTimestampMs + entry.readInt32BE(indexEntry.seconds) * 1000;
      // Entries know their second only: the whole second counts.
      if (
        entry.readInt32BE(indexEntry.keyHash) === keyHash &&
        timestampMs + 999 >= beginMs &&
        timestampMs <= endMs
      ) {
        found.push(readLong(entry, indexEntry.physicalOffset));
      }
      const previous = entry.readInt32BE(indexEntry.previous);
      if (previous >= number || timestampMs + 999 < beginMs) return true;
      number = previous;
    }
    return false;
  }

  /**
   * Writes entries and header, and the slots of a full file; returns the bytes.
   * @throws BrokerError; what is not written stays in memory
   */
  writePending(): number {
    if (!this.#isDirty) return 0;
    this.#create();
    let bytes = 0;
    // The mark goes before the first entry that the stored slots don't know.
    if (this.#slots !== null) bytes += this.#writeMark(0);
    bytes += this.#writeEntries();
    if (this.isFull && this.#slots !== null) {
      bytes += this.#slots.write();
      this.#slots = null;
      this.#buffer = NO_BUFFER;
    } else if (this.#slots !== null) {
      const share = this.entryNumber / this.#options.entryCountMax;
      bytes += this.#slots.writeAhead(share / AHEAD_UNTIL);
    }
    const header = Buffer.alloc(indexHeader.totalBytes);
    writeLong(header, this.beginTimestampMs, indexHeader.beginTimestamp);
    writeLong(header, this.endTimestampMs, indexHeader.endTimestamp);
    writeLong(header, this.beginPhysicalOffset, indexHeader.beginPhysicalOffset);
    writeLong(header, this.endPhysicalOffset, indexHeader.endPhysicalOffset);
    header.writeInt32BE(this.#usedSlotCount, indexHeader.usedSlotCount);
    header.writeInt32BE(this.entryNumber, indexHeader.entryNumber);
    this.#writeFile(header, 0, header.length, 0);
    this.#isDirty = false;
    return bytes + header.length;
  }

  /** Stores what is in memory, slots included, and waits for the disk, so that the next start has nothing to build. */
  seal(): void {
    if (this.isEmpty || (this.#isMarkedStored && !this.#isDirty)) return;
    this.writePending();
    this.#slots?.write();
    const { files, descriptors } = this.#options;
    files.syncDescriptor(descriptors.get(this.path));
    this.#writeMark(this.entryNumber);
    files.syncDescriptor(descriptors.get(this.path));
  }

  /** Walks the entries from the first, keeps those below `physicalOffset`, and builds the slots from them. */
  #rebuild(physicalOffset: number): void {
    const { slotCount, entryCountMax } = this.#options;
    const slots = IndexSlots.createEmpty(slotCount, this.#slotFile);
    const entries = Buffer.alloc(ENTRY_BUFFER_COUNT * indexEntry.totalBytes);
    let usedSlotCount = 0;
    let number = 1;
    let lastOffset = 0;
    let lastSeconds = 0;
    let isValid = this.beginTimestampMs > 0;
    while (isValid && number < entryCountMax) {
      const count = Math.min(ENTRY_BUFFER_COUNT, entryCountMax - number);
      this.#readFile(entries, count * indexEntry.totalBytes, this.#entryPosition(number));
      for (let index = 0; index < count && isValid; index++) {
        const at = index * indexEntry.totalBytes;
        const keyHash = entries.readInt32BE(at + indexEntry.keyHash);
        const offset = readLong(entries, at + indexEntry.physicalOffset);
        const seconds = entries.readInt32BE(at + indexEntry.seconds);
        isValid =
          keyHash >= 0 &&
          seconds >= 0 &&
          offset >= lastOffset &&
          offset < physicalOffset &&
          !isBlank(entries, at);
        if (!isValid) break;
        const slot = keyHash % slotCount;
        const previous = slots.get(slot);
        isValid = entries.readInt32BE(at + indexEntry.previous) === previous;
        if (!isValid) break;
        if (previous === 0) usedSlotCount++;
        slots.set(slot, number++);
        lastOffset = offset;
        lastSeconds = seconds;
      }
    }
    slots.compareWithFile();
    this.#slots = slots;
    this.#usedSlotCount = usedSlotCount;
    this.entryNumber = number;
    this.#bufferFrom = number;
    if (this.endPhysicalOffset !== lastOffset)
      this.endTimestampMs = this.beginTimestampMs + lastSeconds * 1000;
    this.endPhysicalOffset = lastOffset;
    this.#isMarkedStored = false;
    this.#isDirty = true;
  }

  #openSlots(): IndexSlots {
    const { slotCount } = this.#options;
    this.#slots = this.#isCreated
      ? IndexSlots.createStored(slotCount, this.#slotFile)
      : IndexSlots.createEmpty(slotCount, this.#slotFile);
    return this.#slots;
  }

  #slotAt(slot: number): number {
    if (this.#slots !== null) return this.#slots.get(slot);
    const stored = Buffer.alloc(SLOT_BYTES);
    this.#slotFile.read(stored, SLOT_BYTES, slot * SLOT_BYTES);
    return stored.readInt32BE(0);
  }

  #makeRoom(): void {
    if (this.#buffer.length >= ENTRY_BUFFER_COUNT * indexEntry.totalBytes) {
      try {
        this.#create();
        this.#writeMark(0);
        this.#writeEntries();
        return;
      } catch (error) {
        // Kept in memory until there is space again.
        throwUnlessNoSpace(error);
      }
    }
    const bytes = Math.max(ENTRY_BUFFER_COUNT * indexEntry.totalBytes, this.#buffer.length * 2);
    const buffer = Buffer.allocUnsafeSlow(bytes);
    this.#buffer.copy(buffer);
    this.#buffer = buffer;
  }

  /** Makes the file, sparse at its whole size, since RocketMQ opens no other. */
  #create(): void {
    if (this.#isCreated) return;
    const { files, slotCount, entryCountMax } = this.#options;
    files.makeDirectory(path.dirname(this.path));
    const descriptor = files.open(this.path, true);
    try {
      files.truncate(descriptor, indexFileBytes(slotCount, entryCountMax));
    } finally {
      files.closeDescriptor(descriptor);
    }
    this.#isCreated = true;
  }

  #writeEntries(): number {
    const bytes = (this.entryNumber - this.#bufferFrom) * indexEntry.totalBytes;
    if (bytes === 0) return 0;
    this.#writeFile(this.#buffer, 0, bytes, this.#entryPosition(this.#bufferFrom));
    this.#bufferFrom = this.entryNumber;
    return bytes;
  }

  /** Notes for which entries the stored slots are whole; 0 while they are not. */
  #writeMark(entryNumber: number): number {
    if (entryNumber === 0 && this.#isMarkedOpen) return 0;
    const mark = Buffer.alloc(slotMark.totalBytes);
    mark.writeInt32BE(MARK_MAGIC, slotMark.magic);
    mark.writeInt32BE(entryNumber, slotMark.entryNumber);
    this.#writeFile(mark, 0, mark.length, this.#entryPosition(0));
    this.#isMarkedOpen = entryNumber === 0;
    this.#isMarkedStored = entryNumber > 0;
    if (this.#hasTrustedSlots) {
      // Once in the life of an older file: new slots must not reach the disk before this mark does.
      const { files, descriptors } = this.#options;
      files.syncDescriptor(descriptors.get(this.path));
      this.#hasTrustedSlots = false;
    }
    return mark.length;
  }

  #readEntry(number: number, target: Buffer): void {
    if (number >= this.#bufferFrom) {
      const at = (number - this.#bufferFrom) * indexEntry.totalBytes;
      this.#buffer.copy(target, 0, at, at + indexEntry.totalBytes);
      return;
    }
    this.#readFile(target, indexEntry.totalBytes, this.#entryPosition(number));
  }

  #entryPosition(number: number): number {
    return (
      indexHeader.totalBytes + this.#options.slotCount * SLOT_BYTES + number * indexEntry.totalBytes
    );
  }

  /** Reads into the start of `target`; what is not on disk reads as zeroes. */
  #readFile(target: Buffer, bytes: number, position: number): void {
    if (!this.#isCreated) {
      target.fill(0, 0, bytes);
      return;
    }
    const { files, descriptors } = this.#options;
    const readBytes = files.readAt(descriptors.get(this.path), target, 0, bytes, position);
    if (readBytes < bytes) target.fill(0, readBytes, bytes);
  }

  #writeFile(source: Buffer, from: number, to: number, position: number): void {
    const { files, descriptors } = this.#options;
    files.writeAt(descriptors.get(this.path), source, from, to, position);
  }
}

export function indexFileBytes(slotCount: number, entryCountMax: number): number {
  return indexHeader.totalBytes + slotCount * SLOT_BYTES + entryCountMax * indexEntry.totalBytes;
}

function isBlank(entries: Buffer, at: number): boolean {
  for (let index = at; index < at + indexEntry.totalBytes; index++) {
    if (entries[index] !== 0) return false;
  }
  return true;
}
