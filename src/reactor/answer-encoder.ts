/**
 * @agent reactor
 *
 * Writes the two answers of the hot path, to sends and to pulls, straight into a connection's
 * output: constant bytes with digits in between, in each header codec. No strings, no objects.
 *
 * Source: SendMessageResponseHeader.java, PullMessageResponseHeader.java.
 */
import { extraFieldNames } from '../protocol/answer-extra.ts';
import { MILLRACE_PROTOCOL_VERSION, LANGUAGE_OTHER, ResponseCode } from '../protocol/codes.ts';
import { writeInt32 } from '../protocol/message-record.ts';
import {
  FLAG_RESPONSE,
  SERIALIZE_MSGPACK,
  SERIALIZE_ROCKETMQ,
} from '../protocol/remoting-command.ts';

const ZERO = 0x30;
const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const HEX_DIGITS = Buffer.from('0123456789ABCDEF');
/** Longest number that is written: 2^53 has 16 digits, and a sign. */
const DIGITS_MAX = 20;

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');

const jsonOpen = ascii('{"code":');
const jsonFields = ascii(',"extFields":{');
const jsonOpaque = ascii('},"flag":1,"language":"OTHER","opaque":');
const jsonRemark = ascii(',"remark":"');
const jsonClose = ascii(
  `,"serializeTypeCurrentRPC":"JSON","version":${MILLRACE_PROTOCOL_VERSION}}`,
);
const jsonRemarkClose = ascii(
  `","serializeTypeCurrentRPC":"JSON","version":${MILLRACE_PROTOCOL_VERSION}}`,
);

/** Name of a pull's outcome, its remark. Source: GetMessageStatus.java. */
function pullRemark(answer: PullAnswer): Buffer {
  switch (answer.code) {
    case ResponseCode.SUCCESS:
      return remarkFound;
    case ResponseCode.PULL_RETRY_IMMEDIATELY:
      return remarkNoMatch;
    case ResponseCode.PULL_NOT_FOUND:
      return answer.maxOffset === 0 ? remarkEmpty : remarkAtEnd;
    default:
      if (answer.maxOffset === 0) return remarkEmpty;
      return answer.nextBeginOffset > answer.minOffset ? remarkBeyondEnd : remarkTooSmall;
  }
}
const remarkFound = ascii('FOUND');
const remarkNoMatch = ascii('NO_MATCHED_MESSAGE');
const remarkEmpty = ascii('NO_MESSAGE_IN_QUEUE');
const remarkAtEnd = ascii('OFFSET_OVERFLOW_ONE');
const remarkBeyondEnd = ascii('OFFSET_OVERFLOW_BADLY');
const remarkTooSmall = ascii('OFFSET_TOO_SMALL');

/** Remarks of appends that failed; ASCII without quotes. */
function appendRemark(code: number): Buffer {
  switch (code) {
    case ResponseCode.SERVICE_NOT_AVAILABLE:
      return remarkDiskFull;
    case ResponseCode.MESSAGE_ILLEGAL:
      return remarkIllegal;
    case ResponseCode.FLUSH_DISK_TIMEOUT:
      return remarkFlushTimeout;
    default:
      return remarkUnknown;
  }
}
const remarkDiskFull = ascii(
  'service not available now: the disk of the store is full, or can not be written, so messages are refused until that is mended; pulls go on',
);
const remarkIllegal = ascii('the message is larger than a segment of the store');
const remarkFlushTimeout = ascii('the message is stored, but was not flushed to disk in time');
const remarkUnknown = ascii('the append failed');

export interface SendAnswer {
  opaque: number;
  serializeType: number;
  code: number;
  /** Code and remark only. */
  isPlain: boolean;
  queueId: number;
  queueOffset: number;
  /** Physical offsets of the records: `offsets[first, first + count)`. */
  offsets: Float64Array;
  first: number;
  count: number;
  /** One more field where there is one: `extra[extraStart, extraEnd)`, its name's place and its value. */
  extra: Uint8Array;
  extraStart: number;
  extraEnd: number;
}

export interface PullAnswer {
  opaque: number;
  serializeType: number;
  code: number;
  nextBeginOffset: number;
  minOffset: number;
  maxOffset: number;
  bodyBytes: number;
}

/** To be filled again and again: one of a kind keeps its shape. */
export function emptySendAnswer(): SendAnswer {
  return {
    opaque: 0,
    serializeType: 0,
    code: 0,
    isPlain: false,
    queueId: 0,
    queueOffset: 0,
    offsets: new Float64Array(0),
    first: 0,
    count: 0,
    extra: new Uint8Array(0),
    extraStart: 0,
    extraEnd: 0,
  };
}

export function emptyPullAnswer(): PullAnswer {
  return {
    opaque: 0,
    serializeType: 0,
    code: 0,
    nextBeginOffset: 0,
    minOffset: 0,
    maxOffset: 0,
    bodyBytes: 0,
  };
}

/** Longest header of a pull's answer. */
export const PULL_HEADER_BYTES_MAX = 512;

export class AnswerEncoder {
  readonly #sendFields: Buffer;
  readonly #msgpackSendFields: Buffer;
  readonly #hostHex: Buffer;
  readonly #regionId: Buffer;
  readonly #traceOn: Buffer;

  /** `storeHost` is 8 or 20 bytes: address, then port. */
  constructor(storeHost: Uint8Array, regionId: string, traceOn: boolean) {
    this.#hostHex = ascii(Buffer.from(storeHost).toString('hex').toUpperCase());
    this.#regionId = Buffer.from(regionId);
    this.#traceOn = ascii(String(traceOn));
    this.#msgpackSendFields = Buffer.concat(
      ['MSG_REGION', this.#regionId, 'TRACE_ON', this.#traceOn, 'msgId'].map(msgpackText),
    );
    this.#sendFields = Buffer.from(
      `"MSG_REGION":${JSON.stringify(regionId)},"TRACE_ON":"${String(traceOn)}","msgId":"`,
    );
  }

  /** The JSON header of a send that went well, in the pieces between its numbers (`AnswerKernel`). */
  get plainParts(): Uint8Array[] {
    const { SUCCESS } = ResponseCode;
    return [
      Buffer.concat([
        jsonOpen,
        ascii(String(SUCCESS)),
        jsonFields,
        this.#sendFields,
        this.#hostHex,
      ]),
      jsonQueueId,
      jsonQueueOffset,
      Buffer.concat([ascii('"'), jsonOpaque]),
      jsonClose,
    ];
  }

  /** Most bytes that `writeSend` writes. */
  sendBytesMax(count: number): number {
    return 640 + this.#sendFields.length + count * (this.#hostHex.length + 17);
  }

  /** Writes a whole frame at `start`; returns its end. */
  writeSend(target: Buffer, start: number, answer: SendAnswer): number {
    const headerStart = start + 8;
    const hasHeader =
      !answer.isPlain &&
      (answer.code === ResponseCode.SUCCESS || answer.code === ResponseCode.FLUSH_DISK_TIMEOUT);
    let end = headerStart;
    if (answer.serializeType === SERIALIZE_ROCKETMQ)
      end = this.#writeBinarySend(target, headerStart, answer, hasHeader);
    else if (answer.serializeType === SERIALIZE_MSGPACK)
      end = this.#writeMsgpackSend(target, headerStart, answer, hasHeader);
    else end = this.#writeJsonSend(target, headerStart, answer, hasHeader);
    writeLengths(target, start, answer.serializeType, end - headerStart, 0);
    return end;
  }

  /** Writes length words and header at `start`; the body, `bodyBytes`, follows. Returns where. */
  writePull(target: Buffer, start: number, answer: PullAnswer): number {
    const headerStart = start + 8;
    let end = headerStart;
    if (answer.serializeType === SERIALIZE_ROCKETMQ)
      end = writeBinaryPull(target, headerStart, answer);
    else if (answer.serializeType === SERIALIZE_MSGPACK)
      end = writeMsgpackPull(target, headerStart, answer);
    else end = writeJsonPull(target, headerStart, answer);
    writeLengths(target, start, answer.serializeType, end - headerStart, answer.bodyBytes);
    return end;
  }

  /** Writes in its place that the same is to be pulled again, which is short of any answer with messages. */
  writeRetry(target: Buffer, start: number, answer: PullAnswer, beginOffset: number): number {
    answer.code = ResponseCode.PULL_RETRY_IMMEDIATELY;
    answer.nextBeginOffset = beginOffset;
    answer.bodyBytes = 0;
    return this.writePull(target, start, answer);
  }

  #writeJsonSend(target: Buffer, start: number, answer: SendAnswer, hasHeader: boolean): number {
    let at = put(target, start, jsonOpen);
    at = putNumber(target, at, answer.code);
    at = put(target, at, jsonFields);
    if (hasHeader) {
      at = put(target, at, this.#sendFields);
      at = this.#putIds(target, at, answer);
      at = put(target, at, jsonQueueId);
      at = putNumber(target, at, answer.queueId);
      at = put(target, at, jsonQueueOffset);
      at = putNumber(target, at, answer.queueOffset);
      target[at++] = 0x22;
    }
    const { extra, extraStart, extraEnd } = answer;
    if (extraStart < extraEnd) {
      if (hasHeader) target[at++] = COMMA;
      at = put(target, at, extraNames[extra[extraStart]].json);
      at = putJsonText(target, at, extra, extraStart + 1, extraEnd);
      target[at++] = QUOTE;
    }
    at = put(target, at, jsonOpaque);
    at = putNumber(target, at, answer.opaque);
    if (answer.code === ResponseCode.SUCCESS) return put(target, at, jsonClose);
    at = put(target, at, jsonRemark);
    at = put(target, at, appendRemark(answer.code));
    return put(target, at, jsonRemarkClose);
  }

  #putIds(target: Buffer, at: number, answer: SendAnswer): number {
    const last = answer.first + answer.count;
    for (let index = answer.first; index < last; index++) {
      if (index > answer.first) target[at++] = 0x2c;
      at = put(target, at, this.#hostHex);
      at = putHex64(target, at, answer.offsets[index]);
    }
    return at;
  }

  #writeBinarySend(target: Buffer, start: number, answer: SendAnswer, hasHeader: boolean): number {
    const remark = answer.code === ResponseCode.SUCCESS ? empty : appendRemark(answer.code);
    const fieldsLengthAt = writeBinaryHead(target, start, answer.code, answer.opaque, remark);
    let at = fieldsLengthAt + 4;
    if (hasHeader) {
      at = putField(target, at, nameRegion, this.#regionId);
      at = putField(target, at, nameTrace, this.#traceOn);
      let valueAt = putFieldName(target, at, nameMsgId);
      at = this.#putIds(target, valueAt, answer);
      writeInt32(target, at - valueAt, valueAt - 4);
      valueAt = putFieldName(target, at, nameQueueId);
      at = putNumber(target, valueAt, answer.queueId);
      writeInt32(target, at - valueAt, valueAt - 4);
      valueAt = putFieldName(target, at, nameQueueOffset);
      at = putNumber(target, valueAt, answer.queueOffset);
      writeInt32(target, at - valueAt, valueAt - 4);
    }
    const { extra, extraStart, extraEnd } = answer;
    if (extraStart < extraEnd) {
      const { name } = extraNames[extra[extraStart]];
      at = putField(target, at, name, extra.subarray(extraStart + 1, extraEnd));
    }
    writeInt32(target, at - fieldsLengthAt - 4, fieldsLengthAt);
    return at;
  }

  #writeMsgpackSend(target: Buffer, start: number, answer: SendAnswer, hasHeader: boolean): number {
    const remark = answer.code === ResponseCode.SUCCESS ? null : appendRemark(answer.code);
    let at = writeMsgpackHead(target, start, answer.code, answer.opaque, remark);
    const { extra, extraStart, extraEnd } = answer;
    const hasExtra = extraStart < extraEnd;
    target[at++] = MSGPACK_MAP16;
    target.writeUInt16BE((hasHeader ? SEND_FIELD_COUNT : 0) + (hasExtra ? 1 : 0), at);
    at += 2;
    if (hasHeader) {
      at = put(target, at, this.#msgpackSendFields);
      // Length before content in five bytes, whatever it is: batches have long ids.
      const valueAt = at + 5;
      at = this.#putIds(target, valueAt, answer);
      target[valueAt - 5] = MSGPACK_STR32;
      writeInt32(target, at - valueAt, valueAt - 4);
      at = putMsgpackNumber(target, put(target, at, msgpackQueueId), answer.queueId);
      at = putMsgpackNumber(target, put(target, at, msgpackQueueOffset), answer.queueOffset);
    }
    if (!hasExtra) return at;
    at = put(target, at, extraNames[extra[extraStart]].msgpack);
    target[at] = MSGPACK_STR32;
    writeInt32(target, extraEnd - extraStart - 1, at + 1);
    return put(target, at + 5, extra.subarray(extraStart + 1, extraEnd));
  }
}

const MSGPACK_FIXMAP = 0x80;
const MSGPACK_ARRAY_OF_6 = 0x96;
const MSGPACK_NIL = 0xc0;
const MSGPACK_UINT16 = 0xcd;
const MSGPACK_INT32 = 0xd2;
const MSGPACK_STR8 = 0xd9;
const MSGPACK_STR16 = 0xda;
const MSGPACK_STR32 = 0xdb;
const MSGPACK_MAP16 = 0xde;
/** MSG_REGION, TRACE_ON, msgId, queueId, queueOffset. */
const SEND_FIELD_COUNT = 5;

/** A text of up to 65,535 bytes. */
function msgpackText(text: Buffer | string): Buffer {
  const bytes = Buffer.from(text);
  const { length } = bytes;
  const head =
    length < 256
      ? Buffer.of(MSGPACK_STR8, length)
      : Buffer.of(MSGPACK_STR16, length >> 8, length & 255);
  return Buffer.concat([head, bytes]);
}

/** Each name of `extraFieldNames` as the codecs write it. */
const extraNames = extraFieldNames.map((name) => ({
  name: ascii(name),
  json: ascii(`"${name}":"`),
  msgpack: msgpackText(name),
}));

const empty = Buffer.alloc(0);
const jsonQueueId = ascii('","queueId":"');
const jsonQueueOffset = ascii('","queueOffset":"');
const jsonMaxOffset = ascii('"maxOffset":"');
const jsonMinOffset = ascii('","minOffset":"');
const jsonNextBegin = ascii('","nextBeginOffset":"');
const jsonSuggest = ascii('","suggestWhichBrokerId":"0"');
const nameRegion = ascii('MSG_REGION');
const nameTrace = ascii('TRACE_ON');
const nameMsgId = ascii('msgId');
const nameQueueId = ascii('queueId');
const nameQueueOffset = ascii('queueOffset');
const nameMaxOffset = ascii('maxOffset');
const nameMinOffset = ascii('minOffset');
const nameNextBegin = ascii('nextBeginOffset');
const nameSuggest = ascii('suggestWhichBrokerId');
const valueZero = ascii('0');

function writeJsonPull(target: Buffer, start: number, answer: PullAnswer): number {
  let at = put(target, start, jsonOpen);
  at = putNumber(target, at, answer.code);
  at = put(target, at, jsonFields);
  at = put(target, at, jsonMaxOffset);
  at = putNumber(target, at, answer.maxOffset);
  at = put(target, at, jsonMinOffset);
  at = putNumber(target, at, answer.minOffset);
  at = put(target, at, jsonNextBegin);
  at = putNumber(target, at, answer.nextBeginOffset);
  at = put(target, at, jsonSuggest);
  at = put(target, at, jsonOpaque);
  at = putNumber(target, at, answer.opaque);
  at = put(target, at, jsonRemark);
  at = put(target, at, pullRemark(answer));
  return put(target, at, jsonRemarkClose);
}

function writeBinaryPull(target: Buffer, start: number, answer: PullAnswer): number {
  const fieldsLengthAt = writeBinaryHead(
    target,
    start,
    answer.code,
    answer.opaque,
    pullRemark(answer),
  );
  let at = putNumberField(target, fieldsLengthAt + 4, nameMaxOffset, answer.maxOffset);
  at = putNumberField(target, at, nameMinOffset, answer.minOffset);
  at = putNumberField(target, at, nameNextBegin, answer.nextBeginOffset);
  at = putField(target, at, nameSuggest, valueZero);
  writeInt32(target, at - fieldsLengthAt - 4, fieldsLengthAt);
  return at;
}

const msgpackQueueId = msgpackText('queueId');
const msgpackQueueOffset = msgpackText('queueOffset');
const msgpackMaxOffset = Buffer.concat([Buffer.of(MSGPACK_FIXMAP + 4), msgpackText('maxOffset')]);
const msgpackMinOffset = msgpackText('minOffset');
const msgpackNextBegin = msgpackText('nextBeginOffset');
const msgpackSuggest = Buffer.concat([msgpackText('suggestWhichBrokerId'), msgpackText('0')]);

function writeMsgpackPull(target: Buffer, start: number, answer: PullAnswer): number {
  let at = writeMsgpackHead(target, start, answer.code, answer.opaque, pullRemark(answer));
  at = putMsgpackNumber(target, put(target, at, msgpackMaxOffset), answer.maxOffset);
  at = putMsgpackNumber(target, put(target, at, msgpackMinOffset), answer.minOffset);
  at = putMsgpackNumber(target, put(target, at, msgpackNextBegin), answer.nextBeginOffset);
  return put(target, at, msgpackSuggest);
}

/** Writes all of a MessagePack header but its fields; returns where their map goes. */
function writeMsgpackHead(
  target: Buffer,
  start: number,
  code: number,
  opaque: number,
  remark: Buffer | null,
): number {
  target[start] = MSGPACK_ARRAY_OF_6;
  target[start + 1] = MSGPACK_UINT16;
  target.writeUInt16BE(code, start + 2);
  target[start + 4] = FLAG_RESPONSE;
  target[start + 5] = MSGPACK_INT32;
  writeInt32(target, opaque, start + 6);
  target[start + 10] = MSGPACK_UINT16;
  target.writeUInt16BE(MILLRACE_PROTOCOL_VERSION, start + 11);
  if (remark === null) {
    target[start + 13] = MSGPACK_NIL;
    return start + 14;
  }
  target[start + 13] = MSGPACK_STR8;
  target[start + 14] = remark.length;
  return put(target, start + 15, remark);
}

/** A number as a text. */
function putMsgpackNumber(target: Buffer, at: number, value: number): number {
  const end = putNumber(target, at + 2, value);
  target[at] = MSGPACK_STR8;
  target[at + 1] = end - at - 2;
  return end;
}

function writeLengths(
  target: Buffer,
  start: number,
  serializeType: number,
  headerBytes: number,
  bodyBytes: number,
): void {
  writeInt32(target, 4 + headerBytes + bodyBytes, start);
  writeInt32(target, (serializeType << 24) | headerBytes, start + 4);
}

/** Writes the fixed part of a ROCKETMQ header; returns where the length of its fields goes. */
function writeBinaryHead(
  target: Buffer,
  start: number,
  code: number,
  opaque: number,
  remark: Buffer,
): number {
  target.writeInt16BE(code, start);
  target[start + 2] = LANGUAGE_OTHER;
  target.writeInt16BE(MILLRACE_PROTOCOL_VERSION, start + 3);
  writeInt32(target, opaque, start + 5);
  writeInt32(target, FLAG_RESPONSE, start + 9);
  writeInt32(target, remark.length, start + 13);
  return put(target, start + 17, remark);
}

/** Writes a field's name; returns where its value goes, behind the value's length. */
function putFieldName(target: Buffer, at: number, name: Buffer): number {
  target.writeInt16BE(name.length, at);
  return put(target, at + 2, name) + 4;
}

function putField(target: Buffer, at: number, name: Buffer, value: Uint8Array): number {
  const valueAt = putFieldName(target, at, name);
  writeInt32(target, value.length, valueAt - 4);
  return put(target, valueAt, value);
}

function putNumberField(target: Buffer, at: number, name: Buffer, value: number): number {
  const valueAt = putFieldName(target, at, name);
  const end = putNumber(target, valueAt, value);
  writeInt32(target, end - valueAt, valueAt - 4);
  return end;
}

/** Long constants by copy, short ones by a loop: a call costs about as much as 32 bytes. */
function put(target: Buffer, at: number, bytes: Uint8Array): number {
  const length = bytes.length;
  if (length > 32) target.set(bytes, at);
  else for (let index = 0; index < length; index++) target[at + index] = bytes[index];
  return at + length;
}

/** The characters of a JSON string, from UTF-8; what must not stand in one is escaped. */
function putJsonText(
  target: Buffer,
  at: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  for (let index = start; index < end; index++) {
    const byte = bytes[index];
    if (byte >= SPACE && byte !== QUOTE && byte !== BACKSLASH) target[at++] = byte;
    else at += target.write(`\\u${byte.toString(16).padStart(4, '0')}`, at);
  }
  return at;
}

const digits = new Uint8Array(DIGITS_MAX);

/** Decimal digits of an integer within ±2^53. */
function putNumber(target: Buffer, at: number, value: number): number {
  let rest = value;
  if (rest < 0) {
    target[at++] = 0x2d;
    rest = -rest;
  }
  let count = 0;
  // 32-bit arithmetic once it fits: a float64 remainder is many times slower.
  while (rest > 0x7fffffff) {
    const quotient = Math.floor(rest / 10);
    digits[count++] = rest - quotient * 10;
    rest = quotient;
  }
  let small = rest | 0;
  do {
    const quotient = (small / 10) | 0;
    digits[count++] = small - quotient * 10;
    small = quotient;
  } while (small > 0);
  while (count > 0) target[at++] = ZERO + digits[--count];
  return at;
}

/** 16 upper-case hex digits. */
function putHex64(target: Buffer, at: number, value: number): number {
  const high = Math.floor(value / 0x1_0000_0000);
  const low = value - high * 0x1_0000_0000;
  for (let shift = 28; shift >= 0; shift -= 4) target[at++] = HEX_DIGITS[(high >>> shift) & 15];
  for (let shift = 28; shift >= 0; shift -= 4) target[at++] = HEX_DIGITS[(low >>> shift) & 15];
  return at;
}
