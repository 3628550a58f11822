/**
 * @agent flusher
 *
 * Has the page cache forget what a stream wrote a while ago. On a machine whose hypervisor takes free memory
 * back, a page that is new costs several times what a page costs that was just let go.
 *
 * ```
 *  a second brings   kept of the log
 *  128 MiB           512 MiB            would fill 16 GiB in two minutes: readers find little there either way
 *   32 MiB           a sixth of memory, 4 GiB at most
 *  less              what the kernel likes: it costs little
 * ```
 *
 * Pages that a thread has mapped stay in the cache. Only the dispatcher reads the whole log: it is told a range, lets
 * go of it, and says so; then the range goes. What is read later is read from the disk.
 */
import os from 'node:os';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import { StreamRate } from './stream-rate.ts';

export interface DropBehindOptions {
  segments: CommitLogSegments;
  positions: StorePositions;
  /** What stays in the page cache of a fast stream and of a slower one. */
  kept?: { readonly fastBytes: number; readonly steadyBytes: number };
}

const MIB = 1024 * 1024;
const FAST_BYTES_PER_SECOND = 128 * MIB;
const FAST_KEPT_BYTES = 512 * MIB;
const STEADY_BYTES_PER_SECOND = 32 * MIB;
const STEADY_KEPT_BYTES_MAX = 4096 * MIB;
const STEADY_KEPT_SHARE = 1 / 6;
const WINDOW_MS = 1000;
/** The kernel's largest folio: of one that is not dropped whole, all stays. */
const FOLIO_BYTES = 2 * MIB;
/** Dropped in one turn, some 15 ms: as much as the flusher syncs in one. */
const STEP_BYTES = 128 * MIB;

export class DropBehind {
  readonly #segments: CommitLogSegments;
  readonly #positions: StorePositions;
  readonly #fastKeptBytes: number;
  readonly #steadyKeptBytes: number;
  readonly #rate = new StreamRate(WINDOW_MS);
  /** Of the stream as it is; Infinity: all. */
  #keptBytes = Infinity;
  /** Everything below is dropped, or stays. */
  #dropped: number;

  constructor({ segments, positions, kept = keptOfMemory() }: DropBehindOptions) {
    this.#segments = segments;
    this.#positions = positions;
    this.#fastKeptBytes = kept.fastBytes;
    this.#steadyKeptBytes = kept.steadyBytes;
    this.#dropped = positions.load(PositionSlot.FLUSHED);
  }

  /**
   * Looks at the stream, and drops a step of what it has left behind, of what is synced; returns 1 where there
   * may be more.
   */
  doWork(nowMs: number, synced: number): number {
    this.#measure(nowMs);
    const isKept = this.#keptBytes === Infinity;
    const end = synced - (isKept ? this.#steadyKeptBytes : this.#keptBytes);
    const wanted = end - (end % FOLIO_BYTES);
    if (wanted <= this.#dropped) return 0;
    if (isKept) {
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
    const appended = this.#positions.load(PositionSlot.APPENDED);
    const bytesPerSecond = this.#rate.bytesPerSecond(nowMs, appended);
    if (bytesPerSecond >= FAST_BYTES_PER_SECOND) this.#keptBytes = this.#fastKeptBytes;
    else if (bytesPerSecond >= STEADY_BYTES_PER_SECOND) this.#keptBytes = this.#steadyKeptBytes;
    else this.#keptBytes = Infinity;
  }
}

function keptOfMemory(): { fastBytes: number; steadyBytes: number } {
  const shareBytes = Math.min(STEADY_KEPT_BYTES_MAX, STEADY_KEPT_SHARE * os.totalmem());
  return {
    fastBytes: FAST_KEPT_BYTES,
    steadyBytes: Math.max(FAST_KEPT_BYTES, Math.floor(shareBytes)),
  };
}
