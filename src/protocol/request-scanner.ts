/**
 * @agent any
 *
 * Reads the header of a request without making a string: one walk over its bytes leaves the start
 * and end of every name and value in preallocated arrays. Each agent that decodes has one of its
 * own. All three header codecs end in the same arrays; a JSON value that holds escapes is marked and is
 * unescaped only where it is copied. Never throws on input: `scan` says false, and the frame is bad.
 *
 * Source: RemotingCommand.java, RocketMQSerializable.java; SendMessageRequestHeaderV2.java for the
 * one-letter names.
 */
import { MsgpackReader } from './msgpack-reader.ts';
import {
  FLAG_ONEWAY,
  SERIALIZE_JSON,
  SERIALIZE_MSGPACK,
  SERIALIZE_ROCKETMQ,
} from './remoting-command.ts';

/** Most extFields of a request on the hot path; Apache's own clients send up to about 25. */
const FIELD_COUNT_MAX = 128;
/** Values up to this are walked through byte by byte: those of sends are, with few exceptions (a guess). */
const NEAR_BYTES = 4096;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const LETTER_A = 0x61;
/** A MessagePack array of six, and an integer in two bytes. */
const MSGPACK_OPEN = 0x96;
const MSGPACK_UINT16 = 0xcd;

/** A quicker way for the JSON headers that stand in one buffer, with results in memory of its own. */
export interface HeaderScan {
  readonly source: Buffer;
  readonly letter: Int32Array;
  readonly nameStart: Int32Array;
  readonly nameEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  readonly valueEscaped: Uint8Array;
  readonly code: number;
  readonly opaque: number;
  readonly flag: number;
  readonly version: number;
  readonly fieldCount: number;
  scanJson(start: number, end: number): boolean;
}

export class RequestScanner {
  code = 0;
  opaque = 0;
  flag = 0;
  version = 0;
  serializeType = SERIALIZE_JSON as number;
  /** The header's bytes live here until the next scan. */
  bytes: Buffer = Buffer.alloc(0);
  bodyStart = 0;
  bodyEnd = 0;
  fieldCount = 0;
  readonly nameStart: Int32Array;
  readonly nameEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  /** 1 where the value holds JSON escapes. */
  readonly valueEscaped: Uint8Array;
  /** Field index by one-letter name, -1 where absent. */
  readonly letter: Int32Array;
  readonly #msgpack = new MsgpackReader();
  readonly #quick: HeaderScan | null;

  constructor(quick: HeaderScan | null = null) {
    this.#quick = quick;
    this.nameStart = quick?.nameStart ?? new Int32Array(FIELD_COUNT_MAX);
    this.nameEnd = quick?.nameEnd ?? new Int32Array(FIELD_COUNT_MAX);
    this.valueStart = quick?.valueStart ?? new Int32Array(FIELD_COUNT_MAX);
    this.valueEnd = quick?.valueEnd ?? new Int32Array(FIELD_COUNT_MAX);
    this.valueEscaped = quick?.valueEscaped ?? new Uint8Array(FIELD_COUNT_MAX);
    this.letter = quick?.letter ?? new Int32Array(26);
  }

  get isOneway(): boolean {
    return (this.flag & FLAG_ONEWAY) !== 0;
  }

  /** Scans the bytes after a frame's length word, `bytes[start, end)`; false for a bad frame. */
  scan(bytes: Buffer, start: number, end: number): boolean {
    this.bytes = bytes;
    this.code = 0;
    this.opaque = 0;
    this.flag = 0;
    this.version = 0;
    this.fieldCount = 0;
    if (end - start < 4) return false;
    const type = bytes[start];
    const headerBytes = (bytes[start + 1] << 16) | (bytes[start + 2] << 8) | bytes[start + 3];
    const headerStart = start + 4;
    const headerEnd = headerStart + headerBytes;
    if (headerEnd > end) return false;
    this.bodyStart = headerEnd;
    this.bodyEnd = end;
    this.serializeType = type;
    if (this.#quick !== null && type === SERIALIZE_JSON && bytes === this.#quick.source)
      return this.#scanQuickly(this.#quick, headerStart, headerEnd);
    this.letter.fill(-1);
    if (type === SERIALIZE_JSON) return this.#scanJson(headerStart, headerEnd);
    if (type === SERIALIZE_ROCKETMQ) return this.#scanBinary(headerStart, headerEnd);
    if (type === SERIALIZE_MSGPACK) return this.#scanMsgpack(headerStart, headerEnd);
    return false;
  }

  /** Index of the field with this ASCII name, or -1. For the few that are not one letter. */
  find(name: Uint8Array): number {
    for (let field = 0; field < this.fieldCount; field++) {
      if (this.#nameIs(field, name)) return field;
    }
    return -1;
  }

  /** Looks up many names in one go: `into[i]` becomes the field named `names[i]`, or -1. */
  locate(names: readonly Uint8Array[], into: Int32Array): void {
    into.fill(-1);
    for (let field = 0; field < this.fieldCount; field++) {
      for (let index = 0; index < names.length; index++) {
        if (into[index] === -1 && this.#nameIs(field, names[index])) {
          into[index] = field;
          break;
        }
      }
    }
  }

  /** The field as a decimal integer, exact to 2^53; `absent` where there is none, NaN where it is not one. */
  integer(field: number, absent: number): number {
    if (field < 0) return absent;
    let at = this.valueStart[field];
    const end = this.valueEnd[field];
    if (at === end) return absent;
    const negative = this.bytes[at] === MINUS;
    if (negative) at++;
    if (at === end || end - at > 19) return NaN;
    let value = 0;
    for (; at < end; at++) {
      const digit = this.bytes[at] - ZERO;
      if (digit < 0 || digit > 9) return NaN;
      value = value * 10 + digit;
    }
    return negative ? -value : value;
  }

  /** True where the field is "true", in any case, as Java's parseBoolean has it. */
  isTrue(field: number): boolean {
    if (field < 0) return false;
    const start = this.valueStart[field];
    return (
      this.valueEnd[field] - start === 4 &&
      (this.bytes[start] | 0x20) === 0x74 &&
      (this.bytes[start + 1] | 0x20) === 0x72 &&
      (this.bytes[start + 2] | 0x20) === 0x75 &&
      (this.bytes[start + 3] | 0x20) === 0x65
    );
  }

  /** The field as a string, unescaped; `null` where absent. Makes a string: off the hot path. */
  text(field: number): string | null {
    if (field < 0) return null;
    const raw = this.bytes.toString('utf8', this.valueStart[field], this.valueEnd[field]);
    if (this.valueEscaped[field] === 0) return raw;
    try {
      return JSON.parse(`"${raw}"`) as string;
    } catch {
      return null;
    }
  }

  #nameIs(field: number, name: Uint8Array): boolean {
    const start = this.nameStart[field];
    const length = name.length;
    if (this.nameEnd[field] - start !== length) return false;
    for (let index = 0; index < length; index++) {
      if (this.bytes[start + index] !== name[index]) return false;
    }
    return true;
  }

  /** Takes note of one extField; false when there are too many. */
  #addField(
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    escaped: number,
  ): boolean {
    const field = this.fieldCount;
    if (field === FIELD_COUNT_MAX) return false;
    this.nameStart[field] = nameStart;
    this.nameEnd[field] = nameEnd;
    this.valueStart[field] = valueStart;
    this.valueEnd[field] = valueEnd;
    this.valueEscaped[field] = escaped;
    this.fieldCount = field + 1;
    if (nameEnd - nameStart === 1) {
      const letter = this.bytes[nameStart] - LETTER_A;
      if (letter >= 0 && letter < 26) this.letter[letter] = field;
    }
    return true;
  }

  #scanQuickly(quick: HeaderScan, start: number, end: number): boolean {
    if (!quick.scanJson(start, end)) return false;
    this.code = quick.code;
    this.opaque = quick.opaque;
    this.flag = quick.flag;
    this.version = quick.version;
    this.fieldCount = quick.fieldCount;
    return true;
  }

  #scanJson(start: number, end: number): boolean {
    const bytes = this.bytes;
    let at = skipSpace(bytes, start, end);
    if (bytes[at] !== BRACE_OPEN) return false;
    at = skipSpace(bytes, at + 1, end);
    if (bytes[at] === BRACE_CLOSE && at < end) return false;
    let sawCode = false;
    let sawOpaque = false;
    for (;;) {
      if (at >= end || bytes[at] !== QUOTE) return false;
      const nameStart = at + 1;
      const nameEnd = stringEnd(bytes, nameStart, end);
      if (nameEnd < 0) return false;
      at = skipSpace(bytes, nameEnd + 1, end);
      if (at >= end || bytes[at] !== COLON) return false;
      at = skipSpace(bytes, at + 1, end);
      if (at >= end) return false;
      const first = bytes[at];
      if (first === QUOTE) {
        const valueEnd = stringEnd(bytes, at + 1, end);
        if (valueEnd < 0) return false;
        at = valueEnd + 1;
      } else if (first === BRACE_OPEN) {
        // Only extFields is an object; anything nested deeper is no header.
        if (nameEnd - nameStart !== 9 || bytes[nameStart] !== 0x65) return false;
        // A second one would replace the first for other readers.
        if (this.fieldCount > 0) return false;
        at = this.#scanJsonFields(at + 1, end);
        if (at < 0) return false;
      } else if (first === MINUS || (first >= ZERO && first <= NINE)) {
        const negative = first === MINUS;
        if (negative) at++;
        let value = 0;
        let digits = 0;
        for (; at < end; at++) {
          const digit = bytes[at] - ZERO;
          if (digit < 0 || digit > 9) break;
          value = value * 10 + digit;
          digits++;
        }
        if (digits === 0 || digits > 10) return false;
        if (negative) value = -value;
        if ((value | 0) !== value) return false;
        const nameBytes = nameEnd - nameStart;
        const initial = bytes[nameStart];
        if (nameBytes === 4 && initial === 0x63) {
          this.code = value;
          sawCode = true;
        } else if (nameBytes === 4 && initial === 0x66) this.flag = value;
        else if (nameBytes === 6 && initial === 0x6f) {
          this.opaque = value;
          sawOpaque = true;
        } else if (nameBytes === 7 && initial === 0x76) this.version = value;
      } else {
        at = skipWord(bytes, at, end);
        if (at < 0) return false;
      }
      at = skipSpace(bytes, at, end);
      if (at >= end) return false;
      if (bytes[at] === BRACE_CLOSE)
        return sawCode && sawOpaque && skipSpace(bytes, at + 1, end) === end;
      if (bytes[at] !== COMMA) return false;
      at = skipSpace(bytes, at + 1, end);
    }
  }

  /**
   * Scans the members of extFields; returns the place after its brace, or -1. Written for what clients
   * send, no spaces and names of one letter; anything else takes the longer way of the same loop.
   */
  #scanJsonFields(start: number, end: number): number {
    const { bytes, nameStart, nameEnd, valueStart, valueEnd, valueEscaped, letter } = this;
    let field = this.fieldCount;
    let at = skipSpace(bytes, start, end);
    if (at < end && bytes[at] === BRACE_CLOSE) return at + 1;
    for (;;) {
      if (at >= end || bytes[at] !== QUOTE || field === FIELD_COUNT_MAX) return -1;
      const name = at + 1;
      const initial = bytes[name] - LETTER_A;
      at = name + 1;
      if (bytes[at] === QUOTE && initial >= 0 && initial < 26) letter[initial] = field;
      else {
        at = stringEnd(bytes, name, end);
        if (at < 0) return -1;
      }
      nameStart[field] = name;
      nameEnd[field] = at;
      at++;
      if (bytes[at] !== COLON) at = skipSpace(bytes, at, end);
      if (at >= end || bytes[at] !== COLON) return -1;
      at++;
      if (bytes[at] !== QUOTE) at = skipSpace(bytes, at, end);
      if (at >= end) return -1;
      if (bytes[at] === QUOTE) {
        valueStart[field] = ++at;
        const near = at + NEAR_BYTES < end ? at + NEAR_BYTES : end;
        let escaped = 0;
        for (; at < near; at++) {
          const byte = bytes[at];
          if (byte === QUOTE) break;
          if (byte === BACKSLASH) {
            escaped = 1;
            at++;
          }
        }
        if (at >= near && at < end) {
          const rest = bytes.subarray(at, end);
          const restBytes = farStringEnd(rest);
          const backslash = rest.indexOf(BACKSLASH);
          if (backslash >= 0 && backslash < restBytes) escaped = 1;
          at += restBytes;
        }
        valueEnd[field] = at;
        valueEscaped[field] = escaped;
        field++;
        at++;
      } else {
        // Numbers, booleans and null without quotes: some clients send them.
        const isNull = bytes[at] === 0x6e;
        valueStart[field] = at;
        at = skipWord(bytes, at, end);
        if (at < 0) return -1;
        valueEnd[field] = at;
        valueEscaped[field] = 0;
        if (!isNull) field++;
        else if (nameEnd[field] - name === 1 && initial >= 0 && initial < 26) letter[initial] = -1;
      }
      if (bytes[at] !== COMMA) at = skipSpace(bytes, at, end);
      if (at >= end) return -1;
      if (bytes[at] === COMMA) {
        at++;
        if (bytes[at] !== QUOTE) at = skipSpace(bytes, at, end);
      } else {
        this.fieldCount = field;
        return bytes[at] === BRACE_CLOSE ? at + 1 : -1;
      }
    }
  }

  #scanBinary(start: number, end: number): boolean {
    const bytes = this.bytes;
    if (end - start < 21) return false;
    this.code = bytes.readInt16BE(start);
    this.version = bytes.readInt16BE(start + 3);
    this.opaque = bytes.readInt32BE(start + 5);
    this.flag = bytes.readInt32BE(start + 9);
    const remarkBytes = bytes.readInt32BE(start + 13);
    let at = start + 17;
    if (remarkBytes < 0 || remarkBytes > end - at - 4) return false;
    at += remarkBytes;
    const fieldsBytes = bytes.readInt32BE(at);
    at += 4;
    if (fieldsBytes < 0 || fieldsBytes > end - at) return false;
    const fieldsEnd = at + fieldsBytes;
    while (at < fieldsEnd) {
      if (fieldsEnd - at < 6) return false;
      const nameBytes = bytes.readInt16BE(at);
      const nameStart = at + 2;
      if (nameBytes < 0 || nameBytes > fieldsEnd - nameStart - 4) return false;
      const valueBytes = bytes.readInt32BE(nameStart + nameBytes);
      const valueStart = nameStart + nameBytes + 4;
      if (valueBytes < 0 || valueBytes > fieldsEnd - valueStart) return false;
      at = valueStart + valueBytes;
      // An empty value is null to RocketMQ's own decoder, so it is as good as absent.
      if (valueBytes > 0 && !this.#addField(nameStart, nameStart + nameBytes, valueStart, at, 0))
        return false;
    }
    return true;
  }

  #scanMsgpack(start: number, end: number): boolean {
    const reader = this.#msgpack;
    reader.begin(this.bytes, start, end);
    this.code = reader.integer();
    this.flag = reader.integer();
    this.opaque = reader.integer();
    this.version = reader.integer();
    if (!reader.nil()) reader.text();
    const count = reader.mapCount();
    if (count > FIELD_COUNT_MAX) return false;
    for (let index = 0; index < count; index++) {
      reader.text();
      const { textStart: nameStart, textEnd: nameEnd } = reader;
      reader.text();
      if (reader.isBad) return false;
      this.#addField(nameStart, nameEnd, reader.textStart, reader.textEnd, 0);
    }
    return reader.isWhole;
  }
}

function skipSpace(bytes: Buffer, at: number, end: number): number {
  while (at < end) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    at++;
  }
  return at;
}

/** Place of the closing quote, or -1. */
function stringEnd(bytes: Buffer, at: number, end: number): number {
  while (at < end) {
    const byte = bytes[at];
    if (byte === QUOTE) return at;
    at += byte === BACKSLASH ? 2 : 1;
  }
  return -1;
}

/** The same of a long string, by a search that does not come here for each byte; its length where it has no end. */
function farStringEnd(bytes: Buffer): number {
  for (let from = 0; ;) {
    const quote = bytes.indexOf(QUOTE, from);
    if (quote < 0) return bytes.length;
    let backslashes = quote;
    while (backslashes > from && bytes[backslashes - 1] === BACKSLASH) backslashes--;
    if ((quote - backslashes) % 2 === 0) return quote;
    from = quote + 1;
  }
}

/** Place after a bare word or number, at most 32 bytes, or -1. */
function skipWord(bytes: Buffer, at: number, end: number): number {
  const start = at;
  while (at < end) {
    const byte = bytes[at];
    const isWord =
      (byte >= 0x61 && byte <= 0x7a) ||
      (byte >= ZERO && byte <= NINE) ||
      byte === MINUS ||
      byte === 0x2e ||
      byte === 0x2b ||
      byte === 0x45;
    if (!isWord) break;
    at++;
  }
  return at > start && at - start <= 32 ? at : -1;
}

/**
 * The request code of a frame (bytes after the length word), or -1 where the frame is bad. Quick
 * where `code` is the first JSON member, as every official client sends it, and in a MessagePack header
 * in the short forms of an integer; whoever serves the frame finds out whether the rest is right.
 */
export function peekRequestCode(
  bytes: Buffer,
  start: number,
  end: number,
  scanner: RequestScanner,
): number {
  if (end - start >= 6 && bytes[start] === SERIALIZE_ROCKETMQ) return bytes.readInt16BE(start + 4);
  if (end - start > 8 && bytes[start] === SERIALIZE_MSGPACK && bytes[start + 4] === MSGPACK_OPEN) {
    const first = bytes[start + 5];
    if (first < 0x80) return first;
    if (first === MSGPACK_UINT16) return (bytes[start + 6] << 8) | bytes[start + 7];
  }
  let at = start + 12;
  if (
    end - start > 16 &&
    bytes[start] === SERIALIZE_JSON &&
    bytes[start + 4] === BRACE_OPEN &&
    bytes[start + 6] === 0x63 &&
    bytes[start + 9] === 0x65 &&
    bytes[start + 10] === QUOTE &&
    bytes[start + 11] === COLON
  ) {
    let code = 0;
    const first = at;
    for (; at < end; at++) {
      const digit = bytes[at] - ZERO;
      if (digit < 0 || digit > 9) break;
      code = code * 10 + digit;
    }
    if (at > first && at - first < 8) return code;
  }
  return scanner.scan(bytes, start, end) ? scanner.code : -1;
}
