/**
 * @agent worker, control, dispatcher, writer
 *
 * The door to the reactor for whoever answers a request. Each agent has one over a ring of its own;
 * what it offers is written to the connection in the order offered. Returns false when the ring is
 * full: the caller keeps its item and tries again. An answer longer than a ring record travels in
 * parts, and the next one waits until the last part has gone.
 */
import type { Answer, RemotingCommand } from '../protocol/remoting-command.ts';
import { encodeAnswer } from '../protocol/remoting-command.ts';
import { BACK_PRESSURED } from '../ring/agent.ts';
import { PART_TYPE } from '../ring/queued-producer.ts';
import type { SpscRingProducer } from '../ring/spsc-ring.ts';
import { answerBytesMessage, connectionMessage, MessageType } from './ring-messages.ts';

export class ReactorProxy {
  readonly ring: SpscRingProducer;
  /** Long answers on their way, and whatever must not wait for room; and how much of the first has gone. */
  readonly #queue: Buffer[] = [];
  #sentBytes = 0;

  constructor(ring: SpscRingProducer) {
    this.ring = ring;
  }

  /** Sends a finished frame. */
  answerBytes(connectionId: number, frame: Uint8Array): boolean {
    if (!this.#sendQueued()) return false;
    const ring = this.ring;
    const payloadBytes = answerBytesMessage.totalBytes + frame.length;
    if (payloadBytes > ring.payloadBytesMax) {
      this.queueBytes(connectionId, frame);
      return true;
    }
    const offset = ring.claim(MessageType.ANSWER_BYTES, payloadBytes);
    if (offset === BACK_PRESSURED) return false;
    ring.int32[(offset + answerBytesMessage.connectionId) >> 2] = connectionId;
    ring.int32[(offset + answerBytesMessage.frameBytes) >> 2] = frame.length;
    ring.bytes.set(frame, offset + answerBytesMessage.totalBytes);
    ring.commit(payloadBytes);
    return true;
  }

  /** Sends a finished frame, now or when there is room; for what is rare and can't be tried again. */
  queueBytes(connectionId: number, frame: Uint8Array): void {
    this.#queue.push(answerBytesPayload(connectionId, frame));
    this.#sendQueued();
  }

  answer(
    connectionId: number,
    request: Pick<RemotingCommand, 'opaque' | 'serializeType'>,
    answer: Answer,
  ): boolean {
    return this.answerBytes(connectionId, encodeAnswer(request, answer));
  }

  /** Closes a connection, behind the answers that were offered before. */
  closeConnection(connectionId: number): boolean {
    if (!this.#sendQueued()) return false;
    const { ring } = this;
    const offset = ring.claim(MessageType.CLOSE_CONNECTION, connectionMessage.totalBytes);
    if (offset === BACK_PRESSURED) return false;
    ring.int32[(offset + connectionMessage.connectionId) >> 2] = connectionId;
    ring.commit(connectionMessage.totalBytes);
    return true;
  }

  publish(): void {
    this.#sendQueued();
    this.ring.publish();
  }

  /** Sends what is queued; false while some of it is left. */
  #sendQueued(): boolean {
    const { ring } = this;
    while (this.#queue.length > 0) {
      const payload = this.#queue[0];
      const leftBytes = payload.length - this.#sentBytes;
      const pieceBytes = Math.min(leftBytes, ring.payloadBytesMax);
      const type = pieceBytes === leftBytes ? MessageType.ANSWER_BYTES : PART_TYPE;
      const offset = ring.claim(type, pieceBytes);
      if (offset === BACK_PRESSURED) return false;
      payload.copy(ring.bytes, offset, this.#sentBytes, this.#sentBytes + pieceBytes);
      ring.commit(pieceBytes);
      this.#sentBytes += pieceBytes;
      if (this.#sentBytes < payload.length) continue;
      this.#queue.shift();
      this.#sentBytes = 0;
    }
    return true;
  }
}

/** Payload of ANSWER_BYTES, for frames of any length through a QueuedProducer. */
export function answerBytesPayload(connectionId: number, frame: Uint8Array): Buffer {
  const payload = Buffer.allocUnsafe(answerBytesMessage.totalBytes + frame.length);
  const head = new Int32Array(2);
  head[answerBytesMessage.connectionId >> 2] = connectionId;
  head[answerBytesMessage.frameBytes >> 2] = frame.length;
  payload.set(new Uint8Array(head.buffer), 0);
  payload.set(frame, answerBytesMessage.totalBytes);
  return payload;
}

/** Payload of CLOSE_CONNECTION and CONNECTION_CLOSED. */
export function connectionPayload(connectionId: number): Buffer {
  const head = new Int32Array(connectionMessage.totalBytes / 4);
  head[connectionMessage.connectionId >> 2] = connectionId;
  return Buffer.from(head.buffer);
}
