/**
 * @agent any
 *
 * Writes the few forms of MessagePack that a header of serialize type 2 is made of, see msgpack-header.ts.
 * By hand because the shape is fixed, browsers have to load it, and a library costs each thread 10 ms of
 * its start; msgpackr is the test's oracle.
 */
import { textBytes, UTF8_UNIT_BYTES_MAX, writeInt32, writeText } from './text-bytes.ts';

export const HEADER_ARRAY = 0x96;
const NIL = 0xc0;
const INT32 = 0xd2;

/** Room that text takes at most. */
export function messagePackTextBytesMax(text: string): number {
  return 5 + text.length * UTF8_UNIT_BYTES_MAX;
}

/** An integer of 32 bits in five bytes, whatever its size, so that it can be written over. */
export function writeWideInteger(target: Uint8Array, at: number, value: number): number {
  target[at] = INT32;
  writeInt32(target, at + 1, value);
  return at + 5;
}

export function writeMessagePackNil(target: Uint8Array, at: number): number {
  target[at] = NIL;
  return at + 1;
}

export function writeMessagePackText(target: Uint8Array, at: number, text: string): number {
  const bytes = textBytes(text);
  return writeText(target, writeTextLength(target, at, bytes), text);
}

function writeTextLength(target: Uint8Array, at: number, bytes: number): number {
  if (bytes < 32) {
    target[at] = 0xa0 | bytes;
    return at + 1;
  }
  if (bytes < 0x100) {
    target[at] = 0xd9;
    target[at + 1] = bytes;
    return at + 2;
  }
  if (bytes < 0x10000) {
    target[at] = 0xda;
    target[at + 1] = bytes >>> 8;
    target[at + 2] = bytes;
    return at + 3;
  }
  target[at] = 0xdb;
  writeInt32(target, at + 1, bytes);
  return at + 5;
}

export function writeMapLength(target: Uint8Array, at: number, entryCount: number): number {
  if (entryCount < 16) {
    target[at] = 0x80 | entryCount;
    return at + 1;
  }
  target[at] = 0xde;
  target[at + 1] = entryCount >>> 8;
  target[at + 2] = entryCount;
  return at + 3;
}

export interface WritableHeader {
  readonly code: number;
  readonly flag: number;
  readonly opaque: number;
  readonly version: number;
  readonly remark: string | null;
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/** Writes a whole header at a place with room for it; returns where it ends. */
export function writeMessagePackHeader(
  target: Uint8Array,
  start: number,
  header: WritableHeader,
): number {
  const { remark, fields } = header;
  let at = start;
  target[at++] = HEADER_ARRAY;
  at = writeWideInteger(target, at, header.code);
  at = writeWideInteger(target, at, header.flag);
  at = writeWideInteger(target, at, header.opaque);
  at = writeWideInteger(target, at, header.version);
  at = remark === null ? writeMessagePackNil(target, at) : writeMessagePackText(target, at, remark);
  at = writeMapLength(target, at, fields.length);
  for (const [name, value] of fields) {
    at = writeMessagePackText(target, at, name);
    at = writeMessagePackText(target, at, value);
  }
  return at;
}
