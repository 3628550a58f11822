/**
 * @agent dispatcher
 *
 * What all ConsumeQueues of a store know, in rows of numbers. With an object, a buffer, paths and places
 * in sets for each of 80,000 queues there were two million things for the garbage collector to mark.
 *
 * ```
 * chunks   [ row 0 | row 1 | … | row 1023 ][ row 1024 | …        a row: ROW_FIELDS numbers, see QueueField
 * lists    next, previous by place                                queues in the order in which they came
 * slots    [ 8 units | 8 units | … ][ 16 units | … ][ …            buffers of queues with little to write
 * ```
 */

/** What a row holds, and at which place of it. Offsets count messages, physical offsets are bytes of the log. */
export const QueueField = {
  /** Of the first message that the log still has. */
  MIN_OFFSET: 0,
  /** Of the next message to come. */
  MAX_OFFSET: 1,
  /** The first offset in the buffer. */
  BUFFER_START: 2,
  /** Units below are on file. */
  WRITTEN_TO: 3,
  /** `MAX_OFFSET` when the store last wrote. */
  RESTED_AT: 4,
  /** Physical offsets of the first and the last unit; -1 where not known. */
  FIRST_PHYSICAL: 5,
  LAST_PHYSICAL: 6,
  /** Place in the log of the first record whose unit nobody is writing, where the queue is pending. */
  FIRST_PENDING: 7,
  /** Bytes at which the first file starts and the last one ends; equal where there is none. */
  FILES_START: 8,
  FILES_END: 9,
  /** Where in its buffer the queue's units begin, and how many bytes it has there. */
  BUFFER_BASE: 10,
  BUFFER_BYTES: 11,
  /** Of `UnitSlots`; -1 where the buffer is the queue's own, or there is none. */
  SLOT: 12,
  /** 1: what stands on file behind the end is not known. */
  IS_TAIL_UNKNOWN: 13,
  /** 1: the topic is deleted, and this row is only for who still holds the queue. */
  IS_FORGOTTEN: 14,
  /** Physical offset of the last unit that is on file; -1 where not known. */
  LAST_WRITTEN: 15,
} as const;

/** A power of two: two cache lines. */
export const ROW_FIELDS = 16;
const CHUNK_ROWS = 1024;

export class QueueTable {
  readonly #chunks: Float64Array[] = [];
  readonly #free: number[] = [];
  #count = 0;

  /** Queues that have a row. */
  get count(): number {
    return this.#count - this.#free.length;
  }

  /** A place for a queue; its row is all zeroes but for what is not known. */
  take(): number {
    const place = this.#free.pop() ?? this.#count++;
    if (place >= this.#chunks.length * CHUNK_ROWS)
      this.#chunks.push(new Float64Array(CHUNK_ROWS * ROW_FIELDS));
    resetRow(this.rowsOf(place), this.startOf(place));
    return place;
  }

  give(place: number): void {
    this.#free.push(place);
  }

  rowsOf(place: number): Float64Array {
    return this.#chunks[Math.floor(place / CHUNK_ROWS)];
  }

  startOf(place: number): number {
    return (place % CHUNK_ROWS) * ROW_FIELDS;
  }
}

export function resetRow(rows: Float64Array, start: number): void {
  rows.fill(0, start, start + ROW_FIELDS);
  rows[start + QueueField.RESTED_AT] = -1;
  rows[start + QueueField.FIRST_PHYSICAL] = -1;
  rows[start + QueueField.LAST_PHYSICAL] = -1;
  rows[start + QueueField.LAST_WRITTEN] = -1;
  rows[start + QueueField.SLOT] = -1;
}

const LIST_CAPACITY_START = 64;
/** In `next` and `previous` of a place that is not in the list. */
const ABSENT = -1;

/** Places in the order in which they were added; a ring around entry 0, place p stands at p + 1. */
export class QueueList {
  #next = new Int32Array(1);
  #previous = new Int32Array(1);
  #size = 0;
  /** The place that a walk comes to next; one that is deleted gives way to the one behind it. -1: the end. */
  cursor = -1;

  get size(): number {
    return this.#size;
  }

  /** The oldest place, -1 where there is none. */
  get first(): number {
    return this.#next[0] - 1;
  }

  /** The place behind one of the list; -1 at the end. */
  after(place: number): number {
    return this.#next[place + 1] - 1;
  }

  has(place: number): boolean {
    return place + 1 < this.#next.length && this.#next[place + 1] !== ABSENT;
  }

  /** Adds a place at the end, unless it is there. */
  add(place: number): void {
    if (!this.has(place)) this.#insert(place, 0);
  }

  /** Makes a place the first, wherever it was. */
  addFirst(place: number): void {
    this.delete(place);
    this.#insert(place, this.#next[0]);
  }

  delete(place: number): void {
    if (!this.has(place)) return;
    const at = place + 1;
    const next = this.#next[at];
    const previous = this.#previous[at];
    if (this.cursor === place) this.cursor = next - 1;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#next[at] = ABSENT;
    this.#size--;
  }

  /** In front of the entry `next`. */
  #insert(place: number, next: number): void {
    const at = place + 1;
    if (at >= this.#next.length) this.#grow(at + 1);
    const previous = this.#previous[next];
    this.#next[previous] = at;
    this.#previous[at] = previous;
    this.#next[at] = next;
    this.#previous[next] = at;
    this.#size++;
  }

  #grow(countMin: number): void {
    const capacity = Math.max(LIST_CAPACITY_START, this.#next.length * 2, countMin);
    const next = new Int32Array(capacity).fill(ABSENT);
    const previous = new Int32Array(capacity);
    next.set(this.#next);
    previous.set(this.#previous);
    this.#next = next;
    this.#previous = previous;
  }
}

/** Of one size; 640 KiB where a slot has 160 bytes, and as much where it has more. */
const SLOT_CHUNK_BYTES = 640 * 1024;
/** Each twice as long as the one before: 160 bytes to 10 KiB. */
const SLOT_SIZE_COUNT = 7;

/** Buffers of a few sizes, cut from large ones; a number for each. */
export class UnitSlots {
  readonly #bytesMin: number;
  readonly #sizes: readonly SlotsOfSize[];

  constructor(bytesMin: number) {
    this.#bytesMin = bytesMin;
    this.#sizes = Array.from(
      { length: SLOT_SIZE_COUNT },
      (_, size) => new SlotsOfSize(bytesMin << size),
    );
  }

  /** The shortest slot that has so many bytes; -1 where none has. */
  take(bytes: number): number {
    const size = 32 - Math.clz32(Math.ceil(bytes / this.#bytesMin) - 1);
    return size < SLOT_SIZE_COUNT ? this.#sizes[size].take() * SLOT_SIZE_COUNT + size : -1;
  }

  /** Gives a slot back; with the last one of its size the memory goes. */
  give(slot: number): void {
    this.#sizes[slot % SLOT_SIZE_COUNT].give(Math.floor(slot / SLOT_SIZE_COUNT));
  }

  bytesOf(slot: number): number {
    return this.#bytesMin << (slot % SLOT_SIZE_COUNT);
  }

  bufferOf(slot: number): Buffer {
    return this.#sizes[slot % SLOT_SIZE_COUNT].bufferOf(Math.floor(slot / SLOT_SIZE_COUNT));
  }

  /** Where in its buffer a slot begins. */
  baseOf(slot: number): number {
    return this.#sizes[slot % SLOT_SIZE_COUNT].baseOf(Math.floor(slot / SLOT_SIZE_COUNT));
  }
}

class SlotsOfSize {
  readonly #slotBytes: number;
  readonly #chunkSlots: number;
  #chunks: Buffer[] = [];
  #free: number[] = [];
  #count = 0;

  constructor(slotBytes: number) {
    this.#slotBytes = slotBytes;
    this.#chunkSlots = Math.floor(SLOT_CHUNK_BYTES / slotBytes);
  }

  take(): number {
    const slot = this.#free.pop() ?? this.#count++;
    if (slot >= this.#chunks.length * this.#chunkSlots)
      this.#chunks.push(Buffer.allocUnsafeSlow(this.#chunkSlots * this.#slotBytes));
    return slot;
  }

  give(slot: number): void {
    this.#free.push(slot);
    if (this.#free.length < this.#count) return;
    this.#chunks = [];
    this.#free = [];
    this.#count = 0;
  }

  bufferOf(slot: number): Buffer {
    return this.#chunks[Math.floor(slot / this.#chunkSlots)];
  }

  baseOf(slot: number): number {
    return (slot % this.#chunkSlots) * this.#slotBytes;
  }
}
