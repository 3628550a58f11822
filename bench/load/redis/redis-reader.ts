/**
 * Walks through the replies of a Redis server (RESP2) without a string or an object for a value.
 *
 * ```
 * +text | -error | :number            CR LF
 * $bytes CR LF data CR LF, or $-1     a bulk string, or none
 * *count CR LF elements, or *-1       an array, or none
 * ```
 * Depth is that of the arrays around a value: 0 for a reply itself. Must never guess: another first byte
 * throws.
 */
import { ByteGather } from '../byte-gather.ts';
import { digitsAt } from '../decimal-digits.ts';

export interface RedisSink {
  /** `count` elements follow, at `depth` + 1. -1: there is no array. */
  onArray(depth: number, count: number): void;
  /** Data, a text or a number; an empty range where there is none. Good until this returns. */
  onValue(depth: number, bytes: Buffer, start: number, end: number): void;
  /** The only thing in its reply. */
  onError(text: string): void;
  /** A reply is complete; not called after `onError`. */
  onReplyEnd(): void;
}

const LF = 0x0a;
const DOLLAR = 0x24;
const STAR = 0x2a;
const PLUS = 0x2b;
const MINUS = 0x2d;
const COLON = 0x3a;
const DEPTH_MAX = 8;

export class RedisReader {
  readonly #gather = new ByteGather();
  readonly #sink: RedisSink;
  /** Elements yet to come of each array around. */
  readonly #leftCounts = new Int32Array(DEPTH_MAX);
  #depth = 0;

  constructor(sink: RedisSink) {
    this.#sink = sink;
  }

  readonly feed = (chunk: Buffer, length: number): void => {
    this.#gather.feed(chunk, length, this.#parse);
  };

  readonly #parse = (bytes: Buffer, end: number): number => {
    let at = 0;
    for (;;) {
      const next = this.#onElement(bytes, at, end);
      if (next < 0) return at;
      at = next;
    }
  };

  /** Returns where the next element begins; -1 where this one is not whole. */
  #onElement(bytes: Buffer, start: number, end: number): number {
    if (start >= end) return -1;
    const lineEnd = endOfLine(bytes, start, end);
    if (lineEnd < 0) return -1;
    const kind = bytes[start];
    if (kind === DOLLAR) return this.#onBulk(bytes, start, lineEnd, end);
    if (kind === STAR) this.#onArray(bytes, start, lineEnd);
    else if (kind === COLON || kind === PLUS) {
      this.#sink.onValue(this.#depth, bytes, start + 1, lineEnd - 1);
      this.#onElementEnd();
    } else if (kind === MINUS && this.#depth === 0)
      this.#sink.onError(bytes.toString('utf8', start + 1, lineEnd - 1));
    else throw new Error(`Redis: unknown ${bytes.toString('latin1', start, start + 20)}`);
    return lineEnd + 1;
  }

  #onBulk(bytes: Buffer, start: number, lineEnd: number, end: number): number {
    if (bytes[start + 1] === MINUS) {
      this.#sink.onValue(this.#depth, bytes, start, start);
      this.#onElementEnd();
      return lineEnd + 1;
    }
    const dataStart = lineEnd + 1;
    const dataEnd = dataStart + digitsAt(bytes, start + 1, lineEnd - 1);
    if (dataEnd + 2 > end) return -1;
    this.#sink.onValue(this.#depth, bytes, dataStart, dataEnd);
    this.#onElementEnd();
    return dataEnd + 2;
  }

  #onArray(bytes: Buffer, start: number, lineEnd: number): void {
    const count = bytes[start + 1] === MINUS ? -1 : digitsAt(bytes, start + 1, lineEnd - 1);
    this.#sink.onArray(this.#depth, count);
    if (count <= 0) this.#onElementEnd();
    else this.#leftCounts[this.#depth++] = count;
  }

  /** Closes all arrays whose last element this was. */
  #onElementEnd(): void {
    while (this.#depth > 0) {
      if (--this.#leftCounts[this.#depth - 1] > 0) return;
      this.#depth--;
    }
    this.#sink.onReplyEnd();
  }
}

/** Where the LF of a line is: most have a few bytes, where a loop beats a call. */
function endOfLine(bytes: Buffer, start: number, end: number): number {
  for (let at = start + 1; at < end; at++) if (bytes[at] === LF) return at;
  return -1;
}
