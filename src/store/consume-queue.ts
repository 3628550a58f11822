/**
 * @agent dispatcher
 *
 * The index of one queue: for each message, by queue offset, where its record stands in the log.
 *
 * ```
 * unit, 20 bytes:  | physicalOffset i64 | record bytes i32 | tagsCode i64 |
 *
 * files            [ 300000 units ][ 300000 units ][ …
 * memory                                   | written, kept for readers | not yet written |
 *                                     bufferStart                  writtenTo         maxOffset
 * ```
 * Files are sparse at their full size, as RocketMQ checks it; written in batches by `writePending`.
 * A unit of size 0 was never written. Source: ConsumeQueue.java.
 */
import path from 'node:path';
import { layout } from '../base/layout.ts';
import { BrokerError } from '../base/errors.ts';
import { readLong } from '../protocol/message-record.ts';
import type { DescriptorCache } from './descriptor-cache.ts';
import type { StoreFiles } from './segment.ts';

export const unitLayout = layout({ physicalOffset: 'i64', recordBytes: 'i32', tagsHigh: 'i32', tagsLow: 'i32' }, 20);
export const UNIT_BYTES = unitLayout.totalBytes;

/** Stands for "no message": fills a queue up to its first offset. */
const GAP_RECORD_BYTES = 0x7fff_ffff;
const BUFFER_UNITS_START = 32;
/** A buffer of this size is written out before it grows; 64 KiB a write. */
const BUFFER_UNITS_WRITE = 3276;
const NO_BUFFER = Buffer.alloc(0);

/** Units that were read, in parallel arrays; one for each reader, reused. */
export class ConsumeQueueUnits {
  readonly capacity: number;
  readonly physicalOffset: Float64Array;
  readonly bytes: Int32Array;
  readonly tagsHigh: Int32Array;
  readonly tagsLow: Int32Array;
  /** Where units from files are read to. */
  readonly scratch: Buffer;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.physicalOffset = new Float64Array(capacity);
    this.bytes = new Int32Array(capacity);
    this.tagsHigh = new Int32Array(capacity);
    this.tagsLow = new Int32Array(capacity);
    this.scratch = Buffer.alloc(capacity * UNIT_BYTES);
  }
}

/** What all queues of a store share. */
export interface ConsumeQueueContext {
  readonly files: StoreFiles;
  readonly descriptors: DescriptorCache;
  readonly fileBytes: number;
  /** Files and directories written since the last sync. */
  readonly unsynced: Set<string>;
  /** Queues with units that are not written yet. */
  readonly pending: Set<ConsumeQueue>;
}

export class ConsumeQueue {
  readonly topic: string;
  readonly queueId: number;
  /** Of the first message that the log still has. */
  minOffset = 0;
  /** Of the next message to come. */
  maxOffset = 0;
  readonly #context: ConsumeQueueContext;
  readonly #directory: string;
  /** First bytes of the files on disk, ascending. */
  #fileStarts: number[] = [];
  #buffer: Buffer = NO_BUFFER;
  #bufferStart = 0;
  #writtenTo = 0;

  constructor(topic: string, queueId: number, directory: string, context: ConsumeQueueContext) {
    this.topic = topic;
    this.queueId = queueId;
    this.#directory = directory;
    this.#context = context;
  }

  /** Finds the files on disk and the end of what they hold. */
  load(): void {
    const { files, fileBytes } = this.#context;
    this.#fileStarts = files
      .list(this.#directory)
      .filter((name) => /^\d{20}$/.test(name))
      .map(Number);
    const first = this.#fileStarts[0];
    if (first === undefined) return;
    this.minOffset = first / UNIT_BYTES;
    const last = this.#fileStarts.at(-1) as number;
    const unitsPerFile = fileBytes / UNIT_BYTES;
    const lastOffset = last / UNIT_BYTES;
    const count = binarySearch(0, unitsPerFile, (index) => this.#readUnit(lastOffset + index).recordBytes <= 0);
    this.#setEnd(lastOffset + count);
  }

  /**
   * Adds the unit of a message. An offset below the end is there already: a rebuild comes by again.
   * One above it leaves a gap of units that stand for no message.
   */
  append(queueOffset: number, physicalOffset: number, recordBytes: number, tagsHigh: number, tagsLow: number): void {
    if (queueOffset !== this.maxOffset) {
      if (queueOffset < this.maxOffset) return;
      this.#fillGap(queueOffset);
    }
    this.#put(physicalOffset, recordBytes, tagsHigh, tagsLow);
  }

  /** Reads up to `countMax` units from `fromOffset` on; returns how many, short at the end of a file. */
  read(fromOffset: number, countMax: number, into: ConsumeQueueUnits): number {
    if (fromOffset < this.minOffset || fromOffset >= this.maxOffset) return 0;
    let count = Math.min(countMax, into.capacity, this.maxOffset - fromOffset);
    let source = this.#buffer;
    let at = (fromOffset - this.#bufferStart) * UNIT_BYTES;
    if (fromOffset < this.#bufferStart) {
      source = into.scratch;
      at = 0;
      count = this.#readFile(fromOffset, Math.min(count, this.#bufferStart - fromOffset), source);
    }
    for (let index = 0; index < count; index++) {
      into.physicalOffset[index] = source.readUInt32BE(at) * 0x1_0000_0000 + source.readUInt32BE(at + 4);
      into.bytes[index] = source.readInt32BE(at + unitLayout.recordBytes);
      into.tagsHigh[index] = source.readInt32BE(at + unitLayout.tagsHigh);
      into.tagsLow[index] = source.readInt32BE(at + unitLayout.tagsLow);
      at += UNIT_BYTES;
    }
    return count;
  }

  /** Store timestamp of the message at an offset, or -1. */
  storeTimestampAt(offset: number, storeTimestampOf: (physicalOffset: number) => number): number {
    if (offset < this.minOffset || offset >= this.maxOffset) return -1;
    return storeTimestampOf(this.#readUnit(offset).physicalOffset);
  }

  /**
   * LOWER: the first offset stored at or after the time, the end where all are older. UPPER: the last
   * offset stored at or before it, the start where all are newer.
   */
  offsetByTime(
    timestampMs: number,
    boundary: 'LOWER' | 'UPPER',
    storeTimestampOf: (physicalOffset: number) => number,
  ): number {
    const { minOffset, maxOffset } = this;
    const timeAt = (index: number): number => this.storeTimestampAt(minOffset + index, storeTimestampOf);
    const count = maxOffset - minOffset;
    if (boundary === 'LOWER') return minOffset + binarySearch(0, count, (index) => timeAt(index) >= timestampMs);
    const after = binarySearch(0, count, (index) => timeAt(index) > timestampMs);
    return minOffset + Math.max(0, after - 1);
  }

  /** Writes buffered units; returns the bytes. After an error they are still buffered. */
  writePending(): number {
    const { pending, files, descriptors, fileBytes, unsynced } = this.#context;
    let written = 0;
    while (this.#writtenTo < this.maxOffset) {
      const position = this.#writtenTo * UNIT_BYTES;
      const start = position - (position % fileBytes);
      const bytes = Math.min((this.maxOffset - this.#writtenTo) * UNIT_BYTES, start + fileBytes - position);
      const file = this.#fileAt(start);
      if (this.#fileStarts.at(-1) !== start) this.#createFile(start, file);
      const from = (this.#writtenTo - this.#bufferStart) * UNIT_BYTES;
      files.writeAt(descriptors.get(file), this.#buffer, from, from + bytes, position - start);
      unsynced.add(file);
      this.#writtenTo += bytes / UNIT_BYTES;
      written += bytes;
    }
    pending.delete(this);
    // A queue that rests needs no memory: its units are read from the file.
    if (this.#buffer.length > BUFFER_UNITS_WRITE * UNIT_BYTES) this.#dropWritten();
    return written;
  }

  /** Drops the units of records at or past the end of the log. */
  truncateTo(endPhysicalOffset: number): void {
    this.writePending();
    const { minOffset, maxOffset } = this;
    const kept = binarySearch(
      0,
      maxOffset - minOffset,
      (index) => this.#readUnit(minOffset + index).physicalOffset >= endPhysicalOffset,
    );
    if (minOffset + kept === maxOffset) return;
    const { files, descriptors, fileBytes, unsynced } = this.#context;
    const position = (minOffset + kept) * UNIT_BYTES;
    for (const start of [...this.#fileStarts].reverse()) {
      const file = this.#fileAt(start);
      if (start > position || (start === position && start !== this.#fileStarts[0])) {
        descriptors.close(file);
        files.remove(file);
        this.#fileStarts.pop();
      } else if (position < start + fileBytes) {
        const descriptor = descriptors.get(file);
        files.truncate(descriptor, position - start);
        files.truncate(descriptor, fileBytes);
      }
      unsynced.add(file);
    }
    this.#setEnd(minOffset + kept);
  }

  /** Raises `minOffset` past records that retention took, and deletes files wholly below; the last file stays. */
  expireBelow(minimumPhysicalOffset: number): void {
    const { files, descriptors, fileBytes } = this.#context;
    const { minOffset, maxOffset } = this;
    const gone = binarySearch(0, maxOffset - minOffset, (index) => {
      const unit = this.#readUnit(minOffset + index);
      return unit.physicalOffset >= minimumPhysicalOffset && unit.recordBytes !== GAP_RECORD_BYTES;
    });
    this.minOffset = minOffset + gone;
    while (this.#fileStarts.length > 1) {
      const start = this.#fileStarts[0] as number;
      if (start + fileBytes > this.minOffset * UNIT_BYTES) break;
      const file = this.#fileAt(start);
      descriptors.close(file);
      files.remove(file);
      this.#fileStarts.shift();
    }
  }

  /** Lets go of the files, which are about to be deleted. */
  forget(): void {
    for (const start of this.#fileStarts) this.#context.descriptors.close(this.#fileAt(start));
    this.#context.pending.delete(this);
  }

  #put(physicalOffset: number, recordBytes: number, tagsHigh: number, tagsLow: number): void {
    let at = (this.maxOffset - this.#bufferStart) * UNIT_BYTES;
    if (at === this.#buffer.length) {
      this.#makeRoom();
      at = (this.maxOffset - this.#bufferStart) * UNIT_BYTES;
    }
    const buffer = this.#buffer;
    const high = Math.floor(physicalOffset / 0x1_0000_0000);
    buffer.writeInt32BE(high, at);
    buffer.writeInt32BE((physicalOffset - high * 0x1_0000_0000) | 0, at + 4);
    buffer.writeInt32BE(recordBytes, at + unitLayout.recordBytes);
    buffer.writeInt32BE(tagsHigh, at + unitLayout.tagsHigh);
    buffer.writeInt32BE(tagsLow, at + unitLayout.tagsLow);
    if (this.#writtenTo === this.maxOffset) this.#context.pending.add(this);
    this.maxOffset++;
  }

  #fillGap(queueOffset: number): void {
    const unitsPerFile = this.#context.fileBytes / UNIT_BYTES;
    if (this.maxOffset === this.minOffset) {
      // The beginning of the queue has expired: it starts inside the file that holds this offset.
      const fileStart = queueOffset - (queueOffset % unitsPerFile);
      if (this.#fileStarts.length === 0 && fileStart > this.maxOffset) this.#setEnd(fileStart);
      while (this.maxOffset < queueOffset) this.#put(0, GAP_RECORD_BYTES, 0, 0);
      this.minOffset = queueOffset;
      return;
    }
    while (this.maxOffset < queueOffset) this.#put(0, GAP_RECORD_BYTES, 0, 0);
  }

  #makeRoom(): void {
    if (this.#buffer.length >= BUFFER_UNITS_WRITE * UNIT_BYTES) {
      try {
        this.writePending();
      } catch (error) {
        // Kept in memory until there is space again.
        if (!BrokerError.is(error) || error.code !== 'STORE_NO_SPACE') throw error;
      }
      this.#dropWritten();
      if ((this.maxOffset - this.#bufferStart) * UNIT_BYTES < this.#buffer.length) return;
    }
    const larger = Buffer.allocUnsafeSlow(Math.max(BUFFER_UNITS_START * UNIT_BYTES, this.#buffer.length * 2));
    this.#buffer.copy(larger);
    this.#buffer = larger;
  }

  /** Drops units that the file has, but for the newest, which waiting readers want. */
  #dropWritten(): void {
    const keepFrom = Math.max(this.#bufferStart, Math.min(this.#writtenTo, this.maxOffset - BUFFER_UNITS_WRITE / 4));
    const from = (keepFrom - this.#bufferStart) * UNIT_BYTES;
    const to = (this.maxOffset - this.#bufferStart) * UNIT_BYTES;
    if (from === 0) return;
    this.#buffer.copyWithin(0, from, to);
    this.#bufferStart = keepFrom;
  }

  #setEnd(offset: number): void {
    this.maxOffset = offset;
    this.minOffset = Math.min(this.minOffset, offset);
    this.#bufferStart = offset;
    this.#writtenTo = offset;
    this.#buffer = NO_BUFFER;
    this.#context.pending.delete(this);
  }

  #fileAt(start: number): string {
    return path.join(this.#directory, String(start).padStart(20, '0'));
  }

  #createFile(start: number, file: string): void {
    const { files, fileBytes, unsynced } = this.#context;
    if (this.#fileStarts.length === 0) {
      files.makeDirectory(this.#directory);
      unsynced.add(`${path.dirname(path.dirname(this.#directory))}/`);
      unsynced.add(`${path.dirname(this.#directory)}/`);
    }
    const descriptor = files.open(file, true);
    try {
      files.truncate(descriptor, fileBytes);
    } finally {
      files.closeDescriptor(descriptor);
    }
    unsynced.add(`${this.#directory}/`);
    this.#fileStarts.push(start);
  }

  /** Reads whole units of one file; a short or missing file yields fewer. */
  #readFile(fromOffset: number, count: number, target: Buffer): number {
    const { files, descriptors, fileBytes } = this.#context;
    const position = fromOffset * UNIT_BYTES;
    const start = position - (position % fileBytes);
    if (!this.#fileStarts.includes(start)) return 0;
    const bytes = Math.min(count * UNIT_BYTES, start + fileBytes - position);
    const readBytes = files.readAt(descriptors.get(this.#fileAt(start)), target, 0, bytes, position - start);
    let units = Math.floor(readBytes / UNIT_BYTES);
    // A hole reads as zeroes: no message has size 0.
    for (let index = 0; index < units; index++) {
      if (target.readInt32BE(index * UNIT_BYTES + unitLayout.recordBytes) <= 0) units = index;
    }
    return units;
  }

  #readUnit(offset: number): { physicalOffset: number; recordBytes: number } {
    let source = this.#buffer;
    let at = (offset - this.#bufferStart) * UNIT_BYTES;
    if (offset < this.#bufferStart || offset >= this.maxOffset) {
      source = unitScratch;
      at = 0;
      if (this.#readFile(offset, 1, source) === 0) return { physicalOffset: 0, recordBytes: 0 };
    }
    return { physicalOffset: readLong(source, at), recordBytes: source.readInt32BE(at + unitLayout.recordBytes) };
  }
}

const unitScratch = Buffer.alloc(UNIT_BYTES);

/** The first index in [from, to) for which `isAtOrPast` holds, given that it holds from there on; else `to`. */
function binarySearch(from: number, to: number, isAtOrPast: (index: number) => boolean): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    if (isAtOrPast(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
