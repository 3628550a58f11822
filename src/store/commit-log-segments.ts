/**
 * @agent any
 *
 * The segment files of the CommitLog as one thread sees them: opened when first touched, closed when
 * retention has passed them. A file is named by the physical offset of its first byte, 20 digits,
 * always a multiple of the segment size.
 */
import path from 'node:path';
import { BrokerError } from '../base/errors.ts';
import type { Segment, StoreFiles } from './segment.ts';

export interface CommitLogSegmentsOptions {
  files: StoreFiles;
  /** `<store>/commitlog` */
  directory: string;
  segmentBytes: number;
}

const NAME_DIGITS = 20;
const CHECKED_BYTES = 256 * 1024;

export class CommitLogSegments {
  readonly segmentBytes: number;
  readonly #files: StoreFiles;
  readonly #directory: string;
  readonly #open = new Map<number, Segment>();
  #lastBase = -1;
  #last: Segment | null = null;
  /** What is wholly below is opened no more: it may be gone at any moment. */
  #minimum = 0;

  constructor(options: CommitLogSegmentsOptions) {
    this.#files = options.files;
    this.#directory = options.directory;
    this.segmentBytes = options.segmentBytes;
  }

  /**
   * The size of the segments that are there, or undefined when there are none: a store keeps the size
   * that it was made with, whatever the configuration says now.
   */
  static existingSegmentBytes(files: StoreFiles, directory: string): number | undefined {
    for (const name of files.list(directory)) {
      if (!/^\d{20}$/.test(name)) continue;
      const bytes = files.sizeOf(path.join(directory, name));
      // Created, and not allocated before the process ended.
      if (bytes > 0) return bytes;
    }
    return undefined;
  }

  /**
   * Deletes a newest segment whose allocation was cut short by the death of the process: too small, and
   * without a byte of content. Returns its path, or undefined where there is none.
   */
  removeUnfinished(): string | undefined {
    const name = this.#files.list(this.#directory).at(-1);
    if (name === undefined || !/^\d{20}$/.test(name)) return undefined;
    const file = path.join(this.#directory, name);
    const bytes = this.#files.sizeOf(file);
    if (bytes >= this.segmentBytes || !this.#isZero(file, bytes)) return undefined;
    this.#files.remove(file);
    return file;
  }

  #isZero(file: string, bytes: number): boolean {
    const piece = Buffer.alloc(CHECKED_BYTES);
    const zeroes = Buffer.alloc(CHECKED_BYTES);
    const descriptor = this.#files.open(file, false);
    try {
      for (let at = 0; at < bytes;) {
        const count = this.#files.readAt(descriptor, piece, 0, CHECKED_BYTES, at);
        if (piece.compare(zeroes, 0, count, 0, count) !== 0) return false;
        if (count === 0) break;
        at += count;
      }
      return true;
    } finally {
      this.#files.closeDescriptor(descriptor);
    }
  }

  /**
   * First offsets of the segments on disk, ascending.
   * @throws BrokerError STORE_DAMAGED for a foreign name, a gap, or a file of another size
   */
  listBases(): number[] {
    const bases: number[] = [];
    for (const name of this.#files.list(this.#directory)) {
      const file = path.join(this.#directory, name);
      const base = Number(name);
      if (!/^\d{20}$/.test(name) || base % this.segmentBytes !== 0) {
        throw new BrokerError(
          'STORE_DAMAGED',
          `${file} is no segment of this log; move it elsewhere`,
        );
      }
      const previous = bases.at(-1);
      if (previous !== undefined && base !== previous + this.segmentBytes) {
        throw new BrokerError(
          'STORE_DAMAGED',
          `the log has no segment ${segmentName(previous + this.segmentBytes)} before ${file}; restore it from a copy`,
        );
      }
      if (this.#files.sizeOf(file) !== this.segmentBytes) {
        throw new BrokerError(
          'STORE_DAMAGED',
          `${file} does not have ${this.segmentBytes} bytes; restore it from a copy`,
        );
      }
      bases.push(base);
    }
    return bases;
  }

  /** The segment that holds this offset, opened if need be; null where there is no such file. */
  segmentAt(physicalOffset: number): Segment | null {
    const base = physicalOffset - (physicalOffset % this.segmentBytes);
    if (base === this.#lastBase) return this.#last;
    if (base + this.segmentBytes <= this.#minimum) return null;
    let segment = this.#open.get(base) ?? null;
    if (segment === null) {
      const file = this.#fileOf(base);
      if (!this.#files.exists(file)) return null;
      segment = this.#files.openSegment(file, this.segmentBytes);
      this.#open.set(base, segment);
    }
    this.#lastBase = base;
    this.#last = segment;
    return segment;
  }

  /** The bytes of a record as they stand in the log, to be used at once; null where there is no such segment. */
  recordAt(physicalOffset: number, bytes: number): Buffer | null {
    const segment = this.segmentAt(physicalOffset);
    if (segment === null) return null;
    const from = physicalOffset % this.segmentBytes;
    return segment.bytes.subarray(from, from + bytes);
  }

  /** @throws BrokerError STORE_NO_SPACE, leaving no file behind */
  create(base: number): Segment {
    this.#files.makeDirectory(this.#directory);
    const segment = this.#files.createSegment(this.#fileOf(base), this.segmentBytes);
    this.#open.set(base, segment);
    return segment;
  }

  /** Lets go of what this thread has mapped of [from, to). */
  unmapPages(from: number, to: number): void {
    this.#eachPart(from, to, (segment, start, end) => segment.unmapPages?.(start, end));
  }

  /** Has the page cache forget [from, to) where it is synced and mapped by nobody. */
  dropPages(from: number, to: number): void {
    this.#eachPart(from, to, (segment, start, end) => segment.dropPages?.(start, end));
  }

  /** Of [from, to) what lies in segments that this thread has open, in places of the segment. */
  #eachPart(
    from: number,
    to: number,
    call: (segment: Segment, start: number, end: number) => void,
  ): void {
    for (const [base, segment] of this.#open) {
      const start = Math.max(from - base, 0);
      const end = Math.min(to - base, this.segmentBytes);
      if (start < end) call(segment, start, end);
    }
  }

  /** Whether there is a file. */
  has(base: number): boolean {
    return this.#files.exists(this.#fileOf(base));
  }

  modifiedMs(base: number): number {
    return this.#files.modifiedMs(this.#fileOf(base));
  }

  /** Closes what this thread has open wholly below `minimum`. */
  forgetBelow(minimum: number): void {
    this.#minimum = minimum;
    for (const base of this.#open.keys()) {
      if (base + this.segmentBytes <= minimum) this.#close(base);
    }
  }

  /**
   * Deletes the file; other threads may still have it open, and read it until they forget it: the last of them frees what
   * it holds, which takes 0.2 s for 1 GiB. That it is gone is on the disk before the next one goes: a loss of power must not leave a gap, which no start accepts.
   */
  remove(base: number): void {
    this.#close(base);
    this.#files.remove(this.#fileOf(base));
    this.#files.syncDirectory(this.#directory);
  }

  close(): void {
    for (const base of this.#open.keys()) this.#close(base);
  }

  #close(base: number): void {
    const segment = this.#open.get(base);
    if (segment === undefined) return;
    this.#open.delete(base);
    if (base === this.#lastBase) {
      this.#lastBase = -1;
      this.#last = null;
    }
    segment.close();
  }

  #fileOf(base: number): string {
    return path.join(this.#directory, segmentName(base));
  }
}

export function segmentName(base: number): string {
  return String(base).padStart(NAME_DIGITS, '0');
}
