/**
 * @agent worker, control, dispatcher, writer
 *
 * The door to the reactor for whoever answers a request. Each agent has one over a ring of its own;
 * what it offers is written to the connection in the order offered. Returns false when the ring is
 * full: the caller keeps its item and tries again.
 */
import type { Answer, RemotingCommand } from '../protocol/remoting-command.ts';
import { encodeAnswer } from '../protocol/remoting-command.ts';
import { BACK_PRESSURED } from '../ring/agent.ts';
import type { SpscRingProducer } from '../ring/spsc-ring.ts';
import { answerBytesMessage, connectionMessage, MessageType } from './ring-messages.ts';

export class ReactorProxy {
  readonly ring: SpscRingProducer;

  constructor(ring: SpscRingProducer) {
    this.ring = ring;
  }

  /** Sends a finished frame that fits a ring record. */
  answerBytes(connectionId: number, frame: Uint8Array): boolean {
    const ring = this.ring;
    const payloadBytes = answerBytesMessage.totalBytes + frame.length;
    const offset = ring.claim(MessageType.ANSWER_BYTES, payloadBytes);
    if (offset === BACK_PRESSURED) return false;
    ring.int32[(offset + answerBytesMessage.connectionId) >> 2] = connectionId;
    ring.int32[(offset + answerBytesMessage.frameBytes) >> 2] = frame.length;
    ring.bytes.set(frame, offset + answerBytesMessage.totalBytes);
    ring.commit(payloadBytes);
    return true;
  }

  answer(
    connectionId: number,
    request: Pick<RemotingCommand, 'opaque' | 'serializeType'>,
    answer: Answer,
  ): boolean {
    return this.answerBytes(connectionId, encodeAnswer(request, answer));
  }

  publish(): void {
    this.ring.publish();
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
