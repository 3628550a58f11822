/**
 * A request whose header is the same each time but for some values without a fixed width. It is put
 * together from parts in the target, without an object for a frame.
 */
import type { Codec } from './load-options.ts';
import { binaryHeaderOf, jsonText, OPAQUE_MIN } from './send-frames.ts';

const FLAG_ONEWAY = 2;

/** Stands in a header where a value will; no name of a topic or group holds a colon. */
export const slotMark = (slot: string): string => `SLOT:${slot};`;

export interface HeaderTemplateOptions {
  readonly codec: Codec;
  readonly code: number;
  /** In the order in which they are written; values that vary are a `slotMark`. */
  readonly fields: readonly [string, string][];
  readonly isOneway?: boolean;
  /** Longest value of a slot. */
  readonly slotBytesMax: number;
}

interface Part<Slot extends string> {
  readonly bytes: Buffer;
  /** The value that follows the bytes; null for the last part. */
  readonly slot: Slot | null;
}

export class HeaderTemplate<Slot extends string> {
  readonly frameBytesMax: number;
  readonly #isJson: boolean;
  readonly #parts: readonly Part<Slot>[];
  readonly #opaqueFromEnd: number;

  constructor(options: HeaderTemplateOptions) {
    this.#isJson = options.codec === 'json';
    const { code, fields } = options;
    const flag = options.isOneway === true ? FLAG_ONEWAY : 0;
    const header = this.#isJson
      ? Buffer.from(jsonText(code, fields, flag))
      : binaryHeaderOf(code, fields, flag);
    this.#parts = splitAtSlots(header);
    this.#opaqueFromEnd = header.length - header.lastIndexOf(`"opaque":${OPAQUE_MIN}`) - 9;
    this.frameBytesMax = 8 + header.length + (this.#parts.length - 1) * options.slotBytesMax;
  }

  /** Writes a request without a body at `at`; returns its bytes, at most `frameBytesMax`. */
  writeInto(
    target: Buffer,
    at: number,
    opaque: number,
    values: Readonly<Record<Slot, string>>,
  ): number {
    const headerStart = at + 8;
    let end = headerStart;
    for (const part of this.#parts) {
      end += part.bytes.copy(target, end);
      if (part.slot === null) continue;
      const value = values[part.slot];
      // A binary value has its length before it; what stands there is the mark's.
      if (!this.#isJson) target.writeInt32BE(value.length, end - 4);
      end += target.write(value, end, 'latin1');
    }
    target.writeInt32BE(end - at - 4, at);
    target.writeInt32BE(end - headerStart, at + 4);
    target[at + 4] = this.#isJson ? 0 : 1;
    if (this.#isJson) {
      target.write(String(opaque), end - this.#opaqueFromEnd, 'latin1');
    } else {
      target.writeInt32BE(opaque, headerStart + 5);
      // Length of all fields, after the fixed part of the header.
      target.writeInt32BE(end - headerStart - 21, headerStart + 17);
    }
    return end - at;
  }
}

function splitAtSlots<Slot extends string>(header: Buffer): Part<Slot>[] {
  // Odd pieces are the names that the expression captured. Latin-1 keeps every byte.
  const pieces = header.toString('latin1').split(/SLOT:(\w+);/);
  const parts: Part<Slot>[] = [];
  for (let index = 0; index < pieces.length; index += 2) {
    const slot = index + 1 < pieces.length ? (pieces[index + 1] as Slot) : null;
    parts.push({ bytes: Buffer.from(pieces[index], 'latin1'), slot });
  }
  return parts;
}
