/**
 * @agent dispatcher
 *
 * Transactions: half messages wait in RMQ_SYS_TRANS_HALF_TOPIC until their producer ends them.
 *
 * ```
 *  END_TRANSACTION ─▶ commit: the message on its real topic ┐
 *                     rollback                              ├─▶ op record: "this half is decided"
 *  no answer for long ─▶ check-back … ─▶ given up, moved    ┘
 * ```
 * A half is decided once, whoever says so again. What is decided is known from the op records, as in a
 * store of RocketMQ, and from commits that were stored without theirs. Op records follow within 100 ms, at
 * once where somebody waits for the answer to a rollback, which is then answered when that is stored; the first half that is undecided and the first op record that counts are kept as offsets of the group
 * CID_RMQ_SYS_TRANS. Nothing is written for a half that waits.
 *
 * Source: EndTransactionProcessor.java, TransactionalMessageServiceImpl.java, TransactionalMessageBridge.java.
 */
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { type DelayLevels, interceptDelay } from '../broker/delay-level.ts';
import { integerOf, objectOf } from '../broker/json-value.ts';
import { HalfProperties } from '../broker/half-properties.ts';
import { SystemTopic } from '../broker/resource-name.ts';
import { TimerKind } from '../broker/timed-delivery.ts';
import {
  hasTimer,
  interceptTimer,
  type TimerSettings,
  wantedDeliverMs,
} from '../broker/timer-message.ts';
import { TRANSACTION_ID_LENGTH_MAX } from '../broker/transaction-message.ts';
import { TransactionTable } from '../broker/transaction-table.ts';
import { keyIs } from '../protocol/byte-table.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import {
  decodeProperties,
  encodeProperties,
  PROPERTIES_BYTES_MAX,
  PropertyName,
} from '../protocol/message-properties.ts';
import { RecordKind, RecordView, SysFlag } from '../protocol/message-record.ts';
import { encodeRecord, fieldsOf, type RecordMove } from '../protocol/record-encoder.ts';
import { type Answer, serializeTypeOf } from '../protocol/remoting-command.ts';
import type { RequestScanner } from '../protocol/request-scanner.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { TimerEntry } from '../store/timer-heap.ts';
import type { AppendAnswer } from '../broker/control-effects.ts';
import type { AppendProxy } from './append-proxy.ts';
import type { PullCommits } from './pull-commits.ts';
import { readQueue } from './queue-records.ts';
import type { ReactorProxy } from './reactor-proxy.ts';
import type { HalfTimers } from './timer-service.ts';

export interface TransactionSettings {
  /** Age at which a half is asked about, unless it says so itself. */
  transactionTimeOut: number;
  transactionCheckInterval: number;
  transactionCheckMax: number;
}

export interface TransactionServiceOptions {
  segments: CommitLogSegments;
  positions: StorePositions;
  queue: (topic: string, queueId: number) => ConsumeQueue | undefined;
  topicIdOf: (topic: string) => number | undefined;
  /** The same by the bytes of a name. */
  topicIdAt: (bytes: Uint8Array, start: number, end: number) => number | undefined;
  toWriter: AppendProxy;
  toReactor: ReactorProxy;
  toControl: PullCommits;
  addTimer: (entry: TimerEntry) => void;
  settings: TransactionSettings;
  delayLevels: DelayLevels;
  timer: TimerSettings;
  fileReservedTimeMs: number;
  storeHost: Uint8Array;
  wallClock: WallClock;
  logger: Logger;
}

/** How far the group of the broker itself is. */
export interface TransactionOffsets {
  half: number;
  op: number;
}

const GROUP = 'CID_RMQ_SYS_TRANS';
const ROLLBACK = 12;
const COMMIT = 8;
/** An op record follows what it says within this time, or earlier where it is full. */
const OP_DELAY_MS = 100;
const OP_BYTES_MAX = 4096;
const OFFSETS_INTERVAL_MS = 1000;
const TOPIC_WAIT_MS = 100;

const NO_HALF = 'Find prepared transaction message failed';

const endNames = [
  'commitOrRollback',
  'tranStateTableOffset',
  'commitLogOffset',
  'producerGroup',
  'fromTransactionCheck',
  'transactionId',
].map((name) => Buffer.from(name));
const EndField = {
  decision: 0,
  halfOffset: 1,
  physicalOffset: 2,
  group: 3,
  fromCheck: 4,
  id: 5,
} as const;

const halfTopic = Buffer.from(SystemTopic.HALF);
const opProperties = Buffer.from('TAGS\x01d\x02');

export class TransactionService implements HalfTimers {
  readonly #options: TransactionServiceOptions;
  readonly #fields = new Int32Array(endNames.length);
  readonly #view = new RecordView();
  readonly #half = new HalfProperties();
  /** Where the half at hand goes when it is committed as it is. */
  readonly #move: RecordMove = {
    topicSource: halfTopic,
    topicStart: 0,
    topicEnd: 0,
    queueId: 0,
    sysFlag: 0,
    preparedTransactionOffset: 0,
  };
  #table = new TransactionTable(0, 0);
  /** Decided halves that no op record names yet, with commas between them. */
  #ops = '';
  #opsDueMs = Infinity;
  /** Originals of copies that were stored before `load`. */
  readonly #movedHalves: number[] = [];
  #isLoaded = false;
  /** Op records that still count: offset, and the highest half that each names. */
  readonly #opRecords: { offset: number; lastHalf: number }[] = [];
  #opEnd = 0;
  #nextOffsetsMs = 0;
  #wantsMark = false;
  /** Offsets to be told once everything before them is on disk. */
  #mark: (TransactionOffsets & { ringPosition: number; appended: number }) | null = null;

  constructor(options: TransactionServiceOptions) {
    this.#options = options;
  }

  /**
   * Finds out what is undecided. `stored`: how far the group was; `commits`: places of halves whose
   * commits recovery has read, in case their op records are missing.
   */
  load(stored: TransactionOffsets, commits: readonly number[]): void {
    this.#isLoaded = true;
    const { queue, segments } = this.#options;
    const halves = queue(SystemTopic.HALF, 0);
    if (halves === undefined) return;
    const first = Math.min(Math.max(stored.half, halves.minOffset), halves.maxOffset);
    this.#table = new TransactionTable(first, halves.maxOffset);
    const ops = queue(SystemTopic.OP_HALF, 0);
    if (ops !== undefined) {
      this.#opEnd = Math.max(stored.op, ops.minOffset);
      readQueue(ops, segments, this.#opEnd, (view) => this.onOpStored(view));
    }
    // Copies that were stored, and whose originals no op record names yet.
    for (const halfOffset of this.#movedHalves.splice(0))
      if (this.#table.decide(halfOffset)) this.#name(halfOffset, 0);
    for (const physicalOffset of commits) {
      const half = this.#readHalf(physicalOffset);
      // Named again, in case it was not: to be told twice does no harm.
      if (half !== null && this.#table.decide(half.queueOffset)) this.#name(half.queueOffset, 0);
    }
  }

  onStored(view: RecordView): void {
    this.#table.add(view.queueOffset);
    const { addTimer } = this.#options;
    const half = this.#half;
    half.read(view);
    if (half.movedFromStart >= 0 && !this.#isLoaded) {
      const movedFrom = view.buffer.toString('latin1', half.movedFromStart, half.movedFromEnd);
      this.#movedHalves.push(Number(movedFrom));
    }
    addTimer({
      fireMs: view.storeTimestampMs + this.#immunityMs(view),
      physicalOffset: view.physicalOffset,
      bytes: view.totalBytes,
      kind: TimerKind.HALF,
      tag: 0,
    });
  }

  /** An op record was stored, by whichever broker. */
  onOpStored(view: RecordView): void {
    const { bodyStart, bodyBytes } = view;
    let lastHalf = -1;
    for (const text of view.buffer
      .toString('latin1', bodyStart, bodyStart + bodyBytes)
      .split(',')) {
      if (!/^\d{1,15}$/.test(text)) continue;
      this.#table.decide(Number(text));
      lastHalf = Math.max(lastHalf, Number(text));
    }
    this.#opRecords.push({ offset: view.queueOffset, lastHalf });
    this.#opEnd = Math.max(this.#opEnd, view.queueOffset + 1);
  }

  /**
   * Copies a half that nobody has ended to the end of the log; false when there is no room. From now on
   * the copy is what its producer is asked about, and what can be ended.
   */
  move(half: RecordView): boolean {
    const { queueOffset } = half;
    if (!this.#table.isUndecided(queueOffset)) return true;
    const { topicIdOf, toWriter } = this.#options;
    const topicId = topicIdOf(SystemTopic.HALF);
    if (topicId === undefined) return false;
    const fields = fieldsOf(half);
    const properties = decodeProperties(Buffer.from(fields.properties).toString());
    properties.set(PropertyName.TRANSACTION_PREPARED_OFFSET, String(queueOffset));
    const text = Buffer.from(encodeProperties(properties));
    if (text.length <= PROPERTIES_BYTES_MAX) fields.properties = text;
    if (!toWriter.append({ topicId, queueId: 0, record: encodeRecord(fields) }, null)) return false;
    this.#decide(queueOffset);
    return true;
  }

  /**
   * END_TRANSACTION at which the scanner stands; false when there is no room to do what it says. Where the disk has
   * none it is refused: pulls behind it do not wait for space.
   */
  onEnd(connectionId: number, scanner: RequestScanner): boolean {
    if (this.#end(connectionId, scanner)) return true;
    if (this.#options.positions.hasRoom) return false;
    return this.#answer(connectionId, scanner, {
      code: ResponseCode.SERVICE_NOT_AVAILABLE,
      remark: 'the disk has no room: end it again later, or answer when asked',
    });
  }

  #end(connectionId: number, scanner: RequestScanner): boolean {
    const fields = this.#fields;
    scanner.locate(endNames, fields);
    const decision = scanner.integer(fields[EndField.decision], 0);
    // A producer that does not know yet is asked again later, and is not answered.
    if (decision !== COMMIT && decision !== ROLLBACK) return true;
    const answer = (code: number, remark: string): boolean =>
      this.#answer(connectionId, scanner, { code, remark });
    const physicalOffset = scanner.integer(fields[EndField.physicalOffset], -1);
    const half = this.#readHalf(physicalOffset);
    if (half === null) return answer(ResponseCode.SYSTEM_ERROR, NO_HALF);
    this.#half.read(half);
    if (!this.#isOf(half, scanner, fields[EndField.group]))
      return answer(ResponseCode.SYSTEM_ERROR, 'The producer group wrong');
    if (half.queueOffset !== scanner.integer(fields[EndField.halfOffset], -1))
      return answer(ResponseCode.SYSTEM_ERROR, 'The transaction state table offset wrong');
    // A loss of power may have given the place of a half that it took to another one.
    if (!this.#isNamed(half, scanner, fields[EndField.id]))
      return answer(ResponseCode.SYSTEM_ERROR, 'The transaction id wrong');
    if (this.#half.immunityStart >= 0 && !scanner.isTrue(fields[EndField.fromCheck])) {
      const ageMs = this.#options.wallClock.nowMs() - half.storeTimestampMs;
      if (ageMs > this.#immunityMs(half))
        return answer(ResponseCode.ILLEGAL_OPERATION, 'the time to end it is over: wait for check');
    }
    const { queueOffset } = half;
    const answerTo = this.#answerTo(connectionId, scanner);
    if (!this.#table.isUndecided(queueOffset)) {
      // Its copy may stand for it, about which its producer is asked: as once this part of the log has gone.
      if (physicalOffset < this.#options.positions.load(PositionSlot.WANTED_MINIMUM))
        return answer(ResponseCode.SYSTEM_ERROR, NO_HALF);
      // Perhaps by a rollback that nobody waited for: what is decided is stored before it is said again.
      if (answerTo !== null && this.#ops !== '') return this.#storeOps(answerTo);
      return this.#answer(connectionId, scanner, { code: ResponseCode.SUCCESS });
    }
    if (decision === ROLLBACK) return this.#rollBack(queueOffset, answerTo);
    const fault = this.#commit(half, answerTo);
    if (fault === 'no room') return false;
    if (fault !== null) return answer(ResponseCode.SYSTEM_ERROR, fault);
    this.#decide(queueOffset);
    return true;
  }

  /** A half was not ended in time: asks its producer, or gives it up; false when there is no room. */
  onDue(entry: Readonly<TimerEntry>): boolean {
    const half = this.#readHalf(entry.physicalOffset);
    if (half === null || !this.#table.isUndecided(half.queueOffset)) return true;
    const { settings, wallClock, toControl, addTimer, fileReservedTimeMs } = this.#options;
    const nowMs = wallClock.nowMs();
    const checkTimes = entry.tag;
    const { physicalOffset, bytes } = entry;
    if (
      checkTimes >= settings.transactionCheckMax ||
      nowMs - half.storeTimestampMs > fileReservedTimeMs
    )
      return this.#giveUp(half, entry);
    if (!toControl.checkHalf(physicalOffset, checkTimes + 1)) return false;
    addTimer({
      fireMs: nowMs + settings.transactionCheckInterval,
      physicalOffset,
      bytes,
      kind: TimerKind.HALF,
      tag: checkTimes + 1,
    });
    return true;
  }

  /** Stores op records and tells offsets when it is time; returns the work done. */
  doWork(nowMs: number): number {
    const work = this.#ops !== '' && this.#opsDueMs <= this.#options.wallClock.nowMs() ? 1 : 0;
    if (work > 0) this.storeOps();
    if (nowMs >= this.#nextOffsetsMs) this.#tellOffsets(nowMs);
    return work;
  }

  /** By the wall clock. */
  nextDueMs(): number {
    return this.#opsDueMs;
  }

  /** Stores which halves were decided; false when there is no room. */
  storeOps(): boolean {
    return this.#ops === '' || this.#storeOps(null);
  }

  #storeOps(answerTo: AppendAnswer | null): boolean {
    const { topicIdOf, toWriter, storeHost, wallClock } = this.#options;
    const topicId = topicIdOf(SystemTopic.OP_HALF);
    if (topicId === undefined) return false;
    const record = encodeRecord({
      topic: SystemTopic.OP_HALF,
      queueId: 0,
      flag: 0,
      sysFlag: 0,
      bornTimestampMs: wallClock.nowMs(),
      bornHost: storeHost,
      storeHost,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: Buffer.from(this.#ops),
      properties: opProperties,
    });
    if (!toWriter.append({ topicId, queueId: 0, record }, answerTo)) return false;
    this.#ops = '';
    this.#opsDueMs = Infinity;
    // All that is decided is named now: a moment to say how far that goes.
    if (this.#wantsMark) this.#takeMark();
    return true;
  }

  #answer(connectionId: number, scanner: RequestScanner, answer: Answer): boolean {
    if (scanner.isOneway) return true;
    const serializeType = serializeTypeOf(scanner.serializeType);
    return this.#options.toReactor.answer(
      connectionId,
      { opaque: scanner.opaque, serializeType },
      answer,
    );
  }

  /** The half at a place of the log; null where there is none. */
  #readHalf(physicalOffset: number): RecordView | null {
    const { segments, positions } = this.#options;
    const end = positions.load(PositionSlot.DISPATCHED);
    if (!(physicalOffset >= positions.load(PositionSlot.MINIMUM) && physicalOffset < end))
      return null;
    const segment = segments.segmentAt(physicalOffset);
    if (segment === null) return null;
    const at = physicalOffset % segments.segmentBytes;
    const limit = Math.min(segments.segmentBytes, end - (physicalOffset - at));
    const view = this.#view;
    if (view.read(segment.bytes, at, limit, false) !== RecordKind.MESSAGE) return null;
    const { topicStart, topicBytes } = view;
    const isHalf =
      view.physicalOffset === physicalOffset &&
      view.propertiesBytes <= PROPERTIES_BYTES_MAX &&
      keyIs(halfTopic, segment.bytes, topicStart, topicStart + topicBytes);
    return isHalf ? view : null;
  }

  /** Whether the half at hand was sent by the group that a field names. */
  #isOf(half: RecordView, scanner: RequestScanner, field: number): boolean {
    const { groupStart, groupEnd } = this.#half;
    if (field < 0 || groupStart < 0) return false;
    return fieldIs(scanner, field, half.buffer, groupStart, groupEnd);
  }

  /** Whether a field names the transaction of the half at hand, or one of both does not say it. */
  #isNamed(half: RecordView, scanner: RequestScanner, field: number): boolean {
    const { idStart, idEnd } = this.#half;
    if (field < 0 || scanner.valueEnd[field] === scanner.valueStart[field]) return true;
    // The answer cut a longer one off.
    if (idStart < 0 || idEnd - idStart > TRANSACTION_ID_LENGTH_MAX) return true;
    return fieldIs(scanner, field, half.buffer, idStart, idEnd);
  }

  /** Time in which nobody is asked about the half at hand. */
  #immunityMs(half: RecordView): number {
    const { immunityStart, immunityEnd } = this.#half;
    const { transactionTimeOut } = this.#options.settings;
    if (immunityStart < 0) return transactionTimeOut;
    const text = half.buffer.toString('latin1', immunityStart, immunityEnd);
    return immunityMs(text, transactionTimeOut);
  }

  /** Whom an append answers; null where nobody waits. */
  #answerTo(connectionId: number, scanner: RequestScanner): AppendAnswer | null {
    if (scanner.isOneway) return null;
    const serializeType = serializeTypeOf(scanner.serializeType);
    const request = { code: RequestCode.END_TRANSACTION, opaque: scanner.opaque, serializeType };
    return { connectionId, request };
  }

  /** False when there is no room; then nothing is decided. */
  #rollBack(halfOffset: number, answerTo: AppendAnswer | null): boolean {
    const opsBefore = this.#ops;
    const opsDueMsBefore = this.#opsDueMs;
    this.#name(halfOffset, this.#options.wallClock.nowMs());
    if (answerTo !== null && !this.#storeOps(answerTo)) {
      this.#ops = opsBefore;
      this.#opsDueMs = opsDueMsBefore;
      return false;
    }
    this.#table.decide(halfOffset);
    return true;
  }

  /** Stores the message where it belongs; what is wrong, or null. */
  #commit(half: RecordView, answerTo: AppendAnswer | null): string | null {
    const found = this.#half;
    const move = this.#move;
    const { buffer } = half;
    const { queueId, topicStart, topicEnd } = found;
    const isNowhere =
      topicStart < 0 || queueId < 0 || keyIs(halfTopic, buffer, topicStart, topicEnd);
    if (isNowhere) return 'the message does not say where it belongs';
    const sysFlag = (half.sysFlag & ~SysFlag.TRANSACTION_MASK) | SysFlag.TRANSACTION_COMMIT;
    if (found.isForLater) return this.#commitForLater(half, sysFlag, answerTo);
    const topicId = this.#options.topicIdAt(buffer, topicStart, topicEnd);
    if (topicId === undefined) return goneTopic(buffer.toString('utf8', topicStart, topicEnd));
    move.topicSource = buffer;
    move.topicStart = topicStart;
    move.topicEnd = topicEnd;
    move.queueId = queueId;
    move.sysFlag = sysFlag;
    move.preparedTransactionOffset = half.physicalOffset;
    return this.#options.toWriter.appendMoved(half, move, topicId, answerTo) ? null : 'no room';
  }

  /** Stores a message that has a delay or a time besides, where it waits for that. */
  #commitForLater(half: RecordView, sysFlag: number, answerTo: AppendAnswer | null): string | null {
    const { topicIdOf, toWriter, delayLevels, timer, wallClock } = this.#options;
    const { queueId, topicStart, topicEnd } = this.#half;
    const real = { topic: half.buffer.toString('utf8', topicStart, topicEnd), queueId };
    const fields = fieldsOf(half);
    const properties = decodeProperties(Buffer.from(fields.properties).toString());
    let destination = interceptDelay(real, properties, delayLevels);
    const deliverMs =
      destination === real && hasTimer(properties)
        ? wantedDeliverMs(properties, wallClock, timer)
        : null;
    if (deliverMs !== null && !Number.isNaN(deliverMs))
      destination = interceptTimer(real, properties, deliverMs);
    fields.properties = Buffer.from(encodeProperties(properties));
    if (fields.properties.length > PROPERTIES_BYTES_MAX)
      return 'the properties of the message and its time are too long together';
    const topicId = topicIdOf(destination.topic);
    if (topicId === undefined) return goneTopic(real.topic);
    const preparedTransactionOffset = half.physicalOffset;
    const record = encodeRecord({ ...fields, ...destination, sysFlag, preparedTransactionOffset });
    const draft = { topicId, queueId: destination.queueId, record };
    return toWriter.append(draft, answerTo) ? null : 'no room';
  }

  /** Moves a half to where an administrator finds it; false when there is no room. */
  #giveUp(half: RecordView, entry: Readonly<TimerEntry>): boolean {
    const { topicIdOf, toWriter, toControl, addTimer, logger, wallClock } = this.#options;
    const topic = SystemTopic.TRANSACTION_CHECK_MAX_TIME;
    const topicId = topicIdOf(topic);
    const { physicalOffset, queueOffset } = half;
    if (topicId === undefined) {
      // The first of all: control makes the topic, and the half is looked at again.
      if (!toControl.checkHalf(physicalOffset, 0)) return false;
      addTimer({ ...entry, fireMs: wallClock.nowMs() + TOPIC_WAIT_MS });
      return true;
    }
    const record = encodeRecord({ ...fieldsOf(half), topic, queueId: 0 });
    if (!toWriter.append({ topicId, queueId: 0, record }, null)) return false;
    logger.warn(
      { physicalOffset, queueOffset },
      `transaction given up after transactionCheckMax checks, or fileReservedTime: moved to ${topic}`,
    );
    this.#decide(queueOffset);
    return true;
  }

  #decide(halfOffset: number): void {
    this.#table.decide(halfOffset);
    this.#name(halfOffset, this.#options.wallClock.nowMs());
  }

  /** Has the next op record name a half. */
  #name(halfOffset: number, nowMs: number): void {
    if (this.#ops === '') this.#opsDueMs = nowMs + OP_DELAY_MS;
    this.#ops += `${halfOffset},`;
    if (this.#ops.length > OP_BYTES_MAX - 20) this.#opsDueMs = nowMs;
  }

  /** Has control keep how far all is decided, once what says so is on disk. */
  #tellOffsets(nowMs: number): void {
    const { positions, toWriter, toControl } = this.#options;
    this.#nextOffsetsMs = nowMs + OFFSETS_INTERVAL_MS;
    const mark = this.#mark;
    if (mark === null) {
      this.#wantsMark = true;
      if (this.#ops === '') this.#takeMark();
    } else if (mark.appended === Infinity) {
      if (toWriter.ring.isConsumed(mark.ringPosition))
        mark.appended = positions.load(PositionSlot.APPENDED);
    } else if (positions.load(PositionSlot.FLUSHED) >= mark.appended) {
      this.#mark = null;
      if (mark.half > 0) toControl.commit(GROUP, SystemTopic.HALF, 0, mark.half);
      if (mark.op > 0) toControl.commit(GROUP, SystemTopic.OP_HALF, 0, mark.op);
    }
  }

  #takeMark(): void {
    const half = this.#table.firstUndecided();
    while (this.#opRecords.length > 0 && this.#opRecords[0].lastHalf < half)
      this.#opRecords.shift();
    // Op records that are on their way are behind all that are here.
    const op = this.#opRecords[0]?.offset ?? this.#opEnd;
    const ringPosition = this.#options.toWriter.ring.committedPosition;
    this.#mark = { half, op, ringPosition, appended: Infinity };
    this.#wantsMark = false;
  }
}

/** Whether a field's text is `bytes[start, end)`. */
function fieldIs(
  scanner: RequestScanner,
  field: number,
  bytes: Buffer,
  start: number,
  end: number,
): boolean {
  if (scanner.valueEscaped[field] === 1)
    return bytes.toString('utf8', start, end) === scanner.text(field);
  const valueStart = scanner.valueStart[field];
  const count = end - start;
  if (scanner.valueEnd[field] - valueStart !== count) return false;
  for (let index = 0; index < count; index++)
    if (bytes[start + index] !== scanner.bytes[valueStart + index]) return false;
  return true;
}

/** How far a stored `consumerOffset.json` says that the group was. */
export function transactionOffsets(text: string | undefined): TransactionOffsets {
  // It is mostly not there, and the file may be megabytes.
  const isNamed = text?.includes(GROUP) === true;
  const root = isNamed ? objectOf(parseFastjson(text)) : null;
  const table = objectOf(root?.['offsetTable']);
  const offsetOf = (topic: string): number =>
    Math.max(0, integerOf(objectOf(table?.[`${topic}@${GROUP}`])?.['0'], 0));
  return { half: offsetOf(SystemTopic.HALF), op: offsetOf(SystemTopic.OP_HALF) };
}

/** TransactionalMessageUtil.getImmunityTime: -1 and what is no number stand for the usual time. */
function immunityMs(text: string | undefined, transactionTimeOut: number): number {
  const seconds = text !== undefined && /^-?\d{1,10}$/.test(text) ? Number(text) : -1;
  return seconds === -1 ? transactionTimeOut : seconds * 1000;
}

const goneTopic = (topic: string): string =>
  `the topic ${topic} of the message does not exist any more`;
