/**
 * @agent any
 *
 * A bounded pool of shared buffers for what is too long for a ring: the producer fills a slot and
 * sends its number through the ring; the consumer frees it. One producer, any consumer. The memory
 * is only reserved: a page counts once it was used.
 *
 * ```
 * | state of slot 0 i32 | … | pad to 4096 | slot 0, slotBytes | slot 1 | …
 * ```
 * A state is 0 (free; only the producer may make it 1) or 1 (taken; only its holder may make it 0).
 */
import { BACK_PRESSURED } from './agent.ts';

const PAGE_BYTES = 4096;

export class LargeMessagePool {
  readonly memory: SharedArrayBuffer;
  readonly bytes: Buffer;
  readonly slotBytes: number;
  readonly #states: Int32Array;
  readonly #slotCount: number;

  constructor(memory: SharedArrayBuffer, slotBytes: number) {
    this.memory = memory;
    this.bytes = Buffer.from(memory);
    this.slotBytes = slotBytes;
    this.#states = new Int32Array(memory);
    this.#slotCount = Math.floor((memory.byteLength - PAGE_BYTES) / slotBytes);
  }

  static allocate(slotCount: number, slotBytes: number): SharedArrayBuffer {
    return new SharedArrayBuffer(PAGE_BYTES + slotCount * slotBytes);
  }

  /** Producer: takes a free slot, or BACK_PRESSURED. */
  claim(): number {
    for (let slot = 0; slot < this.#slotCount; slot++) {
      if (Atomics.load(this.#states, slot) === 0) {
        Atomics.store(this.#states, slot, 1);
        return slot;
      }
    }
    return BACK_PRESSURED;
  }

  /** Where the slot starts in `bytes`. */
  offsetOf(slot: number): number {
    return PAGE_BYTES + slot * this.slotBytes;
  }

  /** Holder: gives the slot back; its bytes may be overwritten from now on. */
  release(slot: number): void {
    Atomics.store(this.#states, slot, 0);
  }
}
