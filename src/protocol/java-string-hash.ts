/**
 * @agent any
 *
 * `String.hashCode` of Java, 31 · h + unit over the UTF-16 units in int32, of text that lies in UTF-8
 * bytes, without making a string. Tags and index keys are compared by it.
 */

/** Hash of `bytes[start, end)`; goes on from `seed`, the hash of what stands before it. */
export function javaStringHash(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let hash = seed;
  let at = start;
  while (at < end) {
    const byte = bytes[at++] as number;
    if (byte < 0x80) {
      hash = (Math.imul(hash, 31) + byte) | 0;
      continue;
    }
    const extra = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc0 ? 1 : 0;
    let codePoint = extra === 0 ? 0xfffd : byte & (0x3f >> extra);
    for (let index = 0; index < extra && at < end; index++) codePoint = (codePoint << 6) | ((bytes[at++] as number) & 0x3f);
    if (codePoint > 0xffff) {
      hash = (Math.imul(hash, 31) + 0xd800 + ((codePoint - 0x10000) >> 10)) | 0;
      codePoint = 0xdc00 + ((codePoint - 0x10000) & 0x3ff);
    }
    hash = (Math.imul(hash, 31) + codePoint) | 0;
  }
  return hash;
}

/** The hash under which IndexFile keeps a key: never negative. Source: IndexFile.java (indexKeyHashMethod). */
export function indexKeyHash(hash: number): number {
  const absolute = Math.abs(hash) | 0;
  return absolute < 0 ? 0 : absolute;
}
