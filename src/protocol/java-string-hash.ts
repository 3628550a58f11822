/**
 * @agent any
 *
 * `String.hashCode` of Java, 31 · h + unit over the UTF-16 units in int32, of text that lies in UTF-8
 * bytes, without making a string. Tags and index keys are compared by it.
 */

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Hash of `bytes[start, end)`; goes on from `seed`, the hash of what stands before it. */
export function javaStringHash(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let hash = seed;
  let at = start;
  while (at < end) {
    const byte = bytes[at];
    if (byte < 0x80) {
      hash = (Math.imul(hash, 31) + byte) | 0;
      at++;
      continue;
    }
    const codePoint = decodeCodePoint(bytes, at, end);
    if (codePoint < 0) return javaTextHash(decodeLossy(bytes, at, end), hash);
    if (codePoint > 0xffff) {
      hash = (Math.imul(hash, 31) + 0xd800 + ((codePoint - 0x10000) >> 10)) | 0;
      hash = (Math.imul(hash, 31) + 0xdc00 + ((codePoint - 0x10000) & 0x3ff)) | 0;
      at += 4;
    } else {
      hash = (Math.imul(hash, 31) + codePoint) | 0;
      at += codePoint > 0x7ff ? 3 : 2;
    }
  }
  return hash;
}

/** The same of a string. */
export function javaTextHash(text: string, seed = 0): number {
  let hash = seed;
  for (let index = 0; index < text.length; index++)
    hash = (Math.imul(hash, 31) + text.charCodeAt(index)) | 0;
  return hash;
}

/** The code point of the sequence of two to four bytes at a place, or -1 where it is not well-formed. */
function decodeCodePoint(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at];
  const byteCount = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || at + byteCount > end) return -1;
  let codePoint = lead & (0x7f >> byteCount);
  for (let index = 1; index < byteCount; index++) {
    const byte = bytes[at + index];
    if ((byte & 0xc0) !== 0x80) return -1;
    codePoint = (codePoint << 6) | (byte & 0x3f);
  }
  const isSurrogate = codePoint >= 0xd800 && codePoint <= 0xdfff;
  const isOverlong =
    (byteCount === 3 && codePoint < 0x800) || (byteCount === 4 && codePoint < 0x10000);
  return isSurrogate || isOverlong || codePoint > 0x10ffff ? -1 : codePoint;
}

/** Text with U+FFFD for what is no UTF-8, as a decoder of strings makes it. */
function decodeLossy(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end));
}

/** The hash under which IndexFile keeps a key: never negative. Source: IndexFile.java (indexKeyHashMethod). */
export function indexKeyHash(hash: number): number {
  const absolute = Math.abs(hash) | 0;
  return absolute < 0 ? 0 : absolute;
}
