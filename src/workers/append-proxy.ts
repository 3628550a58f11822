/**
 * @agent control, dispatcher
 *
 * The door to the writer for records that the broker itself stores: retries, dead letters,
 * deliveries of delayed messages. Off the hot path; request workers encode into the ring directly.
 */
import type { MonotonicClock } from '../base/clock.ts';
import type { AppendAnswer } from '../broker/control-effects.ts';
import { EXTRA_BYTES_MAX, writeExtra } from '../protocol/answer-extra.ts';
import { RequestCode } from '../protocol/codes.ts';
import type { RecordView } from '../protocol/message-record.ts';
import {
  movedRecordBytes,
  type RecordDraft,
  type RecordMove,
  writeMovedRecord,
} from '../protocol/record-encoder.ts';
import { BACK_PRESSURED } from '../ring/agent.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import type { SpscRingProducer } from '../ring/spsc-ring.ts';
import { AnswerKind, appendMessage, MessageType, pooledTail } from './ring-messages.ts';

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
    const { record, topicId, queueId } = draft;
    if (!this.#claim(record.length, answerTo)) return false;
    this.#target.set(record, this.#targetStart);
    this.#commit(topicId, queueId, answerTo);
    return true;
  }

  /** Offers the record that `view` has read once more, on another topic. False when there is no room. */
  appendMoved(
    view: RecordView,
    move: Readonly<RecordMove>,
    topicId: number,
    answerTo: AppendAnswer | null,
  ): boolean {
    const recordBytes = movedRecordBytes(view, move.topicEnd - move.topicStart);
    if (!this.#claim(recordBytes, answerTo)) return false;
    writeMovedRecord(this.#target, this.#targetStart, view, move);
    this.#commit(topicId, move.queueId, answerTo);
    return true;
  }

  /** Where the record goes that was claimed last. */
  #target: Buffer = Buffer.alloc(0);
  #targetStart = 0;
  readonly #extra = Buffer.alloc(EXTRA_BYTES_MAX);
  readonly #claimed = { offset: 0, payloadBytes: 0, extraBytes: 0 };

  #claim(recordBytes: number, answerTo: AppendAnswer | null): boolean {
    const { ring } = this;
    const isPooled =
      appendMessage.totalBytes + recordBytes + EXTRA_BYTES_MAX > ring.payloadBytesMax;
    const bytesBefore = appendMessage.totalBytes + (isPooled ? pooledTail.totalBytes : recordBytes);
    const extra = answerTo?.extra;
    const extraBytes = extra === undefined ? 0 : writeExtra(this.#extra, 0, extra);
    const payloadBytes = bytesBefore + extraBytes;
    const offset = ring.claim(
      isPooled ? MessageType.APPEND_POOLED : MessageType.APPEND,
      payloadBytes,
    );
    if (offset === BACK_PRESSURED) return false;
    if (isPooled) {
      const slot = this.#pool.claim();
      if (slot === BACK_PRESSURED) return false;
      this.#target = this.#pool.bytes;
      this.#targetStart = this.#pool.offsetOf(slot);
      const tail = (offset + appendMessage.totalBytes) >> 2;
      ring.int32[tail] = slot;
      ring.int32[tail + 1] = recordBytes;
    } else {
      this.#target = ring.bytes;
      this.#targetStart = offset + appendMessage.totalBytes;
    }
    if (extraBytes > 0) this.#extra.copy(ring.bytes, offset + bytesBefore, 0, extraBytes);
    const claimed = this.#claimed;
    claimed.offset = offset;
    claimed.payloadBytes = payloadBytes;
    claimed.extraBytes = extraBytes;
    return true;
  }

  #commit(topicId: number, queueId: number, answerTo: AppendAnswer | null): void {
    const { ring } = this;
    const { offset, payloadBytes, extraBytes } = this.#claimed;
    const { int32 } = ring;
    int32[(offset + appendMessage.extraBytes) >> 2] = extraBytes;
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
    int32[(offset + appendMessage.topicId) >> 2] = topicId;
    int32[(offset + appendMessage.queueId) >> 2] = queueId;
    ring.float64[(offset + appendMessage.arrivalMs) >> 3] = this.#clock.nowMs();
    int32[(offset + appendMessage.answerQueueId) >> 2] = queueId;
    int32[(offset + appendMessage.recordCount) >> 2] = 1;
    int32[(offset + appendMessage.waitsForDisk) >> 2] = 1;
    ring.commit(payloadBytes);
  }

  publish(): void {
    this.ring.publish();
  }
}
