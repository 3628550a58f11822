/**
 * @agent writer
 *
 * Records that have their places in the log, on their way to the segment. Short ones are copied together, long ones
 * stay where they came from, in the slot of a pool or in a ring, until they are written.
 *
 * ```
 *  staging  [ short short ]                        [ short ]
 *  pieces   [ staged       ][ long, in its slot ]  [ staged  ] ─▶ segment, at `start`
 * ```
 */
import type { CopyKernel } from '../kernel/copy-kernel.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import type { Segment } from '../store/segment.ts';

/** Short records of one batch, unless one alone is longer. */
export const STAGING_BYTES = 256 * 1024;

export class AppendBatch {
  /** Short records are made here, from `stagedBytes` on. */
  staging: Buffer;
  stagedBytes = 0;
  longBytes = 0;
  /** Physical offset of the first byte, and behind the last. */
  start = 0;
  end = 0;
  /** Store timestamp of the last record. */
  timestampMs = 0;
  /** When those came in whose senders wait for long records. */
  readonly arrivalsMs: number[] = [];
  /** For a batch that is written later: how far each source was taken, and answers were committed, when it ended. */
  readonly takenPositions: Int32Array;
  answeredPosition = 0;
  readonly #pieces: Buffer[] = [];
  #kernel: CopyKernel | null;
  /** Of `staging`: the beginning of what is no piece yet. */
  #pieceStart = 0;
  readonly #pools: LargeMessagePool[] = [];
  readonly #slots: number[] = [];

  /** `kernel`: of the memory that the batch stages in, where it has one. */
  constructor(sourceCount: number, kernel: CopyKernel | null) {
    this.takenPositions = new Int32Array(sourceCount);
    this.#kernel = kernel;
    this.staging = kernel?.space ?? Buffer.allocUnsafeSlow(STAGING_BYTES);
  }

  get isEmpty(): boolean {
    return this.stagedBytes === 0 && this.longBytes === 0;
  }

  /** Whether so many bytes more of short records fit; the first may be of any length. */
  reserve(bytes: number): boolean {
    if (this.stagedBytes + bytes <= this.staging.length) return true;
    if (this.stagedBytes > 0) return false;
    this.staging = Buffer.allocUnsafeSlow(bytes);
    this.#kernel = null;
    return true;
  }

  /** Copies `records[start, end)` behind what is staged, for which there is room; `isInRing`: from a ring's memory. */
  stage(records: Buffer, start: number, end: number, isInRing: boolean): void {
    const { staging, stagedBytes } = this;
    const kernel = this.#kernel;
    if (kernel === null || !isInRing) records.copy(staging, stagedBytes, start, end);
    else kernel.copy(staging, stagedBytes, records, start, end);
  }

  /** Adds long records, which no one may change before `clear` gives back the slot that they stand in; null: a ring. */
  addLong(records: Buffer, pool: LargeMessagePool | null, slot: number): void {
    this.#endPiece();
    this.#pieces.push(records);
    this.longBytes += records.length;
    if (pool === null) return;
    this.#pools.push(pool);
    this.#slots.push(slot);
  }

  /** Writes all at `position` of the segment. */
  write(segment: Segment, position: number): void {
    if (this.#pieces.length === 0) {
      segment.write(this.staging, 0, this.stagedBytes, position);
      return;
    }
    let at = position;
    for (const piece of this.pieces()) {
      segment.write(piece, 0, piece.length, at);
      at += piece.length;
    }
  }

  /** All records, in their order. */
  pieces(): readonly Buffer[] {
    this.#endPiece();
    return this.#pieces;
  }

  #endPiece(): void {
    if (this.stagedBytes > this.#pieceStart)
      this.#pieces.push(this.staging.subarray(this.#pieceStart, this.stagedBytes));
    this.#pieceStart = this.stagedBytes;
  }

  /** Gives back what the records stood in; the batch is empty again, and begins at `start`. */
  clear(start: number): void {
    this.stagedBytes = 0;
    this.start = start;
    // One of short records alone, written by this thread, is of no pieces.
    if (this.#pieces.length === 0) return;
    for (let index = 0; index < this.#slots.length; index++)
      this.#pools[index].release(this.#slots[index]);
    this.#pools.length = 0;
    this.#slots.length = 0;
    this.#pieces.length = 0;
    this.#pieceStart = 0;
    this.longBytes = 0;
    this.arrivalsMs.length = 0;
  }
}
