/**
 * @agent dispatcher
 *
 * Units from files for those who read old messages: such a reader wants 32 of them, and then the next 32.
 * Asked for that often, the path, the descriptor and the call cost more than the units.
 *
 * ```
 * file     [ block | block | … | rest ]         BLOCK_UNITS units in a block
 * slots    [ a block of some queue | … ]        each block has one slot that it may be in
 * ```
 * A unit on file stays as it is until its queue is cut: whoever cuts one calls `forget`.
 */
import type { ConsumeQueueFiles } from './consume-queue-files.ts';
import { type ConsumeQueueUnits, UNIT_BYTES } from './consume-queue-units.ts';

/** A file of RocketMQ's size has 1500 blocks, and a block is nearly a page. */
export const BLOCK_UNITS = 200;
/** A power of two; 1 MB with all in use. */
const SLOT_COUNT = 256;
/** Blocks of neighbouring queues, read side by side, lie in different slots. */
const SLOTS_PER_QUEUE = 31;

/** A queue as far as it is on file. */
interface StoredQueue {
  /** Its own as long as nobody calls `forget` with it. */
  readonly place: number;
  /** Offset of the first unit in memory; what is below is on file. */
  readonly bufferStart: number;
  readonly files: ConsumeQueueFiles;
}

export class UnitBlocks {
  readonly #fileUnits: number;
  readonly #bytes: (Buffer | undefined)[] = [];
  /** Of the queue whose block the slot has, -1 where it has none. */
  readonly #places = new Int32Array(SLOT_COUNT).fill(-1);
  /** Offset of the block's first unit, and how many units the slot has. */
  readonly #starts = new Float64Array(SLOT_COUNT);
  readonly #counts = new Int32Array(SLOT_COUNT);

  /** `fileBytes` of each file of a queue. */
  constructor(fileBytes: number) {
    this.#fileUnits = fileBytes / UNIT_BYTES;
  }

  /** Reads up to `count` units from `fromOffset` on, no further than the end of a file; returns how many. */
  read(queue: StoredQueue, fromOffset: number, count: number, into: ConsumeQueueUnits): number {
    if (count === 1) {
      // A step of a search, which goes on far from it.
      queue.files.read(into.scratch, UNIT_BYTES, fromOffset * UNIT_BYTES);
      into.decode(into.scratch, 0, 0, 1);
      return 1;
    }
    const { place } = queue;
    const fileStart = fromOffset - (fromOffset % this.#fileUnits);
    const storedEnd = Math.min(fileStart + this.#fileUnits, queue.bufferStart);
    const toOffset = Math.min(fromOffset + count, storedEnd);
    for (let offset = fromOffset; offset < toOffset;) {
      const start = offset - ((offset - fileStart) % BLOCK_UNITS);
      const to = Math.min(toOffset, start + BLOCK_UNITS);
      const slot = (place * SLOTS_PER_QUEUE + Math.floor(start / BLOCK_UNITS)) & (SLOT_COUNT - 1);
      const bytes = (this.#bytes[slot] ??= Buffer.allocUnsafeSlow(BLOCK_UNITS * UNIT_BYTES));
      const isThere = this.#places[slot] === place && this.#starts[slot] === start;
      if (!isThere || start + this.#counts[slot] < to) {
        // Until it is read the slot has nothing.
        this.#places[slot] = -1;
        const storedCount = Math.min(BLOCK_UNITS, storedEnd - start);
        queue.files.read(bytes, storedCount * UNIT_BYTES, start * UNIT_BYTES);
        this.#places[slot] = place;
        this.#starts[slot] = start;
        this.#counts[slot] = storedCount;
      }
      into.decode(bytes, (offset - start) * UNIT_BYTES, offset - fromOffset, to - fromOffset);
      offset = to;
    }
    return toOffset - fromOffset;
  }

  /** Drops what it has of a queue. */
  forget(place: number): void {
    if (this.#bytes.length === 0) return;
    for (let slot = 0; slot < SLOT_COUNT; slot++)
      if (this.#places[slot] === place) this.#places[slot] = -1;
  }
}
