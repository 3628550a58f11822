/**
 * @agent worker
 *
 * Decodes sends, checks them against the topic table, and encodes the records to be stored, straight
 * into the writer's ring. Owns no file and no clock; knows topics only through snapshots from
 * control. Never waits: what has no room stays at the head of its ring.
 *
 * A send to a topic that does not exist yet goes to control, which creates the topic and sends the
 * frame back after the topic's snapshot. Until then every later frame of that connection takes the
 * same way, so that what a client sends in order is stored in order.
 *
 * Source: SendMessageProcessor.java, AbstractSendMessageProcessor.java (msgCheck).
 */
import type { Refusals } from '../base/refusals.ts';
import { ByteTable } from '../protocol/byte-table.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { serializeTypeOf } from '../protocol/remoting-command.ts';
import { RequestScanner } from '../protocol/request-scanner.ts';
import type { Agent } from '../ring/agent.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import { PartAssembler } from '../ring/queued-producer.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import { type FrameProxy, FrameReader } from './frame-proxy.ts';
import type { ReactorProxy } from './reactor-proxy.ts';
import { MessageType, type Snapshot, type TopicSnapshot } from './ring-messages.ts';
import { SendEncoder, type SendEncoderOptions, SendField } from './send-encoder.ts';

export interface RequestWorkerOptions extends Omit<SendEncoderOptions, 'topics' | 'refuse'> {
  /** From the reactor: sends. */
  requests: SpscRingConsumer;
  requestPool: LargeMessagePool;
  /** From control: snapshots and returned frames. */
  control: SpscRingConsumer;
  toReactor: ReactorProxy;
  toControl: FrameProxy;
  refusals: Refusals;
  /** Age at which a send that still waits is answered SYSTEM_BUSY (waitTimeMillsInSendQueue). */
  queueWaitMsMax: number;
}

/** SendMessageRequestHeader's long names, at the letters of the V2 header (protocol: 2.4). */
const longNames: readonly Uint8Array[] = [
  'producerGroup',
  'topic',
  'defaultTopic',
  'defaultTopicQueueNums',
  'queueId',
  'sysFlag',
  'bornTimestamp',
  'flag',
  'properties',
  'reconsumeTimes',
  'unitMode',
  'maxReconsumeTimes',
  'batch',
].map((name) => Buffer.from(name));

const retryPrefix = Buffer.from('%RETRY%');

export class RequestWorker implements Agent {
  readonly name = 'worker';
  readonly #options: RequestWorkerOptions;
  readonly #scanner: RequestScanner;
  readonly #frame: FrameReader;
  readonly #assembler = new PartAssembler();
  readonly #topics: ByteTable<TopicSnapshot>;
  readonly #letters = new Int32Array(longNames.length);
  /** Frames at control, by connection: those connections wait for a topic. */
  readonly #parked = new Map<number, number>();
  readonly #encoder: SendEncoder;

  constructor(options: RequestWorkerOptions) {
    this.#options = options;
    this.#scanner = new RequestScanner(options.kernel);
    this.#frame = new FrameReader(options.requestPool);
    this.#topics = new ByteTable((options.random() * 0x7fffffff) | 0);
    const refuse = (code: number, remark: string): boolean => this.#refuse(code, remark);
    this.#encoder = new SendEncoder(
      { ...options, topics: this.#topics, refuse },
      this.#scanner,
      this.#frame,
    );
  }

  doWork(nowMs: number): number {
    const options = this.#options;
    // Snapshots that a sender may know of come before its send.
    const requestsEnd = options.requests.publishedEnd;
    const work = this.#drainControl(nowMs) + this.#drainRequests(nowMs, requestsEnd);
    options.toWriter.publish();
    options.toControl.publish();
    options.toReactor.publish();
    return work;
  }

  nextDeadlineMs(): number {
    return Infinity;
  }

  close(): void {}

  #drainControl(nowMs: number): number {
    const ring = this.#options.control;
    let count = 0;
    while (ring.peek()) {
      if (ring.type === MessageType.FRAME || ring.type === MessageType.FRAME_POOLED) {
        this.#frame.read(ring);
        if (!this.#onSend(nowMs, null)) break;
        this.#unpark(this.#frame.connectionId);
        this.#frame.free();
      } else if (ring.type === MessageType.CONNECTION_CLOSED) {
        // Control has answered the frame itself: the topic could not be made.
        this.#unpark(ring.int32[ring.payloadOffset >> 2]);
      } else {
        const payload = this.#assembler.take(ring);
        if (payload !== null) this.#onSnapshot(JSON.parse(payload.toString()) as Snapshot);
      }
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }

  #drainRequests(nowMs: number, end: number): number {
    const ring = this.#options.requests;
    let count = 0;
    while (ring.peekBefore(end)) {
      this.#frame.read(ring);
      const forwardedBefore = this.#parked.size > 0 && this.#parked.has(this.#frame.connectionId);
      if (forwardedBefore) {
        if (!this.#park(ring)) break;
      } else {
        const done = this.#onSend(nowMs, ring);
        if (!done) {
          if (!this.#expire(nowMs)) break;
          this.#frame.free();
        } else if (this.#wasForwarded) this.#wasForwarded = false;
        else this.#frame.free();
      }
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }

  /** Set by `#onSend` when control has the frame now, and its slot. */
  #wasForwarded = false;

  #onSnapshot(snapshot: Snapshot): void {
    if (snapshot.kind === 'topic') this.#topics.set(snapshot.topic, snapshot);
    else if (snapshot.kind === 'topicDeleted') this.#topics.delete(snapshot.topic);
  }

  #unpark(connectionId: number): void {
    const count = this.#parked.get(connectionId) ?? 0;
    if (count <= 1) this.#parked.delete(connectionId);
    else this.#parked.set(connectionId, count - 1);
  }

  #park(ring: SpscRingConsumer): boolean {
    if (!this.#options.toControl.forward(ring)) return false;
    const connectionId = this.#frame.connectionId;
    this.#parked.set(connectionId, (this.#parked.get(connectionId) ?? 0) + 1);
    return true;
  }

  /** The head of the ring has no room ahead: answers it SYSTEM_BUSY once it is too old. */
  #expire(nowMs: number): boolean {
    const ageMs = nowMs - this.#frame.arrivalMs;
    return ageMs > this.#options.queueWaitMsMax && this.#answerBusy(ageMs);
  }

  #answerBusy(ageMs: number): boolean {
    return this.#refuse(
      ResponseCode.SYSTEM_BUSY,
      `[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: ${Math.floor(ageMs)}ms`,
    );
  }

  #refuse(code: number, remark: string): boolean {
    const { connectionId } = this.#frame;
    const { toReactor, refusals } = this.#options;
    const { opaque, serializeType, isOneway } = this.#scanner;
    const request = { opaque, serializeType: serializeTypeOf(serializeType) };
    if (!isOneway && !toReactor.answer(connectionId, request, { code, remark })) return false;
    refusals.addSend(code, { connectionId, code, remark });
    return true;
  }

  /**
   * Handles the send in `#frame`; false when it has to stay where it is. `ring` is where it may be
   * forwarded from, null for a frame that control has returned.
   */
  #onSend(nowMs: number, ring: SpscRingConsumer | null): boolean {
    const frame = this.#frame;
    const scanner = this.#scanner;
    // Its code could be read, and no more: such a peer speaks something else.
    if (!scanner.scan(frame.bytes, frame.start, frame.end))
      return this.#options.toReactor.closeConnection(frame.connectionId);
    const ageMs = nowMs - frame.arrivalMs;
    if (ring !== null && ageMs > this.#options.queueWaitMsMax) return this.#answerBusy(ageMs);
    let letters = scanner.letter;
    if (scanner.code === RequestCode.SEND_MESSAGE) {
      letters = this.#letters;
      scanner.locate(longNames, letters);
    }
    const topicField = letters[SendField.topic];
    if (topicField < 0)
      return this.#refuse(ResponseCode.SYSTEM_ERROR, 'the request header has no topic');
    const topicStart = scanner.valueStart[topicField];
    const topicEnd = scanner.valueEnd[topicField];
    const topic = this.#topics.get(scanner.bytes, topicStart, topicEnd);
    if (startsWith(scanner.bytes, topicStart, topicEnd, retryPrefix)) {
      if (scanner.code === RequestCode.SEND_BATCH_MESSAGE) {
        return this.#refuse(
          ResponseCode.MESSAGE_ILLEGAL,
          'batch request does not support retry group',
        );
      }
      // A client's own retry: control knows the group that decides where it goes.
      if (ring === null) return true;
      this.#wasForwarded = this.#options.toControl.forward(ring);
      return this.#wasForwarded;
    }
    if (topic === undefined) {
      if (ring === null)
        return this.#refuse(ResponseCode.TOPIC_NOT_EXIST, 'the topic has just been deleted');
      this.#wasForwarded = this.#park(ring);
      return this.#wasForwarded;
    }
    if (topic.sendForbidden) {
      return this.#refuse(
        ResponseCode.NO_PERMISSION,
        `the topic[${topic.topic}] is conflict with system topic.`,
      );
    }
    return this.#encoder.encode(topic, letters, topicStart, topicEnd);
  }
}

function startsWith(bytes: Buffer, start: number, end: number, prefix: Uint8Array): boolean {
  if (end - start < prefix.length) return false;
  for (let index = 0; index < prefix.length; index++) {
    if (bytes[start + index] !== prefix[index]) return false;
  }
  return true;
}
