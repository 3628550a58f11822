/**
 * @agent any
 *
 * What a client reads of MessagePack: the forms that a header of serialize type 2 is made of.
 */

const NIL = 0xc0;

/**
 * Reads the forms one after another: each read moves `at`. What is no such form, or would run past the
 * end, makes it `isBad`, and everything read after that is worthless.
 */
export class MessagePackCursor {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;
  isBad = false;
  /** Of the text that was read last; `textEnd` is where `at` stands. */
  textStart = 0;

  start(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    this.isBad = false;
  }

  /** One byte; 0xc1, which means nothing in MessagePack, past the end. */
  byte(): number {
    if (this.at < this.end) return this.bytes[this.at++];
    this.isBad = true;
    return 0xc1;
  }

  #unsigned(byteCount: number): number {
    let value = 0;
    for (let index = 0; index < byteCount; index++) value = value * 256 + this.byte();
    return value;
  }

  integer(): number {
    const form = this.byte();
    if (form < 0x80) return form;
    if (form >= 0xe0) return form - 0x100;
    if (form >= 0xcc && form <= 0xcf) return this.#within32(this.#unsigned(1 << (form - 0xcc)));
    if (form === 0xd0) return (this.#unsigned(1) << 24) >> 24;
    if (form === 0xd1) return (this.#unsigned(2) << 16) >> 16;
    if (form === 0xd2) return this.#unsigned(4) | 0;
    if (form === 0xd3) {
      const high = this.#unsigned(4) | 0;
      return this.#within32(high * 0x1_0000_0000 + this.#unsigned(4));
    }
    this.isBad = true;
    return 0;
  }

  #within32(value: number): number {
    if ((value | 0) !== value) this.isBad = true;
    return value | 0;
  }

  /** Entries of a map. */
  mapLength(): number {
    const form = this.byte();
    if (form >= 0x80 && form <= 0x8f) return form & 0x0f;
    if (form === 0xde) return this.#unsigned(2);
    if (form === 0xdf) return this.#unsigned(4);
    this.isBad = true;
    return 0;
  }

  /** Steps over text, whose place is then [textStart, at). False for nil, where that may stand. */
  text(mayBeNil = false): boolean {
    const form = this.byte();
    let length = -1;
    if (form >= 0xa0 && form <= 0xbf) length = form & 0x1f;
    else if (form >= 0xd9 && form <= 0xdb) length = this.#unsigned(1 << (form - 0xd9));
    else if (mayBeNil && form === NIL) return false;
    if (length < 0 || length > this.end - this.at) {
      this.isBad = true;
      return false;
    }
    this.textStart = this.at;
    this.at += length;
    return true;
  }
}
