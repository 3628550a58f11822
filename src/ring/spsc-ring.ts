/**
 * @agent any
 *
 * A single-producer single-consumer ring of byte records over a SharedArrayBuffer: how every agent
 * talks to every other. One agent holds the `SpscRingProducer`, one the `SpscRingConsumer`.
 *
 * ```
 * | tail, own cache lines | head, own cache lines | data, capacity bytes (a power of two) |
 *
 * data:  | payloadBytes i32 | type i32 | payload … | pad to 8 | next record …
 * ```
 * Tail and head count bytes since the start and wrap at 2^32; their difference is what is in the
 * ring. A record never wraps: where it would, a padding record fills the data to its end.
 *
 * The producer works in three verbs: `claim` finds room and returns where the payload goes,
 * `commit` adds the record to what the next `publish` shows. The tail is published after the bytes
 * of every record before it, so a consumer that sees the tail sees the records. The consumer
 * returns room with `release`, after it has read; the producer that sees the head may overwrite.
 *
 * Payloads start at multiples of 8, so fixed fields are read and written through `int32` and
 * `float64` (native byte order) and bytes through `bytes`.
 */
import { freshSharedMemory } from '../base/fresh-memory.ts';
import { layout } from '../base/layout.ts';
import { BACK_PRESSURED } from './agent.ts';
import type { Doorbell } from './doorbell.ts';

/** Two cache lines for each cursor: adjacent-line prefetch would couple them otherwise. */
const CURSOR_BYTES = 128;
const ringLayout = layout({ tail: CURSOR_BYTES, head: CURSOR_BYTES });
const TAIL_INDEX = ringLayout.tail / 4;
const HEAD_INDEX = ringLayout.head / 4;
const DATA_OFFSET = ringLayout.totalBytes;
const PAGE_BYTES = 4096;

const recordLayout = layout({ payloadBytes: 'i32', type: 'i32' }, 8);
const RECORD_HEADER_BYTES = recordLayout.totalBytes;

/** Record types of users are 0 and above. */
const PADDING_TYPE = -1;

let failedClaims = 0;

/** Claims on this thread that found no room: nobody rings when there is some, so who met one looks again. */
export function failedClaimCount(): number {
  return failedClaims;
}

const align8 = (bytes: number): number => (bytes + 7) & ~7;

/** Memory of a ring with `capacityBytes` of data, a power of two between 1 KiB and 4 MiB. */
export function allocateRing(capacityBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(ringBytes(capacityBytes));
}

/**
 * Memory of several rings in one piece, which `allocate` makes, each on pages of its own; a page counts once
 * it is touched.
 */
export function allocateRings(
  capacities: readonly (readonly [name: string, capacityBytes: number])[],
  allocate = freshSharedMemory,
): [name: string, memory: Uint8Array<SharedArrayBuffer>][] {
  let totalBytes = 0;
  const places = capacities.map(([name, capacityBytes]) => {
    const bytes = ringBytes(capacityBytes);
    const start = totalBytes;
    totalBytes += Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    return { name, start, bytes };
  });
  const memory = allocate(totalBytes);
  return places.map(({ name, start, bytes }) => [name, new Uint8Array(memory, start, bytes)]);
}

function ringBytes(capacityBytes: number): number {
  if (
    capacityBytes < 1024 ||
    capacityBytes > 4 << 20 ||
    (capacityBytes & (capacityBytes - 1)) !== 0
  ) {
    throw new Error(`ring capacity ${capacityBytes} is not a power of two from 1 KiB to 4 MiB`);
  }
  return DATA_OFFSET + capacityBytes;
}

/** Memory of one ring, alone or a part of what several share. */
export type RingMemory = SharedArrayBuffer | Uint8Array<SharedArrayBuffer>;

interface RingViews {
  bytes: Buffer;
  int32: Int32Array;
  float64: Float64Array;
}

function viewsOf(memory: RingMemory): RingViews {
  const whole = memory instanceof SharedArrayBuffer ? new Uint8Array(memory) : memory;
  const { buffer, byteOffset, byteLength } = whole;
  return {
    bytes: Buffer.from(buffer, byteOffset, byteLength),
    int32: new Int32Array(buffer, byteOffset, byteLength >> 2),
    float64: new Float64Array(buffer, byteOffset, byteLength >> 3),
  };
}

export class SpscRingProducer {
  /** The whole memory; offsets that `claim` returns count from its start. */
  readonly bytes: Buffer;
  readonly int32: Int32Array;
  readonly float64: Float64Array;
  readonly capacityBytes: number;
  /** Largest payload that `claim` grants: half the ring, so that it fits whatever padding it needs. */
  readonly payloadBytesMax: number;
  readonly #doorbell: Doorbell | null;
  readonly #mask: number;
  #plainTail = 0;
  #publishedTail = 0;
  #cachedHead = 0;
  #claimedRecord = 0;
  #backPressureCount = 0;

  constructor(memory: RingMemory, doorbell: Doorbell | null) {
    const { bytes, int32, float64 } = viewsOf(memory);
    this.bytes = bytes;
    this.int32 = int32;
    this.float64 = float64;
    this.capacityBytes = memory.byteLength - DATA_OFFSET;
    this.payloadBytesMax = this.capacityBytes / 2 - RECORD_HEADER_BYTES;
    this.#mask = this.capacityBytes - 1;
    this.#doorbell = doorbell;
    this.#plainTail = Atomics.load(this.int32, TAIL_INDEX);
    this.#publishedTail = this.#plainTail;
    this.#cachedHead = Atomics.load(this.int32, HEAD_INDEX);
  }

  /** How often a claim found the ring full. */
  get backPressureCount(): number {
    return this.#backPressureCount;
  }

  /** True when nothing that was published waits for the consumer. */
  get isDrained(): boolean {
    return Atomics.load(this.int32, HEAD_INDEX) === this.#plainTail;
  }

  /** A mark for `isConsumed`: the end of what has been committed so far. */
  get committedPosition(): number {
    return this.#plainTail;
  }

  /** True once the consumer has released everything that was committed before `position` was taken. */
  isConsumed(position: number): boolean {
    return ((Atomics.load(this.int32, HEAD_INDEX) - position) | 0) >= 0;
  }

  /**
   * Finds room for a record of up to `payloadBytes` and returns the payload's offset in `bytes`, a
   * multiple of 8, or BACK_PRESSURED. Nothing is seen by the consumer before `commit` and
   * `publish`; a claim that is not committed is forgotten by the next one.
   */
  claim(type: number, payloadBytes: number): number {
    if (payloadBytes > this.payloadBytesMax) {
      throw new Error(
        `a record of ${payloadBytes} bytes is too long for a ring of ${this.capacityBytes}`,
      );
    }
    const recordBytes = align8(RECORD_HEADER_BYTES + payloadBytes);
    const index = this.#plainTail & this.#mask;
    const untilEnd = this.capacityBytes - index;
    const wanted = recordBytes > untilEnd ? untilEnd + recordBytes : recordBytes;
    if (this.capacityBytes - ((this.#plainTail - this.#cachedHead) | 0) < wanted) {
      this.#cachedHead = Atomics.load(this.int32, HEAD_INDEX);
      if (this.capacityBytes - ((this.#plainTail - this.#cachedHead) | 0) < wanted) {
        this.#backPressureCount++;
        failedClaims++;
        return BACK_PRESSURED;
      }
    }
    let record = DATA_OFFSET + index;
    if (recordBytes > untilEnd) {
      this.int32[record >> 2] = untilEnd - RECORD_HEADER_BYTES;
      this.int32[(record >> 2) + 1] = PADDING_TYPE;
      this.#plainTail = (this.#plainTail + untilEnd) | 0;
      record = DATA_OFFSET;
    }
    this.int32[(record >> 2) + 1] = type;
    this.#claimedRecord = record;
    return record + RECORD_HEADER_BYTES;
  }

  /** Ends the claimed record with the bytes really written, at most those claimed. */
  commit(payloadBytes: number): void {
    this.int32[this.#claimedRecord >> 2] = payloadBytes;
    this.#plainTail = (this.#plainTail + align8(RECORD_HEADER_BYTES + payloadBytes)) | 0;
  }

  /** Takes back what was committed and is not shown yet. */
  forgetUnpublished(): void {
    this.#plainTail = this.#publishedTail;
  }

  /** Shows the consumer all committed records at once and wakes it if it sleeps. */
  publish(): void {
    this.publishUntil(this.#plainTail);
  }

  /** `publish`, but only of what had been committed when `position` was taken. */
  publishUntil(position: number): void {
    if (position === this.#publishedTail) return;
    this.#publishedTail = position;
    Atomics.store(this.int32, TAIL_INDEX, position);
    this.#doorbell?.ring();
  }
}

export class SpscRingConsumer {
  readonly bytes: Buffer;
  readonly int32: Int32Array;
  readonly float64: Float64Array;
  /** Fields of the record that `peek` found. */
  type = 0;
  payloadOffset = 0;
  payloadBytes = 0;
  readonly #capacityBytes: number;
  readonly #mask: number;
  #cachedTail = 0;
  #plainHead = 0;
  #releasedHead = 0;

  constructor(memory: RingMemory) {
    const { bytes, int32, float64 } = viewsOf(memory);
    this.bytes = bytes;
    this.int32 = int32;
    this.float64 = float64;
    this.#capacityBytes = memory.byteLength - DATA_OFFSET;
    this.#mask = this.#capacityBytes - 1;
    this.#plainHead = Atomics.load(this.int32, HEAD_INDEX);
    this.#releasedHead = this.#plainHead;
    this.#cachedTail = Atomics.load(this.int32, TAIL_INDEX);
  }

  /** Whether everything published has been released; reads both cursors, so any thread may ask. */
  get isEmpty(): boolean {
    return Atomics.load(this.int32, HEAD_INDEX) === Atomics.load(this.int32, TAIL_INDEX);
  }

  /** Finds the record at the head without taking it: true and the fields, or false when empty. */
  peek(): boolean {
    for (;;) {
      if (this.#plainHead === this.#cachedTail) {
        this.#cachedTail = Atomics.load(this.int32, TAIL_INDEX);
        if (this.#plainHead === this.#cachedTail) return false;
      }
      const record = DATA_OFFSET + (this.#plainHead & this.#mask);
      const payloadBytes = this.int32[record >> 2];
      const type = this.int32[(record >> 2) + 1];
      if (type !== PADDING_TYPE) {
        this.type = type;
        this.payloadOffset = record + RECORD_HEADER_BYTES;
        this.payloadBytes = payloadBytes;
        return true;
      }
      this.#plainHead = (this.#plainHead + RECORD_HEADER_BYTES + payloadBytes) | 0;
    }
  }

  /** The end of what is published now, for `peekBefore`. */
  get publishedEnd(): number {
    return Atomics.load(this.int32, TAIL_INDEX);
  }

  /**
   * `peek`, but only for what was published when `end` was taken. An agent that must have seen another
   * ring first takes the end, drains the other ring, and goes no further: whoever published the record
   * knew of what is in the other ring.
   */
  peekBefore(end: number): boolean {
    return ((end - this.#plainHead) | 0) > 0 && this.peek() && ((end - this.#plainHead) | 0) > 0;
  }

  /** Takes the record that `peek` found. Its bytes stay valid until `release`. */
  skip(): void {
    this.#plainHead = (this.#plainHead + align8(RECORD_HEADER_BYTES + this.payloadBytes)) | 0;
  }

  /** The end of what has been taken so far, for `releaseUntil`. */
  get takenPosition(): number {
    return this.#plainHead;
  }

  /** Gives the room of all taken records back to the producer. */
  release(): void {
    this.releaseUntil(this.#plainHead);
  }

  /** `release`, but only of what had been taken when `position` was. */
  releaseUntil(position: number): void {
    if (position === this.#releasedHead) return;
    this.#releasedHead = position;
    Atomics.store(this.int32, HEAD_INDEX, position);
  }
}
