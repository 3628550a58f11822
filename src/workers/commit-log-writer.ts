/**
 * @agent writer
 *
 * The only agent that appends to the CommitLog. It gives each record its queue offset, physical
 * offset and store timestamp, copies it into the segment, publishes `appended`, and answers when the
 * wanted watermark has passed: appended, or flushed where the broker flushes synchronously.
 *
 * It never waits and never touches a page that is not allocated: where the next segment is not there
 * yet, what came stays in its ring; where the disk is full, it is answered SERVICE_NOT_AVAILABLE.
 *
 * What one turn appends is a batch, written at the end of the turn; where it is long, and this thread has an event
 * loop, by another thread. Until that is done nobody sees its records, its answers or the room that it took in the rings.
 *
 * ```
 *  worker ring ─┐  claim room for the answer, then append:      ┌─▶ answer ring (async flush)
 *  control ring ┼─▶ queueOffset, physicalOffset, timestamp, copy ┤
 *  dispatcher  ─┘                                               └─▶ waiting answers, until flushed
 * ```
 */
import type { LatencyHistogram } from '../base/latency-histogram.ts';
import type { Refusals } from '../base/refusals.ts';
import type { CopyKernel } from '../kernel/copy-kernel.ts';
import { ResponseCode } from '../protocol/codes.ts';
import {
  BLANK_BYTES,
  BLANK_MAGIC,
  bornHostBytes,
  readInt32,
  recordHead,
  SysFlag,
  writeInt32,
  writeLong,
} from '../protocol/message-record.ts';
import {
  PROPERTY_CRC_BYTES,
  reservePropertyCrc,
  writePropertyCrc,
} from '../protocol/property-crc.ts';
import { type Agent, BACK_PRESSURED } from '../ring/agent.ts';
import type { Doorbell } from '../ring/doorbell.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import { PartAssembler } from '../ring/queued-producer.ts';
import type { SpscRingConsumer, SpscRingProducer } from '../ring/spsc-ring.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import { failedWith } from '../store/file-calls.ts';
import type { Segment } from '../store/segment.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { WriteDeferral } from './agent-parts.ts';
import { AppendBatch } from './append-batch.ts';
import { DeferredWrites } from './deferred-writes.ts';
import type { QueueOffsets } from './queue-offsets.ts';
import {
  AnswerKind,
  appendAnswerMessage,
  appendMessage,
  MessageType,
  type Snapshot,
} from './ring-messages.ts';
import { WaitingAnswers } from './waiting-answers.ts';

export interface AppendSource {
  readonly ring: SpscRingConsumer;
  /** Where APPEND_POOLED records of this source are. */
  readonly pool: LargeMessagePool;
  /** Where its APPEND_IN_FRAME records are. */
  readonly framePool?: LargeMessagePool;
  /** True for the broker's own redeliveries: on a full disk they wait, where a client is refused. */
  readonly waitsForSpace: boolean;
}

export interface CommitLogWriterOptions {
  sources: readonly AppendSource[];
  toReactor: SpscRingProducer;
  positions: StorePositions;
  segments: CommitLogSegments;
  /** Woken when a sender waits for the disk. */
  flusherDoorbell: Doorbell;
  /** Woken when there is something new to dispatch; null where it runs on this thread anyway. */
  dispatcherDoorbell: Doorbell | null;
  /** Woken when a new segment is begun. */
  preparerDoorbell: Doorbell;
  queueOffsets: QueueOffsets;
  /** Of appends that a sender waits for, from the arrival of the frame. */
  latency: LatencyHistogram;
  flushesSynchronously: boolean;
  syncFlushTimeoutMs: number;
  /** Whether each record ends in a checksum of all of it. */
  appendsPropertyCrc: boolean;
  refusals: Refusals;
  wallNowMs: () => number;
  deferral: WriteDeferral | null;
  /** Null where there is none. */
  stagingKernel: CopyKernel | null;
}

/** Appends from one ring in one turn: bounds how long an answer waits for its batch. */
const APPENDS_PER_TURN = 1024;
/** Records of so many bytes are written from where they are: a call is cheaper than another copy. */
const LONG_BYTES_MIN = 16 * 1024;
/** A batch with so many bytes of them takes no more: their senders wait for it. */
const BATCH_LONG_BYTES = 1024 * 1024;

export class CommitLogWriter implements Agent {
  readonly name = 'writer';
  readonly #options: CommitLogWriterOptions;
  readonly #waiting: WaitingAnswers;
  readonly #assembler = new PartAssembler();
  #segment: Segment | null = null;
  #segmentBase = 0;
  #segmentEnd = 0;
  /** End of the last whole record. */
  #appended: number;
  /** What this turn appends; it ended the last one at `#ended`. */
  #batch: AppendBatch;
  #ended: number;
  readonly #spareBatches: AppendBatch[] = [];
  /** What other threads write; null where none do. */
  readonly #deferred: DeferredWrites | null;
  #lastTimestampMs: number;
  #isDiskFull = false;
  /** Nothing is appended any more. */
  #isReadOnly = false;
  /** A write failed: what was appended behind it is nowhere. */
  #hasFailed = false;

  constructor(options: CommitLogWriterOptions) {
    this.#options = options;
    this.#waiting = new WaitingAnswers(options);
    this.#appended = options.positions.load(PositionSlot.APPENDED);
    this.#ended = this.#appended;
    this.#batch = new AppendBatch(options.sources.length, options.stagingKernel);
    this.#batch.start = this.#appended;
    const { deferral } = options;
    this.#deferred = deferral === null ? null : new DeferredWrites(deferral);
    this.#lastTimestampMs = options.positions.load(PositionSlot.APPENDED_TIMESTAMP);
  }

  doWork(nowMs: number): number {
    const { positions, sources } = this.#options;
    let work = this.#options.flushesSynchronously ? this.#answerFlushed(nowMs) : 0;
    this.#isReadOnly ||= positions.load(PositionSlot.READ_ONLY) !== 0;
    this.#isDiskFull =
      this.#isReadOnly ||
      positions.load(PositionSlot.DISK_FULL) !== 0 ||
      positions.load(PositionSlot.DERIVED_FULL) !== 0;
    try {
      if (this.#deferred !== null) work += this.#takeWritten(this.#deferred, nowMs);
      if (this.#deferred?.isFull !== true) {
        for (let index = 0; index < sources.length; index++)
          work += this.#drain(sources[index], nowMs);
        this.#endBatch(nowMs);
      }
    } catch (error) {
      this.#onFailure(error);
    }
    return work;
  }

  nextDeadlineMs(): number {
    return this.#waiting.oldestSinceMs() + this.#options.syncFlushTimeoutMs;
  }

  close(): void {}

  /**
   * On a file system that is read-only now, records that are not written are nowhere: their senders get no
   * answer, and who comes later is refused.
   */
  #onFailure(error: unknown): void {
    if (!failedWith(error, 'EROFS')) throw error;
    const { positions, toReactor, flusherDoorbell } = this.#options;
    this.#isReadOnly = true;
    this.#hasFailed = true;
    toReactor.forgetUnpublished();
    this.#batch.clear(this.#appended);
    this.#ended = this.#appended;
    this.#releaseRings();
    positions.publish(PositionSlot.READ_ONLY, 1);
    flusherDoorbell.ring();
  }

  #drain(source: AppendSource, nowMs: number): number {
    const ring = source.ring;
    let count = 0;
    if (ring.peek()) this.#readClock();
    while (count < APPENDS_PER_TURN && ring.peek()) {
      if (isAppend(ring.type)) {
        if (!this.#append(source, nowMs)) break;
      } else {
        const payload = this.#assembler.take(ring);
        if (payload !== null) this.#onSnapshot(JSON.parse(payload.toString()) as Snapshot);
      }
      ring.skip();
      count++;
    }
    return count;
  }

  /** Store timestamps are those of the turn: a look at the clock costs as much as a checksum. They never go back. */
  #readClock(): void {
    const nowMs = this.#options.wallNowMs();
    if (nowMs > this.#lastTimestampMs) this.#lastTimestampMs = nowMs;
  }

  #onSnapshot(snapshot: Snapshot): void {
    const { queueOffsets } = this.#options;
    if (snapshot.kind === 'topicDeleted') queueOffsets.delete(snapshot.topicId);
    if (snapshot.kind !== 'queueOffsets') return;
    const { nextOffsets } = snapshot;
    for (let at = 0; at < nextOffsets.length; at += 3)
      queueOffsets.set(nextOffsets[at], nextOffsets[at + 1], nextOffsets[at + 2]);
  }

  /** Appends the records of the message at the head; false when it has to stay there. */
  #append(source: AppendSource, nowMs: number): boolean {
    const { ring } = source;
    const { positions, toReactor, segments, flushesSynchronously, appendsPropertyCrc, latency } =
      this.#options;
    const head = ring.payloadOffset;
    const int32 = ring.int32;
    let records = ring.bytes;
    let at = head + appendMessage.totalBytes;
    const extraBytes = int32[(head + appendMessage.extraBytes) >> 2];
    let recordsBytes = ring.payloadBytes - appendMessage.totalBytes - extraBytes;
    let slotPool: LargeMessagePool | null = null;
    let slot = -1;
    if (ring.type !== MessageType.APPEND) {
      const tail = at >> 2;
      slotPool = poolOf(source);
      slot = int32[tail];
      recordsBytes = int32[tail + 1];
      records = slotPool.bytes;
      at = int32[tail + 2];
    }
    // The broker's own records may fill the segments that are there: moving what waits makes room.
    if (
      this.#isDiskFull &&
      (this.#isReadOnly ||
        !(source.waitsForSpace && positions.load(PositionSlot.DERIVED_FULL) === 0))
    ) {
      return !source.waitsForSpace && this.#refuse(source, ResponseCode.SERVICE_NOT_AVAILABLE);
    }
    const answerKind = int32[(head + appendMessage.answerKind) >> 2];
    const recordCount = int32[(head + appendMessage.recordCount) >> 2];
    const bytesMax = appendsPropertyCrc
      ? recordsBytes + recordCount * PROPERTY_CRC_BYTES
      : recordsBytes;
    if (bytesMax + BLANK_BYTES > segments.segmentBytes) {
      return this.#refuse(source, ResponseCode.MESSAGE_ILLEGAL);
    }
    const waits =
      flushesSynchronously &&
      answerKind !== AnswerKind.NONE &&
      int32[(head + appendMessage.waitsForDisk) >> 2] === 1;
    // Room for the answer comes first: an append is not taken back.
    const answerBytes = appendAnswerMessage.totalBytes + recordCount * 8 + extraBytes;
    const answerRing = waits ? this.#waiting.producer : toReactor;
    let answer = 0;
    if (waits) answer = this.#waiting.claim(answerBytes);
    else if (answerKind !== AnswerKind.NONE)
      answer = toReactor.claim(MessageType.APPEND_ANSWER, answerBytes);
    if (answer === BACK_PRESSURED) return false;
    const batch = this.#batch;
    const isLong = !appendsPropertyCrc && recordsBytes >= LONG_BYTES_MIN;
    if (isLong ? batch.longBytes >= BATCH_LONG_BYTES : !this.#reserve(bytesMax)) return false;
    if (!this.#fits(bytesMax)) {
      // A segment ends when all of it is written.
      if (!batch.isEmpty || !this.#isIdle) return false;
      if (!this.#makeRoom(bytesMax)) {
        if (source.waitsForSpace || positions.load(PositionSlot.ALLOCATION_FAILED) === 0)
          return false;
        return this.#refuse(source, ResponseCode.SERVICE_NOT_AVAILABLE);
      }
    }

    const target = isLong ? records : batch.staging;
    const queueId = int32[(head + appendMessage.queueId) >> 2];
    const queues = this.#options.queueOffsets.of(
      int32[(head + appendMessage.topicId) >> 2],
      queueId,
    );
    const queueOffset = queues[queueId];
    const firstPosition = isLong ? at : batch.stagedBytes;
    const physicalStart = this.#appended - firstPosition;
    const offsetsIndex = (answer + appendAnswerMessage.totalBytes) >> 3;
    if (!isLong && !appendsPropertyCrc)
      batch.stage(records, at, at + recordsBytes, slotPool === null);
    let position = firstPosition;
    for (let index = 0; index < recordCount; index++) {
      const physicalOffset = physicalStart + position;
      if (answerKind !== AnswerKind.NONE) answerRing.float64[offsetsIndex + index] = physicalOffset;
      let hasCrc = false;
      if (appendsPropertyCrc) {
        const end = at + readInt32(records, at);
        records.copy(target, position, at, end);
        at = end;
        hasCrc = reservePropertyCrc(target, position);
      }
      stamp(target, position, queueOffset + index, physicalOffset, this.#lastTimestampMs);
      const totalBytes = readInt32(target, position);
      if (hasCrc) writePropertyCrc(target, position, totalBytes);
      position += totalBytes;
    }
    this.#appended += position - firstPosition;
    queues[queueId] = queueOffset + recordCount;
    if (isLong) batch.addLong(records.subarray(firstPosition, position), slotPool, slot);
    else {
      batch.stagedBytes = position;
      slotPool?.release(slot);
    }
    if (answerKind === AnswerKind.NONE) return true;
    writeAnswer(answerRing, answer, ring, ResponseCode.SUCCESS, queueOffset, recordCount);
    if (extraBytes > 0) {
      const extrasEnd = head + ring.payloadBytes;
      const extrasAt = answer + answerBytes - extraBytes;
      answerRing.int32[(answer + appendAnswerMessage.extraBytes) >> 2] = extraBytes;
      ring.bytes.copy(answerRing.bytes, extrasAt, extrasEnd - extraBytes, extrasEnd);
    }
    const arrivalMs = ring.float64[(head + appendMessage.arrivalMs) >> 3];
    if (waits) this.#waiting.commit(answer, answerBytes, this.#appended, arrivalMs);
    else {
      // What another thread writes may be answered some turns later.
      if (isLong) batch.arrivalsMs.push(arrivalMs);
      else latency.record(nowMs - arrivalMs);
      toReactor.commit(answerBytes);
    }
    return true;
  }

  /** Makes room for short records in the batch; false where it has to be written by another thread first. */
  #reserve(bytes: number): boolean {
    const batch = this.#batch;
    if (batch.reserve(bytes)) return true;
    if (batch.longBytes > 0 || !this.#isIdle) return false;
    batch.write(this.#segment as Segment, batch.start - this.#segmentBase);
    batch.clear(this.#appended);
    return batch.reserve(bytes);
  }

  /** Nothing is being written by another thread. */
  get #isIdle(): boolean {
    return this.#deferred === null || this.#deferred.isEmpty;
  }

  /** Whether so many bytes of records fit what is open. */
  #fits(recordsBytes: number): boolean {
    return (
      this.#segment !== null && this.#appended + recordsBytes + BLANK_BYTES <= this.#segmentEnd
    );
  }

  /** Opens the segment, or rolls to the next, so that so many bytes fit; false while there is none. */
  #makeRoom(recordsBytes: number): boolean {
    const { segments, positions, preparerDoorbell } = this.#options;
    const segmentBytes = segments.segmentBytes;
    if (this.#segment === null) {
      const base = this.#appended - (this.#appended % segmentBytes);
      return this.#openSegment(base) && (this.#fits(recordsBytes) || this.#makeRoom(recordsBytes));
    }
    const end = this.#segmentEnd;
    if (positions.load(PositionSlot.ALLOCATED) < end + segmentBytes) return false;
    const blank = this.#batch.staging;
    writeInt32(blank, end - this.#appended, 0);
    writeInt32(blank, BLANK_MAGIC, recordHead.magic);
    this.#segment.write(blank, 0, BLANK_BYTES, this.#appended - this.#segmentBase);
    this.#appended = end;
    this.#ended = end;
    this.#batch.start = end;
    positions.publish(PositionSlot.APPENDED_TIMESTAMP, this.#lastTimestampMs);
    positions.publish(PositionSlot.APPENDED, end);
    preparerDoorbell.ring();
    return this.#openSegment(end);
  }

  #openSegment(base: number): boolean {
    const { segments, positions } = this.#options;
    segments.forgetBelow(positions.load(PositionSlot.MINIMUM));
    const isAllocated = positions.load(PositionSlot.ALLOCATED) >= base + segments.segmentBytes;
    this.#segment = isAllocated ? segments.segmentAt(base) : null;
    this.#segmentBase = base;
    this.#segmentEnd = base + segments.segmentBytes;
    return this.#segment !== null;
  }

  /** Answers the message at the head without appending it. */
  #refuse(source: AppendSource, code: number): boolean {
    const { ring } = source;
    const { toReactor, latency } = this.#options;
    latency.recordFailure();
    const head = ring.payloadOffset;
    if (ring.int32[(head + appendMessage.answerKind) >> 2] !== AnswerKind.NONE) {
      const answer = toReactor.claim(MessageType.APPEND_ANSWER, appendAnswerMessage.totalBytes);
      if (answer === BACK_PRESSURED) return false;
      writeAnswer(toReactor, answer, ring, code, 0, 0);
      toReactor.commit(appendAnswerMessage.totalBytes);
    }
    if (ring.type !== MessageType.APPEND)
      poolOf(source).release(ring.int32[(head + appendMessage.totalBytes) >> 2]);
    this.#options.refusals.addSend(code);
    return true;
  }

  #answerFlushed(nowMs: number): number {
    const flushed = this.#options.positions.load(PositionSlot.FLUSHED);
    return this.#waiting.release(flushed, nowMs, this.#options.syncFlushTimeoutMs);
  }

  /** Writes what this turn appended and shows it, or has another thread write it. */
  #endBatch(nowMs: number): void {
    const { toReactor } = this.#options;
    if (this.#appended !== this.#ended) {
      const batch = this.#batch;
      batch.end = this.#appended;
      batch.timestampMs = this.#lastTimestampMs;
      this.#ended = this.#appended;
      if (this.#defer(batch)) return;
      if (!batch.isEmpty) batch.write(this.#segment as Segment, batch.start - this.#segmentBase);
      this.#publish(batch, nowMs);
      batch.clear(this.#appended);
    } else if (!this.#isIdle) return;
    toReactor.publish();
    this.#releaseRings();
  }

  /** Has another thread write a batch; false where it is for this one. */
  #defer(batch: AppendBatch): boolean {
    const { toReactor, sources } = this.#options;
    const deferred = this.#deferred;
    const segment = this.#segment as Segment;
    if (deferred === null || segment.beginWrite === undefined || batch.isEmpty) return false;
    if (!deferred.wants(batch)) return false;
    for (let index = 0; index < sources.length; index++)
      batch.takenPositions[index] = sources[index].ring.takenPosition;
    batch.answeredPosition = toReactor.committedPosition;
    deferred.add(batch, segment, batch.start - this.#segmentBase);
    this.#batch = this.#spareBatches.pop() ?? new AppendBatch(sources.length, null);
    this.#batch.clear(this.#appended);
    return true;
  }

  /** Who finds its ring consumed finds the records below `appended`. */
  #releaseRings(): void {
    const { sources } = this.#options;
    for (let index = 0; index < sources.length; index++) sources[index].ring.release();
  }

  /** Shows what other threads have written; returns how many batches. */
  #takeWritten(deferred: DeferredWrites, nowMs: number): number {
    const { toReactor, sources } = this.#options;
    let count = 0;
    for (let write = deferred.take(); write !== null; write = deferred.take()) {
      const { batch, error } = write;
      if (error === null && !this.#hasFailed) {
        this.#publish(batch, nowMs);
        toReactor.publishUntil(batch.answeredPosition);
        for (let index = 0; index < sources.length; index++)
          sources[index].ring.releaseUntil(batch.takenPositions[index]);
      }
      batch.clear(0);
      this.#spareBatches.push(batch);
      if (error !== null) throw error;
      count++;
    }
    return count;
  }

  /** Shows records that are written. */
  #publish(batch: AppendBatch, nowMs: number): void {
    const { positions, flusherDoorbell, dispatcherDoorbell, flushesSynchronously, latency } =
      this.#options;
    for (const arrivalMs of batch.arrivalsMs) latency.record(nowMs - arrivalMs);
    positions.publish(PositionSlot.APPENDED_TIMESTAMP, batch.timestampMs);
    positions.publish(PositionSlot.APPENDED, batch.end);
    if (!flushesSynchronously) dispatcherDoorbell?.ring();
    // Also where no sender waits: with synchronous flush consumers see only what is on disk.
    else {
      positions.publish(PositionSlot.SYNC_WANTED, batch.end);
      flusherDoorbell.ring();
    }
  }
}

const isAppend = (type: number): boolean =>
  type === MessageType.APPEND ||
  type === MessageType.APPEND_POOLED ||
  type === MessageType.APPEND_IN_FRAME;

/** Where the records of the message at the head are, which is no APPEND. */
function poolOf({ ring, pool, framePool }: AppendSource): LargeMessagePool {
  return ring.type === MessageType.APPEND_IN_FRAME ? (framePool as LargeMessagePool) : pool;
}

/** Fills the fields of a record that only the writer knows. */
function stamp(
  bytes: Buffer,
  start: number,
  queueOffset: number,
  physicalOffset: number,
  storeTimestampMs: number,
): void {
  const sysFlag = readInt32(bytes, start + recordHead.sysFlag);
  const transaction = sysFlag & SysFlag.TRANSACTION_MASK;
  const hasQueueOffset = transaction === 0 || transaction === SysFlag.TRANSACTION_COMMIT;
  writeLong(bytes, hasQueueOffset ? queueOffset : 0, start + recordHead.queueOffset);
  writeLong(bytes, physicalOffset, start + recordHead.physicalOffset);
  writeLong(bytes, storeTimestampMs, start + recordHead.totalBytes + bornHostBytes(sysFlag));
}

/** Fills the APPEND_ANSWER at `answer` for the append at the head of `source`; physical offsets are written apart. */
function writeAnswer(
  target: SpscRingProducer,
  answer: number,
  source: SpscRingConsumer,
  code: number,
  queueOffset: number,
  offsetCount: number,
): void {
  const head = source.payloadOffset;
  const from = source.int32;
  const to = target.int32;
  to[(answer + appendAnswerMessage.connectionId) >> 2] =
    from[(head + appendMessage.connectionId) >> 2];
  to[(answer + appendAnswerMessage.opaque) >> 2] = from[(head + appendMessage.opaque) >> 2];
  to[(answer + appendAnswerMessage.serializeType) >> 2] =
    from[(head + appendMessage.serializeType) >> 2];
  to[(answer + appendAnswerMessage.answerKind) >> 2] = from[(head + appendMessage.answerKind) >> 2];
  to[(answer + appendAnswerMessage.code) >> 2] = code;
  to[(answer + appendAnswerMessage.queueId) >> 2] = from[(head + appendMessage.answerQueueId) >> 2];
  target.float64[(answer + appendAnswerMessage.queueOffset) >> 3] = queueOffset;
  to[(answer + appendAnswerMessage.offsetCount) >> 2] = offsetCount;
  to[(answer + appendAnswerMessage.extraBytes) >> 2] = 0;
}
