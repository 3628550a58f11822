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
import { writeInt32 } from '../protocol/message-record.ts';
import { binarySearch } from './binary-search.ts';
import type { ConsumeQueueContext } from './consume-queue-context.ts';
import { ConsumeQueueFiles } from './consume-queue-files.ts';
import {
  ConsumeQueueUnits,
  GAP_RECORD_BYTES,
  searchUnits,
  UNIT_BYTES,
  unitLayout,
} from './consume-queue-units.ts';
import { throwUnlessNoSpace } from './file-calls.ts';
import type { QueueNumbers } from './queue-snapshot.ts';
import type { QueueWrites } from './queue-writes.ts';
import { QueueField, resetRow, ROW_FIELDS } from './queue-table.ts';

/** A wider gap comes from a damaged record: 200 MB of units stand for 1 GB of lost log at least. */
const GAP_COUNT_MAX = 10_000_000;
/** Units of the buffer that a queue begins with, a slot of the shortest size. */
const BUFFER_COUNT_START = 8;
export const SLOT_BYTES = BUFFER_COUNT_START * UNIT_BYTES;
/** A buffer of this many units is written out before it grows: 64 KiB a write. */
const BUFFER_COUNT_WRITE = 3276;
/** Written units that stay in memory for readers: at least, and at most. */
const KEPT_COUNT_MIN = 64;
const KEPT_COUNT_MAX = 819;
/** Units read at once where the end of a file is looked for: nearly a page. */
const PROBE_COUNT = 200;
const NO_BUFFER = Buffer.alloc(0);

/** Units up to `end` that another writes, with physical offsets of the first and the last (-1: not known). */
export type HandedOver = Readonly<
  Record<'end' | 'firstPending' | 'lastPhysical', number> & { queue: ConsumeQueue }
>;

const {
  MIN_OFFSET,
  MAX_OFFSET,
  BUFFER_START,
  WRITTEN_TO,
  RESTED_AT,
  FIRST_PHYSICAL,
  LAST_PHYSICAL,
  FIRST_PENDING,
  FILES_START,
  FILES_END,
  BUFFER_BASE,
  BUFFER_BYTES,
  SLOT,
  IS_TAIL_UNKNOWN,
  IS_FORGOTTEN,
  LAST_WRITTEN,
} = QueueField;

export class ConsumeQueue {
  readonly topic: string;
  readonly queueId: number;
  /** In the table and the lists of the store. */
  readonly place: number;
  readonly #context: ConsumeQueueContext;
  /** The queue's numbers begin at `#at`. */
  #row: Float64Array;
  #at: number;
  /** A chunk of the store's slots, or the queue's own. */
  #buffer: Buffer = NO_BUFFER;

  constructor(topic: string, queueId: number, context: ConsumeQueueContext) {
    this.topic = topic;
    this.queueId = queueId;
    this.#context = context;
    this.place = context.table.take();
    this.#row = context.table.rowsOf(this.place);
    this.#at = context.table.startOf(this.place);
  }

  /** Of the first message that the log still has. */
  get minOffset(): number {
    return this.#row[this.#at + MIN_OFFSET];
  }

  set minOffset(offset: number) {
    this.#row[this.#at + MIN_OFFSET] = offset;
  }

  /** Of the next message to come. */
  get maxOffset(): number {
    return this.#row[this.#at + MAX_OFFSET];
  }

  /** Place in the log of the first record whose unit nobody is writing, where the queue is pending. */
  get firstPendingOffset(): number {
    return this.#row[this.#at + FIRST_PENDING];
  }

  /** Units below are read from files. */
  get bufferStart(): number {
    return this.#row[this.#at + BUFFER_START];
  }

  get #writtenTo(): number {
    return this.#row[this.#at + WRITTEN_TO];
  }

  get files(): ConsumeQueueFiles {
    return new ConsumeQueueFiles(this, this.#context, this.#row, this.#at);
  }

  /** Where the queue's unit at an offset stands, or will stand, in its buffer. */
  #positionOf(offset: number): number {
    return (offset - this.bufferStart) * UNIT_BYTES + this.#row[this.#at + BUFFER_BASE];
  }

  /** Finds the files on disk, the end of what they hold, and the first unit that is no gap. */
  load(wasClean: boolean): void {
    const stored = this.files;
    stored.load(wasClean);
    if (stored.isEmpty) return;
    this.minOffset = stored.start / UNIT_BYTES;
    this.#setEnd(stored.findEnd(probe.scratch));
    const count = this.maxOffset - this.minOffset;
    if (count === 0) return;
    // Recovery asks for the first and the last unit, and must not have to open each file again for that.
    if (count <= PROBE_COUNT && stored.end - stored.start === this.#context.fileBytes) {
      // All of a short queue is what the search for its end has read.
      probe.decode(probe.scratch, 0, 0, count);
      if (probe.bytes[0] > 0) {
        this.#row[this.#at + FIRST_PHYSICAL] = probe.physicalOffset[0];
        const isHole = probe.bytes[count - 1] === 0;
        this.#setLastOnFile(isHole ? Infinity : probe.physicalOffset[count - 1]);
        return;
      }
    }
    if (this.#bytesAt(this.minOffset) === 0) this.#skipGap();
    this.#firstPhysical();
    this.#setLastOnFile(this.#lastPhysical());
  }

  #setLastOnFile(physicalOffset: number): void {
    this.#row[this.#at + LAST_PHYSICAL] = physicalOffset;
    this.#row[this.#at + LAST_WRITTEN] = physicalOffset;
  }

  /** Takes a queue as a snapshot says it was; `isTailUnknown`: the files may hold more since. */
  restore(numbers: QueueNumbers, isTailUnknown: boolean): void {
    const row = this.#row;
    const at = this.#at;
    row[at + FILES_START] = numbers.filesStart;
    row[at + FILES_END] = numbers.filesEnd;
    row[at + MIN_OFFSET] = numbers.minOffset;
    this.#setEnd(numbers.endOffset);
    row[at + FIRST_PHYSICAL] = numbers.firstPhysicalOffset;
    row[at + LAST_PHYSICAL] = numbers.lastPhysicalOffset;
    row[at + LAST_WRITTEN] = numbers.lastPhysicalOffset;
    if (isTailUnknown) this.doubtTail();
  }

  /** Has whatever stands on file behind the end cleared, before something is written there. */
  doubtTail(): void {
    this.#row[this.#at + IS_TAIL_UNKNOWN] = 1;
    this.#context.unsettled.add(this.place);
  }

  /** What `restore` takes: the queue as its files have it. */
  numbers(into: QueueNumbers): void {
    const row = this.#row;
    const at = this.#at;
    into.filesStart = row[at + FILES_START];
    into.filesEnd = row[at + FILES_END];
    into.minOffset = Math.min(row[at + MIN_OFFSET], row[at + WRITTEN_TO]);
    into.endOffset = row[at + WRITTEN_TO];
    into.firstPhysicalOffset = into.minOffset < into.endOffset ? row[at + FIRST_PHYSICAL] : -1;
    into.lastPhysicalOffset = row[at + LAST_WRITTEN];
  }

  /** Clears what stands on file behind the end, where that is not known. */
  settle(): void {
    const { unsettled } = this.#context;
    const row = this.#row;
    const at = this.#at;
    if (row[at + IS_TAIL_UNKNOWN] === 0) return;
    const stored = this.files;
    stored.load(false);
    if (!stored.isEmpty) {
      // A file that reaches further than what is written is nothing but its tail.
      stored.cutAt(Math.max(this.#writtenTo * UNIT_BYTES, stored.start), false);
    }
    row[at + IS_TAIL_UNKNOWN] = 0;
    unsettled.delete(this.place);
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
    const row = this.#row;
    const at = this.#at;
    if (row[at + IS_FORGOTTEN] === 1) return;
    if (queueOffset !== row[at + MAX_OFFSET] && !this.#fillGap(queueOffset, physicalOffset)) return;
    if (row[at + MIN_OFFSET] === row[at + MAX_OFFSET]) row[at + FIRST_PHYSICAL] = physicalOffset;
    this.#put(physicalOffset, recordBytes, tagsHigh, tagsLow);
  }

  /** Reads up to `countMax` units from `fromOffset` on; returns how many, at least one below the end. */
  read(fromOffset: number, countMax: number, into: ConsumeQueueUnits): number {
    if (!(fromOffset >= this.minOffset && fromOffset < this.maxOffset)) return 0;
    const count = Math.min(countMax, into.capacity, this.maxOffset - fromOffset);
    let done = 0;
    if (fromOffset < this.bufferStart) {
      done = this.#context.blocks.read(this, fromOffset, count, into);
      if (fromOffset + done < this.bufferStart) return done;
    }
    into.decode(this.#buffer, this.#positionOf(fromOffset + done), done, count);
    return count;
  }

  /** Store timestamp of the message at an offset, or -1. Of the last one, which is asked of all queues, without a look at files. */
  storeTimestampAt(offset: number, storeTimestampOf: (physicalOffset: number) => number): number {
    const isLast = offset === this.maxOffset - 1 && offset >= this.minOffset;
    if (isLast && this.#lastPhysical() < Infinity) return storeTimestampOf(this.#lastPhysical());
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
      return searchUnits(
        this,
        probe,
        (physicalOffset) => storeTimestampOf(physicalOffset) < timestampMs,
      );
    const after = searchUnits(
      this,
      probe,
      (physicalOffset) => storeTimestampOf(physicalOffset) <= timestampMs,
    );
    return Math.max(this.minOffset, after - 1);
  }

  /**
   * Writes buffered units; returns the bytes.
   * @throws BrokerError; what is not written stays buffered
   */
  writePending(): number {
    let written = 0;
    const row = this.#row;
    if (this.#writtenTo === this.maxOffset) return 0;
    if (row[this.#at + IS_TAIL_UNKNOWN] === 1) this.settle();
    row[this.#at + LAST_WRITTEN] = -1;
    while (this.#writtenTo < this.maxOffset) {
      const from = this.#positionOf(this.#writtenTo);
      const to = this.#positionOf(this.maxOffset);
      const bytes = this.files.write(this.#buffer, from, to, this.#writtenTo * UNIT_BYTES);
      row[this.#at + WRITTEN_TO] += bytes / UNIT_BYTES;
      written += bytes;
    }
    row[this.#at + LAST_WRITTEN] = row[this.#at + LAST_PHYSICAL];
    this.#context.pending.delete(this.place);
    return written;
  }

  /** Puts buffered units into a batch that another writes; they stay until `confirm`, or go back with `giveBack`. */
  handOver(writes: QueueWrites): HandedOver {
    const row = this.#row;
    const at = this.#at;
    if (row[at + IS_TAIL_UNKNOWN] === 1) this.settle();
    const { maxOffset } = this;
    for (let offset = this.#writtenTo; offset < maxOffset;) {
      const from = this.#positionOf(offset);
      const to = this.#positionOf(maxOffset);
      const bytes = this.files.handOver(writes, this.#buffer, from, to, offset * UNIT_BYTES);
      offset += bytes / UNIT_BYTES;
    }
    this.#context.pending.delete(this.place);
    const { [at + FIRST_PENDING]: firstPending, [at + LAST_PHYSICAL]: lastPhysical } = row;
    return { queue: this, end: maxOffset, firstPending, lastPhysical };
  }

  /** What was handed over is on file. */
  confirm(handed: HandedOver): void {
    // A full buffer was written without waiting, or the topic is deleted.
    if (this.#writtenTo >= handed.end) return;
    this.#row[this.#at + WRITTEN_TO] = handed.end;
    this.#row[this.#at + LAST_WRITTEN] = handed.lastPhysical;
  }

  /** What was handed over is not on file; to be called for all queues of a batch, the last one first. */
  giveBack(handed: HandedOver): void {
    if (this.#writtenTo >= handed.end) return;
    this.#row[this.#at + FIRST_PENDING] = handed.firstPending;
    this.#context.pending.addFirst(this.place);
  }

  /**
   * Gives memory back after the store wrote; true once none is left. A queue that got nothing since the
   * last call is read from its file from now on.
   */
  rest(): boolean {
    const row = this.#row;
    const at = this.#at;
    const addedCount = this.maxOffset - row[at + RESTED_AT];
    row[at + RESTED_AT] = this.maxOffset;
    if (addedCount > 0 || this.#writtenTo < this.maxOffset) {
      this.#dropWritten(Math.min(Math.max(addedCount, KEPT_COUNT_MIN), KEPT_COUNT_MAX));
      return false;
    }
    this.#setBuffer(NO_BUFFER, -1);
    row[at + BUFFER_START] = this.maxOffset;
    return true;
  }

  /**
   * Drops the units of records at or past the end of the log. `isAbnormal`: the last broker crashed, and
   * pages may have reached the disk behind a hole; they are cleared, so that they never count as units.
   */
  truncateTo(endPhysicalOffset: number, isAbnormal: boolean): void {
    this.writePending();
    const isWhole = this.minOffset === this.maxOffset || this.#lastPhysical() < endPhysicalOffset;
    const filesBytes = this.#row[this.#at + FILES_END] - this.#row[this.#at + FILES_START];
    if (isWhole && (!isAbnormal || filesBytes === 0)) return;
    const end = isWhole ? this.maxOffset : this.offsetAbove(endPhysicalOffset);
    this.files.cutAt(end * UNIT_BYTES, end < this.maxOffset);
    this.#setEnd(end);
  }

  /** The first offset whose record is not below a place in the log. */
  offsetAbove(minimum: number): number {
    return searchUnits(this, probe, (physicalOffset) => physicalOffset < minimum);
  }

  /** Raises `minOffset` past records that retention took, deletes files but for the last; false where nothing is to be looked for. */
  expireBelow(minimumPhysicalOffset: number): boolean {
    const { minOffset, maxOffset } = this;
    if (minOffset < maxOffset) {
      if (this.#lastPhysical() < minimumPhysicalOffset) this.minOffset = maxOffset;
      else if (this.#firstPhysical() >= minimumPhysicalOffset) return false;
      else this.minOffset = this.offsetAbove(minimumPhysicalOffset);
      this.#row[this.#at + FIRST_PHYSICAL] = -1;
    }
    const filesBytes = this.#row[this.#at + FILES_END] - this.#row[this.#at + FILES_START];
    if (filesBytes > this.#context.fileBytes) this.files.removeBelow(this.minOffset * UNIT_BYTES);
    return minOffset < maxOffset;
  }

  /**
   * Lets go of everything, before the files are deleted; the queue is empty from now on, and whoever still
   * holds it writes nothing: its row may be another's.
   */
  forget(): void {
    const { maxOffset } = this;
    const { unsettled, table } = this.#context;
    this.files.close();
    this.#setEnd(maxOffset);
    unsettled.delete(this.place);
    table.give(this.place);
    this.#row = new Float64Array(ROW_FIELDS);
    this.#at = 0;
    resetRow(this.#row, 0);
    for (const field of [MIN_OFFSET, MAX_OFFSET, BUFFER_START, WRITTEN_TO])
      this.#row[field] = maxOffset;
    this.#row[IS_FORGOTTEN] = 1;
  }

  #put(physicalOffset: number, recordBytes: number, tagsHigh: number, tagsLow: number): void {
    const row = this.#row;
    const rowAt = this.#at;
    const maxOffset = row[rowAt + MAX_OFFSET];
    if ((maxOffset - row[rowAt + BUFFER_START]) * UNIT_BYTES === row[rowAt + BUFFER_BYTES])
      this.#makeRoom();
    // An integer for the optimizer, too: a row knows only doubles.
    const at =
      ((maxOffset - row[rowAt + BUFFER_START]) * UNIT_BYTES + row[rowAt + BUFFER_BASE]) | 0;
    const buffer = this.#buffer;
    const high = Math.floor(physicalOffset / 0x1_0000_0000);
    writeInt32(buffer, high, at);
    writeInt32(buffer, (physicalOffset - high * 0x1_0000_0000) | 0, at + 4);
    writeInt32(buffer, recordBytes, at + unitLayout.recordBytes);
    writeInt32(buffer, tagsHigh, at + unitLayout.tagsHigh);
    writeInt32(buffer, tagsLow, at + unitLayout.tagsLow);
    const { pending } = this.#context;
    if (!pending.has(this.place)) {
      pending.add(this.place);
      row[rowAt + FIRST_PENDING] = physicalOffset;
    }
    row[rowAt + LAST_PHYSICAL] = physicalOffset;
    row[rowAt + MAX_OFFSET] = maxOffset + 1;
  }

  /** Makes `queueOffset` the next one, by units for what is missing; false where it is not to be added. */
  #fillGap(queueOffset: number, physicalOffset: number): boolean {
    if (!(queueOffset > this.maxOffset)) {
      // A later record stands where this queue has another: it is not the queue that this one was taken for.
      const last = this.#row[this.#at + LAST_PHYSICAL];
      if (!(last >= 0 && physicalOffset > last)) return false;
      this.#context.onMismatch();
      if (queueOffset === 0) this.#beginAgain();
      return queueOffset === 0;
    }
    const isUnused = this.files.isEmpty && this.maxOffset === 0;
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
      this.#context.onMismatch();
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

  /** The topic was deleted and made again, and a crash has brought back what it had: all of the new one is in the log that is read. */
  #beginAgain(): void {
    this.files.removeAll();
    this.#setEnd(0);
    this.#row[this.#at + IS_TAIL_UNKNOWN] = 0;
    this.#context.unsettled.delete(this.place);
  }

  #makeRoom(): void {
    const { buffered } = this.#context;
    const row = this.#row;
    const at = this.#at;
    const bufferBytes = row[at + BUFFER_BYTES];
    const isFull = bufferBytes >= BUFFER_COUNT_WRITE * UNIT_BYTES;
    if (isFull && !this.#context.topicsToMove.has(this.topic)) {
      try {
        this.writePending();
      } catch (error) {
        // Kept in memory until there is space again.
        throwUnlessNoSpace(error);
      }
      this.#dropWritten(KEPT_COUNT_MAX);
      if ((this.maxOffset - this.bufferStart) * UNIT_BYTES < row[at + BUFFER_BYTES]) return;
    }
    buffered.add(this.place);
    this.#resize(bufferBytes === 0 ? SLOT_BYTES : row[at + BUFFER_BYTES] * 2);
  }

  /** Drops units that the file has, but for the newest ones, which waiting readers want. */
  #dropWritten(keptCount: number): void {
    const row = this.#row;
    const rowAt = this.#at;
    const keepFrom = Math.max(
      this.bufferStart,
      Math.min(this.#writtenTo, this.maxOffset - keptCount),
    );
    const from = this.#positionOf(keepFrom);
    const to = this.#positionOf(this.maxOffset);
    if (keepFrom > this.bufferStart) {
      this.#buffer.copyWithin(row[rowAt + BUFFER_BASE], from, to);
      row[rowAt + BUFFER_START] = keepFrom;
    }
    const roomy = Math.max(SLOT_BYTES, (to - from) * 4);
    if (row[rowAt + BUFFER_BYTES] > roomy * 2) this.#resize(roomy);
  }

  /** Moves what is in memory into a slot of so many bytes at least, or a buffer of the queue's own. */
  #resize(bytes: number): void {
    const { slots } = this.#context;
    const slot = slots.take(bytes);
    const buffer = slot < 0 ? Buffer.allocUnsafeSlow(bytes) : slots.bufferOf(slot);
    const base = slot < 0 ? 0 : slots.baseOf(slot);
    const from = this.#positionOf(this.bufferStart);
    this.#buffer.copy(buffer, base, from, this.#positionOf(this.maxOffset));
    this.#setBuffer(buffer, slot);
  }

  #setBuffer(buffer: Buffer, slot: number): void {
    const row = this.#row;
    const at = this.#at;
    const { slots } = this.#context;
    if (row[at + SLOT] >= 0) slots.give(row[at + SLOT]);
    row[at + SLOT] = slot;
    row[at + BUFFER_BASE] = slot < 0 ? 0 : slots.baseOf(slot);
    row[at + BUFFER_BYTES] = slot < 0 ? buffer.length : slots.bytesOf(slot);
    this.#buffer = buffer;
  }

  #setEnd(offset: number): void {
    const row = this.#row;
    const at = this.#at;
    row[at + MAX_OFFSET] = offset;
    row[at + MIN_OFFSET] = Math.min(row[at + MIN_OFFSET], offset);
    row[at + BUFFER_START] = offset;
    row[at + WRITTEN_TO] = offset;
    row[at + FIRST_PHYSICAL] = -1;
    row[at + LAST_PHYSICAL] = -1;
    row[at + LAST_WRITTEN] = -1;
    this.#setBuffer(NO_BUFFER, -1);
    const { blocks, buffered, pending } = this.#context;
    blocks.forget(this.place);
    pending.delete(this.place);
    buffered.delete(this.place);
  }

  /** Only a gap that fills the file up to the first message is skipped here; retention does the rest. */
  #skipGap(): void {
    const fileEnd = Math.min(this.maxOffset, this.minOffset + this.#context.fileBytes / UNIT_BYTES);
    this.minOffset += binarySearch(
      fileEnd - this.minOffset,
      (index) => this.#bytesAt(this.minOffset + index) > 0,
    );
  }

  #firstPhysical(): number {
    const row = this.#row;
    const at = this.#at + FIRST_PHYSICAL;
    if (row[at] < 0) row[at] = this.#physicalAt(this.minOffset);
    return row[at];
  }

  #lastPhysical(): number {
    const row = this.#row;
    const at = this.#at + LAST_PHYSICAL;
    // A hole at the end knows nothing: a search decides.
    if (row[at] < 0) {
      const last = this.maxOffset - 1;
      row[at] = this.#bytesAt(last) > 0 ? this.#physicalAt(last) : Infinity;
    }
    return row[at];
  }

  #physicalAt(offset: number): number {
    return this.read(offset, 1, probe) === 0 ? 0 : probe.physicalOffset[0];
  }

  #bytesAt(offset: number): number {
    return this.read(offset, 1, probe) === 0 ? 0 : probe.bytes[0];
  }
}

/** For reads of the queues' own; an agent does one at a time. */
const probe = new ConsumeQueueUnits(PROBE_COUNT);
