/**
 * @agent any
 *
 * The third form of a frame's header, serialize type 2, which only Millrace and its clients speak: one
 * MessagePack array.
 *
 * ```
 * [ code, flag, opaque, version, remark | nil, { name: value, … } ]
 *   int32 each, in any form of      str          str → str, always text, as in the other headers
 *   MessagePack's integers
 * ```
 * A library reads whatever MessagePack can say: floats, dates, nested maps and extensions that make objects,
 * and only then could be asked whether it was a header. Here a byte that is no header ends the reading, a
 * declared count or length is held against the bytes that are left before anything is made of it, and
 * nothing nests, so that hostile input costs neither time nor memory. The scanner of requests, which needs
 * places and no strings, shares the reader.
 *
 * Source: the MessagePack specification (github.com/msgpack/msgpack/blob/master/spec.md).
 */
import { messagePackTextBytesMax, writeMessagePackHeader } from './msgpack-writer.ts';

/** Members of the array. */
const MEMBER_COUNT = 6;

const FIXMAP = 0x80;
const FIXARRAY = 0x90;
const FIXSTR = 0xa0;
const NIL = 0xc0;
const UINT8 = 0xcc;
const UINT16 = 0xcd;
const UINT32 = 0xce;
const UINT64 = 0xcf;
const INT8 = 0xd0;
const INT16 = 0xd1;
const INT32 = 0xd2;
const INT64 = 0xd3;
const STR8 = 0xd9;
const STR16 = 0xda;
const STR32 = 0xdb;
const ARRAY16 = 0xdc;
const ARRAY32 = 0xdd;
const MAP16 = 0xde;
const MAP32 = 0xdf;
const NEGATIVE_FIXINT = 0xe0;

/**
 * Walks over the bytes of one header. Once something is not what was asked for, `isBad` stays true and the
 * cursor stands at the end: callers may look once, after several steps.
 */
export class MsgpackReader {
  isBad = false;
  /** Place of the next byte. */
  at = 0;
  /** Of the last text: its bytes are `[textStart, textEnd)`. */
  textStart = 0;
  textEnd = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #end = 0;

  /** Begins with `bytes[start, end)` and reads the head of the array. */
  begin(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes;
    this.at = start;
    this.#end = end;
    this.isBad = false;
    if (this.#count(FIXARRAY, ARRAY16, ARRAY32) !== MEMBER_COUNT) this.#fail();
  }

  /** Every byte was read, and each was right. */
  get isWhole(): boolean {
    return !this.isBad && this.at === this.#end;
  }

  /** An integer within int32, whatever its form; 0 where there is none. */
  integer(): number {
    if (this.at >= this.#end) return this.#fail();
    const first = this.#bytes[this.at++];
    if (first < FIXMAP) return first;
    if (first >= NEGATIVE_FIXINT) return first - 0x100;
    switch (first) {
      case UINT8:
        return this.#unsigned(1);
      case UINT16:
        return this.#unsigned(2);
      case UINT32:
        return this.#within(this.#unsigned(4));
      case UINT64:
        if (this.#unsigned(4) !== 0) return this.#fail();
        return this.#within(this.#unsigned(4));
      case INT8:
        return (this.#unsigned(1) << 24) >> 24;
      case INT16:
        return (this.#unsigned(2) << 16) >> 16;
      case INT32:
        return this.#unsigned(4) | 0;
      case INT64: {
        const high = this.#unsigned(4) | 0;
        const low = this.#unsigned(4) | 0;
        // Sign-extended from 32 bits, or out of range.
        return high === low >> 31 ? low : this.#fail();
      }
      default:
        return this.#fail();
    }
  }

  /** True where nil stood; it is then passed over. */
  nil(): boolean {
    if (this.at >= this.#end || this.#bytes[this.at] !== NIL) return false;
    this.at++;
    return true;
  }

  /** A text: leaves its place in `textStart` and `textEnd`. */
  text(): void {
    this.textStart = this.at;
    this.textEnd = this.at;
    if (this.at >= this.#end) {
      this.#fail();
      return;
    }
    const first = this.#bytes[this.at++];
    let length = first - FIXSTR;
    if (first < FIXSTR || first >= NIL) {
      if (first === STR8) length = this.#unsigned(1);
      else if (first === STR16) length = this.#unsigned(2);
      else if (first === STR32) length = this.#unsigned(4);
      else {
        this.#fail();
        return;
      }
    }
    if (length > this.#end - this.at) {
      this.#fail();
      return;
    }
    this.textStart = this.at;
    this.textEnd = this.at + length;
    this.at = this.textEnd;
  }

  /** Number of pairs in the map that begins here: at least two bytes each are there. */
  mapCount(): number {
    const count = this.#count(FIXMAP, MAP16, MAP32);
    return count * 2 <= this.#end - this.at ? count : this.#fail();
  }

  #count(fixed: number, form16: number, form32: number): number {
    if (this.at >= this.#end) return this.#fail();
    const first = this.#bytes[this.at++];
    if (first >= fixed && first < fixed + 16) return first - fixed;
    if (first === form16) return this.#unsigned(2);
    return first === form32 ? this.#unsigned(4) : this.#fail();
  }

  #unsigned(byteCount: number): number {
    if (byteCount > this.#end - this.at) return this.#fail();
    let value = 0;
    for (let index = 0; index < byteCount; index++)
      value = value * 0x100 + this.#bytes[this.at + index];
    this.at += byteCount;
    return value;
  }

  #within(value: number): number {
    return value > 0x7fff_ffff ? this.#fail() : value;
  }

  #fail(): 0 {
    this.isBad = true;
    this.at = this.#end;
    return 0;
  }
}

export interface MsgpackHeader {
  code: number;
  flag: number;
  opaque: number;
  version: number;
  remark: string | null;
  extFields: Map<string, string>;
}

const reader = new MsgpackReader();

/** Null where the bytes are no header, or one with more than `fieldCountMax` fields. */
export function decodeMsgpackHeader(header: Buffer, fieldCountMax: number): MsgpackHeader | null {
  reader.begin(header, 0, header.length);
  const code = reader.integer();
  const flag = reader.integer();
  const opaque = reader.integer();
  const version = reader.integer();
  const text = (): string => {
    reader.text();
    return header.toString('utf8', reader.textStart, reader.textEnd);
  };
  const remark = reader.nil() ? null : text();
  const count = reader.mapCount();
  if (count > fieldCountMax) return null;
  const extFields = new Map<string, string>();
  for (let index = 0; index < count && !reader.isBad; index++) {
    const name = text();
    extFields.set(name, text());
  }
  return reader.isWhole ? { code, flag, opaque, version, remark, extFields } : null;
}

/** Of the array, four integers and a map's count, without the text. */
const PLAIN_BYTES_MAX = 1 + 4 * 5 + 5;

export function encodeMsgpackHeader(header: MsgpackHeader): Buffer {
  const { remark, extFields } = header;
  const fields = [...extFields];
  let bytesMax = PLAIN_BYTES_MAX + messagePackTextBytesMax(remark ?? '');
  for (const [name, value] of fields)
    bytesMax += messagePackTextBytesMax(name) + messagePackTextBytesMax(value);
  const bytes = Buffer.alloc(bytesMax);
  return bytes.subarray(0, writeMessagePackHeader(bytes, 0, { ...header, fields }));
}
