/**
 * @agent control, dispatcher
 *
 * The door to the writer for records that the broker itself stores: retries, dead letters,
 * deliveries of delayed messages. Off the hot path; request workers encode into the ring directly.
 */
import type { MonotonicClock } from '../base/clock.ts';
import type { AppendAnswer } from '../broker/control-effects.ts';
import { RequestCode } from '../protocol/codes.ts';
import type { RecordDraft } from '../protocol/record-encoder.ts';
import { BACK_PRESSURED } from '../ring/agent.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import type { SpscRingProducer } from '../ring/spsc-ring.ts';
import {
  AnswerKind,
  appendMessage,
  encodeExtras,
  EXTRA_BYTES_MAX,
  MessageType,
  pooledTail,
} from './ring-messages.ts';

const sendCodes: ReadonlySet<number> = new Set([
  RequestCode.SEND_MESSAGE,
  RequestCode.SEND_MESSAGE_V2,
  RequestCode.SEND_BATCH_MESSAGE,
  RequestCode.SEND_REPLY_MESSAGE,
  RequestCode.SEND_REPLY_MESSAGE_V2,
]);

export class AppendProxy {
  readonly ring: SpscRingProducer;
  readonly #pool: LargeMessagePool;
  readonly #clock: MonotonicClock;

  constructor(ring: SpscRingProducer, pool: LargeMessagePool, clock: MonotonicClock) {
    this.#clock = clock;
    this.ring = ring;
    this.#pool = pool;
  }

  /** Offers a record; with `answerTo`, the writer answers that request. False when there is no room. */
  append(draft: RecordDraft, answerTo: AppendAnswer | null): boolean {
    const { ring } = this;
    const recordBytes = draft.record.length;
    const isPooled =
      appendMessage.totalBytes + recordBytes + EXTRA_BYTES_MAX > ring.payloadBytesMax;
    const bytesBefore = appendMessage.totalBytes + (isPooled ? pooledTail.totalBytes : recordBytes);
    const extras = answerTo?.extras === undefined ? '' : encodeExtras(answerTo.extras);
    const payloadBytes = bytesBefore + Buffer.byteLength(extras);
    const offset = ring.claim(
      isPooled ? MessageType.APPEND_POOLED : MessageType.APPEND,
      payloadBytes,
    );
    if (offset === BACK_PRESSURED) return false;
    if (isPooled) {
      const slot = this.#pool.claim();
      if (slot === BACK_PRESSURED) return false;
      this.#pool.bytes.set(draft.record, this.#pool.offsetOf(slot));
      const tail = (offset + appendMessage.totalBytes) >> 2;
      ring.int32[tail] = slot;
      ring.int32[tail + 1] = recordBytes;
    } else ring.bytes.set(draft.record, offset + appendMessage.totalBytes);
    if (extras !== '') ring.bytes.write(extras, offset + bytesBefore);
    const { int32 } = ring;
    int32[(offset + appendMessage.extraBytes) >> 2] = payloadBytes - bytesBefore;
    const request = answerTo?.request;
    const answerKind =
      request === undefined
        ? AnswerKind.NONE
        : sendCodes.has(request.code)
          ? AnswerKind.SEND
          : AnswerKind.PLAIN;
    int32[(offset + appendMessage.connectionId) >> 2] = answerTo?.connectionId ?? 0;
    int32[(offset + appendMessage.opaque) >> 2] = request?.opaque ?? 0;
    int32[(offset + appendMessage.serializeType) >> 2] = request?.serializeType ?? 0;
    int32[(offset + appendMessage.answerKind) >> 2] = answerKind;
    int32[(offset + appendMessage.topicId) >> 2] = draft.topicId;
    int32[(offset + appendMessage.queueId) >> 2] = draft.queueId;
    ring.float64[(offset + appendMessage.arrivalMs) >> 3] = this.#clock.nowMs();
    int32[(offset + appendMessage.answerQueueId) >> 2] = draft.queueId;
    int32[(offset + appendMessage.recordCount) >> 2] = 1;
    int32[(offset + appendMessage.waitsForDisk) >> 2] = 1;
    ring.commit(payloadBytes);
    return true;
  }

  publish(): void {
    this.ring.publish();
  }
}
