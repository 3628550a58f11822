/**
 * @agent worker, control, dispatcher
 *
 * Room for records on their way to the writer: in its ring, in a slot of the sender's pool where they are too
 * long for that, or in the slot of the frame that they come from. One claim at a time.
 */
import { EXTRA_BYTES_MAX } from '../protocol/answer-extra.ts';
import { BACK_PRESSURED } from '../ring/agent.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import type { SpscRingProducer } from '../ring/spsc-ring.ts';
import type { FrameReader } from './frame-proxy.ts';
import { appendMessage, MessageType, pooledTail } from './ring-messages.ts';

export class AppendClaim {
  /** Where the records go, from `start` on. */
  target: Buffer = Buffer.alloc(0);
  start = 0;
  /** Of the message in the ring: an `appendMessage`, to be filled in. */
  offset = 0;
  /** The records go to the ring itself. */
  isInRing = false;
  readonly #ring: SpscRingProducer;
  readonly #pool: LargeMessagePool;
  /** Of `#pool`, -1 for none. */
  #slot = -1;
  /** The records are made in its slot. */
  #frame: FrameReader | null = null;

  constructor(ring: SpscRingProducer, pool: LargeMessagePool) {
    this.#ring = ring;
    this.#pool = pool;
  }

  /** Claims room for records of up to `recordsBytes`; false without room. */
  claim(recordsBytes: number): boolean {
    const ring = this.#ring;
    const roomBytes = appendMessage.totalBytes + EXTRA_BYTES_MAX;
    const isInRing = roomBytes + recordsBytes <= ring.payloadBytesMax;
    const type = isInRing ? MessageType.APPEND : MessageType.APPEND_POOLED;
    const payloadBytes = roomBytes + (isInRing ? recordsBytes : pooledTail.totalBytes);
    const offset = ring.claim(type, payloadBytes);
    if (offset === BACK_PRESSURED) return false;
    this.offset = offset;
    this.isInRing = isInRing;
    this.#slot = -1;
    this.#frame = null;
    if (isInRing) {
      this.target = ring.bytes;
      this.start = offset + appendMessage.totalBytes;
      return true;
    }
    const slot = this.#pool.claim();
    if (slot === BACK_PRESSURED) return false;
    this.#slot = slot;
    this.target = this.#pool.bytes;
    this.start = this.#pool.offsetOf(slot);
    return true;
  }

  /**
   * For a frame that stands in a slot: its record can be made there around the body, which stays where it is; the
   * slot goes to the writer. Everything behind the body has to be written before its head, which may
   * stand where the header of the request does. False without room in the slot or the ring.
   */
  claimInFrame(frame: FrameReader, start: number, recordBytesMax: number): boolean {
    const { slot, pool } = frame;
    if (start < pool.offsetOf(slot) || start + recordBytesMax > pool.endOf(slot)) return false;
    const payloadBytes = appendMessage.totalBytes + pooledTail.totalBytes + EXTRA_BYTES_MAX;
    const offset = this.#ring.claim(MessageType.APPEND_IN_FRAME, payloadBytes);
    if (offset === BACK_PRESSURED) return false;
    this.offset = offset;
    this.isInRing = false;
    this.#slot = -1;
    this.#frame = frame;
    this.target = pool.bytes;
    this.start = start;
    return true;
  }

  /** Gives a claim back that is not used after all. */
  abandon(): void {
    if (this.#slot >= 0) this.#pool.release(this.#slot);
    this.#slot = -1;
  }

  /** Ends the message with where its records are, and `extra[0, extraBytes)`. */
  commit(recordsBytes: number, extra: Buffer, extraBytes: number): void {
    const ring = this.#ring;
    const { offset } = this;
    const { int32 } = ring;
    let payloadBytes = appendMessage.totalBytes;
    if (this.isInRing) payloadBytes += recordsBytes;
    else {
      const frame = this.#frame;
      const tail = (offset + payloadBytes) >> 2;
      int32[tail] = frame === null ? this.#slot : frame.slot;
      int32[tail + 1] = recordsBytes;
      int32[tail + 2] = this.start;
      frame?.handOn();
      payloadBytes += pooledTail.totalBytes;
    }
    if (extraBytes > 0) extra.copy(ring.bytes, offset + payloadBytes, 0, extraBytes);
    int32[(offset + appendMessage.extraBytes) >> 2] = extraBytes;
    ring.commit(payloadBytes + extraBytes);
  }
}
