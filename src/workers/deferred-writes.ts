/**
 * @agent writer
 *
 * Batches that a thread of the system's pool writes, while the agents of this thread go on. One at a time: the file
 * takes no two at once anyway. The next begins when the one before it has ended, not when its agent looks again.
 */
import type { BrokerError } from '../base/errors.ts';
import type { Segment } from '../store/segment.ts';
import type { WriteDeferral } from './agent-parts.ts';
import type { AppendBatch } from './append-batch.ts';

/** Batches that are written or wait for it. */
const COUNT_MAX = 3;

interface DeferredWrite {
  readonly batch: AppendBatch;
  readonly segment: Segment;
  /** Of the segment. */
  readonly position: number;
  isWritten: boolean;
  error: BrokerError | null;
}

export class DeferredWrites {
  /** Oldest first. */
  readonly #writes: DeferredWrite[] = [];
  readonly #deferral: WriteDeferral;

  constructor(deferral: WriteDeferral) {
    this.#deferral = deferral;
  }

  get isEmpty(): boolean {
    return this.#writes.length === 0;
  }

  get isFull(): boolean {
    return this.#writes.length >= COUNT_MAX;
  }

  /** Whether a batch is to go this way: it is long, or others have to be written before it. */
  wants(batch: AppendBatch): boolean {
    return !this.isEmpty || batch.longBytes >= this.#deferral.bytesMin;
  }

  /** Has a batch written behind the others; its records may not change before `take` returns it. */
  add(batch: AppendBatch, segment: Segment, position: number): void {
    const last = this.#writes.at(-1);
    this.#writes.push({ batch, segment, position, isWritten: false, error: null });
    if (last === undefined || last.isWritten) this.#begin();
  }

  #begin(): void {
    const write = this.#writes.find(({ isWritten }) => !isWritten);
    if (write === undefined) return;
    write.segment.beginWrite?.(write.batch.pieces(), write.position, (error) => {
      write.isWritten = true;
      write.error = error;
      this.#begin();
      this.#deferral.wake();
    });
  }

  /** The oldest batch once it is written, and why it is not where that failed; null while it is being written. */
  take(): { readonly batch: AppendBatch; readonly error: BrokerError | null } | null {
    const oldest = this.#writes[0];
    if (oldest === undefined || !oldest.isWritten) return null;
    this.#writes.shift();
    return oldest;
  }
}
