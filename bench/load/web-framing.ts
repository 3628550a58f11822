/**
 * The least of WebSocket that the generator needs, in the place where TCP has nothing: the head of a
 * message before each write, and heads taken out of what comes in. Messages are masked, as browsers have to:
 * with four times the same byte, so that it is one pass over words; what the broker does is the same.
 */
import { randomBytes } from 'node:crypto';
import type { Endpoint } from './load-options.ts';

/** Longest head: opcode, length of 8 bytes, mask. */
export const HEAD_BYTES_MAX = 14;
const BINARY_AND_FINAL = 0x82;
const MASKED = 0x80;
const MASK = 0x5a5a_5a5a;

export function upgradeRequest(endpoint: Endpoint): string {
  return (
    `GET / HTTP/1.1\r\nHost: ${endpoint.host}:${endpoint.port}\r\nUpgrade: websocket\r\n` +
    `Connection: Upgrade\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n` +
    'Sec-WebSocket-Version: 13\r\n\r\n'
  );
}

/** Writes the head of a message that begins at HEAD_BYTES_MAX of a block; returns where the head begins. */
export function writeHead(block: Buffer, payloadBytes: number): number {
  const isShort = payloadBytes < 126;
  const isMiddle = !isShort && payloadBytes < 0x1_0000;
  const headBytes = isShort ? 6 : isMiddle ? 8 : 14;
  const start = HEAD_BYTES_MAX - headBytes;
  block[start] = BINARY_AND_FINAL;
  block[start + 1] = MASKED | (isShort ? payloadBytes : isMiddle ? 126 : 127);
  if (isMiddle) block.writeUInt16BE(payloadBytes, start + 2);
  else if (!isShort) block.writeBigUInt64BE(BigInt(payloadBytes), start + 2);
  block.writeInt32LE(MASK, HEAD_BYTES_MAX - 4);
  mask(block, HEAD_BYTES_MAX, HEAD_BYTES_MAX + payloadBytes);
  return start;
}

function mask(block: Buffer, start: number, end: number): void {
  const first = (start + block.byteOffset + 3) & ~3;
  const from = first - block.byteOffset;
  const wordCount = (end - from) >> 2;
  for (let at = start; at < Math.min(from, end); at++) block[at] ^= 0x5a;
  if (wordCount <= 0) return;
  const words = new Int32Array(block.buffer, first, wordCount);
  for (let index = 0; index < wordCount; index++) words[index] ^= MASK;
  for (let at = from + wordCount * 4; at < end; at++) block[at] ^= 0x5a;
}

/** Takes the answer to the upgrade and the heads of messages out of what a server sends. */
export class WebReader {
  #isOpen = false;
  /** The answer to the upgrade, or a head that has not come whole. */
  #head = Buffer.alloc(0);
  /** Of the message at hand, yet to come. */
  #leftBytes = 0;
  readonly #onOpen: () => void;
  readonly #onPayload: (bytes: Buffer) => void;

  constructor(onOpen: () => void, onPayload: (bytes: Buffer) => void) {
    this.#onOpen = onOpen;
    this.#onPayload = onPayload;
  }

  /** @throws Error where the server does not speak WebSocket, or ends it */
  feed(chunk: Buffer): void {
    let rest = chunk;
    if (!this.#isOpen) {
      this.#head = Buffer.concat([this.#head, rest]);
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!this.#head.toString('latin1').startsWith('HTTP/1.1 101 '))
        throw new Error(`no WebSocket: ${this.#head.toString('latin1', 0, 200)}`);
      rest = this.#head.subarray(end + 4);
      this.#head = Buffer.alloc(0);
      this.#isOpen = true;
      this.#onOpen();
    }
    while (rest.length > 0) {
      if (this.#leftBytes === 0) {
        const whole = this.#head.length === 0 ? rest : Buffer.concat([this.#head, rest]);
        const headBytes = whole.length < 2 ? Infinity : [2, 4, 10][Math.max(0, whole[1] - 125)];
        if (whole.length < headBytes) {
          this.#head = Buffer.from(whole);
          return;
        }
        if (whole[0] !== BINARY_AND_FINAL) throw new Error(`the server sent opcode ${whole[0]}`);
        this.#leftBytes =
          headBytes === 2
            ? whole[1]
            : headBytes === 4
              ? whole.readUInt16BE(2)
              : Number(whole.readBigUInt64BE(2));
        rest = whole.subarray(headBytes);
        this.#head = Buffer.alloc(0);
      }
      const bytes = Math.min(this.#leftBytes, rest.length);
      if (bytes > 0) this.#onPayload(rest.subarray(0, bytes));
      this.#leftBytes -= bytes;
      rest = rest.subarray(bytes);
    }
  }
}
