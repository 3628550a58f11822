/**
 * @agent any
 *
 * Reads the forms of MessagePack that a header of serialize type 2 may be made of (`msgpack-header.ts`) by
 * their places, without a string for any of them.
 */
/** Members of the array. */
const MEMBER_COUNT = 6;

const FIXMAP = 0x80;
const FIXARRAY = 0x90;
const FIXSTR = 0xa0;
const NIL = 0xc0;
const NEVER_USED = 0xc1;
const UINT8 = 0xcc;
const UINT64 = 0xcf;
const INT8 = 0xd0;
const INT16 = 0xd1;
const INT32 = 0xd2;
const INT64 = 0xd3;
const STR8 = 0xd9;
const STR32 = 0xdb;
const ARRAY16 = 0xdc;
const MAP16 = 0xde;
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
  #bytes: Uint8Array = new Uint8Array(0);
  #end = 0;

  /** Begins with `bytes[start, end)` and reads the head of the array. */
  begin(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.at = start;
    this.#end = end;
    this.isBad = false;
    if (this.#count(FIXARRAY, ARRAY16) !== MEMBER_COUNT) this.#fail();
  }

  /** Every byte was read, and each was right. */
  get isWhole(): boolean {
    return !this.isBad && this.at === this.#end;
  }

  /** An integer within int32, whatever its form; 0 where there is none. */
  integer(): number {
    const first = this.#next();
    if (first < FIXMAP) return first;
    if (first >= NEGATIVE_FIXINT) return first - 0x100;
    if (first >= UINT8 && first <= UINT64)
      return this.#within(this.#unsigned(1 << (first - UINT8)));
    switch (first) {
      case INT8:
        return (this.#unsigned(1) << 24) >> 24;
      case INT16:
        return (this.#unsigned(2) << 16) >> 16;
      case INT32:
        return this.#unsigned(4) | 0;
      case INT64: {
        const high = this.#unsigned(4) | 0;
        return this.#within(high * 2 ** 32 + this.#unsigned(4));
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
    const first = this.#next();
    let length = Infinity;
    if (first >= FIXSTR && first < NIL) length = first - FIXSTR;
    else if (first >= STR8 && first <= STR32) length = this.#unsigned(1 << (first - STR8));
    if (length > this.#end - this.at) length = this.#fail();
    this.textStart = this.at;
    this.at += length;
    this.textEnd = this.at;
  }

  /** Number of pairs in the map that begins here: at least two bytes each are there. */
  mapCount(): number {
    const count = this.#count(FIXMAP, MAP16);
    return count * 2 <= this.#end - this.at ? count : this.#fail();
  }

  /** The form with a count of 32 bits comes right after that with 16. */
  #count(fixed: number, form16: number): number {
    const first = this.#next();
    if (first >= fixed && first < fixed + 16) return first - fixed;
    if (first === form16) return this.#unsigned(2);
    return first === form16 + 1 ? this.#unsigned(4) : this.#fail();
  }

  /** The byte that MessagePack never uses where there is none. */
  #next(): number {
    if (this.at < this.#end) return this.#bytes[this.at++];
    this.isBad = true;
    return NEVER_USED;
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
    return (value | 0) === value ? value : this.#fail();
  }

  #fail(): 0 {
    this.isBad = true;
    this.at = this.#end;
    return 0;
  }
}
