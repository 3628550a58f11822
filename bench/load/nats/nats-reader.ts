/**
 * Cuts what a NATS server sends into operations, without a string or an object for a message.
 *
 * ```
 * MSG subject sid [reply] bytes CR LF payload CR LF
 * HMSG subject sid [reply] headerBytes allBytes CR LF header payload CR LF
 * INFO {…} | PING | PONG | +OK | -ERR 'text', each with CR LF
 * ```
 * Must never guess: an operation that is none of these, or a size that is no number, throws.
 */
import { ByteGather } from '../byte-gather.ts';
import { digitsAt } from '../decimal-digits.ts';

export interface NatsSink {
  /** `reader` describes one message, and is good until this returns. */
  onMessage(reader: NatsReader): void;
  onPing(): void;
  onPong(): void;
}

const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;
const UPPER_M = 0x4d;
const UPPER_H = 0x48;
const UPPER_I = 0x49;
const UPPER_P = 0x50;
const PLUS = 0x2b;
const MINUS = 0x2d;
/** An operation's first line: subjects are short here; INFO is some hundred bytes. A guess. */
const LINE_BYTES_MAX = 16 * 1024;

export class NatsReader {
  bytes: Buffer = Buffer.alloc(0);
  subjectStart = 0;
  subjectEnd = 0;
  /** Equal where there is none. */
  replyStart = 0;
  replyEnd = 0;
  /** Of the subscription. */
  sid = 0;
  /** Equal to `payloadStart` where there is no header. */
  headerStart = 0;
  payloadStart = 0;
  payloadEnd = 0;
  readonly #gather = new ByteGather();
  readonly #sink: NatsSink;
  /** Starts and ends of the words of a line. */
  readonly #words = new Int32Array(12);

  constructor(sink: NatsSink) {
    this.#sink = sink;
  }

  readonly feed = (chunk: Buffer, length: number): void => {
    this.#gather.feed(chunk, length, this.#parse);
  };

  get subject(): string {
    return this.bytes.toString('latin1', this.subjectStart, this.subjectEnd);
  }

  readonly #parse = (bytes: Buffer, end: number): number => {
    let at = 0;
    while (at < end) {
      const lineEnd = bytes.indexOf(LF, at);
      if (lineEnd < 0 || lineEnd >= end) {
        if (end - at > LINE_BYTES_MAX) throw new Error('a line of a NATS server without an end');
        return at;
      }
      const next = this.#onLine(bytes, at, lineEnd, end);
      if (next < 0) return at;
      at = next;
    }
    return at;
  };

  /** Returns where the next operation begins; -1 where this one is not whole. */
  #onLine(bytes: Buffer, start: number, lineEnd: number, end: number): number {
    const first = bytes[start];
    if (first === UPPER_M) return this.#onMessage(bytes, start, lineEnd, end, false);
    if (first === UPPER_H) return this.#onMessage(bytes, start, lineEnd, end, true);
    if (first === UPPER_P) {
      if (bytes[start + 1] === UPPER_I) this.#sink.onPing();
      else this.#sink.onPong();
    } else if (first === MINUS)
      throw new Error(`NATS: ${bytes.toString('latin1', start, lineEnd).trim()}`);
    else if (first !== UPPER_I && first !== PLUS)
      throw new Error(`NATS: unknown ${bytes.toString('latin1', start, start + 20)}`);
    return lineEnd + 1;
  }

  #onMessage(
    bytes: Buffer,
    start: number,
    lineEnd: number,
    end: number,
    hasHeader: boolean,
  ): number {
    const words = this.#words;
    let count = 0;
    let wordStart = start;
    for (let at = start; at <= lineEnd && count < 6; at++) {
      const byte = bytes[at];
      if (byte !== SPACE && byte !== CR) continue;
      words[2 * count] = wordStart;
      words[2 * count + 1] = at;
      count++;
      wordStart = at + 1;
      if (byte === CR) break;
    }
    const sizeCount = hasHeader ? 2 : 1;
    const hasReply = count === 4 + sizeCount;
    if (!hasReply && count !== 3 + sizeCount)
      throw new Error(`NATS: ${count} words in ${bytes.toString('latin1', start, lineEnd)}`);
    const allBytes = digitsAt(bytes, words[2 * count - 2], words[2 * count - 1]);
    const payloadEnd = lineEnd + 1 + allBytes;
    if (payloadEnd + 2 > end) return -1;
    this.bytes = bytes;
    this.subjectStart = words[2];
    this.subjectEnd = words[3];
    this.sid = digitsAt(bytes, words[4], words[5]);
    this.replyStart = hasReply ? words[6] : 0;
    this.replyEnd = hasReply ? words[7] : 0;
    this.headerStart = lineEnd + 1;
    this.payloadStart =
      lineEnd + 1 + (hasHeader ? digitsAt(bytes, words[2 * count - 4], words[2 * count - 3]) : 0);
    this.payloadEnd = payloadEnd;
    this.#sink.onMessage(this);
    return payloadEnd + 2;
  }
}
