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
import { decodeFrame, FLAG_ONEWAY } from '../protocol/remoting-command.ts';
import { type Agent } from '../ring/agent.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import { PartAssembler, type QueuedProducer } from '../ring/queued-producer.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import type { ConsumeQueueStore } from '../store/consume-queue-store.ts';
import type { IndexStore } from '../store/index-store.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { AppendProxy } from './append-proxy.ts';
import { FrameReader } from './frame-proxy.ts';
import type { PullCommits } from './pull-commits.ts';
import type { PullService } from './pull-service.ts';
import type { QueueQueries } from './queue-queries.ts';
import type { ReactorProxy } from './reactor-proxy.ts';
import type { RecordDispatcher } from './record-dispatcher.ts';
import {
  type AskedQuestion,
  type FlusherTask,
  MessageType,
  type Snapshot,
} from './ring-messages.ts';
import type { QueueState, TopicStates } from './topic-state.ts';

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
  positions: StorePositions;
  /** What consumers may see: APPENDED, or FLUSHED where the broker flushes synchronously. */
  readableSlot: typeof PositionSlot.APPENDED | typeof PositionSlot.FLUSHED;
  consumeQueues: ConsumeQueueStore;
  index: IndexStore | null;
  topics: TopicStates;
  records: RecordDispatcher;
  pulls: PullService;
  queries: QueueQueries;
  delays: DelayDelivery;
  delayOffsetsPath: string;
  wallNowMs: () => number;
  logger: Logger;
  /** Closes what this agent has mapped below a position of the log. */
  forgetBelow: (minimum: number) => void;
}

/** Records dispatched in one turn, before requests are looked at again. */
const RECORDS_PER_TURN = 2000;
const WRITE_INTERVAL_MS = 1000;
/** Every so many writes, files are synced and the checkpoint moves. */
const WRITES_PER_SYNC = 2;
const DELAY_OFFSETS_INTERVAL_MS = 5000;

export class Dispatcher implements Agent {
  readonly name = 'dispatcher';
  readonly #options: DispatcherOptions;
  readonly #frame: FrameReader;
  readonly #assembler = new PartAssembler();
  #news: QueueState[] = [];
  #nextWriteMs = 0;
  /** The first write syncs at once: what recovery has rebuilt is not rebuilt again after the next crash. */
  #writeCount = WRITES_PER_SYNC - 1;
  #unsynced = new Set<string>();
  #isStale = true;
  #isClosing = false;
  /** What of the log has gone is followed from the first turn on. */
  #minimum = -1;
  /** Store timestamp of the last record that was dispatched before this run. */
  readonly #startTimestampMs: number;
  #nextDelayOffsetsMs = 0;
  #nextDelayMs = 0;
  /** Where the delays stood, and what of them the writer had to take. */
  #delayMark: { mark: DelayMark; ringPosition: number };

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#frame = new FrameReader(options.requestPool);
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
      toReactor,
      commits,
      toWriter,
      toFlusher,
      readableSlot,
    } = this.#options;
    // A client that has the answer to its heartbeat or send asks with that in mind: what came before a
    // request, snapshots and records, is taken in before it.
    const requestsEnd = this.#options.requests.publishedEnd;
    let work = this.#drainControl();
    const dispatched = records.dispatch(positions.load(readableSlot), RECORDS_PER_TURN);
    if (dispatched > 0) {
      work += dispatched;
      this.#isStale = true;
      if (this.#isClosing) this.#nextWriteMs = 0;
      positions.publish(PositionSlot.DISPATCHED, records.position);
    }
    work += this.#drainRequests(nowMs, requestsEnd);
    work += this.#wakePulls() + pulls.expire(nowMs);
    // What is due while the broker stops is delivered after its next start, and only then.
    if (!this.#isClosing) {
      work += delays.doWork();
      this.#nextDelayMs = nowMs + Math.max(0, delays.nextDueMs() - this.#options.wallNowMs());
    }
    if (nowMs >= this.#nextWriteMs) this.#write(nowMs);
    if (nowMs >= this.#nextDelayOffsetsMs || this.#isClosing) this.#storeDelayOffsets(nowMs);
    work += commits.flush();
    toFlusher.flush();
    toWriter.publish();
    toReactor.publish();
    return work;
  }

  nextDeadlineMs(): number {
    return Math.min(this.#options.pulls.nextDeadlineMs(), this.#nextWriteMs, this.#nextDelayMs);
  }

  /** Writes what is left at once, and from now on with every turn that dispatches. */
  prepareClose(): void {
    this.#isClosing = true;
    this.#nextDelayMs = Infinity;
    this.#isStale = true;
    this.#nextWriteMs = 0;
  }

  close(): void {
    this.#options.consumeQueues.close();
    this.#options.index?.close();
  }

  #drainControl(): number {
    const ring = this.#options.control;
    let count = 0;
    while (ring.peek()) {
      const type = ring.type;
      const payload = this.#assembler.take(ring);
      if (payload !== null) {
        if (type === MessageType.SNAPSHOT)
          this.#options.topics.apply(JSON.parse(payload.toString()) as Snapshot);
        else if (!this.#answerQuestion(payload)) break;
      }
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }

  #answerQuestion(payload: Buffer): boolean {
    const asked = JSON.parse(payload.toString()) as AskedQuestion;
    const answer = this.#options.queries.answerQuestion(asked.question);
    return this.#options.toReactor.answer(asked.connectionId, asked, answer);
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
    if (!scanner.scan(frame.bytes, frame.start, frame.end)) return true;
    if (
      scanner.code === RequestCode.PULL_MESSAGE ||
      scanner.code === RequestCode.LITE_PULL_MESSAGE
    ) {
      return pulls.onPull(frame, nowMs);
    }
    try {
      const request = decodeFrame(frame.bytes.subarray(frame.start, frame.end));
      if ((request.flag & FLAG_ONEWAY) !== 0) return true;
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

  /** Writes buffered units and entries; now and then has the flusher sync them and move the checkpoint. */
  #write(nowMs: number): void {
    const { consumeQueues, index, positions, records, toFlusher, logger } = this.#options;
    this.#nextWriteMs = nowMs + WRITE_INTERVAL_MS;
    this.#followMinimum();
    if (!this.#isStale) return;
    const position = records.position;
    const timestampMs = Math.max(records.lastTimestampMs, this.#startTimestampMs);
    try {
      consumeQueues.writePending();
      index?.writePending();
    } catch (error) {
      if (!BrokerError.is(error) || error.code !== 'STORE_NO_SPACE') throw error;
      if (positions.load(PositionSlot.DERIVED_FULL) === 0) {
        logger.warn(
          { error: error.message },
          'no space for consume queues; messages are refused (14) until space is freed',
        );
        positions.publish(PositionSlot.DERIVED_FULL, 1);
      }
      return;
    }
    if (positions.load(PositionSlot.DERIVED_FULL) !== 0) {
      logger.info({}, 'space for consume queues is there again');
      positions.publish(PositionSlot.DERIVED_FULL, 0);
    }
    for (const path of consumeQueues.takeUnsynced()) this.#unsynced.add(path);
    for (const path of index?.takeUnsynced() ?? []) this.#unsynced.add(path);
    if (++this.#writeCount % WRITES_PER_SYNC !== 0 && !this.#isClosing) return;
    this.#isStale = false;
    const task: FlusherTask = {
      kind: 'sync',
      paths: [...this.#unsynced],
      dispatchedPosition: position,
      logicsTimestampMs: timestampMs,
      indexTimestampMs: index?.lastIndexed.timestampMs ?? 0,
    };
    this.#unsynced = new Set();
    toFlusher.offer(MessageType.FLUSHER_TASK, Buffer.from(JSON.stringify(task)));
  }

  /** Retention has moved the start of the log: what points below it goes. */
  #followMinimum(): void {
    const { positions, consumeQueues, index, forgetBelow } = this.#options;
    const minimum = positions.load(PositionSlot.MINIMUM);
    if (minimum === this.#minimum) return;
    this.#minimum = minimum;
    consumeQueues.expireBelow(minimum);
    index?.expireBelow(minimum);
    forgetBelow(minimum);
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
      toFlusher.offer(MessageType.FLUSHER_TASK, Buffer.from(JSON.stringify(task)));
    }
    this.#delayMark = { mark: delays.takeMark(), ringPosition: toWriter.ring.committedPosition };
  }
}
