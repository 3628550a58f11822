/**
 * @agent dispatcher
 *
 * Runs the timer wheel: tells it of records that have to be looked at later, hands out what is due, and
 * has its files stored in rounds. After a start it is told again of the records that it had not stored.
 */
import path from 'node:path';
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { SystemTopic } from '../broker/resource-name.ts';
import { TimedDelivery, TimerKind } from '../broker/timed-delivery.ts';
import { type RecordView, readLong } from '../protocol/message-record.ts';
import type { QueuedProducer } from '../ring/queued-producer.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import { ConsumeQueueUnits } from '../store/consume-queue-units.ts';
import type { StoreFiles } from '../store/segment.ts';
import type { StoreDirectory } from '../store/store-directory.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { TimerEntry } from '../store/timer-heap.ts';
import { TimerWheel } from '../store/timer-wheel.ts';
import type { AppendProxy } from './append-proxy.ts';
import { readQueue } from './queue-records.ts';
import { flusherTaskPayload, MessageType } from './ring-messages.ts';

/** Who is asked about half messages when their time has come. */
export interface HalfTimers {
  /** A half message was stored: it may want to be woken (`TimerService.add`). */
  onStored(view: RecordView): void;
  /** A record was stored that names halves as decided. */
  onOpStored(view: RecordView): void;
  /** False when there is no room for what has to be done. */
  onDue(entry: Readonly<TimerEntry>): boolean;
}

export interface TimerServiceOptions {
  files: StoreFiles;
  directory: StoreDirectory;
  segments: CommitLogSegments;
  positions: StorePositions;
  queue: (topic: string, queueId: number) => ConsumeQueue | undefined;
  topicIdOf: (topic: string) => number | undefined;
  toWriter: AppendProxy;
  toFlusher: QueuedProducer;
  wallClock: WallClock;
  logger: Logger;
}

/** Deliveries of one turn, so that a backlog does not hold up the agent's other work (a guess). */
const FIRED_PER_TURN_MAX = 256;
/** How often what the wheel holds is stored: so much is looked through again after a crash. */
const ROUND_INTERVAL_MS = 2000;

export class TimerService {
  readonly wheel: TimerWheel;
  readonly delivery: TimedDelivery;
  readonly #options: TimerServiceOptions;
  #halves: HalfTimers | null = null;
  /** Something came or went since the last round began. */
  #isStale = false;
  /** While the wheel catches up: what was due by then was delivered by another broker. */
  #ignoredUntilMs = 0;
  /** A round that goes on, by what the writer had been handed when it began. */
  #round: { ringPosition: number; isWritten: boolean } | null = null;
  #nextRoundMs = 0;
  #isQuiet = false;
  #isClosing = false;

  constructor(options: TimerServiceOptions) {
    this.#options = options;
    const { segments, wallClock, logger, topicIdOf, toWriter } = options;
    this.wheel = new TimerWheel({
      files: options.files,
      directory: path.join(options.directory.root, 'timers'),
      logger,
      onNear: (entry) => this.delivery.onNear(entry),
    });
    this.delivery = new TimedDelivery({
      wallClock,
      logger,
      add: (entry) => this.add(entry),
      cursorMs: () => this.wheel.cursorMs,
      movedBelow: () => this.wheel.mark,
      onMoved: (position) => {
        this.wheel.mark = Math.max(this.wheel.mark, position);
      },
      record: (physicalOffset, bytes) => segments.recordAt(physicalOffset, bytes),
      topicIdOf,
      append: (draft) => toWriter.append(draft, null),
    });
  }

  /** Opens the wheel and brings it up to what was dispatched. */
  load(halves: HalfTimers | null): void {
    this.#halves = halves;
    const { wheel } = this;
    wheel.load();
    this.#ignoredUntilMs = this.#deliveredElsewhereMs();
    wheel.skipTo(this.#ignoredUntilMs);
    const { queue, segments, logger } = this.#options;
    let count = 0;
    for (const topic of [SystemTopic.WHEEL_TIMER, SystemTopic.HALF]) {
      const stored = queue(topic, 0);
      if (stored === undefined) continue;
      const from = this.#firstFrom(stored, wheel.position);
      count += readQueue(stored, segments, from, (view) => this.onRecord(topic, view));
    }
    this.#ignoredUntilMs = 0;
    if (count > 0) logger.info({ records: count }, 'timers caught up with the log');
  }

  add(entry: Readonly<TimerEntry>): void {
    if (entry.fireMs <= this.#ignoredUntilMs && entry.kind !== TimerKind.HALF) return;
    this.#isStale = true;
    this.wheel.add(entry);
  }

  /** A record of the timer topic, the half topic or the op topic was dispatched. */
  onRecord(topic: string, view: RecordView): void {
    if (topic === SystemTopic.WHEEL_TIMER) this.delivery.onStored(view);
    else if (topic === SystemTopic.HALF) this.#halves?.onStored(view);
    else this.#halves?.onOpStored(view);
  }

  /** Once a turn, before records are dispatched. */
  followClock(): void {
    this.wheel.followClock(this.#options.wallClock.nowMs());
  }

  /** `mayDeliver`: what is due can be handed out now. */
  doWork(nowMs: number, mayDeliver: boolean): number {
    let work = 0;
    if (mayDeliver) {
      const { wheel } = this;
      const wallMs = this.#options.wallClock.nowMs();
      work = wheel.doWork(wallMs, FIRED_PER_TURN_MAX, this.#fire);
      this.#isQuiet = wheel.cursorMs >= wallMs;
      if (work > 0) this.#isStale = true;
    }
    return work + this.#store(nowMs);
  }

  /** All that was due at the last turn has been handed out. */
  get isQuiet(): boolean {
    return this.#isQuiet;
  }

  /** By the wall clock. */
  nextDueMs(): number {
    return this.wheel.nextDueMs();
  }

  /** By the monotonic clock. */
  nextRoundMs(): number {
    return this.#isStale || this.#round !== null ? this.#nextRoundMs : Infinity;
  }

  prepareClose(): void {
    this.#isClosing = true;
    this.#nextRoundMs = 0;
  }

  close(): void {
    this.wheel.close();
  }

  readonly #fire = (entry: Readonly<TimerEntry>): boolean =>
    entry.kind === TimerKind.HALF
      ? (this.#halves?.onDue(entry) ?? true)
      : this.delivery.onDue(entry);

  /** Stores the wheel, a bucket a turn; returns 1 while there is more to write. */
  #store(nowMs: number): number {
    const { positions, toWriter, toFlusher } = this.#options;
    const { wheel } = this;
    if (nowMs < this.#nextRoundMs) return 0;
    if (this.#round === null) {
      if (!this.#isStale) return 0;
      this.#isStale = false;
      wheel.startRound(positions.load(PositionSlot.DISPATCHED));
      this.#round = { ringPosition: toWriter.ring.committedPosition, isWritten: false };
    }
    if (!this.#round.isWritten) {
      this.#round.isWritten = wheel.continueRound();
      return 1;
    }
    // What was handed out must be stored before the manifest says that it was.
    if (!toWriter.ring.isConsumed(this.#round.ringPosition)) return 0;
    const afterFlushed = positions.load(PositionSlot.APPENDED);
    const task = { kind: 'timers', ...wheel.takeRound(), afterFlushed } as const;
    toFlusher.offer(MessageType.FLUSHER_TASK, flusherTaskPayload(task));
    this.#round = null;
    this.#nextRoundMs = this.#isClosing ? 0 : nowMs + ROUND_INTERVAL_MS;
    return 1;
  }

  /** The disk was full in the middle of a round. */
  giveUpRound(nowMs: number): void {
    this.#round = null;
    this.#isStale = true;
    this.#nextRoundMs = nowMs + ROUND_INTERVAL_MS;
  }

  /** The first offset of a queue whose record is at or behind a place of the log. */
  #firstFrom(queue: ConsumeQueue, position: number): number {
    const unit = new ConsumeQueueUnits(1);
    let low = queue.minOffset;
    let high = queue.maxOffset;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const isBefore = queue.read(middle, 1, unit) > 0 && unit.physicalOffset[0] < position;
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Up to which time an Apache broker has delivered, where one had the store: the first field of its
   * `config/timercheck` (TimerCheckpoint.java).
   */
  #deliveredElsewhereMs(): number {
    const { files, directory } = this.#options;
    const bytes = files.readFile(directory.configFile('timercheck'));
    return bytes === undefined || bytes.length < 8 ? 0 : readLong(bytes, 0);
  }
}
