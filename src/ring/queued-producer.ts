/**
 * @agent any
 *
 * A door for low-rate messages of any length: what does not fit the ring now waits in a queue of
 * its own and goes first next time, and what is longer than a ring record travels in parts. The
 * order of messages is kept. Allocates; never on the hot path.
 */
import type { SpscRingConsumer, SpscRingProducer } from './spsc-ring.ts';
import { BACK_PRESSURED } from './agent.ts';

/** Type of a record that holds the next piece of a longer message; the last piece has the real type. */
export const PART_TYPE = 0x7fff_ffff;

interface Waiting {
  type: number;
  payload: Uint8Array;
  sentBytes: number;
}

export class QueuedProducer {
  readonly #ring: SpscRingProducer;
  #waiting: Waiting[] = [];

  constructor(ring: SpscRingProducer) {
    this.#ring = ring;
  }

  /** True when everything offered is in the ring and was consumed. */
  get isDrained(): boolean {
    return this.#waiting.length === 0 && this.#ring.isDrained;
  }

  /** Number of messages that wait for room. */
  get waitingCount(): number {
    return this.#waiting.length;
  }

  offer(type: number, payload: Uint8Array): void {
    this.#waiting.push({ type, payload, sentBytes: 0 });
    if (this.#waiting.length === 1) this.#send();
  }

  /** Moves what waits into the ring and shows it to the consumer; returns how many messages went. */
  flush(): number {
    const sentCount = this.#waiting.length > 0 ? this.#send() : 0;
    this.#ring.publish();
    return sentCount;
  }

  #send(): number {
    let sentCount = 0;
    for (const message of this.#waiting) {
      if (!this.#sendPieces(message)) break;
      sentCount++;
    }
    if (sentCount > 0) this.#waiting = this.#waiting.slice(sentCount);
    return sentCount;
  }

  #sendPieces(message: Waiting): boolean {
    const ring = this.#ring;
    do {
      const leftBytes = message.payload.length - message.sentBytes;
      const pieceBytes = Math.min(leftBytes, ring.payloadBytesMax);
      const offset = ring.claim(pieceBytes === leftBytes ? message.type : PART_TYPE, pieceBytes);
      if (offset === BACK_PRESSURED) return false;
      ring.bytes.set(
        message.payload.subarray(message.sentBytes, message.sentBytes + pieceBytes),
        offset,
      );
      ring.commit(pieceBytes);
      message.sentBytes += pieceBytes;
    } while (message.sentBytes < message.payload.length);
    return true;
  }
}

/** The other end: puts parts together. Ask it for each record that `peek` found. */
export class PartAssembler {
  #parts: Buffer[] = [];

  /** The whole payload, a copy, or `null` while parts are missing. */
  take(ring: SpscRingConsumer): Buffer | null {
    const piece = Buffer.from(
      ring.bytes.subarray(ring.payloadOffset, ring.payloadOffset + ring.payloadBytes),
    );
    if (ring.type === PART_TYPE) {
      this.#parts.push(piece);
      return null;
    }
    if (this.#parts.length === 0) return piece;
    const whole = Buffer.concat([...this.#parts, piece]);
    this.#parts = [];
    return whole;
  }
}
