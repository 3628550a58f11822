/**
 * @agent dispatcher
 *
 * Copies what still waits in the oldest part of the log to its end, before retention deletes that part:
 * timed messages, and halves that nobody has ended. The flusher says how far it wants to delete
 * (`WANTED_MINIMUM`); it may once everything below is copied and the copies are on disk (`MOVED`).
 *
 * The queues of the two topics hold the places of all that may wait, in the order of the log, so the
 * work is what was stored there once, not what waits now; and it is done in small pieces.
 */
import { SystemTopic } from '../broker/resource-name.ts';
import { RecordKind, RecordView } from '../protocol/message-record.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import { ConsumeQueueUnits } from '../store/consume-queue-units.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { AppendProxy } from './append-proxy.ts';

export interface RecordMoverOptions {
  segments: CommitLogSegments;
  positions: StorePositions;
  queue: (topic: string, queueId: number) => ConsumeQueue | undefined;
  toWriter: AppendProxy;
  /** Copies a record if it still waits; false when there is no room. */
  moveTimed: (view: RecordView) => boolean;
  moveHalf: (view: RecordView) => boolean;
}

/** Records looked at in one turn, and the time between two: some 30,000 a second beside other work. A guess. */
const RECORDS_PER_TURN = 64;
const PAUSE_MS = 2;
const FLUSH_POLL_MS = 20;

export class RecordMover {
  readonly #options: RecordMoverOptions;
  readonly #view = new RecordView();
  readonly #units = new ConsumeQueueUnits(RECORDS_PER_TURN);
  /** Everything below was copied; how far now; and what then has to be on disk. */
  #moved = 0;
  #wanted = 0;
  #copied: { ringPosition: number; appended: number } | null = null;
  #nextMs = 0;
  /** By topic: the next offset of its queue to be looked at. */
  readonly #offsets = new Map<string, number>();

  constructor(options: RecordMoverOptions) {
    this.#options = options;
  }

  /** `isQuiet`: all that was due has been handed out. Returns the work done. */
  doWork(nowMs: number, isQuiet: boolean): number {
    const { positions, toWriter } = this.#options;
    if (nowMs < this.#nextMs) return 0;
    if (this.#copied !== null) {
      this.#nextMs = nowMs + FLUSH_POLL_MS;
      if (this.#copied.appended === Infinity && toWriter.ring.isConsumed(this.#copied.ringPosition))
        this.#copied.appended = positions.load(PositionSlot.APPENDED);
      if (positions.load(PositionSlot.FLUSHED) < this.#copied.appended) return 0;
      this.#copied = null;
      this.#moved = this.#wanted;
      positions.publish(PositionSlot.MOVED, this.#moved);
      return 1;
    }
    const wanted = positions.load(PositionSlot.WANTED_MINIMUM);
    // What is due and was not handed out yet could not be told from what was.
    if (wanted <= this.#moved || !isQuiet) return 0;
    this.#nextMs = nowMs + PAUSE_MS;
    this.#wanted = wanted;
    const { moveTimed, moveHalf } = this.#options;
    if (!this.#move(SystemTopic.WHEEL_TIMER, moveTimed)) return 1;
    if (!this.#move(SystemTopic.HALF, moveHalf)) return 1;
    this.#copied = { ringPosition: toWriter.ring.committedPosition, appended: Infinity };
    return 1;
  }

  /** By the monotonic clock. */
  nextDeadlineMs(): number {
    const { positions } = this.#options;
    return positions.load(PositionSlot.WANTED_MINIMUM) > this.#moved ? this.#nextMs : Infinity;
  }

  /** Looks at some records of a queue; true when it has no more below the wanted place. */
  #move(topic: string, move: (view: RecordView) => boolean): boolean {
    const { queue, segments } = this.#options;
    const stored = queue(topic, 0);
    if (stored === undefined) return true;
    const units = this.#units;
    const view = this.#view;
    let offset = Math.max(this.#offsets.get(topic) ?? 0, stored.minOffset);
    const count = offset < stored.maxOffset ? stored.read(offset, RECORDS_PER_TURN, units) : 0;
    for (let index = 0; index < count; index++) {
      if (units.bytes[index] > 0) {
        if (units.physicalOffset[index] >= this.#wanted) return true;
        const record = segments.recordAt(units.physicalOffset[index], units.bytes[index]);
        const isMessage =
          record !== null && view.read(record, 0, record.length, false) === RecordKind.MESSAGE;
        if (isMessage && !move(view)) return false;
      }
      offset++;
      this.#offsets.set(topic, offset);
    }
    return count === 0;
  }
}
