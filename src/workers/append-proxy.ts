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
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import type { SpscRingProducer } from '../ring/spsc-ring.ts';
import { AppendClaim } from './append-claim.ts';
import { AnswerKind, appendMessage } from './ring-messages.ts';

const sendCodes: ReadonlySet<number> = new Set([
  RequestCode.SEND_MESSAGE,
  RequestCode.SEND_MESSAGE_V2,
  RequestCode.SEND_BATCH_MESSAGE,
  RequestCode.SEND_REPLY_MESSAGE,
  RequestCode.SEND_REPLY_MESSAGE_V2,
]);

export class AppendProxy {
  readonly ring: SpscRingProducer;
  readonly #claim: AppendClaim;
  readonly #clock: MonotonicClock;

  constructor(ring: SpscRingProducer, pool: LargeMessagePool, clock: MonotonicClock) {
    this.#clock = clock;
    this.ring = ring;
    this.#claim = new AppendClaim(ring, pool);
  }

  /** Offers a record; with `answerTo`, the writer answers that request. False when there is no room. */
  append(draft: RecordDraft, answerTo: AppendAnswer | null): boolean {
    const { record, topicId, queueId } = draft;
    const claim = this.#claim;
    if (!claim.claim(record.length)) return false;
    claim.target.set(record, claim.start);
    this.#commit(topicId, queueId, record.length, answerTo);
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
    const claim = this.#claim;
    if (!claim.claim(recordBytes)) return false;
    writeMovedRecord(claim.target, claim.start, view, move);
    this.#commit(topicId, move.queueId, recordBytes, answerTo);
    return true;
  }

  readonly #extra = Buffer.alloc(EXTRA_BYTES_MAX);

  #commit(
    topicId: number,
    queueId: number,
    recordBytes: number,
    answerTo: AppendAnswer | null,
  ): void {
    const { ring } = this;
    const { offset } = this.#claim;
    const { int32 } = ring;
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
    const extra = answerTo?.extra;
    const extraBytes = extra === undefined ? 0 : writeExtra(this.#extra, 0, extra);
    this.#claim.commit(recordBytes, this.#extra, extraBytes);
  }

  publish(): void {
    this.ring.publish();
  }
}
