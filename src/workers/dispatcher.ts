/**
 * @agent dispatcher
 *
 * Owns the ConsumeQueues and the index: builds them from the log, serves pulls and queries from
 * them, and delivers delayed messages when they are due. It writes its files in batches and leaves
 * the waiting for the disk to the flusher.
 */
import type { DelayDelivery, DelayMark } from '../broker/delay-delivery.ts';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import { RequestCode } from '../protocol/codes.ts';
import {
  decodeFrame,
  encodeAnswer,
  FLAG_ONEWAY,
  FLAG_RESPONSE,
} from '../protocol/remoting-command.ts';
import { type Agent } from '../ring/agent.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import { PartAssembler, type QueuedProducer } from '../ring/queued-producer.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import type { ConsumeQueueStore } from '../store/consume-queue-store.ts';
import { throwUnlessNoSpace, unlessReadOnly } from '../store/file-calls.ts';
import type { IndexStore } from '../store/index-store.ts';
import { ClosingState, PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { AppendProxy } from './append-proxy.ts';
import { FrameReader } from './frame-proxy.ts';
import type { PullCommits } from './pull-commits.ts';
import type { PullService } from './pull-service.ts';
import type { BrokerStatistics } from './broker-statistics.ts';
import type { QuestionDesk } from './question-desk.ts';
import type { QueueQueries } from './queue-queries.ts';
import type { ReactorProxy } from './reactor-proxy.ts';
import type { RecordMover } from './record-mover.ts';
import type { RecordDispatcher } from './record-dispatcher.ts';
import {
  type AskedQuestion,
  type FlusherTask,
  flusherTaskPayload,
  MessageType,
  type Snapshot,
} from './ring-messages.ts';
import type { TimerService } from './timer-service.ts';
import type { QueueState, TopicStates } from './topic-state.ts';
import type { TransactionService } from './transaction-service.ts';

export interface DispatcherOptions {
  /** From control: snapshots, and code 14 questions. Read before requests. */
  control: SpscRingConsumer;
  /** From the reactor: pulls and queries. */
  requests: SpscRingConsumer;
  requestPool: LargeMessagePool;
  toReactor: ReactorProxy;
  commits: PullCommits;
  toWriter: AppendProxy;
  toFlusher: QueuedProducer;
  /** Units of queues, for their files. */
  toQueueWriter: QueuedProducer;
  positions: StorePositions;
  /** What consumers may see: APPENDED, or FLUSHED where the broker flushes synchronously. */
  readableSlot: typeof PositionSlot.APPENDED | typeof PositionSlot.FLUSHED;
  consumeQueues: ConsumeQueueStore;
  index: IndexStore | null;
  topics: TopicStates;
  records: RecordDispatcher;
  pulls: PullService;
  queries: QueueQueries;
  desk: QuestionDesk;
  statistics: BrokerStatistics;
  delays: DelayDelivery;
  timers: TimerService;
  transactions: TransactionService;
  mover: RecordMover;
  delayOffsetsPath: string;
  queueSnapshotPath: string;
  /** What the file there says; -1 where the queues were not taken from it. */
  snapshotPosition: number;
  wallNowMs: () => number;
  logger: Logger;
  /** Closes what this agent has mapped below a position of the log. */
  forgetBelow: (minimum: number) => void;
  /** Lets go of what it has mapped of a part of the log. */
  unmapPages: (from: number, to: number) => void;
}

/** Records dispatched in one turn, before requests are looked at again. */
const RECORDS_PER_TURN = 2000;
const WRITE_INTERVAL_MS = 1000;
/** Files named to the flusher at once: 10,000 of them in one message would be a pause of their own. */
const PATHS_PER_TASK = 512;
/** Every so many writes, files are synced and the checkpoint moves. */
const WRITES_PER_SYNC = 2;
/** The same where many queues have something to write, and a round is for some of them. */
const PARTIAL_WRITES_PER_SYNC = 4;
/** Time without a new record after which all queues are written, however many. */
const IDLE_MS = 10_000;
/** Looks for queues that give their memory back, in one turn, see RESTS_PER_WRITE of the store. */
const RESTS_PER_TURN = 1;
/** A start with so few queues finds their ends at their files, 0.05 ms each. */
const SNAPSHOT_QUEUE_COUNT_MIN = 1000;
/** Log that a start looks through again because queues were stored no later: 0.1 s. */
const SNAPSHOT_LOG_BYTES = 64 * 1024 * 1024;
/** Queues whose remains of a crash are cleared at once, 0.06 ms each, and the time between. */
const SETTLES_PER_TURN = 2;
const SETTLE_INTERVAL_MS = 3;
/** Queues written, or looked at after a crash, in each turn while the broker stops, and the time for all of them. */
const CLOSING_QUEUES_PER_TURN = 64;
/** Let go of at once: 2,048 pages. */
const UNMAPPED_BYTES_PER_TURN = 8 * 1024 * 1024;
const CLOSING_MS_MAX = 5000;
const DELAY_OFFSETS_INTERVAL_MS = 5000;
/** Nobody wakes this agent when there is space for timers again. */
const NO_SPACE_RETRY_MS = 100;

type SyncedPositions = Omit<Extract<FlusherTask, { kind: 'sync' }>, 'kind' | 'paths'>;

type DerivedKind = 'consume queues' | 'timers';

export class Dispatcher implements Agent {
  readonly name = 'dispatcher';
  readonly #options: DispatcherOptions;
  readonly #frame: FrameReader;
  readonly #assembler = new PartAssembler();
  #news: QueueState[] = [];
  /** Came this turn; answered once the records of the turn are dispatched. */
  readonly #questions: AskedQuestion[] = [];
  #nextWriteMs = 0;
  /** The first write syncs at once: what recovery has rebuilt is not rebuilt again after the next crash. */
  #writeCount = WRITES_PER_SYNC - 1;
  #isStale = true;
  /** What could not be written for want of space. */
  readonly #full = new Set<DerivedKind>();
  /** Where the log ended when the last round began, and when it last went on. */
  #lastEnd = -1;
  #busyMs = 0;
  /** Batches that the queue writer was given. */
  #batchCount = 0;
  #isClosing = false;
  #closingEndMs = Infinity;
  /** What the flusher was told last that the files hold once they are synced; null before the first time. */
  #synced: SyncedPositions | null = null;
  /** A round of writes that goes on: what was dispatched when it began. */
  #round: { position: number; timestampMs: number; isAll: boolean } | null = null;
  /** What of the log has gone is followed from the first turn on. */
  #minimum = -1;
  /** Store timestamp of the last record that was dispatched before this run. */
  readonly #startTimestampMs: number;
  /** Where the queues stood that were stored last; -1 where none were, or some of them are gone. */
  #snapshotPosition: number;
  #nextSettleMs = 0;
  #nextDelayOffsetsMs = 0;
  #nextDelayMs = 0;
  #nextTimerMs = 0;
  /** Where the delays stood, and what of them the writer had to take. */
  #delayMark: { mark: DelayMark; ringPosition: number };

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#frame = new FrameReader(options.requestPool);
    this.#snapshotPosition = options.snapshotPosition;
    this.#startTimestampMs = options.positions.load(PositionSlot.APPENDED_TIMESTAMP);
    const { delays, toWriter } = options;
    this.#delayMark = { mark: delays.takeMark(), ringPosition: toWriter.ring.committedPosition };
  }

  doWork(nowMs: number): number {
    const {
      positions,
      records,
      pulls,
      delays,
      timers,
      toReactor,
      commits,
      toWriter,
      toFlusher,
      toQueueWriter,
      readableSlot,
      statistics,
    } = this.#options;
    // A client that has the answer to its heartbeat or send asks with that in mind: what came before a
    // request, snapshots and records, is taken in before it.
    const requestsEnd = this.#options.requests.publishedEnd;
    // What a record relies on, a topic deleted and made again, was told before it was stored.
    const readable = positions.load(readableSlot);
    let work = this.#drainControl();
    timers.followClock();
    const dispatched = records.dispatch(readable, RECORDS_PER_TURN);
    if (dispatched > 0) {
      work += dispatched;
      this.#isStale = true;
      if (this.#isClosing) this.#nextWriteMs = 0;
      positions.publish(PositionSlot.DISPATCHED, records.position);
    }
    if (this.#questions.length > 0) this.#answerQuestions();
    work += this.#drainRequests(nowMs, requestsEnd);
    work += this.#wakePulls() + pulls.expire(nowMs);
    // What is due while the broker stops is delivered after its next start, and only then; and what is due
    // at the start, when topics are known, and the writer knows where their queues go on.
    const mayDeliver = positions.load(PositionSlot.RECOVERY_TOLD) === 1 && !this.#isClosing;
    if (mayDeliver) {
      work += delays.doWork();
      this.#nextDelayMs = nowMs + Math.max(0, delays.nextDueMs() - this.#options.wallNowMs());
    }
    work += this.#runTimers(nowMs, mayDeliver);
    if (nowMs >= this.#nextWriteMs) statistics.sample(nowMs);
    if (this.#options.wallNowMs() >= statistics.nextDayMs) statistics.beginDay();
    // Not in the middle of a round: it writes the queues that it began with.
    if (this.#round === null && !this.#options.consumeQueues.isHandedOver)
      work += this.#followMinimum();
    if (this.#round !== null || nowMs >= this.#nextWriteMs) work += this.#write(nowMs);
    if (nowMs >= this.#nextDelayOffsetsMs || this.#isClosing) this.#storeDelayOffsets(nowMs);
    if (nowMs >= this.#nextSettleMs) this.#settle(nowMs);
    work += this.#unmapPages();
    work += commits.flush();
    toFlusher.flush();
    toQueueWriter.flush();
    this.#tellDeleted();
    if (this.#isClosing) work += this.#finish(nowMs);
    toWriter.publish();
    toReactor.publish();
    return work;
  }

  nextDeadlineMs(): number {
    // The queue writer rings when it is done.
    const { isHandedOver } = this.#options.consumeQueues;
    const nextWriteMs = isHandedOver ? Infinity : this.#round === null ? this.#nextWriteMs : 0;
    return Math.min(
      this.#options.pulls.nextDeadlineMs(),
      nextWriteMs,
      this.#nextSettleMs,
      this.#nextDelayMs,
      this.#nextTimerMs,
    );
  }

  nextWallDeadlineMs(): number {
    const { delays, timers, transactions, statistics } = this.#options;
    return Math.min(
      delays.nextDueMs(),
      timers.nextDueMs(),
      transactions.nextDueMs(),
      statistics.nextDayMs,
    );
  }

  /** Writes what is left, and from now on with every turn that dispatches. */
  prepareClose(): void {
    this.#isClosing = true;
    this.#options.transactions.storeOps();
    this.#options.timers.prepareClose();
    this.#nextDelayMs = Infinity;
    this.#isStale = true;
    this.#round = null;
    this.#nextWriteMs = 0;
  }

  close(): void {
    const { timers, consumeQueues, index } = this.#options;
    // What can not be stored any more the next start derives from the log.
    unlessReadOnly(() => {
      timers.close();
      consumeQueues.close();
      index?.close();
    });
  }

  #drainControl(): number {
    const ring = this.#options.control;
    let count = 0;
    while (ring.peek()) {
      const type = ring.type;
      const payload = this.#assembler.take(ring);
      if (payload !== null) {
        if (type === MessageType.SNAPSHOT)
          this.#onSnapshot(JSON.parse(payload.toString()) as Snapshot);
        else this.#questions.push(JSON.parse(payload.toString()) as AskedQuestion);
      }
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }

  #onSnapshot(snapshot: Snapshot): void {
    const { topics, statistics, pulls } = this.#options;
    if (snapshot.kind === 'settings') {
      pulls.change(snapshot);
      return;
    }
    topics.apply(snapshot);
    if (snapshot.kind === 'topicDeleted') {
      statistics.onTopicDeleted(snapshot.topic);
      this.#snapshotPosition = -1;
    }
    if (snapshot.kind === 'group' && !snapshot.exists) statistics.onGroupDeleted(snapshot.group);
  }

  #answerQuestions(): void {
    const { desk, toReactor } = this.#options;
    for (const asked of this.#questions.splice(0)) {
      const frame = encodeAnswer(asked, desk.answer(asked.question));
      toReactor.queueBytes(asked.connectionId, frame);
    }
  }

  #drainRequests(nowMs: number, end: number): number {
    const ring = this.#options.requests;
    const frame = this.#frame;
    let count = 0;
    while (ring.peekBefore(end)) {
      frame.read(ring);
      if (!this.#onRequest(nowMs)) break;
      frame.free();
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }

  #onRequest(nowMs: number): boolean {
    const { pulls, queries, toReactor } = this.#options;
    const frame = this.#frame;
    const scanner = pulls.scanner;
    if (!scanner.scan(frame.bytes, frame.start, frame.end))
      return toReactor.closeConnection(frame.connectionId);
    if (
      scanner.code === RequestCode.PULL_MESSAGE ||
      scanner.code === RequestCode.LITE_PULL_MESSAGE
    ) {
      return pulls.onPull(frame, nowMs);
    }
    if (scanner.code === RequestCode.END_TRANSACTION)
      return this.#options.transactions.onEnd(frame.connectionId, scanner);
    try {
      const request = decodeFrame(frame.bytes.subarray(frame.start, frame.end));
      if ((request.flag & (FLAG_ONEWAY | FLAG_RESPONSE)) !== 0) return true;
      return toReactor.answer(frame.connectionId, request, queries.answer(request));
    } catch (error) {
      if (BrokerError.is(error)) return true;
      throw error;
    }
  }

  /** Reads again for pulls at queues with new messages; what finds no room stays for the next turn. */
  #wakePulls(): number {
    const fresh = this.#options.records.takeNews();
    if (fresh.length > 0) this.#news = this.#news.length === 0 ? fresh : [...this.#news, ...fresh];
    if (this.#news.length === 0) return 0;
    const news = this.#news;
    this.#news = [];
    for (const queue of news) {
      if (!this.#options.pulls.onNews(queue)) this.#news.push(queue);
    }
    return news.length - this.#news.length;
  }

  /**
   * Writes buffered units and entries, some of them in each turn; now and then has the flusher sync them
   * and move the checkpoint. Returns 1 while there is more to write.
   */
  #write(nowMs: number): number {
    const { consumeQueues, index, records, toQueueWriter } = this.#options;
    if (consumeQueues.isHandedOver && !this.#takeOutcome(nowMs)) return 0;
    if (this.#round === null) {
      this.#nextWriteMs = nowMs + WRITE_INTERVAL_MS;
      if (!this.#isStale) return 0;
      // The checkpoint must not pass what was decided and is named nowhere.
      if (!this.#options.transactions.storeOps()) return 0;
      if (records.position !== this.#lastEnd) {
        this.#lastEnd = records.position;
        this.#busyMs = nowMs;
      }
      // With nothing else to do for a while all that waits is written.
      const isIdle = nowMs - this.#busyMs >= IDLE_MS;
      const end = this.#isClosing || isIdle ? Infinity : records.position;
      this.#round = this.#holdsAfter(Math.min(consumeQueues.startRound(end), records.position));
    }
    const { position, timestampMs, isAll } = this.#round;
    try {
      // While the broker stops nobody waits for this thread.
      const batch = this.#isClosing ? null : consumeQueues.handOver();
      if (batch !== null) {
        this.#batchCount++;
        toQueueWriter.offer(MessageType.QUEUE_WRITES, batch);
        return 1;
      }
      if (!consumeQueues.continueRound(this.#isClosing ? CLOSING_QUEUES_PER_TURN : RESTS_PER_TURN))
        return 1;
      this.#round = null;
      index?.writePending();
    } catch (error) {
      this.#round = null;
      this.#onNoSpace(error, 'consume queues');
      // A stop waits for no space.
      if (this.#isClosing) this.#closingEndMs = nowMs;
      return 0;
    }
    this.#onSpace('consume queues');
    // What waits would have to be looked through anyway: the files of a few queues need no sync of their own.
    const writesPerSync = isAll ? WRITES_PER_SYNC : PARTIAL_WRITES_PER_SYNC;
    if (++this.#writeCount < writesPerSync && !this.#isClosing) return 0;
    this.#writeCount = 0;
    // What was dispatched since the round began waits for the next one.
    this.#isStale = records.position !== position;
    this.#synced = {
      dispatchedPosition: position,
      logicsTimestampMs: timestampMs,
      indexTimestampMs: index?.lastIndexed.timestampMs ?? 0,
    };
    this.#syncUnsynced(this.#synced);
    this.#storeQueues(position);
    return 0;
  }

  /** What the queue writer has made of its batch; false while it has not, or had no space for it. */
  #takeOutcome(nowMs: number): boolean {
    const { consumeQueues, positions } = this.#options;
    if (positions.load(PositionSlot.QUEUE_BATCHES_DONE) < this.#batchCount) return false;
    if (positions.load(PositionSlot.QUEUE_BATCH_REFUSED) === this.#batchCount) {
      consumeQueues.giveBack();
      this.#round = null;
      this.#nextWriteMs = nowMs + WRITE_INTERVAL_MS;
      this.#onNoSpace(
        new BrokerError('STORE_NO_SPACE', 'no space left on the disk'),
        'consume queues',
      );
      return false;
    }
    consumeQueues.confirm();
    // The last sync is one for all: each may write everything that the file system has not written.
    if (!this.#isClosing && consumeQueues.unsyncedCount >= PATHS_PER_TASK)
      this.#syncUnsynced(this.#synced);
    return true;
  }

  /** The queue writer looks several times a second. */
  #tellDeleted(): void {
    const { consumeQueues, positions } = this.#options;
    const { deletedCount } = consumeQueues;
    if (positions.load(PositionSlot.TOPICS_DELETED) !== deletedCount)
      positions.publish(PositionSlot.TOPICS_DELETED, deletedCount);
  }

  /** Now and then stores where all queues stand, once they are many. */
  #storeQueues(position: number): void {
    const { consumeQueues, records, toFlusher, queueSnapshotPath: path } = this.#options;
    if (consumeQueues.queueCount < SNAPSHOT_QUEUE_COUNT_MIN) return;
    // Files are going that it would speak of.
    if (consumeQueues.isExpiring && !this.#isClosing) return;
    const isDue =
      this.#snapshotPosition < 0 || position - this.#snapshotPosition >= SNAPSHOT_LOG_BYTES;
    if (!(isDue || this.#isClosing) || position === this.#snapshotPosition) return;
    this.#snapshotPosition = position;
    const end = records.position;
    const bytes = consumeQueues.snapshot(position, end);
    const task: FlusherTask = { kind: 'queues', path, bytes, afterFlushed: end };
    toFlusher.offer(MessageType.FLUSHER_TASK, flusherTaskPayload(task));
  }

  /**
   * While the broker stops: says that all derived files are whole once the flusher has its last task, so
   * that another broker may rely on them, or that they will not be. A stop does not wait for as long as tens
   * of thousands of queues take on a slow disk: they are built from the log again.
   */
  #finish(nowMs: number): number {
    const { consumeQueues, positions, toFlusher } = this.#options;
    this.#closingEndMs = Math.min(this.#closingEndMs, nowMs + CLOSING_MS_MAX);
    const isWritten = this.#round === null && !this.#isStale && toFlusher.waitingCount === 0;
    if (isWritten && !consumeQueues.isSettled) consumeQueues.settle(CLOSING_QUEUES_PER_TURN);
    let state: number = ClosingState.WRITING;
    if (isWritten && consumeQueues.isSettled) state = ClosingState.WHOLE;
    else if (nowMs >= this.#closingEndMs) state = ClosingState.PARTIAL;
    if (positions.load(PositionSlot.DERIVED_CLOSING) !== state)
      positions.publish(PositionSlot.DERIVED_CLOSING, state);
    return state === ClosingState.WRITING ? 1 : 0;
  }

  /** Clears what a crash has left behind the ends of queues, little by little. */
  #settle(nowMs: number): void {
    const { consumeQueues } = this.#options;
    this.#nextSettleMs = consumeQueues.isSettled ? Infinity : nowMs + SETTLE_INTERVAL_MS;
    if (!consumeQueues.isSettled) consumeQueues.settle(SETTLES_PER_TURN);
  }

  /** What the files hold once all units of records below a place of the log are written. */
  #holdsAfter(position: number): { position: number; timestampMs: number; isAll: boolean } {
    const { records, queries } = this.#options;
    const isAll = position === records.position;
    const lastMs = isAll ? records.lastTimestampMs : queries.storeTimestampAt(position);
    return { position, timestampMs: Math.max(lastMs, this.#startTimestampMs), isAll };
  }

  #runTimers(nowMs: number, mayDeliver: boolean): number {
    const { timers, transactions, mover, wallNowMs } = this.#options;
    let work = mayDeliver ? transactions.doWork(nowMs) : 0;
    try {
      work += timers.doWork(nowMs, mayDeliver);
      if (mayDeliver) work += mover.doWork(nowMs, timers.isQuiet);
    } catch (error) {
      timers.giveUpRound(nowMs);
      this.#onNoSpace(error, 'timers');
      this.#nextTimerMs = nowMs + NO_SPACE_RETRY_MS;
      return work;
    }
    this.#onSpace('timers');
    let dueMs = this.#isClosing ? Infinity : nowMs + 1;
    if (mayDeliver) {
      const nextMs = Math.min(timers.nextDueMs(), transactions.nextDueMs());
      dueMs = nowMs + Math.max(0, nextMs - wallNowMs());
    }
    this.#nextTimerMs = Math.min(dueMs, timers.nextRoundMs(), mover.nextDeadlineMs());
    return work;
  }

  /** The disk is full: what could not be written stays in memory, and no more messages are taken. */
  #onNoSpace(error: unknown, what: DerivedKind): void {
    throwUnlessNoSpace(error);
    if (this.#full.has(what)) return;
    const { positions, logger } = this.#options;
    this.#full.add(what);
    // Else the flusher has said what is wrong.
    if (positions.load(PositionSlot.READ_ONLY) === 0)
      logger.warn(
        { error: error.message },
        `no space for ${what}; messages are refused (14) until space is freed`,
      );
    positions.publish(PositionSlot.DERIVED_FULL, 1);
  }

  /** What had no space has been written. */
  #onSpace(what: DerivedKind): void {
    if (this.#full.size === 0 || !this.#full.delete(what)) return;
    const { positions, logger } = this.#options;
    logger.info({}, `space for ${what} is there again`);
    if (this.#full.size === 0) positions.publish(PositionSlot.DERIVED_FULL, 0);
  }

  /** Has the flusher sync what was written; with all tasks before, that makes the derived files hold so much. */
  #syncUnsynced(holds: SyncedPositions | null): void {
    const { consumeQueues, index, toFlusher } = this.#options;
    if (holds === null) return;
    const paths = [...consumeQueues.takeUnsynced(), ...(index?.takeUnsynced() ?? [])];
    const task: FlusherTask = { kind: 'sync', paths, ...holds };
    toFlusher.offer(MessageType.FLUSHER_TASK, flusherTaskPayload(task));
  }

  /** Retention has moved the start of the log: what points below it goes. */
  #followMinimum(): number {
    const { positions, consumeQueues, index, forgetBelow } = this.#options;
    const minimum = positions.load(PositionSlot.MINIMUM);
    if (minimum === this.#minimum) return consumeQueues.expireSome() ? 1 : 0;
    // Files may go that the snapshot speaks of.
    if (this.#minimum >= 0) this.#snapshotPosition = -1;
    this.#minimum = minimum;
    consumeQueues.beginExpiry(minimum);
    index?.expireBelow(minimum);
    forgetBelow(minimum);
    return 1;
  }

  /** The page cache is to forget a part of the log: it can not while this agent has it mapped. */
  #unmapPages(): number {
    const { positions, unmapPages } = this.#options;
    const end = positions.load(PositionSlot.DROP_END);
    const unmapped = positions.load(PositionSlot.UNMAPPED);
    if (unmapped >= end) return 0;
    const from = Math.max(unmapped, positions.load(PositionSlot.DROP_START));
    const to = Math.min(from + UNMAPPED_BYTES_PER_TURN, end);
    if (from < to) unmapPages(from, to);
    positions.publish(PositionSlot.UNMAPPED, to);
    return 1;
  }

  /**
   * Stores how far delays were delivered, but never ahead of the redeliveries themselves: once the
   * writer has taken those, the flusher writes the offsets after it has synced them.
   */
  #storeDelayOffsets(nowMs: number): void {
    const { delays, positions, toWriter, toFlusher, delayOffsetsPath } = this.#options;
    if (!toWriter.ring.isConsumed(this.#delayMark.ringPosition)) return;
    this.#nextDelayOffsetsMs = nowMs + DELAY_OFFSETS_INTERVAL_MS;
    if (delays.confirm(this.#delayMark.mark)) {
      const task: FlusherTask = {
        kind: 'replace',
        path: delayOffsetsPath,
        text: delays.store(),
        afterFlushed: positions.load(PositionSlot.APPENDED),
      };
      toFlusher.offer(MessageType.FLUSHER_TASK, flusherTaskPayload(task));
    }
    this.#delayMark = { mark: delays.takeMark(), ringPosition: toWriter.ring.committedPosition };
  }
}
