/**
 * @agent any
 *
 * The signature of a request: Base64 of HMAC-SHA1, with the secret key, over the values of all header
 * fields but `Signature`, in the order of their names, and then the body.
 *
 * It covers no names, no code and no flag: RocketMQ's contract, which TLS has to make up for. What can be
 * done here is done: a header that could be read in two ways is no header (`isAmbiguous`).
 *
 * Source: AclClientRPCHook.java, AclUtils.java, DefaultAuthenticationContextBuilder.java of RocketMQ 5.3.3.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { RequestScanner } from '../protocol/request-scanner.ts';

export const ACCESS_KEY = 'AccessKey';
export const SIGNATURE = 'Signature';
/** Not signed by clients up to 4.9.3, whose broker adds it by itself. */
const UNIQUE_KEY_QUERY = '_UNIQUE_KEY_QUERY';
const V4_9_3 = 399;

const SIGNATURE_BYTES = 20;
const BLOCK_BYTES = 64;
const BACKSLASH = 0x5c;
const CONTENT_BYTES_START = 4096;
/** Larger ones are not kept. */
const CONTENT_BYTES_KEPT = 256 * 1024;

const accessKeyName = Buffer.from(ACCESS_KEY);
const signatureName = Buffer.from(SIGNATURE);
const uniqueKeyQueryName = Buffer.from(UNIQUE_KEY_QUERY);

/**
 * A secret, ready for HMAC (RFC 2104) by two hashes in one call each: half the time of createHmac, which
 * makes an object that the collector has to end.
 */
export class SigningKey {
  readonly innerBlock: Buffer;
  readonly #outer: Buffer;

  constructor(secret: string) {
    const bytes = Buffer.from(secret, 'utf8');
    const block = Buffer.alloc(BLOCK_BYTES);
    (bytes.length > BLOCK_BYTES ? hash('sha1', bytes, 'buffer') : bytes).copy(block);
    this.innerBlock = block.map((byte) => byte ^ 0x36) as Buffer;
    this.#outer = Buffer.concat([block.map((byte) => byte ^ 0x5c), Buffer.alloc(SIGNATURE_BYTES)]);
  }

  /** The HMAC, of the hash of `innerBlock` and the content. */
  finish(innerHash: Buffer): Buffer {
    innerHash.copy(this.#outer, BLOCK_BYTES);
    return hash('sha1', this.#outer, 'buffer');
  }
}

/** What of a request its signature is compared with; one an agent, valid until the next is read. */
export class SignedRequest {
  /** Null where the request is not signed. */
  accessKey: string | null = null;
  /** Two readers could take the header for different ones. */
  isAmbiguous = false;
  #signature: string | null = null;
  #content = Buffer.allocUnsafeSlow(CONTENT_BYTES_START);
  /** Of the content, which begins behind a block for the key. */
  #contentEnd = BLOCK_BYTES;
  #body: Uint8Array = new Uint8Array();
  readonly #order = new Uint8Array(128);

  /** Reads a request as request workers read it. */
  readScanned(scanner: RequestScanner): void {
    const { bytes, fieldCount, valueStart, valueEnd, valueEscaped } = scanner;
    this.#begin(bytes.subarray(scanner.bodyStart, scanner.bodyEnd));
    const order = this.#order;
    for (let field = 0; field < fieldCount; field++) {
      let place = field;
      for (; place > 0; place--) {
        const compared = compareNames(scanner, order[place - 1], field);
        if (compared < 0) break;
        if (compared === 0) this.isAmbiguous = true;
        order[place] = order[place - 1];
      }
      order[place] = field;
      if (hasOddName(scanner, field)) this.isAmbiguous = true;
    }
    for (let place = 0; place < fieldCount; place++) {
      const field = order[place];
      if (nameIs(scanner, field, signatureName)) {
        this.#signature = scanner.text(field);
        continue;
      }
      if (nameIs(scanner, field, accessKeyName)) this.accessKey = scanner.text(field);
      if (scanner.version <= V4_9_3 && nameIs(scanner, field, uniqueKeyQueryName)) continue;
      const start = valueStart[field];
      const end = valueEnd[field];
      this.#reserve(end - start);
      if (valueEscaped[field] === 0)
        this.#contentEnd += bytes.copy(this.#content, this.#contentEnd, start, end);
      else this.#addEscaped(scanner, field);
    }
  }

  /** Reads a request as control reads it. */
  readDecoded(fields: ReadonlyMap<string, string>, version: number, body: Uint8Array): void {
    this.#begin(body);
    this.accessKey = fields.get(ACCESS_KEY) ?? null;
    this.#signature = fields.get(SIGNATURE) ?? null;
    for (const name of [...fields.keys()].sort(byUnits)) {
      if (name === SIGNATURE || (version <= V4_9_3 && name === UNIQUE_KEY_QUERY)) continue;
      const value = fields.get(name) ?? '';
      this.#reserve(Buffer.byteLength(value));
      this.#contentEnd += this.#content.write(value, this.#contentEnd);
    }
  }

  /** True where the signature was made with the key. Takes the same time whatever is wrong with it. */
  isSignedWith(key: SigningKey): boolean {
    const contentEnd = this.#contentEnd;
    this.#reserve(this.#body.length);
    this.#content.set(this.#body, contentEnd);
    this.#content.set(key.innerBlock, 0);
    const end = contentEnd + this.#body.length;
    const expected = key.finish(hash('sha1', this.#content.subarray(0, end), 'buffer'));
    const given = Buffer.alloc(SIGNATURE_BYTES);
    const decoded = Buffer.from(this.#signature ?? '', 'base64');
    decoded.copy(given);
    return timingSafeEqual(expected, given) && decoded.length === SIGNATURE_BYTES;
  }

  #begin(body: Uint8Array): void {
    this.accessKey = null;
    this.isAmbiguous = false;
    this.#signature = null;
    this.#contentEnd = BLOCK_BYTES;
    this.#body = body;
    if (this.#content.length > CONTENT_BYTES_KEPT)
      this.#content = Buffer.allocUnsafeSlow(CONTENT_BYTES_START);
  }

  #reserve(bytes: number): void {
    const neededBytes = this.#contentEnd + bytes;
    if (neededBytes <= this.#content.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(neededBytes, this.#content.length * 2));
    this.#content.copy(larger, 0, 0, this.#contentEnd);
    this.#content = larger;
  }

  /** A value with JSON escapes: the common ones here, others by the parser. Never longer than with them. */
  #addEscaped(scanner: RequestScanner, field: number): void {
    const { bytes, valueStart, valueEnd } = scanner;
    const content = this.#content;
    const end = valueEnd[field];
    const before = this.#contentEnd;
    let to = before;
    for (let at = valueStart[field]; at < end; at++) {
      const byte = bytes[at];
      if (byte !== BACKSLASH) {
        content[to++] = byte;
        continue;
      }
      const simple = simpleEscapes[bytes[at + 1]];
      if (simple !== 0) {
        content[to++] = simple;
        at++;
        continue;
      }
      const unit = smallUnit(bytes, at + 1, end);
      if (unit < 0) {
        const text = scanner.text(field);
        if (text === null) this.isAmbiguous = true;
        this.#contentEnd = before;
        this.#reserve(Buffer.byteLength(text ?? ''));
        this.#contentEnd += this.#content.write(text ?? '', before);
        return;
      }
      content[to++] = unit;
      at += 5;
    }
    this.#contentEnd = to;
  }
}

/** By the letter behind the backslash. */
const simpleEscapes = new Uint8Array(256);
for (const [letter, byte] of [
  ['"', 0x22],
  ['\\', 0x5c],
  ['/', 0x2f],
  ['b', 8],
  ['f', 12],
  ['n', 10],
  ['r', 13],
  ['t', 9],
] as const)
  simpleEscapes[letter.charCodeAt(0)] = byte;

/** `u00XX` below 0x80; -1 for anything else. */
function smallUnit(bytes: Buffer, at: number, end: number): number {
  if (at + 5 > end || bytes[at] !== 0x75 || bytes[at + 1] !== 0x30 || bytes[at + 2] !== 0x30)
    return -1;
  const high = hexDigit(bytes[at + 3]);
  const low = hexDigit(bytes[at + 4]);
  return high < 0 || high > 7 || low < 0 ? -1 : high * 16 + low;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** By the bytes of two names, which are ASCII: the order of Java's strings. */
function compareNames(scanner: RequestScanner, left: number, right: number): number {
  const { bytes, nameStart, nameEnd } = scanner;
  const leftStart = nameStart[left];
  const rightStart = nameStart[right];
  const leftBytes = nameEnd[left] - leftStart;
  const rightBytes = nameEnd[right] - rightStart;
  const length = leftBytes < rightBytes ? leftBytes : rightBytes;
  for (let index = 0; index < length; index++) {
    const difference = bytes[leftStart + index] - bytes[rightStart + index];
    if (difference !== 0) return difference;
  }
  return leftBytes - rightBytes;
}

/** With an escape, or beyond ASCII: no client has such a name, and not all readers would agree on it. */
function hasOddName(scanner: RequestScanner, field: number): boolean {
  const { bytes, nameStart, nameEnd } = scanner;
  for (let at = nameStart[field]; at < nameEnd[field]; at++)
    if (bytes[at] === BACKSLASH || bytes[at] >= 0x80) return true;
  return false;
}

function nameIs(scanner: RequestScanner, field: number, name: Buffer): boolean {
  const { bytes, nameStart, nameEnd } = scanner;
  const start = nameStart[field];
  if (nameEnd[field] - start !== name.length) return false;
  for (let index = 0; index < name.length; index++)
    if (bytes[start + index] !== name[index]) return false;
  return true;
}

/** The order of Java's strings, by UTF-16 units, is that of JavaScript's. */
function byUnits(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
