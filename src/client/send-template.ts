/**
 * @agent any
 *
 * Send requests (310, and 320 for batches) to one topic on one broker, written straight into a
 * connection's output: constant bytes, what varies between them, then the body. No message makes an
 * object here. JSON members stand in the order of Java's client.
 *
 * Source of the one-letter names: SendMessageRequestHeaderV2.java.
 */
import { MILLRACE_PROTOCOL_VERSION } from '../protocol/codes.ts';
import * as RequestCode from '../protocol/request-code.ts';
import {
  CODEC_JSON,
  FRAME_HEAD_BYTES,
  type HeaderCodec,
  PlainFrame,
  writeFrameHead,
} from './frame-codec.ts';
import {
  HEADER_ARRAY,
  writeMapLength,
  writeMessagePackNil,
  writeMessagePackText,
  writeWideInteger,
} from '../protocol/msgpack-writer.ts';
import type { PropertyTexts } from './outgoing-message.ts';
import type { RequestSigner } from './request-signer.ts';
import {
  encodeText,
  JSON_UNIT_BYTES_MAX,
  UTF8_UNIT_BYTES_MAX,
  writeDecimal,
  writeInt32,
  writeJsonText,
  writeText,
} from '../protocol/text-bytes.ts';
import { UNIQUE_ID_DIGITS, uniqueIdText, writeUniqueId } from './unique-id.ts';

const AUTO_CREATE_TOPIC = 'TBW102';
const AUTO_CREATE_QUEUE_COUNT = '4';
/** Numbers between the constant bytes: queue, flags, time, opaque. */
const NUMBERS_BYTES_MAX = 64;
/** Access key, token and signature, with their names; checked where credentials are taken. */
const SIGNED_BYTES_MAX = 4096;
const NAME_END = 0x01;
const VALUE_END = 0x02;
/** Array mark, code, flag: what stands before the opaque of a MessagePack header, and its own mark. */
const OPAQUE_AT = 1 + 5 + 5 + 1;
const TEXT16 = 0xda;

/** What differs from one request to the next. */
export interface SendRequest {
  readonly queueId: number;
  readonly sysFlag: number;
  readonly bornTimestampMs: number;
  /** 2 where no answer is wanted. */
  readonly flag: number;
  /** Of the message's id; empty for a batch, whose messages have theirs in the body. */
  readonly idPrefix: string;
  readonly idCounter: number;
  readonly properties: PropertyTexts;
  readonly body: Uint8Array | string;
}

/** Text longer than this is encoded before, so that the room it might take is not three times its size. */
export const INLINE_TEXT_LENGTH_MAX = 1024;

export interface SendTemplateOptions {
  readonly group: string;
  readonly topic: string;
  readonly brokerName: string;
  readonly isBatch: boolean;
  /** Null or absent: sends are not signed. */
  readonly signer?: RequestSigner | null;
}

export class SendTemplate {
  readonly #options: SendTemplateOptions;
  readonly #code: number;
  readonly #signer: RequestSigner | null;
  readonly #constantBytesMax: number;
  /** Up to the time, by queue, of messages without flags: almost all. */
  readonly #jsonHeads: (Uint8Array | undefined)[] = [];
  readonly #packHeads: (Uint8Array | undefined)[] = [];
  readonly #jsonMiddle: Uint8Array;
  readonly #jsonTail: Uint8Array;
  readonly #jsonEnd: Uint8Array;

  constructor(options: SendTemplateOptions) {
    this.#options = options;
    this.#signer = options.signer ?? null;
    this.#code = options.isBatch ? RequestCode.SEND_BATCH_MESSAGE : RequestCode.SEND_MESSAGE_V2;
    const separator = options.isBatch ? '' : `UNIQ_KEY\\u0001`;
    this.#jsonMiddle = encodeText(`","h":"0","i":"${separator}`);
    this.#jsonTail = encodeText(
      `","j":"0","k":"false","m":"${options.isBatch}","n":${JSON.stringify(options.brokerName)}},"flag":`,
    );
    this.#jsonEnd = encodeText(
      `,"serializeTypeCurrentRPC":"JSON","version":${MILLRACE_PROTOCOL_VERSION}}`,
    );
    const names = options.group.length + options.topic.length + options.brokerName.length;
    this.#constantBytesMax =
      FRAME_HEAD_BYTES + 512 + names * JSON_UNIT_BYTES_MAX + UNIQUE_ID_DIGITS + NUMBERS_BYTES_MAX;
  }

  frameBytesMax(request: SendRequest): number {
    const { properties, body } = request;
    let units = properties.length;
    for (const text of properties) units += text.length;
    const bodyBytesMax = typeof body === 'string' ? body.length * UTF8_UNIT_BYTES_MAX : body.length;
    const signatureBytes = this.#signer === null ? 0 : SIGNED_BYTES_MAX;
    return this.#constantBytesMax + signatureBytes + units * JSON_UNIT_BYTES_MAX + bodyBytesMax;
  }

  writeInto(
    target: Uint8Array,
    at: number,
    opaque: number,
    codec: HeaderCodec,
    request: SendRequest,
  ): number {
    if (this.#signer !== null)
      return this.#signed(request, this.#signer).writeInto(target, at, opaque, codec);
    const headerStart = at + FRAME_HEAD_BYTES;
    const headerEnd =
      codec === CODEC_JSON
        ? this.#writeJson(target, headerStart, opaque, request)
        : this.#writePack(target, headerStart, opaque, request);
    const end = writeBody(target, headerEnd, request.body);
    writeFrameHead(target, at, codec, headerEnd, end);
    return end;
  }

  /** A signed send is built like any other request: what is signed must be put in order anyway. */
  #signed(request: SendRequest, signer: RequestSigner): PlainFrame {
    const { group, topic, brokerName, isBatch } = this.#options;
    const { queueId, sysFlag, bornTimestampMs, flag, properties } = request;
    let text =
      request.idPrefix === ''
        ? ''
        : `UNIQ_KEY\x01${uniqueIdText(request.idPrefix, request.idCounter)}\x02`;
    for (let index = 0; index < properties.length; index += 2)
      text += `${properties[index]}\x01${properties[index + 1]}\x02`;
    const fields = {
      a: group,
      b: topic,
      c: AUTO_CREATE_TOPIC,
      d: AUTO_CREATE_QUEUE_COUNT,
      e: queueId,
      f: sysFlag,
      g: bornTimestampMs,
      h: 0,
      i: text,
      j: 0,
      k: false,
      m: isBatch,
      n: brokerName,
    };
    const body = typeof request.body === 'string' ? encodeText(request.body) : request.body;
    return new PlainFrame({ code: this.#code, flag, fields, body }, signer);
  }

  #writeJson(target: Uint8Array, start: number, opaque: number, request: SendRequest): number {
    let at = copy(target, start, this.#jsonHead(request.queueId, request.sysFlag));
    at = writeDecimal(target, at, request.bornTimestampMs);
    at = copy(target, at, this.#jsonMiddle);
    const { properties } = request;
    if (request.idPrefix !== '') {
      at = writeUniqueId(target, at, request.idPrefix, request.idCounter);
      at = copy(target, at, jsonValueEnd);
    }
    for (let index = 0; index < properties.length; index += 2) {
      at = copy(target, writeJsonText(target, at, properties[index]), jsonNameEnd);
      at = copy(target, writeJsonText(target, at, properties[index + 1]), jsonValueEnd);
    }
    at = copy(target, at, this.#jsonTail);
    at = copy(target, writeDecimal(target, at, request.flag), jsonBeforeOpaque);
    at = writeDecimal(target, at, opaque);
    return copy(target, at, this.#jsonEnd);
  }

  #jsonHead(queueId: number, sysFlag: number): Uint8Array {
    const known = sysFlag === 0 ? this.#jsonHeads[queueId] : undefined;
    if (known !== undefined) return known;
    const { group, topic } = this.#options;
    const head = encodeText(
      `{"code":${this.#code},"extFields":{"a":${JSON.stringify(group)},"b":${JSON.stringify(topic)},"c":"${AUTO_CREATE_TOPIC}","d":"${AUTO_CREATE_QUEUE_COUNT}","e":"${queueId}","f":"${sysFlag}","g":"`,
    );
    if (sysFlag === 0) this.#jsonHeads[queueId] = head;
    return head;
  }

  #writePack(target: Uint8Array, start: number, opaque: number, request: SendRequest): number {
    let at = copy(target, start, this.#packHead(request.queueId, request.sysFlag));
    writeInt32(target, start + OPAQUE_AT, opaque);
    writeWideInteger(target, start + 1 + 5, request.flag);
    const bornLengthAt = at++;
    at = writeDecimal(target, at, request.bornTimestampMs);
    target[bornLengthAt] = 0xa0 | (at - bornLengthAt - 1);
    at = copy(target, at, packProperties);
    const propertiesAt = at;
    const { properties } = request;
    if (request.idPrefix !== '') {
      at = copy(target, at, uniqueKeyName);
      at = writeUniqueId(target, at, request.idPrefix, request.idCounter);
      target[at++] = VALUE_END;
    }
    for (let index = 0; index < properties.length; index += 2) {
      at = writeText(target, at, properties[index]);
      target[at++] = NAME_END;
      at = writeText(target, at, properties[index + 1]);
      target[at++] = VALUE_END;
    }
    target[propertiesAt - 2] = (at - propertiesAt) >>> 8;
    target[propertiesAt - 1] = at - propertiesAt;
    return at;
  }

  /** All but the time and the properties, whose names stand last. */
  #packHead(queueId: number, sysFlag: number): Uint8Array {
    const known = sysFlag === 0 ? this.#packHeads[queueId] : undefined;
    if (known !== undefined) return known;
    const { group, topic, brokerName, isBatch } = this.#options;
    const fields = [
      ['a', group],
      ['b', topic],
      ['c', AUTO_CREATE_TOPIC],
      ['d', AUTO_CREATE_QUEUE_COUNT],
      ['e', String(queueId)],
      ['f', String(sysFlag)],
      ['h', '0'],
      ['m', String(isBatch)],
      ['n', brokerName],
    ];
    const target = new Uint8Array(this.#constantBytesMax);
    target[0] = HEADER_ARRAY;
    let at = writeWideInteger(target, 1, this.#code);
    at = writeWideInteger(target, at, 0);
    at = writeWideInteger(target, at, 0);
    at = writeWideInteger(target, at, MILLRACE_PROTOCOL_VERSION);
    at = writeMessagePackNil(target, at);
    at = writeMapLength(target, at, fields.length + 2);
    for (const text of fields.flat()) at = writeMessagePackText(target, at, text);
    at = writeMessagePackText(target, at, 'g');
    const head = target.slice(0, at);
    if (sysFlag === 0) this.#packHeads[queueId] = head;
    return head;
  }
}

const jsonNameEnd = encodeText(String.raw`\u0001`);
const jsonValueEnd = encodeText(String.raw`\u0002`);
const jsonBeforeOpaque = encodeText(',"language":"OTHER","opaque":');
const uniqueKeyName = encodeText('UNIQ_KEY\x01');
/** Name of the property string, and the length of it that is filled in after. */
const packProperties = Uint8Array.of(0xa1, 'i'.charCodeAt(0), TEXT16, 0, 0);

function copy(target: Uint8Array, at: number, bytes: Uint8Array): number {
  target.set(bytes, at);
  return at + bytes.length;
}

export function writeBody(target: Uint8Array, at: number, body: Uint8Array | string): number {
  return typeof body === 'string' ? writeText(target, at, body) : copy(target, at, body);
}
