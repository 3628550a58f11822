/**
 * @agent reactor, worker
 *
 * The door to an agent that takes request frames (request worker, control, dispatcher). Short
 * frames travel in the ring, long ones in a slot of the sender's pool, which the receiver frees, or hands on
 * with the record that it has made of the frame there.
 */
import type { CopyKernel } from '../kernel/copy-kernel.ts';
import { BACK_PRESSURED } from '../ring/agent.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import type { SpscRingConsumer, SpscRingProducer } from '../ring/spsc-ring.ts';
import { frameMessage, MessageType, pooledTail } from './ring-messages.ts';

/** Bytes that one read of a socket may bring: the length of the buffer that most frames stand in. */
export const READ_BYTES = 256 * 1024;
/** Longest frame that travels in the ring itself. */
export const FRAME_IN_RING_BYTES_MAX = 256 * 1024;
/** Frames from here on travel in a short slot where one is free: a copy less, for a header read in TypeScript. */
const FRAME_IN_SLOT_BYTES_MIN = 32 * 1024;
/** Free before a frame in a slot: for the head of its record, where the header of the request is short. */
const FRAME_ROOM_BYTES = 128;

/** Where a frame came from. */
export interface FrameSource {
  readonly id: number;
  readonly listener: number;
  /** 4 or 16 bytes of address. */
  readonly hostBytes: Uint8Array;
  readonly remotePort: number;
}

export class FrameProxy {
  readonly ring: SpscRingProducer;
  readonly #pool: LargeMessagePool;
  readonly #kernel: CopyKernel | null;
  readonly #inRingBytesMax: number;

  /** `kernel`: of the buffer that most frames stand in, where it has one. */
  constructor(ring: SpscRingProducer, pool: LargeMessagePool, kernel: CopyKernel | null = null) {
    this.ring = ring;
    this.#pool = pool;
    this.#kernel = kernel;
    this.#inRingBytesMax = Math.min(
      FRAME_IN_RING_BYTES_MAX,
      ring.payloadBytesMax - frameMessage.totalBytes,
    );
  }

  /** Offers `bytes[start, end)`, a frame without its length word; false when there is no room. */
  offer(
    source: FrameSource,
    arrivalMs: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): boolean {
    const frameBytes = end - start;
    const ring = this.ring;
    if (frameBytes > this.#inRingBytesMax)
      return this.#offerPooled(source, arrivalMs, bytes, start, end, this.#pool.claim());
    if (this.isForShortSlot(frameBytes)) {
      const slot = this.claimShort();
      if (slot !== BACK_PRESSURED)
        return this.#offerPooled(source, arrivalMs, bytes, start, end, slot);
    }
    const payloadBytes = frameMessage.totalBytes + frameBytes;
    const offset = ring.claim(MessageType.FRAME, payloadBytes);
    if (offset === BACK_PRESSURED) return false;
    writeSource(ring, offset, source, arrivalMs);
    const at = offset + frameMessage.totalBytes;
    const kernel = this.#kernel;
    if (kernel === null || bytes !== kernel.space) bytes.copy(ring.bytes, at, start, end);
    else kernel.copy(ring.bytes, at, bytes, start, end);
    ring.commit(payloadBytes);
    return true;
  }

  /** Passes on the FRAME or FRAME_POOLED that `from` stands at, as it is. */
  forward(from: SpscRingConsumer): boolean {
    const offset = this.ring.claim(from.type, from.payloadBytes);
    if (offset === BACK_PRESSURED) return false;
    from.bytes.copy(
      this.ring.bytes,
      offset,
      from.payloadOffset,
      from.payloadOffset + from.payloadBytes,
    );
    this.ring.commit(from.payloadBytes);
    return true;
  }

  /** Offers a message that is no frame and fits a ring record; false when there is no room. */
  offerMessage(type: number, payload: Uint8Array): boolean {
    const { ring } = this;
    const offset = ring.claim(type, payload.length);
    if (offset === BACK_PRESSURED) return false;
    ring.bytes.set(payload, offset);
    ring.commit(payload.length);
    return true;
  }

  publish(): void {
    this.ring.publish();
  }

  /** The memory of slots. */
  get slotBytes(): Buffer {
    return this.#pool.bytes;
  }

  /** Where the frame in a slot stands in `slotBytes`. */
  startOf(slot: number): number {
    return this.#pool.offsetOf(slot) + FRAME_ROOM_BYTES;
  }

  /** Whether a frame of that length travels in a short slot, where one is free. */
  isForShortSlot(frameBytes: number): boolean {
    return (
      frameBytes >= FRAME_IN_SLOT_BYTES_MIN &&
      frameBytes <= this.#pool.shortBytes - FRAME_ROOM_BYTES
    );
  }

  /** Takes a short slot for a frame to come; BACK_PRESSURED where none is free. */
  claimShort(): number {
    return this.#pool.claimShort();
  }

  /** Gives a slot back that was not offered. */
  releaseSlot(slot: number): void {
    this.#pool.release(slot);
  }

  /** Offers the frame that stands in a slot, which is the receiver's then; false when there is no room. */
  offerSlot(source: FrameSource, arrivalMs: number, slot: number, frameBytes: number): boolean {
    const ring = this.ring;
    const payloadBytes = frameMessage.totalBytes + pooledTail.totalBytes;
    const offset = ring.claim(MessageType.FRAME_POOLED, payloadBytes);
    if (offset === BACK_PRESSURED) return false;
    writeSource(ring, offset, source, arrivalMs);
    const tail = (offset + frameMessage.totalBytes) >> 2;
    ring.int32[tail] = slot;
    ring.int32[tail + 1] = frameBytes;
    ring.int32[tail + 2] = this.startOf(slot);
    ring.commit(payloadBytes);
    return true;
  }

  #offerPooled(
    source: FrameSource,
    arrivalMs: number,
    bytes: Buffer,
    start: number,
    end: number,
    slot: number,
  ): boolean {
    if (slot === BACK_PRESSURED) return false;
    // Before the copy, which is for nothing where the ring has no room: the worker sees it once it is published.
    if (!this.offerSlot(source, arrivalMs, slot, end - start)) {
      this.#pool.release(slot);
      return false;
    }
    bytes.copy(this.#pool.bytes, this.startOf(slot), start, end);
    return true;
  }
}

function writeSource(
  ring: SpscRingProducer,
  offset: number,
  source: FrameSource,
  arrivalMs: number,
): void {
  ring.int32[(offset + frameMessage.connectionId) >> 2] = source.id;
  ring.int32[(offset + frameMessage.bornPort) >> 2] = source.remotePort;
  ring.float64[(offset + frameMessage.arrivalMs) >> 3] = arrivalMs;
  ring.int32[(offset + frameMessage.hostBytes) >> 2] = source.hostBytes.length;
  ring.int32[(offset + frameMessage.listener) >> 2] = source.listener;
  const { hostBytes } = source;
  const hostStart = offset + frameMessage.host;
  for (let index = 0; index < hostBytes.length; index++)
    ring.bytes[hostStart + index] = hostBytes[index];
}

/**
 * The receiving end: locates the frame that a FRAME or FRAME_POOLED record carries. One an agent;
 * the fields are valid until the ring is released, and a slot until `free`.
 */
export class FrameReader {
  connectionId = 0;
  arrivalMs = 0;
  listener = 0;
  bornPort = 0;
  hostBytes = 0;
  /** Where the address stands: in the ring, also when the frame itself is in a pool. */
  hostSource: Buffer = Buffer.alloc(0);
  hostStart = 0;
  bytes: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;
  readonly pool: LargeMessagePool;
  /** -1 for a frame in the ring, and for one whose slot was handed on. */
  slot = -1;

  constructor(pool: LargeMessagePool) {
    this.pool = pool;
  }

  read(ring: SpscRingConsumer): void {
    const offset = ring.payloadOffset;
    this.connectionId = ring.int32[(offset + frameMessage.connectionId) >> 2];
    this.arrivalMs = ring.float64[(offset + frameMessage.arrivalMs) >> 3];
    this.listener = ring.int32[(offset + frameMessage.listener) >> 2];
    this.bornPort = ring.int32[(offset + frameMessage.bornPort) >> 2];
    this.hostBytes = ring.int32[(offset + frameMessage.hostBytes) >> 2];
    this.hostSource = ring.bytes;
    this.hostStart = offset + frameMessage.host;
    if (ring.type === MessageType.FRAME_POOLED) {
      const tail = (offset + frameMessage.totalBytes) >> 2;
      this.slot = ring.int32[tail];
      this.bytes = this.pool.bytes;
      this.start = ring.int32[tail + 2];
      this.end = this.start + ring.int32[tail + 1];
    } else {
      this.slot = -1;
      this.bytes = ring.bytes;
      this.start = offset + frameMessage.totalBytes;
      this.end = offset + ring.payloadBytes;
    }
  }

  /** Gives a pooled frame's slot back; call it once the frame is done with, not when it is kept for later. */
  free(): void {
    if (this.slot >= 0) this.pool.release(this.slot);
    this.slot = -1;
  }

  /** Whoever is told of the slot frees it. */
  handOn(): void {
    this.slot = -1;
  }
}
