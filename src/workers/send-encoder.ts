/**
 * @agent worker
 *
 * Encodes sends: the records to be stored, straight into the writer's ring, or into a slot of the pool
 * where they are too long for it. One claim for each request; what is refused after the claim gives
 * it back.
 *
 * Source: SendMessageProcessor.java, MessageExtEncoder.java.
 */
import type { WallClock } from '../base/clock.ts';
import { KERNEL_WAIT_FALSE, type SendKernel } from '../kernel/send-kernel.ts';
import type { DelayLevels } from '../broker/delay-level.ts';
import type { TimerSettings } from '../broker/timer-message.ts';
import { TRANSACTION_ID_LENGTH_MAX } from '../broker/transaction-message.ts';
import { EXTRA_BYTES_MAX, extraFieldNames, writeExtra } from '../protocol/answer-extra.ts';
import type { ByteTable } from '../protocol/byte-table.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { decodeProperties, PropertyName, readProperty } from '../protocol/message-properties.ts';
import { crc32Masked } from '../protocol/crc32.ts';
import {
  bornHostBytes,
  HOST_V6_BYTES,
  MAGIC_V1,
  MAGIC_V2,
  RECORD_FIXED_BYTES,
  recordHead,
  SysFlag,
  writeInt32,
  writeLong,
} from '../protocol/message-record.ts';
import type { RequestScanner } from '../protocol/request-scanner.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import type { SpscRingProducer } from '../ring/spsc-ring.ts';
import { AppendClaim } from './append-claim.ts';
import { countBatchItems } from './batch-items.ts';
import type { FrameReader } from './frame-proxy.ts';
import { halfTopicName, keyEndOf, writeHalf } from './half-rewrite.ts';
import { PropertyCopier } from './property-copier.ts';
import { AnswerKind, appendMessage, type TopicSnapshot } from './ring-messages.ts';
import { type RewrittenSend, rewriteSend, type SendRefusal } from './send-rewrite.ts';

/** What an encoder needs besides the scanner and the frame that it reads. */
export interface SendEncoderOptions {
  toWriter: SpscRingProducer;
  recordPool: LargeMessagePool;
  /** Address and port that go into records and ids: 8 or 20 bytes. */
  storeHost: Uint8Array;
  clusterName: string;
  brokerName: string;
  /** The broker takes no transactional messages. */
  rejectTransactionMessage: boolean;
  regionId: string;
  traceOn: boolean;
  bodyBytesMax: number;
  delayLevels: DelayLevels;
  timer: TimerSettings;
  random: () => number;
  wallClock: WallClock;
  topics: ByteTable<TopicSnapshot>;
  /** Encodes plain sends whose frames stand in the request ring; null where there is none. */
  kernel: SendKernel | null;
  /** Answers the send at hand without storing it; false when that has no room. */
  refuse: (code: number, remark: string) => boolean;
}

/** Property strings are int16 long in a record. */
const PROPERTIES_BYTES_MAX = 32767;
/** Room for what a rewrite may add: REAL_TOPIC, REAL_QID, UNIQ_KEY. */
const REWRITE_BYTES_MAX = 1024;
const VALUE_END = 2;
/** Of a record, between its hosts and after them: store timestamp; reconsume times, prepared offset, length of the body. */
const HEAD_END_BYTES = 8 + 16;
const waitName = Buffer.from('WAIT');

/** Fields of a send by the letters of the V2 header: places in `RequestScanner.letter`. */
export const SendField = {
  topic: 1,
  queueId: 4,
  sysFlag: 5,
  bornTimestamp: 6,
  flag: 7,
  properties: 8,
  reconsumeTimes: 9,
} as const;

/** Longer bodies are summed up by zlib. */
const KERNEL_CRC_BYTES_MAX = 1024;

/** What the broker adds to every property string. */
export function propertySuffix(
  options: Pick<SendEncoderOptions, 'regionId' | 'traceOn' | 'clusterName'>,
): Buffer {
  return Buffer.from(
    `MSG_REGION\x01${options.regionId}\x02TRACE_ON\x01${String(options.traceOn)}\x02CLUSTER\x01${options.clusterName}\x02`,
  );
}

const transactionIdName = extraFieldNames.indexOf('transactionId');

export class SendEncoder {
  readonly #options: SendEncoderOptions;
  readonly #scanner: RequestScanner;
  readonly #frame: FrameReader;
  readonly #claim: AppendClaim;
  readonly #properties = new PropertyCopier();
  /** What the broker adds to every property string. */
  readonly #suffix: Buffer;
  readonly #storeHostIsV6: boolean;
  #uniqueKeyCounter = 0;

  constructor(options: SendEncoderOptions, scanner: RequestScanner, frame: FrameReader) {
    this.#options = options;
    this.#scanner = scanner;
    this.#frame = frame;
    this.#claim = new AppendClaim(options.toWriter, options.recordPool);
    this.#suffix = propertySuffix(options);
    this.#storeHostIsV6 = options.storeHost.length === HOST_V6_BYTES;
  }

  /** Encodes the send that the scanner stands at; false when it has to stay where it is. */
  encode(topic: TopicSnapshot, letters: Int32Array, topicStart: number, topicEnd: number): boolean {
    const scanner = this.#scanner;
    let queueId = scanner.integer(letters[SendField.queueId], 0);
    const sysFlagSent = scanner.integer(letters[SendField.sysFlag], 0);
    const bornTimestamp = scanner.integer(letters[SendField.bornTimestamp], 0);
    const flag = scanner.integer(letters[SendField.flag], 0);
    const reconsumeTimes = scanner.integer(letters[SendField.reconsumeTimes], 0);
    // A sum is NaN where any part is.
    if (Number.isNaN(queueId + sysFlagSent + bornTimestamp + flag + reconsumeTimes)) {
      return this.#options.refuse(
        ResponseCode.SYSTEM_ERROR,
        'a number of the request header is not one',
      );
    }
    if (queueId < 0) queueId = Math.floor(this.#options.random() * topic.writeQueueNums);
    if (queueId >= Math.max(topic.writeQueueNums, topic.readQueueNums)) {
      return this.#options.refuse(
        ResponseCode.INVALID_PARAMETER,
        `request queueId[${queueId}] is illegal, topic ${topic.topic} has ${topic.writeQueueNums} queues to write`,
      );
    }
    const bodyBytes = scanner.bodyEnd - scanner.bodyStart;
    if (bodyBytes === 0 || bodyBytes > this.#options.bodyBytesMax) {
      return this.#options.refuse(
        ResponseCode.MESSAGE_ILLEGAL,
        bodyBytes === 0
          ? 'the message body is empty'
          : `the message body has ${bodyBytes} bytes, more than maxMessageSize ${this.#options.bodyBytesMax}`,
      );
    }
    let sysFlag =
      sysFlagSent & ~(SysFlag.BORN_HOST_V6 | SysFlag.STORE_HOST_V6 | SysFlag.TRANSACTION_MASK);
    if (this.#frame.hostBytes === 16) sysFlag |= SysFlag.BORN_HOST_V6;
    if (this.#storeHostIsV6) sysFlag |= SysFlag.STORE_HOST_V6;
    this.#fields.queueId = queueId;
    this.#fields.sysFlag = sysFlag;
    this.#fields.bornTimestamp = bornTimestamp;
    this.#fields.flag = flag;
    this.#fields.reconsumeTimes = reconsumeTimes;
    this.#fields.topicStart = topicStart;
    this.#fields.topicBytes = topicEnd - topicStart;
    this.#fields.propertiesField = letters[SendField.properties];
    return scanner.code === RequestCode.SEND_BATCH_MESSAGE
      ? this.#appendBatch(topic)
      : this.#appendSingle(topic);
  }

  /** Header fields of the send at hand. */
  readonly #fields = {
    queueId: 0,
    sysFlag: 0,
    bornTimestamp: 0,
    flag: 0,
    reconsumeTimes: 0,
    topicStart: 0,
    topicBytes: 0,
    propertiesField: -1,
  };

  /** Of a record, before its body. */
  #headBytes(): number {
    const hostBytes = bornHostBytes(this.#fields.sysFlag) + this.#options.storeHost.length;
    return recordHead.totalBytes + hostBytes + HEAD_END_BYTES;
  }

  /** What the answer says besides, as it travels. */
  readonly #extra = Buffer.alloc(EXTRA_BYTES_MAX);
  #extraBytes = 0;

  #commit(
    topicId: number,
    queueId: number,
    recordCount: number,
    recordsBytes: number,
    waitsForDisk: boolean,
  ): void {
    const ring = this.#options.toWriter;
    const { offset } = this.#claim;
    const int32 = ring.int32;
    int32[(offset + appendMessage.connectionId) >> 2] = this.#frame.connectionId;
    int32[(offset + appendMessage.opaque) >> 2] = this.#scanner.opaque;
    int32[(offset + appendMessage.serializeType) >> 2] = this.#scanner.serializeType;
    int32[(offset + appendMessage.answerKind) >> 2] = this.#scanner.isOneway
      ? AnswerKind.NONE
      : AnswerKind.SEND;
    int32[(offset + appendMessage.topicId) >> 2] = topicId;
    int32[(offset + appendMessage.queueId) >> 2] = queueId;
    int32[(offset + appendMessage.answerQueueId) >> 2] = this.#fields.queueId;
    ring.float64[(offset + appendMessage.arrivalMs) >> 3] = this.#frame.arrivalMs;
    int32[(offset + appendMessage.recordCount) >> 2] = recordCount;
    int32[(offset + appendMessage.waitsForDisk) >> 2] = waitsForDisk ? 1 : 0;
    this.#claim.commit(recordsBytes, this.#extra, this.#extraBytes);
  }

  /** The answer names the transaction by the UNIQ_KEY whose value stands there. */
  #noteTransactionId(bytes: Buffer, start: number): void {
    const end = keyEndOf(bytes, start);
    const extra = this.#extra;
    if (end - start > TRANSACTION_ID_LENGTH_MAX) {
      const id = bytes.toString('utf8', start, end).slice(0, TRANSACTION_ID_LENGTH_MAX);
      this.#extraBytes = writeExtra(extra, 0, ['transactionId', id]);
      return;
    }
    extra[0] = transactionIdName;
    for (let at = start; at < end; at++) extra[1 + at - start] = bytes[at];
    this.#extraBytes = 1 + end - start;
  }

  #appendSingle(topic: TopicSnapshot): boolean {
    const scanner = this.#scanner;
    const fields = this.#fields;
    const propertiesField = fields.propertiesField;
    const rawBytes =
      propertiesField < 0
        ? 0
        : scanner.valueEnd[propertiesField] - scanner.valueStart[propertiesField];
    const bodyBytes = scanner.bodyEnd - scanner.bodyStart;
    const recordBytesMax =
      RECORD_FIXED_BYTES +
      2 * HOST_V6_BYTES +
      bodyBytes +
      fields.topicBytes +
      1 +
      // A rewrite may repeat what is there: a transaction's id is the UNIQ_KEY.
      2 * rawBytes +
      this.#suffix.length +
      REWRITE_BYTES_MAX;
    const claim = this.#claim;
    const isInFrame =
      this.#frame.slot >= 0 &&
      claim.claimInFrame(this.#frame, scanner.bodyStart - this.#headBytes(), recordBytesMax);
    if (!isInFrame && !claim.claim(recordBytesMax)) return false;
    if (this.#encodeQuickly(topic)) return true;
    const { target, start } = claim;
    let queueId = fields.queueId;
    let topicId = topic.topicId;
    // Properties are copied first to where an unchanged topic lets them stand; a rewrite moves them.
    const topicLengthBytes = fields.topicBytes > 127 ? 2 : 1;
    const topicAt = start + this.#headBytes() + bodyBytes;
    let at = topicAt + topicLengthBytes;
    // Too short for a call to pay.
    for (let index = 0; index < fields.topicBytes; index++)
      target[at + index] = scanner.bytes[fields.topicStart + index];
    at += fields.topicBytes;
    let propertiesAt = at + 2;
    at = propertiesAt;
    this.#properties.reset();
    if (propertiesField >= 0) {
      at = this.#properties.copy(
        scanner.bytes,
        scanner.valueStart[propertiesField],
        scanner.valueEnd[propertiesField],
        scanner.valueEscaped[propertiesField] === 1,
        target,
        propertiesAt,
      );
      if (at < 0) {
        this.#claim.abandon();
        return this.#options.refuse(
          ResponseCode.MESSAGE_ILLEGAL,
          'the message properties are not valid text',
        );
      }
    }
    const waitsForDisk = !this.#properties.isWaitFalse(target);
    let topicBytes = fields.topicBytes;
    this.#extraBytes = 0;
    const { hasTransaction, needsRewrite } = this.#properties;
    const half =
      hasTransaction && this.#properties.isPlainHalf(target) ? this.#halfTopic() : undefined;
    if (half !== undefined) {
      this.#noteTransactionId(target, this.#properties.uniqueKeyStart);
      const place = this.#place;
      place.topicAt = topicAt;
      place.start = propertiesAt;
      place.end = at;
      const sentTo = this.#sentTo;
      sentTo.source = scanner.bytes;
      sentTo.topicStart = fields.topicStart;
      sentTo.topicBytes = topicBytes;
      sentTo.queueId = queueId;
      writeHalf(target, place, this.#properties, sentTo);
      propertiesAt = place.start;
      at = place.end;
      topicId = half.topicId;
      topicBytes = halfTopicName.length;
      queueId = 0;
    } else if (hasTransaction || needsRewrite) {
      const rewritten = this.#rewrite(topic, target.toString('utf8', propertiesAt, at));
      if (rewritten === null) {
        this.#claim.abandon();
        return this.#options.refuse(ResponseCode.SYSTEM_ERROR, 'the topic to wait in is not there');
      }
      if ('code' in rewritten) {
        this.#claim.abandon();
        return this.#options.refuse(rewritten.code, rewritten.remark);
      }
      const { extra } = rewritten;
      this.#extraBytes = extra === null ? 0 : writeExtra(this.#extra, 0, extra);
      queueId = rewritten.queueId;
      topicId = rewritten.topicId;
      topicBytes = Buffer.byteLength(rewritten.topic);
      propertiesAt = topicAt + (topicBytes > 127 ? 2 : 1) + topicBytes + 2;
      if (rewritten.properties.length > PROPERTIES_BYTES_MAX)
        at = propertiesAt + PROPERTIES_BYTES_MAX;
      else at = propertiesAt + target.write(rewritten.properties, propertiesAt);
      target.write(rewritten.topic, topicAt + (topicBytes > 127 ? 2 : 1));
    }
    if (!this.#properties.hasUniqueKey && !needsRewrite && !hasTransaction)
      at += target.write(`UNIQ_KEY\x01${this.#uniqueKey()}\x02`, at);
    this.#suffix.copy(target, at);
    at += this.#suffix.length;
    const propertiesBytes = at - propertiesAt;
    if (propertiesBytes > PROPERTIES_BYTES_MAX) {
      this.#claim.abandon();
      return this.#options.refuse(
        ResponseCode.MESSAGE_ILLEGAL,
        `the message properties have more than ${PROPERTIES_BYTES_MAX} bytes`,
      );
    }
    writeTopicLength(target, topicAt, topicBytes);
    target.writeInt16BE(propertiesBytes, propertiesAt - 2);
    // Last: the header that all of this was read from may stand there.
    this.#writeHead(target, start, queueId, scanner.bytes, scanner.bodyStart, scanner.bodyEnd);
    writeInt32(target, at - start, start);
    writeInt32(target, topicBytes > 127 ? MAGIC_V2 : MAGIC_V1, start + recordHead.magic);
    this.#commit(topicId, queueId, 1, at - start, waitsForDisk);
    return true;
  }

  /** Leaves a plain send to the kernel; false where it is none, and everything is still to be done. */
  #encodeQuickly(topic: TopicSnapshot): boolean {
    const { kernel } = this.#options;
    const frame = this.#frame;
    const scanner = this.#scanner;
    const fields = this.#fields;
    if (kernel === null || !this.#claim.isInRing || scanner.bytes !== kernel.source) return false;
    const { bodyStart } = scanner;
    const bodyBytes = scanner.bodyEnd - bodyStart;
    if (fields.bornTimestamp > Number.MAX_SAFE_INTEGER) return false;
    const bodyCrc =
      bodyBytes < KERNEL_CRC_BYTES_MAX
        ? -1
        : crc32Masked(scanner.bytes.subarray(bodyStart, scanner.bodyEnd));
    const result = kernel.encodeRecord(
      this.#claim.start,
      fields.queueId,
      fields.flag,
      fields.sysFlag,
      fields.bornTimestamp,
      frame.hostStart,
      frame.hostBytes,
      frame.bornPort,
      fields.reconsumeTimes,
      fields.topicStart,
      fields.topicBytes,
      fields.propertiesField,
      bodyStart,
      bodyBytes,
      bodyCrc,
    );
    if (result === 0) return false;
    this.#extraBytes = 0;
    const waitsForDisk = (result & KERNEL_WAIT_FALSE) === 0;
    this.#commit(topic.topicId, fields.queueId, 1, result & ~KERNEL_WAIT_FALSE, waitsForDisk);
    return true;
  }

  /** Writes everything before the topic, the body too where it does not stand there; returns where the topic's length goes. */
  #writeHead(
    target: Buffer,
    start: number,
    queueId: number,
    body: Buffer,
    bodyStart: number,
    bodyEnd: number,
  ): number {
    const fields = this.#fields;
    const frame = this.#frame;
    const bodyBytes = bodyEnd - bodyStart;
    writeInt32(target, queueId, start + recordHead.queueId);
    writeInt32(target, fields.flag | 0, start + recordHead.flag);
    writeInt32(target, fields.sysFlag, start + recordHead.sysFlag);
    writeLong(target, fields.bornTimestamp, start + recordHead.bornTimestamp);
    let at = start + recordHead.totalBytes;
    for (let index = 0; index < frame.hostBytes; index++) {
      target[at + index] = frame.hostSource[frame.hostStart + index];
    }
    writeInt32(target, frame.bornPort, at + frame.hostBytes);
    at += bornHostBytes(fields.sysFlag) + 8;
    const storeHost = this.#options.storeHost;
    for (let index = 0; index < storeHost.length; index++) target[at + index] = storeHost[index];
    at += storeHost.length;
    writeInt32(target, fields.reconsumeTimes | 0, at);
    writeInt32(target, 0, at + 4);
    writeInt32(target, 0, at + 8);
    writeInt32(target, bodyBytes, at + 12);
    at += 16;
    if (body !== target || bodyStart !== at) body.copy(target, at, bodyStart, bodyEnd);
    writeInt32(
      target,
      crc32Masked(target.subarray(at, at + bodyBytes)),
      start + recordHead.bodyCrc,
    );
    return at + bodyBytes;
  }

  readonly #place = { topicAt: 0, start: 0, end: 0 };
  readonly #sentTo = {
    source: halfTopicName as Uint8Array,
    topicStart: 0,
    topicBytes: 0,
    queueId: 0,
  };

  /** Where halves wait; undefined where it is not there yet, or none are taken. */
  #halfTopic(): TopicSnapshot | undefined {
    const { rejectTransactionMessage, topics } = this.#options;
    if (rejectTransactionMessage) return undefined;
    return topics.get(halfTopicName, 0, halfTopicName.length);
  }

  #rewrite(topic: TopicSnapshot, text: string): RewrittenSend | SendRefusal | null {
    const { queueId, reconsumeTimes } = this.#fields;
    const properties = decodeProperties(text);
    if (!properties.has(PropertyName.UNIQUE_KEY))
      properties.set(PropertyName.UNIQUE_KEY, this.#uniqueKey());
    const real = { topic: topic.topic, queueId };
    const result = rewriteSend({ properties, real, reconsumeTimes }, this.#options);
    if ('code' in result) return result;
    if (result.topic === topic.topic) return { ...result, topicId: topic.topicId };
    const target = this.#options.topics.getName(result.topic);
    return target === undefined ? null : { ...result, topicId: target.topicId };
  }

  /** UNIQ_KEY for a client that sent none: address, process, time and a counter, 32 hex digits. */
  #uniqueKey(): string {
    const host = Buffer.from(this.#options.storeHost.subarray(0, 4)).toString('hex');
    const nowMs = this.#options.wallClock.nowMs();
    this.#uniqueKeyCounter = (this.#uniqueKeyCounter + 1) & 0xffff;
    const hex = (value: number, digits: number): string =>
      value.toString(16).padStart(digits, '0').slice(-digits);
    return `${host}${hex(process.pid & 0xffff, 4)}${hex(Math.floor(nowMs / 0x1_0000_0000), 8)}${hex(nowMs % 0x1_0000_0000, 8)}${hex(this.#uniqueKeyCounter, 4)}`.toUpperCase();
  }

  /** One record for each item of the batch body (protocol: 3.3), in one append. */
  #appendBatch(topic: TopicSnapshot): boolean {
    const scanner = this.#scanner;
    const fields = this.#fields;
    if (fields.topicBytes > 127)
      return this.#options.refuse(ResponseCode.MESSAGE_ILLEGAL, 'message topic length too long');
    const itemCount = countBatchItems(scanner.bytes, scanner.bodyStart, scanner.bodyEnd);
    if (itemCount <= 0)
      return this.#options.refuse(
        ResponseCode.MESSAGE_ILLEGAL,
        'the batch body is not a sequence of messages',
      );
    const bodyBytes = scanner.bodyEnd - scanner.bodyStart;
    const perItemBytes =
      RECORD_FIXED_BYTES + 2 * HOST_V6_BYTES + fields.topicBytes + 1 + this.#suffix.length;
    const recordsBytesMax = bodyBytes + itemCount * perItemBytes;
    if (recordsBytesMax > this.#options.recordPool.slotBytes) {
      return this.#options.refuse(
        ResponseCode.MESSAGE_ILLEGAL,
        `the batch of ${itemCount} messages and ${bodyBytes} bytes is too large; send smaller batches`,
      );
    }
    if (!this.#claim.claim(recordsBytesMax)) return false;
    const { target } = this.#claim;
    const source = scanner.bytes;
    let { start } = this.#claim;
    let waitsForDisk = true;
    for (let item = scanner.bodyStart; item < scanner.bodyEnd;) {
      const itemEnd = item + source.readInt32BE(item);
      fields.flag = source.readInt32BE(item + 12);
      const itemBodyStart = item + 20;
      const itemBodyEnd = itemBodyStart + source.readInt32BE(item + 16);
      const topicAt = this.#writeHead(
        target,
        start,
        fields.queueId,
        source,
        itemBodyStart,
        itemBodyEnd,
      );
      writeTopicLength(target, topicAt, fields.topicBytes);
      let at = topicAt + 1;
      source.copy(target, at, fields.topicStart, fields.topicStart + fields.topicBytes);
      at += fields.topicBytes;
      const propertiesAt = at + 2;
      source.copy(target, propertiesAt, itemBodyEnd + 2, itemEnd);
      at = propertiesAt + (itemEnd - itemBodyEnd - 2);
      if (at > propertiesAt && target[at - 1] !== VALUE_END) target[at++] = VALUE_END;
      this.#suffix.copy(target, at);
      at += this.#suffix.length;
      if (at - propertiesAt > PROPERTIES_BYTES_MAX) {
        this.#claim.abandon();
        return this.#options.refuse(
          ResponseCode.MESSAGE_ILLEGAL,
          'the properties of a message in the batch are too long',
        );
      }
      target.writeInt16BE(at - propertiesAt, propertiesAt - 2);
      writeInt32(target, at - start, start);
      writeInt32(target, MAGIC_V1, start + recordHead.magic);
      if (readProperty(target, propertiesAt, at, waitName) === 'false') waitsForDisk = false;
      start = at;
      item = itemEnd;
    }
    this.#extraBytes = 0;
    this.#commit(topic.topicId, fields.queueId, itemCount, start - this.#claim.start, waitsForDisk);
    return true;
  }
}

function writeTopicLength(target: Buffer, at: number, topicBytes: number): void {
  if (topicBytes > 127) target.writeInt16BE(topicBytes, at);
  else target[at] = topicBytes;
}
