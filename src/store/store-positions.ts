/**
 * @agent any
 *
 * The positions of the CommitLog that agents share, in one SharedArrayBuffer. A position is a
 * physical offset in bytes. Each slot but the last has one writer; it only rises, except where recovery sets it
 * before any agent runs.
 *
 * A slot is a float64 (exact to 2^53) followed by an int32 version. The writer stores the float,
 * then stores the version with `Atomics`; a reader loads the version with `Atomics`, then the
 * float: it sees that value or a newer one. An aligned 8-byte store is one store on x64 and arm64,
 * so a float is never seen half written.
 */

/** Slot index, the one agent that writes it, and what it means. */
export const PositionSlot = {
  /** writer: end of the last whole record in mapped memory; survives the death of the process. */
  APPENDED: 0,
  /** flusher: everything below survives the loss of power. */
  FLUSHED: 1,
  /** preparer: pages below are in memory. */
  PREPARED: 2,
  /** preparer: segments exist up to here. */
  ALLOCATED: 3,
  /** dispatcher: ConsumeQueue and index hold every record below. */
  DISPATCHED: 4,
  /** flusher: start of the oldest segment that is kept. */
  MINIMUM: 5,
  /** flusher: store timestamp (ms) of the last flushed record: checkpoint's physicMsgTimestamp. */
  FLUSHED_TIMESTAMP: 6,
  /** writer: store timestamp (ms) of the last appended record. */
  APPENDED_TIMESTAMP: 7,
  /** flusher: 1 while the disk is fuller than its limit: sends are refused. */
  DISK_FULL: 8,
  /** writer: end of the last record whose sender waits for the disk; the flusher syncs at once up to here. */
  SYNC_WANTED: 9,
  /** preparer: 1 while there is no room for the next segment: sends are refused once this one is full. */
  ALLOCATION_FAILED: 10,
  /** dispatcher: 1 while there is no room for the derived files: sends are refused. */
  DERIVED_FULL: 11,
  /** control: 1 once every agent has taken in what control knows from before this run. */
  RECOVERY_TOLD: 12,
  /** flusher: where retention wants the log to begin, once nothing below is waited for. */
  WANTED_MINIMUM: 13,
  /** dispatcher: what waits below (timed messages, halves) has a copy above that is on disk. */
  MOVED: 14,
  /** dispatcher: a ClosingState. */
  DERIVED_CLOSING: 15,
  /** flusher: 1 once it has closed with everything on disk that it was given. */
  FILES_CLOSED: 16,
  /** queueWriter: batches of units that it has done with. */
  QUEUE_BATCHES_DONE: 17,
  /** queueWriter: the last of them, counted from 1, for which there was no space. */
  QUEUE_BATCH_REFUSED: 18,
  /** writer, flusher or preparer: 1 once the file system has become read-only; only a new start ends that. */
  READ_ONLY: 19,
  /** flusher: start of what the page cache is to forget. */
  DROP_START: 20,
  /** flusher: end of it. */
  DROP_END: 21,
  /** dispatcher: it has let go of what is to be forgotten below. */
  UNMAPPED: 22,
  /** dispatcher: topics whose files are to be removed, all that there were in this run. */
  TOPICS_DELETED: 23,
} as const;
export type PositionSlot = (typeof PositionSlot)[keyof typeof PositionSlot];

/** How far the derived files are while the broker stops. */
export const ClosingState = {
  WRITING: 0,
  /** All is written, and nothing that a crash has left stands behind it. */
  WHOLE: 1,
  /** There was no time, or no room, for all. */
  PARTIAL: 2,
} as const;

const SLOT_COUNT = 24;
/** Each slot on two cache lines of its own, so that writers do not slow each other down. */
const SLOT_BYTES = 128;

/** Why the writer may take no records. */
const NO_ROOM = [
  PositionSlot.ALLOCATION_FAILED,
  PositionSlot.DISK_FULL,
  PositionSlot.DERIVED_FULL,
  PositionSlot.READ_ONLY,
] as const;

export class StorePositions {
  readonly memory: SharedArrayBuffer;
  readonly #values: Float64Array;
  readonly #versions: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(SLOT_COUNT * SLOT_BYTES)) {
    this.memory = memory;
    this.#values = new Float64Array(memory);
    this.#versions = new Int32Array(memory);
  }

  /** The newest published value, with everything that was written before it. */
  load(slot: PositionSlot): number {
    Atomics.load(this.#versions, slot * (SLOT_BYTES / 4) + 2);
    return this.#values[slot * (SLOT_BYTES / 8)];
  }

  /** False where records may have to wait until there is space, or a new start. */
  get hasRoom(): boolean {
    return NO_ROOM.every((slot) => this.load(slot) === 0);
  }

  /** Publishes a value after all earlier writes of this thread. Only the slot's owner calls it. */
  publish(slot: PositionSlot, value: number): void {
    this.#values[slot * (SLOT_BYTES / 8)] = value;
    const version = slot * (SLOT_BYTES / 4) + 2;
    Atomics.store(this.#versions, version, (this.#versions[version] + 1) | 0);
  }
}
