/**
 * @agent any
 *
 * The general codec of one remoting frame, for requests and answers off the hot path. Sends and
 * pulls are read by `request-scanner.ts`, which makes no strings.
 *
 * ```
 * 0        4         5           8                 8+headerLength
 * | length | type(1) | header(3) | header          | body        |
 * ```
 * `length` counts every byte after itself; type 0 is a JSON header, 1 the ROCKETMQ binary one, 2 Millrace's
 * own in MessagePack (`msgpack-header.ts`).
 * All integers are big-endian. Source: RemotingCommand.java, RocketMQSerializable.java.
 */
import { BrokerError } from '../base/errors.ts';
import { languages, LANGUAGE_OTHER, MILLRACE_PROTOCOL_VERSION } from './codes.ts';
import { checkJsonSize } from './fastjson.ts';
import { decodeMsgpackHeader, encodeMsgpackHeader } from './msgpack-header.ts';

export const SERIALIZE_JSON = 0;
export const SERIALIZE_ROCKETMQ = 1;
export const SERIALIZE_MSGPACK = 2;
export type SerializeType =
  | typeof SERIALIZE_JSON
  | typeof SERIALIZE_ROCKETMQ
  | typeof SERIALIZE_MSGPACK;

/** A header's type as it came through a scanner or a ring; JSON for what is none. */
export function serializeTypeOf(type: number): SerializeType {
  return type === SERIALIZE_ROCKETMQ || type === SERIALIZE_MSGPACK ? type : SERIALIZE_JSON;
}

/** Largest value of the length word, com.rocketmq.remoting.frameMaxLength of RocketMQ. */
export const FRAME_BYTES_MAX = 16 * 1024 * 1024;
/** `flag` bit 0: this frame answers a request. */
export const FLAG_RESPONSE = 1;
/** `flag` bit 1: nobody waits for an answer, and none may be sent. */
export const FLAG_ONEWAY = 2;

export interface RemotingCommand {
  code: number;
  language: string;
  version: number;
  opaque: number;
  flag: number;
  remark: string | null;
  extFields: Map<string, string>;
  /** A view of the frame; copy it before the next frame arrives if it must outlive the call. */
  body: Buffer;
  serializeType: SerializeType;
}

/** What an answer adds to the request that it answers. */
export interface Answer {
  code: number;
  remark?: string | undefined;
  extFields?: Iterable<readonly [string, string]> | undefined;
  body?: Uint8Array | undefined;
}

const MAXIMUM_EXT_FIELDS = 1024;
/** Characters of an answer's remark; one with a stack trace of Java has fewer. */
const REMARK_LENGTH_MAX = 16 * 1024;
/** JSON headers from here on are looked through before they are parsed: 16 MiB of names take a parser seconds. */
const CHECKED_HEADER_BYTES_MIN = 16 * 1024;
/** Of a whole JSON header: extFields, and what stands beside them. */
const HEADER_VALUE_COUNT_MAX = MAXIMUM_EXT_FIELDS + 64;

/**
 * Decodes the bytes that follow a frame's length word.
 * @throws BrokerError FRAME_INVALID where lengths contradict each other or the header isn't one.
 */
export function decodeFrame(frame: Buffer): RemotingCommand {
  if (frame.length < 4) throw new BrokerError('FRAME_INVALID', `frame of ${frame.length} bytes`);
  const type = frame[0];
  const headerBytes = frame.readUIntBE(1, 3);
  if (headerBytes > frame.length - 4) {
    throw new BrokerError(
      'FRAME_INVALID',
      `header of ${headerBytes} bytes in a frame of ${frame.length}`,
    );
  }
  const header = frame.subarray(4, 4 + headerBytes);
  const body = frame.subarray(4 + headerBytes);
  if (type === SERIALIZE_JSON) return decodeJsonHeader(header, body);
  if (type === SERIALIZE_ROCKETMQ) return decodeBinaryHeader(header, body);
  if (type === SERIALIZE_MSGPACK) {
    const decoded = decodeMsgpackHeader(header, MAXIMUM_EXT_FIELDS);
    if (decoded === null)
      throw new BrokerError('FRAME_INVALID', 'header is not a MessagePack header');
    return { ...decoded, language: languages[LANGUAGE_OTHER], body, serializeType: type };
  }
  throw new BrokerError('FRAME_INVALID', `unknown header serialization ${type}`);
}

/** Encodes a request, length word included. */
export function encodeRequest(request: {
  code: number;
  opaque: number;
  flag?: number;
  extFields?: Iterable<readonly [string, string]> | undefined;
  body?: Uint8Array | undefined;
  serializeType?: SerializeType;
}): Buffer {
  return encodeFrame(
    {
      code: request.code,
      opaque: request.opaque,
      flag: request.flag ?? 0,
      remark: undefined,
      extFields: request.extFields,
      body: request.body,
    },
    request.serializeType ?? SERIALIZE_JSON,
  );
}

/** Encodes the answer to `request`, length word included, in the header codec of the asker. */
export function encodeAnswer(
  request: Pick<RemotingCommand, 'opaque' | 'serializeType'>,
  answer: Answer,
): Buffer {
  return encodeFrame(
    {
      code: answer.code,
      opaque: request.opaque,
      flag: FLAG_RESPONSE,
      remark: shortened(answer.remark),
      extFields: answer.extFields,
      body: answer.body,
    },
    request.serializeType,
  );
}

/** Remarks name what was asked for, which may be megabytes. */
function shortened(remark: string | undefined): string | undefined {
  if (remark === undefined || remark.length <= REMARK_LENGTH_MAX) return remark;
  return `${remark.slice(0, REMARK_LENGTH_MAX)}…`;
}

interface FrameParts {
  code: number;
  opaque: number;
  flag: number;
  remark: string | undefined;
  extFields: Iterable<readonly [string, string]> | undefined;
  body: Uint8Array | undefined;
}

function encodeFrame(parts: FrameParts, serializeType: SerializeType): Buffer {
  const header = encodeHeader(parts, serializeType);
  const bodyBytes = parts.body?.length ?? 0;
  const frame = Buffer.allocUnsafe(8 + header.length + bodyBytes);
  frame.writeInt32BE(4 + header.length + bodyBytes, 0);
  frame.writeUInt8(serializeType, 4);
  frame.writeUIntBE(header.length, 5, 3);
  header.copy(frame, 8);
  if (parts.body !== undefined) frame.set(parts.body, 8 + header.length);
  return frame;
}

function encodeHeader(parts: FrameParts, serializeType: SerializeType): Buffer {
  if (serializeType === SERIALIZE_JSON) return encodeJsonHeader(parts);
  if (serializeType === SERIALIZE_ROCKETMQ) return encodeBinaryHeader(parts);
  const { code, flag, opaque, remark, extFields } = parts;
  return encodeMsgpackHeader({
    code,
    flag,
    opaque,
    version: MILLRACE_PROTOCOL_VERSION,
    remark: remark ?? null,
    extFields: new Map(extFields),
  });
}

function encodeJsonHeader(parts: FrameParts): Buffer {
  const header: Record<string, unknown> = { code: parts.code };
  if (parts.extFields !== undefined) header['extFields'] = Object.fromEntries(parts.extFields);
  header['flag'] = parts.flag;
  header['language'] = 'OTHER';
  header['opaque'] = parts.opaque;
  if (parts.remark !== undefined) header['remark'] = parts.remark;
  header['serializeTypeCurrentRPC'] = 'JSON';
  header['version'] = MILLRACE_PROTOCOL_VERSION;
  return Buffer.from(JSON.stringify(header));
}

function encodeBinaryHeader(parts: FrameParts): Buffer {
  const remark = Buffer.from(parts.remark ?? '');
  const entries: Buffer[] = [];
  let entriesBytes = 0;
  for (const [name, value] of parts.extFields ?? []) {
    const nameBytes = Buffer.from(name);
    const valueBytes = Buffer.from(value);
    const entry = Buffer.allocUnsafe(2 + nameBytes.length + 4 + valueBytes.length);
    entry.writeInt16BE(nameBytes.length, 0);
    nameBytes.copy(entry, 2);
    entry.writeInt32BE(valueBytes.length, 2 + nameBytes.length);
    valueBytes.copy(entry, 6 + nameBytes.length);
    entries.push(entry);
    entriesBytes += entry.length;
  }
  const fixed = Buffer.allocUnsafe(17);
  fixed.writeInt16BE((parts.code << 16) >> 16, 0);
  fixed.writeUInt8(LANGUAGE_OTHER, 2);
  fixed.writeInt16BE(MILLRACE_PROTOCOL_VERSION, 3);
  fixed.writeInt32BE(parts.opaque, 5);
  fixed.writeInt32BE(parts.flag, 9);
  fixed.writeInt32BE(remark.length, 13);
  const extLength = Buffer.allocUnsafe(4);
  extLength.writeInt32BE(entriesBytes, 0);
  return Buffer.concat([fixed, remark, extLength, ...entries]);
}

function decodeJsonHeader(header: Buffer, body: Buffer): RemotingCommand {
  const text = header.toString('utf8');
  if (header.length >= CHECKED_HEADER_BYTES_MIN) checkJsonSize(text, HEADER_VALUE_COUNT_MAX);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new BrokerError('FRAME_INVALID', 'header is not JSON', { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new BrokerError('FRAME_INVALID', 'header is not a JSON object');
  }
  const fields = new Map<string, unknown>(Object.entries(parsed));
  const extFields = new Map<string, string>();
  const ext = fields.get('extFields');
  if (typeof ext === 'object' && ext !== null) {
    const entries = Object.entries(ext);
    if (entries.length > MAXIMUM_EXT_FIELDS)
      throw new BrokerError('FRAME_INVALID', `${entries.length} extFields`);
    for (const [name, value] of entries) {
      if (typeof value === 'string') extFields.set(name, value);
      else if (typeof value === 'number' || typeof value === 'boolean')
        extFields.set(name, String(value));
      else if (value !== null)
        throw new BrokerError('FRAME_INVALID', `extField ${name.slice(0, 64)} is not a string`);
    }
  }
  const remark = fields.get('remark');
  const language = fields.get('language');
  return {
    code: integer(fields.get('code'), 'code'),
    language: typeof language === 'string' ? language : 'OTHER',
    version: integer(fields.get('version') ?? 0, 'version'),
    opaque: integer(fields.get('opaque'), 'opaque'),
    flag: integer(fields.get('flag') ?? 0, 'flag'),
    remark: typeof remark === 'string' ? remark : null,
    extFields,
    body,
    serializeType: SERIALIZE_JSON,
  };
}

function integer(value: unknown, name: string): number {
  if (typeof value !== 'number' || (value | 0) !== value) {
    throw new BrokerError('FRAME_INVALID', `header field ${name} is not a 32-bit integer`);
  }
  return value;
}

function decodeBinaryHeader(header: Buffer, body: Buffer): RemotingCommand {
  try {
    let offset = 17;
    const remarkBytes = header.readInt32BE(13);
    const remark = take(header, offset, remarkBytes);
    offset += remarkBytes;
    const end = offset + 4 + header.readInt32BE(offset);
    offset += 4;
    if (end > header.length) throw new RangeError('extFields run past the header');
    const extFields = new Map<string, string>();
    while (offset < end) {
      if (extFields.size >= MAXIMUM_EXT_FIELDS) throw new RangeError('too many extFields');
      const nameBytes = header.readInt16BE(offset);
      const name = take(header, offset + 2, nameBytes);
      offset += 2 + nameBytes;
      const valueBytes = header.readInt32BE(offset);
      const value = take(header, offset + 4, valueBytes);
      offset += 4 + valueBytes;
      // An empty value is null to RocketMQ's own decoder, so it is as good as absent.
      if (valueBytes > 0) extFields.set(name, value);
    }
    return {
      code: header.readInt16BE(0),
      language: languages[header.readUInt8(2)] ?? languages[LANGUAGE_OTHER],
      version: header.readInt16BE(3),
      opaque: header.readInt32BE(5),
      flag: header.readInt32BE(9),
      remark: remarkBytes > 0 ? remark : null,
      extFields,
      body,
      serializeType: SERIALIZE_ROCKETMQ,
    };
  } catch (cause) {
    throw new BrokerError('FRAME_INVALID', 'header is not a ROCKETMQ header', { cause });
  }
}

function take(header: Buffer, start: number, bytes: number): string {
  if (bytes < 0 || start + bytes > header.length)
    throw new RangeError('field runs past the header');
  return header.toString('utf8', start, start + bytes);
}
