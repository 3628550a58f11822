/**
 * @agent any
 *
 * A bounded pool of shared buffers for what is too long for a ring: the producer fills a slot and
 * sends its number through the ring; the consumer frees it. One producer, any consumer. The memory
 * is only reserved: a page counts once it was used. The first free slot is taken: what was used last is
 * still in the processor's cache.
 *
 * ```
 * | state of slot 0 i32 | … | pad to 4096 | short slots | slots of slotBytes |
 * ```
 * A state is 0 (free; only the producer may make it 1) or 1 (taken; only its holder may make it 0).
 */
import { BACK_PRESSURED } from './agent.ts';

const PAGE_BYTES = 4096;

/** Slots of their own for what is not that long. */
export interface ShortSlots {
  readonly count: number;
  readonly bytes: number;
}

const NO_SHORT_SLOTS: ShortSlots = { count: 0, bytes: 0 };

export class LargeMessagePool {
  readonly memory: SharedArrayBuffer;
  readonly bytes: Buffer;
  readonly slotBytes: number;
  readonly shortBytes: number;
  readonly #states: Int32Array;
  readonly #shortCount: number;
  readonly #slotCount: number;
  readonly #longStart: number;

  constructor(memory: SharedArrayBuffer, slotBytes: number, short = NO_SHORT_SLOTS) {
    this.memory = memory;
    this.bytes = Buffer.from(memory);
    this.slotBytes = slotBytes;
    this.shortBytes = short.bytes;
    this.#states = new Int32Array(memory);
    this.#shortCount = short.count;
    this.#longStart = PAGE_BYTES + short.count * short.bytes;
    this.#slotCount = short.count + Math.floor((memory.byteLength - this.#longStart) / slotBytes);
  }

  static allocate(slotCount: number, slotBytes: number, short = NO_SHORT_SLOTS): SharedArrayBuffer {
    return new SharedArrayBuffer(PAGE_BYTES + short.count * short.bytes + slotCount * slotBytes);
  }

  /** Producer: takes a free slot of `slotBytes`, or BACK_PRESSURED. */
  claim(): number {
    return this.#claim(this.#shortCount, this.#slotCount);
  }

  /** Producer: takes a free slot of `shortBytes`, or BACK_PRESSURED. */
  claimShort(): number {
    return this.#claim(0, this.#shortCount);
  }

  #claim(from: number, to: number): number {
    for (let slot = from; slot < to; slot++) {
      if (Atomics.load(this.#states, slot) === 0) {
        Atomics.store(this.#states, slot, 1);
        return slot;
      }
    }
    return BACK_PRESSURED;
  }

  /** Where the slot starts in `bytes`. */
  offsetOf(slot: number): number {
    const long = slot - this.#shortCount;
    return long < 0 ? PAGE_BYTES + slot * this.shortBytes : this.#longStart + long * this.slotBytes;
  }

  /** Where it ends. */
  endOf(slot: number): number {
    return this.offsetOf(slot) + (slot < this.#shortCount ? this.shortBytes : this.slotBytes);
  }

  /** Holder: gives the slot back; its bytes may be overwritten from now on. */
  release(slot: number): void {
    Atomics.store(this.#states, slot, 0);
  }
}
