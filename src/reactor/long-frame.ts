/**
 * @agent reactor
 *
 * A long send that is on its way: it collects in the slot in which its worker takes it, so that the socket is
 * read straight to there, and no byte of its body is copied again before the log has it.
 *
 * The slot is taken for the whole frame once its head is there. Peers that never send the rest keep theirs as
 * long as any frame may take; who finds no slot free is read into a buffer of its own.
 */
import { BACK_PRESSURED } from '../ring/agent.ts';
import type { FrameProxy, FrameSource } from '../workers/frame-proxy.ts';

export class LongFrame {
  /** The frame without its length word, once it is whole: `bytes[start, end)`. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly #proxy: FrameProxy;
  /** -1 once it is another's. */
  #slot: number;
  /** So far it has arrived. */
  #at: number;

  private constructor(proxy: FrameProxy, slot: number, frameBytes: number) {
    this.#proxy = proxy;
    this.#slot = slot;
    this.bytes = proxy.slotBytes;
    this.start = proxy.startOf(slot);
    this.end = this.start + frameBytes;
    this.#at = this.start;
  }

  /** For a frame of the length that short slots are for; null where none is free. */
  static begin(proxy: FrameProxy, frameBytes: number): LongFrame | null {
    const slot = proxy.claimShort();
    return slot === BACK_PRESSURED ? null : new LongFrame(proxy, slot, frameBytes);
  }

  get isWhole(): boolean {
    return this.#at === this.end;
  }

  /** Where the socket is to be read to next. */
  get rest(): Buffer {
    return this.bytes.subarray(this.#at, this.end);
  }

  /** Takes its beginning, `from[start, end)`. */
  take(from: Buffer, start: number, end: number): void {
    from.copy(this.bytes, this.#at, start, end);
    this.#at += end - start;
  }

  /** So many bytes have been read to `rest`. */
  onRead(bytes: number): void {
    this.#at += bytes;
  }

  /** Hands it to the worker; false when there is no room. */
  offer(source: FrameSource, arrivalMs: number): boolean {
    if (!this.#proxy.offerSlot(source, arrivalMs, this.#slot, this.end - this.start)) return false;
    this.#slot = -1;
    return true;
  }

  /** Gives the slot back where no worker has it. */
  release(): void {
    if (this.#slot >= 0) this.#proxy.releaseSlot(this.#slot);
    this.#slot = -1;
  }
}
