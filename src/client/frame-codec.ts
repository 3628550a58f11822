/**
 * @agent any
 *
 * Frames of a client: requests into bytes, chunks of a stream into frames. How an answer's header is
 * read: frame-reader.ts.
 *
 * ```
 * 0        4         5           8                 8+headerLength
 * | length | type(1) | header(3) | header          | body        |
 * ```
 * Type 0 is a JSON header with its members in the order of Java's client, 2 MessagePack.
 */
import { MILLRACE_PROTOCOL_VERSION } from '../protocol/codes.ts';
import { ClientError } from './client-error.ts';
import { messagePackTextBytesMax, writeMessagePackHeader } from '../protocol/msgpack-writer.ts';
import { currentPlatform } from './platform.ts';
import type { RequestSigner } from './request-signer.ts';
import { readInt32, UTF8_UNIT_BYTES_MAX, writeInt32, writeText } from '../protocol/text-bytes.ts';

export const CODEC_JSON = 0;
export const CODEC_MESSAGE_PACK = 2;
export type HeaderCodec = typeof CODEC_JSON | typeof CODEC_MESSAGE_PACK;

/** `flag`: this frame answers a request; nobody waits for an answer. */
export const FLAG_RESPONSE = 1;
export const FLAG_ONEWAY = 2;

/** Length word, and the word of codec and header length. */
export const FRAME_HEAD_BYTES = 8;
/** com.rocketmq.remoting.frameMaxLength of RocketMQ. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024;

export interface FrameParts {
  readonly code: number;
  readonly flag: number;
  readonly remark?: string | undefined;
  readonly fields?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
  readonly body?: Uint8Array | undefined;
}

/** A frame that is written into a connection's output. */
export interface FrameWriter {
  /** Room that it takes at most. */
  frameBytesMax(codec: HeaderCodec): number;
  /** Writes it at a place with that room; returns where it ends. */
  writeInto(target: Uint8Array, at: number, opaque: number, codec: HeaderCodec): number;
}

/** Any frame off the hot path. */
export class PlainFrame implements FrameWriter {
  readonly #parts: FrameParts;
  readonly #fields: [string, string][];

  /** A request is signed where there is a signer. */
  constructor(parts: FrameParts, signer: RequestSigner | null = null) {
    this.#parts = parts;
    const fields = Object.entries(parts.fields ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([name, value]): [string, string] => [name, String(value)]);
    this.#fields = signer === null ? fields : signer.sign(fields, parts.body);
  }

  frameBytesMax(): number {
    let bytes = 256 + messagePackTextBytesMax(this.#parts.remark ?? '');
    for (const [name, value] of this.#fields)
      bytes += jsonBytesMax(name) + jsonBytesMax(value) + 10;
    return FRAME_HEAD_BYTES + bytes + (this.#parts.body?.length ?? 0);
  }

  writeInto(target: Uint8Array, at: number, opaque: number, codec: HeaderCodec): number {
    const headerStart = at + FRAME_HEAD_BYTES;
    const headerEnd =
      codec === CODEC_JSON
        ? this.#writeJson(target, headerStart, opaque)
        : this.#writeMessagePack(target, headerStart, opaque);
    const { body } = this.#parts;
    if (body !== undefined) target.set(body, headerEnd);
    const end = headerEnd + (body?.length ?? 0);
    writeFrameHead(target, at, codec, headerEnd, end);
    return end;
  }

  #writeJson(target: Uint8Array, at: number, opaque: number): number {
    const { code, flag, remark } = this.#parts;
    const header = {
      code,
      extFields: Object.fromEntries(this.#fields),
      flag,
      language: 'OTHER',
      opaque,
      remark,
      serializeTypeCurrentRPC: 'JSON',
      version: MILLRACE_PROTOCOL_VERSION,
    };
    return writeText(target, at, JSON.stringify(header));
  }

  #writeMessagePack(target: Uint8Array, start: number, opaque: number): number {
    const { code, flag, remark = null } = this.#parts;
    const version = MILLRACE_PROTOCOL_VERSION;
    const fields = this.#fields;
    return writeMessagePackHeader(target, start, { code, flag, opaque, version, remark, fields });
  }
}

/** Of text as a JSON string; almost always what it is in UTF-8. */
function jsonBytesMax(text: string): number {
  return (JSON.stringify(text).length + 1) * UTF8_UNIT_BYTES_MAX;
}

/** Writes the two words before a header that ends at `headerEnd`. */
export function writeFrameHead(
  target: Uint8Array,
  at: number,
  codec: HeaderCodec,
  headerEnd: number,
  end: number,
): void {
  writeInt32(target, at, end - at - 4);
  writeInt32(target, at + 4, headerEnd - at - FRAME_HEAD_BYTES);
  target[at + 4] = codec;
}

/** Splits a stream into frames. A frame within one chunk is not copied, any other one once. */
export class FrameSplitter {
  /** Called with the place of what follows the length word. */
  readonly #onFrame: (bytes: Uint8Array, start: number, end: number) => void;
  /** A frame whose chunks are still coming, length word included; null between frames. */
  #frame: Uint8Array | null = null;
  #filledBytes = 0;
  /** The first bytes of a frame while there are less than four. */
  readonly #lengthWord = new Uint8Array(4);

  constructor(onFrame: (bytes: Uint8Array, start: number, end: number) => void) {
    this.#onFrame = onFrame;
  }

  /** @throws ClientError PROTOCOL_ERROR */
  push(chunk: Uint8Array): void {
    let at = this.#filledBytes === 0 ? 0 : this.#fill(chunk, 0);
    while (chunk.length - at >= 4) {
      const end = at + 4 + checkedLength(readInt32(chunk, at));
      if (end > chunk.length) break;
      this.#onFrame(chunk, at + 4, end);
      at = end;
    }
    if (at < chunk.length) this.#fill(chunk, at);
  }

  /** Goes on with the frame that is not whole; returns where the chunk's next frame begins. */
  #fill(chunk: Uint8Array, start: number): number {
    let at = start;
    if (this.#frame === null) {
      while (this.#filledBytes < 4 && at < chunk.length)
        this.#lengthWord[this.#filledBytes++] = chunk[at++];
      if (this.#filledBytes < 4) return at;
      const length = checkedLength(readInt32(this.#lengthWord, 0));
      this.#frame = currentPlatform().allocate(4 + length);
      this.#frame.set(this.#lengthWord);
    }
    const frame = this.#frame;
    const takenBytes = Math.min(frame.length - this.#filledBytes, chunk.length - at);
    frame.set(chunk.subarray(at, at + takenBytes), this.#filledBytes);
    this.#filledBytes += takenBytes;
    if (this.#filledBytes === frame.length) {
      this.#frame = null;
      this.#filledBytes = 0;
      this.#onFrame(frame, 4, frame.length);
    }
    return at + takenBytes;
  }
}

function checkedLength(length: number): number {
  if (length < 4 || length > FRAME_BYTES_MAX)
    throw new ClientError('PROTOCOL_ERROR', `a frame of ${length} bytes came`);
  return length;
}
