/**
 * @agent flusher
 *
 * Has the page cache forget what a fast stream wrote a while ago. On a machine whose hypervisor takes free memory
 * back, a page that is new costs several times what a page costs that was just let go; and a stream this fast
 * fills all memory within minutes, so that what readers find there is not much either way.
 *
 * Pages that a thread has mapped stay in the cache. Only the dispatcher reads the whole log: it is told a range, lets
 * go of it, and says so; then the range goes. What is read later is read from the disk.
 */
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';

export interface DropBehindOptions {
  segments: CommitLogSegments;
  positions: StorePositions;
  /** What stays in the page cache however fast the stream is. */
  keptBytes?: number;
}

const MIB = 1024 * 1024;
const KEPT_BYTES = 512 * MIB;
/** A stream of this rate writes 16 GiB in two minutes. */
const FAST_BYTES_PER_SECOND = 128 * MIB;
const WINDOW_MS = 1000;
/** The kernel's largest folio: of one that is not dropped whole, all stays. */
const FOLIO_BYTES = 2 * MIB;
/** Dropped in one turn, some 15 ms: as much as the flusher syncs in one. */
const STEP_BYTES = 128 * MIB;

export class DropBehind {
  readonly #segments: CommitLogSegments;
  readonly #positions: StorePositions;
  readonly #keptBytes: number;
  #windowStartMs = -Infinity;
  #windowStart = 0;
  #isFast = false;
  /** Everything below is dropped, or stays. */
  #dropped: number;

  constructor({ segments, positions, keptBytes = KEPT_BYTES }: DropBehindOptions) {
    this.#segments = segments;
    this.#positions = positions;
    this.#keptBytes = keptBytes;
    this.#dropped = positions.load(PositionSlot.FLUSHED);
  }

  /**
   * Looks at the stream, and drops a step of what it has left behind, of what is synced; returns 1 where there
   * may be more.
   */
  doWork(nowMs: number, synced: number): number {
    this.#measure(nowMs);
    const end = synced - this.#keptBytes;
    const wanted = end - (end % FOLIO_BYTES);
    if (wanted <= this.#dropped) return 0;
    if (!this.#isFast) {
      this.#dropped = wanted;
      return 0;
    }
    // In this order: whoever reads the end finds no earlier start.
    this.#positions.publish(PositionSlot.DROP_START, this.#dropped);
    this.#positions.publish(PositionSlot.DROP_END, wanted);
    const unmapped = this.#positions.load(PositionSlot.UNMAPPED);
    const to = Math.min(wanted, unmapped, this.#dropped + STEP_BYTES);
    if (to <= this.#dropped) return 0;
    this.#segments.dropPages(this.#dropped, to);
    this.#dropped = to;
    return 1;
  }

  #measure(nowMs: number): void {
    const tookMs = nowMs - this.#windowStartMs;
    if (tookMs < WINDOW_MS) return;
    const appended = this.#positions.load(PositionSlot.APPENDED);
    this.#isFast = (appended - this.#windowStart) * 1000 >= FAST_BYTES_PER_SECOND * tookMs;
    this.#windowStartMs = nowMs;
    this.#windowStart = appended;
  }
}
