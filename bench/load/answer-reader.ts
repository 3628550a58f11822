/**
 * Cuts what a broker sends into frames and reads code, flag and opaque of each, without a string or an
 * object per frame. Brokers write the members of a JSON header in a steady order, so each member is
 * looked for first where the last answer had it, counted from the header's end; only a miss searches.
 *
 * Must never guess: a header without code or opaque, or a length out of bounds, throws.
 */
import { decodeFrame, FRAME_BYTES_MAX } from '../../src/protocol/remoting-command.ts';

const QUOTE = 0x22;
const MINUS = 0x2d;
const ZERO = 0x30;

export interface FrameSink {
  /** `reader` describes one frame, and is good until this returns. */
  onFrame(reader: AnswerReader): void;
}

export class AnswerReader {
  code = 0;
  flag = 0;
  opaque = 0;
  bytes: Buffer = Buffer.alloc(0);
  /** The frame after its length word. */
  frameStart = 0;
  bodyStart = 0;
  /** End of body and frame. */
  frameEnd = 0;
  #partial: Buffer = Buffer.alloc(1024);
  #partialBytes = 0;
  readonly #code = new NumberMember('code');
  readonly #flag = new NumberMember('flag');
  readonly #opaque = new NumberMember('opaque');

  /**
   * A text member of the answer's fields, where each frame has one; throws where this has none.
   * Makes a string: not for what is asked of every frame.
   */
  text(name: string): string {
    if (this.bytes[this.frameStart] !== 0) {
      const frame = decodeFrame(this.bytes.subarray(this.frameStart, this.frameEnd));
      const value = frame.extFields.get(name);
      if (value === undefined) throw new Error(`answer without ${name}`);
      return value;
    }
    // Quotes inside a string are escaped, so it stands nowhere but where it is meant.
    const mark = `"${name}":"`;
    const at = this.bytes.indexOf(mark, this.frameStart, 'latin1');
    if (at < 0 || at >= this.bodyStart) throw new Error(`answer without ${name}`);
    const start = at + mark.length;
    return this.bytes.toString('latin1', start, this.bytes.indexOf(QUOTE, start));
  }

  /** Takes the first `length` bytes of `chunk`, which may be overwritten when this returns. */
  feed(chunk: Buffer, length: number, sink: FrameSink): void {
    let at = this.#partialBytes === 0 ? 0 : this.#completePartial(chunk, length, sink);
    while (length - at >= 4) {
      const frameBytes = checkedLength(chunk.readInt32BE(at));
      if (length - at - 4 < frameBytes) break;
      this.#onFrame(chunk, at + 4, at + 4 + frameBytes, sink);
      at += 4 + frameBytes;
    }
    if (at < length) this.#keep(chunk, at, length);
  }

  /** Adds to the frame that the last chunk left unfinished; returns how much of `chunk` it took. */
  #completePartial(chunk: Buffer, length: number, sink: FrameSink): number {
    let at = 0;
    if (this.#partialBytes < 4) {
      at = Math.min(4 - this.#partialBytes, length);
      this.#keep(chunk, 0, at);
      if (this.#partialBytes < 4) return at;
    }
    const wholeBytes = 4 + checkedLength(this.#partial.readInt32BE(0));
    const takenBytes = Math.min(wholeBytes - this.#partialBytes, length - at);
    this.#keep(chunk, at, at + takenBytes);
    if (this.#partialBytes < wholeBytes) return at + takenBytes;
    this.#partialBytes = 0;
    this.#onFrame(this.#partial, 4, wholeBytes, sink);
    return at + takenBytes;
  }

  #keep(chunk: Buffer, start: number, end: number): void {
    const neededBytes = this.#partialBytes + end - start;
    if (neededBytes > this.#partial.length) {
      const larger = Buffer.allocUnsafe(2 * neededBytes);
      this.#partial.copy(larger, 0, 0, this.#partialBytes);
      this.#partial = larger;
    }
    chunk.copy(this.#partial, this.#partialBytes, start, end);
    this.#partialBytes = neededBytes;
  }

  #onFrame(bytes: Buffer, start: number, end: number, sink: FrameSink): void {
    const headerStart = start + 4;
    const headerEnd = headerStart + bytes.readUIntBE(start + 1, 3);
    if (headerEnd > end) throw new Error('answer whose header is longer than its frame');
    this.bytes = bytes;
    this.frameStart = start;
    this.bodyStart = headerEnd;
    this.frameEnd = end;
    if (bytes[start] === 0) {
      this.code = this.#code.read(bytes, headerStart, headerEnd);
      this.flag = this.#flag.read(bytes, headerStart, headerEnd);
      this.opaque = this.#opaque.read(bytes, headerStart, headerEnd);
    } else {
      // Binary header: code(2) language(1) version(2) opaque(4) flag(4).
      this.code = bytes.readInt16BE(headerStart);
      this.opaque = bytes.readInt32BE(headerStart + 5);
      this.flag = bytes.readInt32BE(headerStart + 9);
    }
    sink.onFrame(this);
  }
}

function checkedLength(frameBytes: number): number {
  if (frameBytes < 4 || frameBytes > FRAME_BYTES_MAX) {
    throw new Error(`answer with a length of ${frameBytes} bytes`);
  }
  return frameBytes;
}

/** A member of the header's object that is a number without quotes. */
class NumberMember {
  /** `"name":`. Quotes inside a string are escaped, so it stands nowhere but where it is meant. */
  readonly #name: Buffer;
  #fromEndBytes = 0;

  constructor(name: string) {
    this.#name = Buffer.from(`"${name}":`);
  }

  read(bytes: Buffer, start: number, end: number): number {
    let at = end - this.#fromEndBytes;
    if (!this.#standsAt(bytes, at, start, end)) {
      at = start;
      while (at < end && !this.#standsAt(bytes, at, start, end)) at++;
      if (at === end) throw new Error(`answer without ${this.#name.toString()}`);
      this.#fromEndBytes = end - at;
    }
    at += this.#name.length;
    const isNegative = bytes[at] === MINUS;
    if (isNegative) at++;
    let value = 0;
    for (; at < end; at++) {
      const digit = bytes[at] - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    return isNegative ? -value : value;
  }

  #standsAt(bytes: Buffer, at: number, start: number, end: number): boolean {
    const name = this.#name;
    if (at < start || at + name.length > end || bytes[at] !== QUOTE) return false;
    for (let index = 1; index < name.length; index++) {
      if (bytes[at + index] !== name[index]) return false;
    }
    return true;
  }
}
