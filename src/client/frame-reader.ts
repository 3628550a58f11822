/**
 * @agent any
 *
 * Reads the header of one frame by its bytes: where names and values of its fields stand, without a
 * string for any of them, since the answer to a send needs only two. A JSON header that is not
 * printed the way servers print theirs goes through JSON.parse.
 */
import type { CoreAnswer } from './client-core.ts';
import { ClientError } from './client-error.ts';
import { CODEC_JSON, CODEC_MESSAGE_PACK, FLAG_RESPONSE } from './frame-codec.ts';
import { MsgpackReader } from '../protocol/msgpack-reader.ts';
import { currentPlatform, type Platform } from './platform.ts';
import { hexOfByte } from './unique-id.ts';

const FIELD_COUNT_MAX = 1024;
/** Fields whose places fit; more of them make it parse the header the slow way. */
const FAST_FIELD_COUNT_MAX = 32;
/** Places of name start, name end, value start, value end. */
const PLACES = 4;

/** Of an identifier, taken apart by hexAt. */
const HEX_TAIL_DIGITS = 8;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const COLON = 0x3a;
const UPPER_A = 0x41;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** One per connection; what it says holds until the next frame is read. */
export class FrameReader {
  bytes: Uint8Array = new Uint8Array(0);
  codec = 0;
  code = 0;
  flag = 0;
  opaque = 0;
  version = 0;
  remark: string | null = null;
  bodyStart = 0;
  bodyEnd = 0;
  readonly #platform: Platform = currentPlatform();
  readonly #places = new Int32Array(FAST_FIELD_COUNT_MAX * PLACES);
  readonly #msgpack = new MsgpackReader();
  #fieldCount = 0;
  /** How many of the members that every header has came, code and opaque. */
  #neededCount = 0;
  /** The digits before the last ones of the identifier that was read last. */
  #hexHead = '';
  /** Some value has an escape of JSON: its bytes are not its text. */
  #hasEscapes = false;
  /** The fields, where their places would not do. */
  #parsedFields: Map<string, string> | null = null;

  get isResponse(): boolean {
    return (this.flag & FLAG_RESPONSE) !== 0;
  }

  /** Reads what follows a length word. @throws ClientError PROTOCOL_ERROR */
  read(bytes: Uint8Array, start: number, end: number): void {
    const headerStart = start + 4;
    const headerEnd =
      headerStart + ((bytes[start + 1] << 16) | (bytes[start + 2] << 8) | bytes[start + 3]);
    if (headerEnd > end) throw new ClientError('PROTOCOL_ERROR', 'a header runs past its frame');
    this.bytes = bytes;
    this.codec = bytes[start];
    this.bodyStart = headerEnd;
    this.bodyEnd = end;
    this.code = this.flag = this.opaque = this.version = 0;
    this.remark = null;
    this.#fieldCount = 0;
    this.#neededCount = 0;
    this.#hasEscapes = false;
    this.#parsedFields = null;
    if (this.codec === CODEC_JSON) {
      if (!this.#scanJson(headerStart, headerEnd)) this.#parseJson(headerStart, headerEnd);
    } else if (this.codec === CODEC_MESSAGE_PACK) this.#readMessagePack(headerStart, headerEnd);
    else throw new ClientError('PROTOCOL_ERROR', `a header of serialization ${this.codec} came`);
  }

  /** Number of a field's place for the methods below, or -1. Only where `hasPlaces`. */
  findField(name: string): number {
    const places = this.#places;
    for (let index = 0; index < this.#fieldCount; index++) {
      const nameStart = places[index * PLACES];
      if (places[index * PLACES + 1] - nameStart !== name.length) continue;
      let matched = 0;
      while (matched < name.length && this.bytes[nameStart + matched] === name.charCodeAt(matched))
        matched++;
      if (matched === name.length) return index;
    }
    return -1;
  }

  get hasPlaces(): boolean {
    return this.#parsedFields === null && !this.#hasEscapes;
  }

  /** A field as a whole number; NaN where it is none. */
  integerAt(index: number): number {
    let at = this.#places[index * PLACES + 2];
    const end = this.#places[index * PLACES + 3];
    const isNegative = this.bytes[at] === MINUS;
    if (isNegative) at++;
    let value = at < end ? 0 : Number.NaN;
    for (; at < end; at++) {
      const digit = this.bytes[at] - ZERO;
      if (digit < 0 || digit > 9) return Number.NaN;
      value = value * 10 + digit;
    }
    return isNegative ? -value : value;
  }

  /** A field's ASCII text. */
  asciiAt(index: number): string {
    const valueStart = this.#places[index * PLACES + 2];
    return this.#platform.decodeAscii(this.bytes, valueStart, this.#places[index * PLACES + 3]);
  }

  /**
   * A field's hexadecimal digits, such as an offsetMessageId. Those of one broker differ in the last
   * ones only: these are put together from short texts, which is quicker than a call into the engine.
   */
  hexAt(index: number): string {
    const { bytes } = this;
    const start = this.#places[index * PLACES + 2];
    const end = this.#places[index * PLACES + 3];
    const tailStart = end - HEX_TAIL_DIGITS;
    if (tailStart < start) return this.asciiAt(index);
    let tail = '';
    for (let at = tailStart; at < end; at += 2) {
      const byte = (hexDigit(bytes[at]) << 4) | hexDigit(bytes[at + 1]);
      if (byte < 0) return this.asciiAt(index);
      tail += hexOfByte[byte];
    }
    const head = this.#hexHead;
    let isKnown = head.length === tailStart - start;
    for (let at = 0; isKnown && at < head.length; at++)
      isKnown = bytes[start + at] === head.charCodeAt(at);
    if (!isKnown) this.#hexHead = this.#platform.decodeAscii(bytes, start, tailStart);
    return this.#hexHead + tail;
  }

  get fields(): Map<string, string> {
    if (this.#parsedFields !== null) return this.#parsedFields;
    const fields = new Map<string, string>();
    for (let index = 0; index < this.#fieldCount; index++) {
      const at = index * PLACES;
      fields.set(
        this.#text(this.#places[at], this.#places[at + 1]),
        this.#text(this.#places[at + 2], this.#places[at + 3]),
      );
    }
    return fields;
  }

  get body(): Uint8Array {
    return this.bytes.subarray(this.bodyStart, this.bodyEnd);
  }

  toAnswer(): CoreAnswer {
    const { code, remark, fields, body, version } = this;
    return { code, remark, fields, body, version };
  }

  #text(start: number, end: number): string {
    const text = this.#platform.decodeText(this.bytes, start, end);
    if (this.codec !== CODEC_JSON || !text.includes('\\')) return text;
    try {
      return JSON.parse(`"${text}"`) as string;
    } catch (cause) {
      throw new ClientError('PROTOCOL_ERROR', 'a header has a string that is none', { cause });
    }
  }

  #addField(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): boolean {
    if (this.#fieldCount === FAST_FIELD_COUNT_MAX) return false;
    const at = this.#fieldCount++ * PLACES;
    this.#places[at] = nameStart;
    this.#places[at + 1] = nameEnd;
    this.#places[at + 2] = valueStart;
    this.#places[at + 3] = valueEnd;
    return true;
  }

  /** Reads JSON without a space and with strings for fields; false where it is another. */
  #scanJson(start: number, end: number): boolean {
    const { bytes } = this;
    let at = start;
    if (bytes[at++] !== OPEN) return false;
    for (;;) {
      const nameEnd = this.#stringEnd(at, end);
      if (nameEnd < 0 || bytes[nameEnd + 1] !== COLON) return false;
      const nameStart = at + 1;
      at = this.#scanMember(nameStart, nameEnd, nameEnd + 2, end);
      if (at < 0) return false;
      if (bytes[at] === CLOSE) return at + 1 === end && this.#neededCount === 2;
      if (bytes[at++] !== COMMA) return false;
    }
  }

  /** Takes in the value of one member of the header; where it ends, or -1. */
  #scanMember(nameStart: number, nameEnd: number, valueStart: number, end: number): number {
    const first = this.bytes[valueStart];
    if (first === OPEN) return this.#scanFields(nameStart, nameEnd, valueStart, end);
    if (first === QUOTE) {
      const valueEnd = this.#stringEnd(valueStart, end);
      if (valueEnd < 0) return -1;
      if (this.#isNamed(nameStart, nameEnd, 'remark'))
        this.remark = this.#text(valueStart + 1, valueEnd);
      return valueEnd + 1;
    }
    if (first !== MINUS && (first < ZERO || first > ZERO + 9)) return -1;
    let at = first === MINUS ? valueStart + 1 : valueStart;
    let value = 0;
    for (; at < end; at++) {
      const digit = this.bytes[at] - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (value > 0x7fffffff) return -1;
    this.#setNumber(nameStart, nameEnd, first === MINUS ? -value : value);
    return at;
  }

  #setNumber(nameStart: number, nameEnd: number, value: number): void {
    if (this.#isNamed(nameStart, nameEnd, 'code')) {
      this.code = value;
      this.#neededCount++;
    } else if (this.#isNamed(nameStart, nameEnd, 'flag')) this.flag = value;
    else if (this.#isNamed(nameStart, nameEnd, 'opaque')) {
      this.opaque = value;
      this.#neededCount++;
    } else if (this.#isNamed(nameStart, nameEnd, 'version')) this.version = value;
  }

  #scanFields(nameStart: number, nameEnd: number, start: number, end: number): number {
    if (!this.#isNamed(nameStart, nameEnd, 'extFields')) return -1;
    const { bytes } = this;
    let at = start + 1;
    if (bytes[at] === CLOSE) return at + 1;
    for (;;) {
      const fieldEnd = this.#stringEnd(at, end);
      if (fieldEnd < 0 || bytes[fieldEnd + 1] !== COLON) return -1;
      const valueEnd = this.#stringEnd(fieldEnd + 2, end);
      if (valueEnd < 0 || !this.#addField(at + 1, fieldEnd, fieldEnd + 3, valueEnd)) return -1;
      at = valueEnd + 1;
      if (bytes[at] === CLOSE) return at + 1;
      if (bytes[at++] !== COMMA) return -1;
    }
  }

  #isNamed(start: number, end: number, name: string): boolean {
    if (end - start !== name.length) return false;
    for (let index = 0; index < name.length; index++)
      if (this.bytes[start + index] !== name.charCodeAt(index)) return false;
    return true;
  }

  /** Place of the quote that ends the string whose first quote is at `at`, or -1. */
  #stringEnd(at: number, end: number): number {
    const { bytes } = this;
    if (bytes[at] !== QUOTE) return -1;
    for (let place = at + 1; place < end; place++) {
      const byte = bytes[place];
      if (byte === QUOTE) return place;
      if (byte === BACKSLASH) {
        this.#hasEscapes = true;
        place++;
      }
    }
    return -1;
  }

  #parseJson(start: number, end: number): void {
    let header: unknown;
    try {
      header = JSON.parse(this.#platform.decodeText(this.bytes, start, end));
    } catch (cause) {
      throw new ClientError('PROTOCOL_ERROR', 'a header that is no JSON came', { cause });
    }
    const members = new Map(Object.entries(Object(header) as object)) as Map<string, unknown>;
    this.code = integerOf(members.get('code'));
    this.flag = integerOf(members.get('flag') ?? 0);
    this.opaque = integerOf(members.get('opaque'));
    this.version = integerOf(members.get('version') ?? 0);
    const remark = members.get('remark');
    this.remark = typeof remark === 'string' ? remark : null;
    const fields = new Map<string, string>();
    for (const [name, value] of Object.entries(Object(members.get('extFields') ?? {}) as object)) {
      if (typeof value === 'string') fields.set(name, value);
      else if (typeof value === 'number' || typeof value === 'boolean')
        fields.set(name, String(value));
    }
    if (fields.size > FIELD_COUNT_MAX)
      throw new ClientError('PROTOCOL_ERROR', `a header of ${fields.size} fields came`);
    this.#parsedFields = fields;
  }

  #readMessagePack(start: number, end: number): void {
    const reader = this.#msgpack;
    reader.begin(this.bytes, start, end);
    this.code = reader.integer();
    this.flag = reader.integer();
    this.opaque = reader.integer();
    this.version = reader.integer();
    if (!reader.nil()) {
      reader.text();
      this.remark = this.#text(reader.textStart, reader.textEnd);
    }
    // Of more, bytes are left over.
    const fieldCount = Math.min(reader.mapCount(), FIELD_COUNT_MAX);
    const isFast = fieldCount <= FAST_FIELD_COUNT_MAX;
    const fields = isFast ? null : new Map<string, string>();
    for (let index = 0; index < fieldCount && !reader.isBad; index++) {
      reader.text();
      const { textStart: nameStart, textEnd: nameEnd } = reader;
      reader.text();
      const { textStart, textEnd } = reader;
      if (fields === null) this.#addField(nameStart, nameEnd, textStart, textEnd);
      else fields.set(this.#text(nameStart, nameEnd), this.#text(textStart, textEnd));
    }
    if (!reader.isWhole)
      throw new ClientError('PROTOCOL_ERROR', 'a header that is no MessagePack header came');
    this.#parsedFields = fields;
  }
}

/** Negative where it is none, or a small letter, which the table would not give back. */
function hexDigit(byte: number): number {
  const digit = byte - ZERO;
  if (digit >= 0 && digit <= 9) return digit;
  const letter = byte - UPPER_A;
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

function integerOf(value: unknown): number {
  if (typeof value !== 'number' || (value | 0) !== value)
    throw new ClientError('PROTOCOL_ERROR', 'a header lacks an integer that it must have');
  return value;
}
