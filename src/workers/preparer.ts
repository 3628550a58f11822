/**
 * @agent preparer
 *
 * Makes room ahead of the writer: the next segment while this one is being filled, and, where each group
 * commit is waited for, the next pages and their blocks: otherwise it would have to commit to the file
 * system's journal that they are in use. Behind it, deletes the segments that retention has given up: what that takes
 * would hold up all threads that wait for disks or messages.
 */
import type { Logger } from '../base/logging.ts';
import { FRAME_BYTES_MAX } from '../protocol/remoting-command.ts';
import type { Agent } from '../ring/agent.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import { failedWith, throwUnlessNoSpace, unlessReadOnly } from '../store/file-calls.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import { StreamRate } from './stream-rate.ts';

export interface PreparerOptions {
  segments: CommitLogSegments;
  positions: StorePositions;
  flushesSynchronously: boolean;
  /** Time in which all threads notice where the log begins: the last that has a segment open pays for its end. */
  letGoMs: number;
  logger: Logger;
}

/**
 * Made ready in one system call. The kernel may not let others run on this core before it is done,
 * and a new page costs a virtual machine up to 40 us.
 */
const STEP_BYTES = 128 * 1024;
/** Kept ready ahead of the writer: some 0.3 s at 200 MB/s. */
const AHEAD_BYTES = 32 * 1024 * 1024;
/**
 * Of a faster stream nothing is made ready: a group commit is 0.13 ms longer then, whatever it holds, and each 128 KiB
 * that are written once more take 0.3 ms of a core and as much of the disk.
 */
const BYTES_PER_SECOND_MAX = 96 * 1024 * 1024;
const RATE_WINDOW_MS = 100;
/** How much of a segment is filled when the next one is made. */
const NEXT_SEGMENT_AT = 0.5;
/** The longest that one append can be: a slot of a pool (broker-memory.ts). */
const APPEND_BYTES_MAX = FRAME_BYTES_MAX + 4096;
const RETRY_MS = 1000;
/** While nothing is appended, and to follow the writer, which does not wake this agent. */
const POLL_MS = 20;

export class Preparer implements Agent {
  readonly name = 'preparer';
  readonly #options: PreparerOptions;
  readonly #rate = new StreamRate(RATE_WINDOW_MS);
  #retryAtMs = 0;
  #hasFailed = false;
  #nextPollMs = 0;
  /** Segments below are deleted. */
  #removed: number;
  /** Where the log began at the last look, and from when on what is below may be deleted. */
  #minimum: number;
  #removeAtMs = 0;

  constructor(options: PreparerOptions) {
    this.#options = options;
    this.#minimum = options.positions.load(PositionSlot.MINIMUM);
    this.#removed = this.#minimum;
  }

  doWork(nowMs: number): number {
    this.#nextPollMs = nowMs + POLL_MS;
    return this.#allocate(nowMs) + this.#prepare(nowMs) + this.#remove(nowMs);
  }

  nextDeadlineMs(): number {
    return this.#nextPollMs;
  }

  close(): void {
    while (this.#remove(Infinity) > 0);
  }

  #allocate(nowMs: number): number {
    const { segments, positions, logger } = this.#options;
    const segmentBytes = segments.segmentBytes;
    const appended = positions.load(PositionSlot.APPENDED);
    const allocated = positions.load(PositionSlot.ALLOCATED);
    const wantedBytes = Math.max(
      segmentBytes * (1 - NEXT_SEGMENT_AT),
      // A record that does not fit behind what is there waits for the next one, however little was written.
      Math.min(segmentBytes, APPEND_BYTES_MAX),
    );
    if (allocated >= appended + wantedBytes || nowMs < this.#retryAtMs) return 0;
    if (positions.load(PositionSlot.READ_ONLY) !== 0) return 0;
    try {
      segments.create(allocated);
    } catch (error) {
      throwUnlessNoSpace(error);
      this.#retryAtMs = nowMs + RETRY_MS;
      // The flusher says it.
      if (failedWith(error, 'EROFS')) positions.publish(PositionSlot.READ_ONLY, 1);
      else if (!this.#hasFailed) {
        logger.warn(
          { segmentBytes, error: error.message },
          'no space for the next segment; messages are refused (14) once this one is full, until space is freed',
        );
      }
      this.#hasFailed = true;
      positions.publish(PositionSlot.ALLOCATION_FAILED, 1);
      return 0;
    }
    positions.publish(PositionSlot.ALLOCATED, allocated + segmentBytes);
    if (this.#hasFailed) {
      logger.info({ segmentBytes }, 'space for the next segment is there again');
      this.#hasFailed = false;
      positions.publish(PositionSlot.ALLOCATION_FAILED, 0);
    }
    return 1;
  }

  #prepare(nowMs: number): number {
    const { segments, positions, flushesSynchronously } = this.#options;
    // A page that is new to the file costs the writer's call a fraction of what it costs to make it before.
    if (!flushesSynchronously) return 0;
    const appended = positions.load(PositionSlot.APPENDED);
    if (this.#rate.bytesPerSecond(nowMs, appended) > BYTES_PER_SECOND_MAX) return 0;
    const prepared = Math.max(positions.load(PositionSlot.PREPARED), appended);
    const limit = Math.min(positions.load(PositionSlot.ALLOCATED), appended + AHEAD_BYTES);
    const segmentBytes = segments.segmentBytes;
    const base = prepared - (prepared % segmentBytes);
    const from = prepared - base;
    const to = Math.min(from - (from % STEP_BYTES) + STEP_BYTES, segmentBytes);
    // Whole steps: each costs a call, and a written one a write to the disk.
    if (base + to > limit) return 0;
    const segment = segments.segmentAt(prepared);
    if (segment === null) return 0;
    unlessReadOnly(() => segment.prepare(from, to));
    positions.publish(PositionSlot.PREPARED, base + to);
    return 1;
  }

  #remove(nowMs: number): number {
    const { segments, positions, letGoMs } = this.#options;
    const minimum = positions.load(PositionSlot.MINIMUM);
    if (this.#removed >= minimum) return 0;
    if (minimum !== this.#minimum) {
      this.#minimum = minimum;
      this.#removeAtMs = nowMs + letGoMs;
    }
    if (nowMs < this.#removeAtMs || positions.load(PositionSlot.READ_ONLY) !== 0) return 0;
    if (!unlessReadOnly(() => segments.remove(this.#removed))) {
      positions.publish(PositionSlot.READ_ONLY, 1);
      return 0;
    }
    this.#removed += segments.segmentBytes;
    return 1;
  }
}
