/**
 * @agent any
 *
 * Text into bytes of a frame, in place. Most text of a header is short and ASCII: a loop beats every
 * call into the engine there; the rest goes to TextEncoder.
 */

const encoder = new TextEncoder();
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;

/** Most bytes that one UTF-16 unit takes in UTF-8, and as an escape of JSON (`\u0001`). */
export const UTF8_UNIT_BYTES_MAX = 3;
export const JSON_UNIT_BYTES_MAX = 6;

export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Writes UTF-8 at a place with room for it; returns where it ends. */
export function writeText(target: Uint8Array, at: number, text: string): number {
  let end = at;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) return at + encoder.encodeInto(text, target.subarray(at)).written;
    target[end++] = unit;
  }
  return end;
}

/** The same as the inside of a JSON string. */
export function writeJsonText(target: Uint8Array, at: number, text: string): number {
  let end = at;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80 || unit < 0x20 || unit === QUOTE || unit === BACKSLASH) {
      const escaped = JSON.stringify(text).slice(1, -1);
      return at + encoder.encodeInto(escaped, target.subarray(at)).written;
    }
    target[end++] = unit;
  }
  return end;
}

/** Bytes of the text in UTF-8. */
export function textBytes(text: string): number {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) >= 0x80) return encoder.encode(text).length;
  }
  return text.length;
}

/** Writes a whole number, 0 or more; returns where it ends. */
export function writeDecimal(target: Uint8Array, at: number, value: number): number {
  let end = at + 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) end++;
  let rest = value;
  for (let place = end - 1; place >= at; place--) {
    const tenth = Math.floor(rest / 10);
    target[place] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
  return end;
}

export function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

export function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
