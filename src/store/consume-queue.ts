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
 * Every offset between `minOffset` and `maxOffset` has a unit. One that stands for no message (a gap,
 * a hole that a crash left, a file that somebody deleted) is read with 0 bytes, and readers skip it.
 * Writes go through ConsumeQueueFiles in batches; `append` never throws for lack of space.
 * Source: ConsumeQueue.java.
 */
import { BrokerError } from '../base/errors.ts';
import { layout } from '../base/layout.ts';
import { writeInt32 } from '../protocol/message-record.ts';
import type { Logger } from '../base/logging.ts';
import { ConsumeQueueFiles, type ConsumeQueueFilesContext } from './consume-queue-files.ts';

export const unitLayout = layout(
  { physicalOffset: 'i64', recordBytes: 'i32', tagsHigh: 'i32', tagsLow: 'i32' },
  20,
);
export const UNIT_BYTES = unitLayout.totalBytes;

/** The size that RocketMQ gives to units which fill a queue up to its first offset. */
const GAP_RECORD_BYTES = 0x7fff_ffff;
/** A wider gap comes from a damaged record: 200 MB of units stand for 1 GB of lost log at least. */
const GAP_COUNT_MAX = 10_000_000;
const BUFFER_COUNT_START = 8;
/** A buffer of this many units is written out before it grows: 64 KiB a write. */
const BUFFER_COUNT_WRITE = 3276;
/** Written units that stay in memory for readers: at least, and at most. */
const KEPT_COUNT_MIN = 64;
const KEPT_COUNT_MAX = 819;
/** Units read at once where the end of a file is looked for: nearly a page. */
const PROBE_COUNT = 200;
const NO_BUFFER = Buffer.alloc(0);

/** Units that were read, in parallel arrays; one for each reader, reused. */
export class ConsumeQueueUnits {
  readonly capacity: number;
  readonly physicalOffset: Float64Array;
  /** Bytes of the record; 0 where the unit stands for no message. */
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

  /** Takes units [from, to) over from stored bytes. */
  decode(source: Buffer, position: number, from: number, to: number): void {
    let at = position;
    for (let index = from; index < to; index++) {
      const bytes = source.readInt32BE(at + unitLayout.recordBytes);
      this.physicalOffset[index] =
        source.readUInt32BE(at) * 0x1_0000_0000 + source.readUInt32BE(at + 4);
      this.bytes[index] = bytes === GAP_RECORD_BYTES || bytes < 0 ? 0 : bytes;
      this.tagsHigh[index] = source.readInt32BE(at + unitLayout.tagsHigh);
      this.tagsLow[index] = source.readInt32BE(at + unitLayout.tagsLow);
      at += UNIT_BYTES;
    }
  }
}

/** What all queues of a store share. */
export interface ConsumeQueueContext extends ConsumeQueueFilesContext {
  readonly logger: Logger;
  /** Queues with units that are not written yet. */
  readonly pending: Set<ConsumeQueue>;
  /** Queues that hold memory. */
  readonly buffered: Set<ConsumeQueue>;
}

export class ConsumeQueue {
  readonly topic: string;
  readonly queueId: number;
  /** Of the first message that the log still has. */
  minOffset = 0;
  /** Of the next message to come. */
  maxOffset = 0;
  readonly #context: ConsumeQueueContext;
  readonly #stored: ConsumeQueueFiles;
  #buffer: Buffer = NO_BUFFER;
  #bufferStart = 0;
  #writtenTo = 0;
  /** `maxOffset` when the store last wrote. */
  #restedAt = -1;
  /** Physical offsets of the first and the last unit; -1 where not known. */
  #firstPhysicalOffset = -1;
  #lastPhysicalOffset = -1;
  #isForgotten = false;

  /** Place in the log of the first record whose unit is not written, where one is not. */
  firstPendingOffset = 0;

  constructor(topic: string, queueId: number, directory: string, context: ConsumeQueueContext) {
    this.topic = topic;
    this.queueId = queueId;
    this.#context = context;
    this.#stored = new ConsumeQueueFiles(directory, context);
  }

  /** Finds the files on disk, the end of what they hold, and the first unit that is no gap. */
  load(wasClean: boolean): void {
    const stored = this.#stored;
    stored.load(wasClean);
    if (stored.isEmpty) return;
    this.minOffset = stored.start / UNIT_BYTES;
    this.#setEnd(this.#findEnd());
    const count = this.maxOffset - this.minOffset;
    if (count === 0) return;
    // Recovery asks for the first and the last unit, and must not have to open each file again for that.
    if (count <= PROBE_COUNT && stored.end - stored.start === this.#context.fileBytes) {
      // All of a short queue is what the search for its end has read.
      probe.decode(probe.scratch, 0, 0, count);
      if (probe.bytes[0] > 0) {
        this.#firstPhysicalOffset = probe.physicalOffset[0];
        const isHole = probe.bytes[count - 1] === 0;
        this.#lastPhysicalOffset = isHole ? Infinity : probe.physicalOffset[count - 1];
        return;
      }
    }
    if (this.#bytesAt(this.minOffset) === 0) this.#skipGap();
    this.#firstPhysical();
    this.#lastPhysical();
  }

  /**
   * Adds the unit of a message. An offset below the end is there already: a rebuild comes by again.
   * One above it leaves a gap of units that stand for no message.
   */
  append(
    queueOffset: number,
    physicalOffset: number,
    recordBytes: number,
    tagsHigh: number,
    tagsLow: number,
  ): void {
    if (this.#isForgotten) return;
    if (queueOffset !== this.maxOffset && !this.#fillGap(queueOffset, physicalOffset)) return;
    this.#put(physicalOffset, recordBytes, tagsHigh, tagsLow);
  }

  /** Reads up to `countMax` units from `fromOffset` on; returns how many, at least one below the end. */
  read(fromOffset: number, countMax: number, into: ConsumeQueueUnits): number {
    if (!(fromOffset >= this.minOffset && fromOffset < this.maxOffset)) return 0;
    const count = Math.min(countMax, into.capacity, this.maxOffset - fromOffset);
    let done = 0;
    if (fromOffset < this.#bufferStart) {
      done = this.#readStored(fromOffset, Math.min(count, this.#bufferStart - fromOffset), into);
      if (fromOffset + done < this.#bufferStart) return done;
    }
    into.decode(this.#buffer, (fromOffset + done - this.#bufferStart) * UNIT_BYTES, done, count);
    return count;
  }

  /** Store timestamp of the message at an offset, or -1. */
  storeTimestampAt(offset: number, storeTimestampOf: (physicalOffset: number) => number): number {
    if (this.read(offset, 1, probe) === 0 || probe.bytes[0] === 0) return -1;
    return storeTimestampOf(probe.physicalOffset[0]);
  }

  /**
   * LOWER: the first offset stored at or after the time, the end where all are older. UPPER: the last
   * offset stored at or before it, the start where all are newer. A record that is gone counts as older.
   */
  offsetByTime(
    timestampMs: number,
    boundary: 'LOWER' | 'UPPER',
    storeTimestampOf: (physicalOffset: number) => number,
  ): number {
    if (boundary === 'LOWER')
      return this.#search((physicalOffset) => storeTimestampOf(physicalOffset) < timestampMs);
    const after = this.#search((physicalOffset) => storeTimestampOf(physicalOffset) <= timestampMs);
    return Math.max(this.minOffset, after - 1);
  }

  /**
   * Writes buffered units; returns the bytes.
   * @throws BrokerError; what is not written stays buffered
   */
  writePending(): number {
    let written = 0;
    while (this.#writtenTo < this.maxOffset) {
      const from = (this.#writtenTo - this.#bufferStart) * UNIT_BYTES;
      const to = (this.maxOffset - this.#bufferStart) * UNIT_BYTES;
      const bytes = this.#stored.write(this.#buffer, from, to, this.#writtenTo * UNIT_BYTES);
      this.#writtenTo += bytes / UNIT_BYTES;
      written += bytes;
    }
    this.#context.pending.delete(this);
    return written;
  }

  /**
   * Gives memory back after the store wrote; true once none is left. A queue that got nothing since the
   * last call is read from its file from now on.
   */
  rest(): boolean {
    const addedCount = this.maxOffset - this.#restedAt;
    this.#restedAt = this.maxOffset;
    if (addedCount > 0 || this.#writtenTo < this.maxOffset) {
      this.#dropWritten(Math.min(Math.max(addedCount, KEPT_COUNT_MIN), KEPT_COUNT_MAX));
      return false;
    }
    this.#buffer = NO_BUFFER;
    this.#bufferStart = this.maxOffset;
    return true;
  }

  /**
   * Drops the units of records at or past the end of the log. `isAbnormal`: the last broker crashed, and
   * pages may have reached the disk behind a hole; they are cleared, so that they never count as units.
   */
  truncateTo(endPhysicalOffset: number, isAbnormal: boolean): void {
    this.writePending();
    const isWhole = this.minOffset === this.maxOffset || this.#lastPhysical() < endPhysicalOffset;
    if (isWhole && (!isAbnormal || this.#stored.isEmpty)) return;
    const end = isWhole
      ? this.maxOffset
      : this.#search((physicalOffset) => physicalOffset < endPhysicalOffset);
    this.#stored.cutAt(end * UNIT_BYTES, end < this.maxOffset);
    this.#setEnd(end);
  }

  /** Raises `minOffset` past records that retention took, and deletes files wholly below; the last file stays. */
  expireBelow(minimumPhysicalOffset: number): void {
    const { minOffset, maxOffset } = this;
    if (minOffset < maxOffset) {
      if (this.#lastPhysical() < minimumPhysicalOffset) this.minOffset = maxOffset;
      else if (this.#firstPhysical() >= minimumPhysicalOffset) return;
      else
        this.minOffset = this.#search((physicalOffset) => physicalOffset < minimumPhysicalOffset);
      this.#firstPhysicalOffset = -1;
    }
    this.#stored.removeBelow(this.minOffset * UNIT_BYTES);
  }

  /** Lets go of everything, before the files are deleted; the queue is empty from now on. */
  forget(): void {
    this.#isForgotten = true;
    this.#stored.close();
    this.#setEnd(this.maxOffset);
    this.minOffset = this.maxOffset;
  }

  #put(physicalOffset: number, recordBytes: number, tagsHigh: number, tagsLow: number): void {
    let at = (this.maxOffset - this.#bufferStart) * UNIT_BYTES;
    if (at === this.#buffer.length) {
      this.#makeRoom();
      at = (this.maxOffset - this.#bufferStart) * UNIT_BYTES;
    }
    const buffer = this.#buffer;
    const high = Math.floor(physicalOffset / 0x1_0000_0000);
    writeInt32(buffer, high, at);
    writeInt32(buffer, (physicalOffset - high * 0x1_0000_0000) | 0, at + 4);
    writeInt32(buffer, recordBytes, at + unitLayout.recordBytes);
    writeInt32(buffer, tagsHigh, at + unitLayout.tagsHigh);
    writeInt32(buffer, tagsLow, at + unitLayout.tagsLow);
    if (this.#writtenTo === this.maxOffset) {
      this.#context.pending.add(this);
      this.firstPendingOffset = physicalOffset;
    }
    this.#lastPhysicalOffset = physicalOffset;
    this.maxOffset++;
  }

  /** Makes `queueOffset` the next one, by units for what is missing; false where it is not to be added. */
  #fillGap(queueOffset: number, physicalOffset: number): boolean {
    if (!(queueOffset > this.maxOffset)) return false;
    const isUnused = this.#stored.isEmpty && this.maxOffset === 0;
    // A queue whose beginning has expired starts inside the file that holds this offset.
    const unitsPerFile = this.#context.fileBytes / UNIT_BYTES;
    const from = isUnused ? queueOffset - (queueOffset % unitsPerFile) : this.maxOffset;
    const { topic, queueId } = this;
    if (queueOffset - from > GAP_COUNT_MAX) {
      const fields = { topic, queueId, queueOffset, maxOffset: this.maxOffset, physicalOffset };
      this.#context.logger.error(
        fields,
        'a record is left out of its queue: its queue offset is far beyond the end',
      );
      return false;
    }
    const wasEmpty = this.minOffset === this.maxOffset;
    if (!isUnused) {
      this.#context.logger.warn(
        { topic, queueId, from, to: queueOffset },
        'messages of a queue are missing from the log',
      );
    }
    if (from > this.maxOffset) this.#setEnd(from);
    // In front of the first message a gap has RocketMQ's form. Inside a queue it carries the place of the
    // next record, so that physical offsets still ascend for a binary search.
    while (this.maxOffset < queueOffset)
      this.#put(wasEmpty ? 0 : physicalOffset, GAP_RECORD_BYTES, 0, 0);
    if (wasEmpty) this.minOffset = queueOffset;
    return true;
  }

  #makeRoom(): void {
    const { buffered } = this.#context;
    if (this.#buffer.length >= BUFFER_COUNT_WRITE * UNIT_BYTES) {
      try {
        this.writePending();
      } catch (error) {
        // Kept in memory until there is space again.
        if (!BrokerError.is(error) || error.code !== 'STORE_NO_SPACE') throw error;
      }
      this.#dropWritten(KEPT_COUNT_MAX);
      if ((this.maxOffset - this.#bufferStart) * UNIT_BYTES < this.#buffer.length) return;
    }
    this.#resize(Math.max(BUFFER_COUNT_START * UNIT_BYTES, this.#buffer.length * 2));
    buffered.add(this);
  }

  /** Drops units that the file has, but for the newest ones, which waiting readers want. */
  #dropWritten(keptCount: number): void {
    const keepFrom = Math.max(
      this.#bufferStart,
      Math.min(this.#writtenTo, this.maxOffset - keptCount),
    );
    const from = (keepFrom - this.#bufferStart) * UNIT_BYTES;
    const to = (this.maxOffset - this.#bufferStart) * UNIT_BYTES;
    this.#buffer.copyWithin(0, from, to);
    this.#bufferStart = keepFrom;
    const roomy = Math.max(BUFFER_COUNT_START * UNIT_BYTES, (to - from) * 4);
    if (this.#buffer.length > roomy * 2) this.#resize(roomy);
  }

  #resize(bytes: number): void {
    const buffer = Buffer.allocUnsafeSlow(bytes);
    this.#buffer.copy(buffer, 0, 0, (this.maxOffset - this.#bufferStart) * UNIT_BYTES);
    this.#buffer = buffer;
  }

  #setEnd(offset: number): void {
    this.maxOffset = offset;
    this.minOffset = Math.min(this.minOffset, offset);
    this.#bufferStart = offset;
    this.#writtenTo = offset;
    this.#buffer = NO_BUFFER;
    this.#firstPhysicalOffset = -1;
    this.#lastPhysicalOffset = -1;
    this.#context.pending.delete(this);
    this.#context.buffered.delete(this);
  }

  /** Only a gap that fills the file up to the first message is skipped here; retention does the rest. */
  #skipGap(): void {
    const fileEnd = Math.min(this.maxOffset, this.minOffset + this.#context.fileBytes / UNIT_BYTES);
    this.minOffset += binarySearch(
      fileEnd - this.minOffset,
      (index) => this.#bytesAt(this.minOffset + index) > 0,
    );
  }

  /** The end of the written units in the last file. Most queues are short: one read finds it. */
  #findEnd(): number {
    const { fileBytes } = this.#context;
    const stored = this.#stored;
    const start = stored.end - fileBytes;
    const unitsPerFile = fileBytes / UNIT_BYTES;
    const { scratch } = probe;
    const isWritten = (at: number): boolean =>
      scratch.readInt32BE(at) >= 0 && scratch.readInt32BE(at + unitLayout.recordBytes) > 0;
    const headCount = Math.min(PROBE_COUNT, unitsPerFile);
    stored.read(scratch, headCount * UNIT_BYTES, start);
    for (let index = 0; index < headCount; index++) {
      if (!isWritten(index * UNIT_BYTES)) return start / UNIT_BYTES + index;
    }
    const rest = binarySearch(unitsPerFile - headCount, (index) => {
      stored.read(scratch, UNIT_BYTES, start + (headCount + index) * UNIT_BYTES);
      return !isWritten(0);
    });
    return start / UNIT_BYTES + headCount + rest;
  }

  /**
   * The first offset whose record is not `isBefore` any more, given that records ascend; the end where all
   * are. Units that say nothing go with the next one that does.
   */
  #search(isBefore: (physicalOffset: number) => boolean): number {
    let low = this.minOffset;
    let high = this.maxOffset;
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2);
      let at = middle;
      let physicalOffset = 0;
      while (at < high && physicalOffset === 0) {
        const count = this.read(at, Math.min(high - at, at === middle ? 1 : PROBE_COUNT), probe);
        let index = 0;
        while (index < count && isNothing(probe, index)) index++;
        at += index;
        if (index < count) {
          physicalOffset = probe.physicalOffset[index];
          break;
        }
      }
      if (at < high && isBefore(physicalOffset)) low = at + 1;
      else high = middle;
    }
    return low;
  }

  #firstPhysical(): number {
    if (this.#firstPhysicalOffset < 0) this.#firstPhysicalOffset = this.#physicalAt(this.minOffset);
    return this.#firstPhysicalOffset;
  }

  #lastPhysical(): number {
    // A hole at the end knows nothing: a search decides.
    if (this.#lastPhysicalOffset < 0) {
      this.#lastPhysicalOffset =
        this.#bytesAt(this.maxOffset - 1) > 0 ? this.#physicalAt(this.maxOffset - 1) : Infinity;
    }
    return this.#lastPhysicalOffset;
  }

  #physicalAt(offset: number): number {
    return this.read(offset, 1, probe) === 0 ? 0 : probe.physicalOffset[0];
  }

  #bytesAt(offset: number): number {
    return this.read(offset, 1, probe) === 0 ? 0 : probe.bytes[0];
  }

  #readStored(fromOffset: number, count: number, into: ConsumeQueueUnits): number {
    const units =
      this.#stored.read(into.scratch, count * UNIT_BYTES, fromOffset * UNIT_BYTES) / UNIT_BYTES;
    into.decode(into.scratch, 0, 0, units);
    return units;
  }
}

/** For reads of the queues' own; an agent does one at a time. */
const probe = new ConsumeQueueUnits(PROBE_COUNT);

function isNothing(units: ConsumeQueueUnits, index: number): boolean {
  return units.bytes[index] === 0 && units.physicalOffset[index] === 0;
}

/** The first index below `count` for which `isAtOrPast` holds, given that it holds from there on; else `count`. */
function binarySearch(count: number, isAtOrPast: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    if (isAtOrPast(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
