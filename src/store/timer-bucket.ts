/**
 * @agent dispatcher
 *
 * Timer entries of one stretch of time, in the order in which they came: a file that only grows, and
 * in memory what is not written yet.
 *
 * ```
 *  entry, 24 bytes, little-endian
 *   0        8                 16             20        24
 *   | fireMs | physicalOffset  | kind·2^28 +  |  tag    |
 *   |  f64   |      f64        |  bytes, u32  |  i32    |
 * ```
 */
import path from 'node:path';
import type { DescriptorCache } from './descriptor-cache.ts';
import { throwUnlessNoSpace } from './file-calls.ts';
import type { StoreFiles } from './segment.ts';
import type { TimerEntry } from './timer-heap.ts';

export const ENTRY_BYTES = 24;
const KIND_SHIFT = 28;
const BYTES_MASK = 2 ** KIND_SHIFT - 1;
/** What waits in memory before it is written unasked: 1,024 entries. */
const PENDING_BYTES_MAX = 1024 * ENTRY_BYTES;
const PENDING_BYTES_MIN = 8 * ENTRY_BYTES;

/** What all buckets of a wheel share. */
export interface TimerBucketContext {
  files: StoreFiles;
  directory: string;
  descriptors: DescriptorCache;
  /** Files written since they were last handed to the flusher; the directory has a closing "/". */
  unsynced: Set<string>;
  /** Buckets with something in memory only. */
  pending: Set<TimerBucket>;
}

export class TimerBucket {
  readonly level: number;
  /** First moment of its stretch of time. */
  readonly startMs: number;
  /** Tells files of the same stretch apart. */
  readonly serial: number;
  readonly path: string;
  /** Entries before this place were taken over elsewhere. */
  readBytes = 0;
  /** Whether its entries were put in the heap, or are being put there. */
  isLoaded = false;
  /** Too many entries for the heap: handed out in the order of the file, once all are due. */
  isStreamed = false;
  readonly #context: TimerBucketContext;
  #writtenBytes = 0;
  #pending: Buffer | null = null;
  #pendingBytes = 0;
  #exists = false;

  constructor(context: TimerBucketContext, level: number, startMs: number, serial: number) {
    this.#context = context;
    this.level = level;
    this.startMs = startMs;
    this.serial = serial;
    this.path = bucketPath(context.directory, this);
  }

  /** Length with what is not written yet. */
  get totalBytes(): number {
    return this.#writtenBytes + this.#pendingBytes;
  }

  get entryCount(): number {
    return this.totalBytes / ENTRY_BYTES;
  }

  get hasFile(): boolean {
    return this.#exists;
  }

  /** Takes a file over as it was at a length; what was written behind it is cut off. */
  restore(bytes: number, readBytes: number): void {
    const { files, descriptors } = this.#context;
    this.#exists = true;
    this.#writtenBytes = bytes;
    this.readBytes = readBytes;
    if (files.sizeOf(this.path) !== bytes) files.truncate(descriptors.get(this.path), bytes);
  }

  append(entry: Readonly<TimerEntry>): void {
    let pending = this.#pending;
    if (pending === null) {
      pending = this.#pending = Buffer.allocUnsafe(PENDING_BYTES_MIN);
      this.#context.pending.add(this);
    } else if (this.#pendingBytes === pending.length) {
      if (pending.length < PENDING_BYTES_MAX || !this.#tryWrite()) {
        const grown = Buffer.allocUnsafe(pending.length * 2);
        pending.copy(grown);
        this.#pending = pending = grown;
      } else {
        this.#pending = pending;
        this.#context.pending.add(this);
      }
    }
    const at = this.#pendingBytes;
    pending.writeDoubleLE(entry.fireMs, at);
    pending.writeDoubleLE(entry.physicalOffset, at + 8);
    pending.writeUInt32LE(entry.kind * 2 ** KIND_SHIFT + entry.bytes, at + 16);
    pending.writeInt32LE(entry.tag, at + 20);
    this.#pendingBytes = at + ENTRY_BYTES;
  }

  /**
   * Writes what is in memory.
   * @throws BrokerError STORE_NO_SPACE; what is not written stays in memory
   */
  write(): void {
    const { files, directory, descriptors, unsynced, pending } = this.#context;
    if (this.#pending === null) return;
    if (!this.#exists) {
      files.closeDescriptor(files.open(this.path, true));
      this.#exists = true;
      unsynced.add(`${directory}/`);
    }
    const descriptor = descriptors.get(this.path);
    files.writeAt(descriptor, this.#pending, 0, this.#pendingBytes, this.#writtenBytes);
    this.#writtenBytes += this.#pendingBytes;
    this.#pendingBytes = 0;
    this.#pending = null;
    unsynced.add(this.path);
    pending.delete(this);
  }

  /** False where the disk is full: what came stays in memory until it is not. */
  #tryWrite(): boolean {
    try {
      this.write();
      return true;
    } catch (error) {
      throwUnlessNoSpace(error);
      return false;
    }
  }

  /** Reads whole entries from a place of the file on; returns the bytes, 0 at the end. What is pending must be written before. */
  read(into: Buffer, from: number): number {
    const bytes = Math.min(into.length, this.#writtenBytes - from);
    if (bytes <= 0) return 0;
    const { files, descriptors } = this.#context;
    const count = files.readAt(descriptors.get(this.path), into, 0, bytes, from);
    if (count !== bytes) throw new Error(`${this.path} is shorter than it was`);
    return bytes;
  }

  /** Lets go of file and memory; the file itself is deleted by whoever knows when. */
  drop(): void {
    const { descriptors, unsynced, pending } = this.#context;
    descriptors.close(this.path);
    unsynced.delete(this.path);
    pending.delete(this);
    this.#pending = null;
    this.#pendingBytes = 0;
  }
}

/** Where the file of a bucket stands. */
export function bucketPath(
  directory: string,
  { level, startMs, serial }: { level: number; startMs: number; serial: number },
): string {
  return path.join(directory, `${level}-${startMs / 1000}-${serial}`);
}

/** Reads the entry at a place of what `TimerBucket.read` has read. */
export function readEntry(bytes: Buffer, at: number, into: TimerEntry): void {
  into.fireMs = bytes.readDoubleLE(at);
  into.physicalOffset = bytes.readDoubleLE(at + 8);
  const kindAndBytes = bytes.readUInt32LE(at + 16);
  into.kind = Math.floor(kindAndBytes / 2 ** KIND_SHIFT);
  into.bytes = kindAndBytes & BYTES_MASK;
  into.tag = bytes.readInt32LE(at + 20);
}
