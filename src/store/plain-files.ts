/**
 * @agent any
 *
 * Segments as ordinary memory that is written to a file: no native code, for embedded use and for
 * platforms without maps. `publish` writes, `sync` writes and syncs. All threads of a process that
 * open the same file share one memory only within a thread: use it with inline placement.
 */
import fs from 'node:fs';
import { BrokerError } from '../base/errors.ts';
import { fileCalls, storeError } from './file-calls.ts';
import type { Segment, StoreFiles } from './segment.ts';

export function createPlainFiles(): StoreFiles {
  /** Open segments by path: the agents of one thread must see each other's appends. */
  const opened = new Map<string, PlainSegment>();
  const share = (file: string, make: () => PlainSegment): PlainSegment => {
    const known = opened.get(file);
    if (known !== undefined) {
      known.holderCount++;
      return known;
    }
    const segment = make();
    opened.set(file, segment);
    segment.onClosed = () => opened.delete(file);
    return segment;
  };
  return {
    ...fileCalls,
    kind: 'plain',
    createSegment: (file, capacityBytes) =>
      share(file, () => {
        let descriptor = -1;
        try {
          descriptor = fs.openSync(file, 'wx+', 0o644);
          fs.ftruncateSync(descriptor, capacityBytes);
          return new PlainSegment(descriptor, file, capacityBytes);
        } catch (cause) {
          if (descriptor >= 0) {
            fs.closeSync(descriptor);
            fs.rmSync(file, { force: true });
          }
          throw storeError(cause, `create ${file}`);
        }
      }),
    openSegment: (file, capacityBytes) =>
      share(file, () => {
        const bytes = fileCalls.sizeOf(file);
        if (bytes !== capacityBytes) {
          throw new BrokerError(
            'STORE_DAMAGED',
            `${file} has ${bytes} bytes, not ${capacityBytes}; restore it from a copy or remove it`,
          );
        }
        const segment = new PlainSegment(fileCalls.open(file, false), file, capacityBytes);
        segment.load();
        return segment;
      }),
  };
}

/** Read in pieces, so that the zeroes of a sparse file do not become resident memory. */
const LOAD_BYTES = 1024 * 1024;

class PlainSegment implements Segment {
  readonly bytes: Buffer;
  readonly capacityBytes: number;
  holderCount = 1;
  onClosed: () => void = () => {};
  readonly #descriptor: number;
  readonly #file: string;

  constructor(descriptor: number, file: string, capacityBytes: number) {
    this.#descriptor = descriptor;
    this.#file = file;
    this.capacityBytes = capacityBytes;
    this.bytes = Buffer.from(new ArrayBuffer(capacityBytes));
  }

  load(): void {
    const piece = Buffer.alloc(LOAD_BYTES);
    for (let at = 0; at < this.capacityBytes; at += LOAD_BYTES) {
      const count = fileCalls.readAt(
        this.#descriptor,
        piece,
        0,
        Math.min(LOAD_BYTES, this.capacityBytes - at),
        at,
      );
      const isEmpty =
        piece.readInt32BE(0) === 0 && piece.subarray(0, count).every((byte) => byte === 0);
      if (!isEmpty) piece.copy(this.bytes, at, 0, count);
    }
  }

  publish(from: number, to: number): void {
    fileCalls.writeAt(this.#descriptor, this.bytes, from, to, from);
  }

  sync(): void {
    try {
      fs.fdatasyncSync(this.#descriptor);
    } catch (cause) {
      throw storeError(cause, `sync ${this.#file}`);
    }
  }

  prepare(): void {}

  willNeed(): void {}

  close(): void {
    if (--this.holderCount > 0) return;
    fs.closeSync(this.#descriptor);
    this.onClosed();
  }
}
