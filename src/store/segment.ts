/**
 * @agent any
 *
 * The one seam between the store and the disk. Three implementations: mapped (`mmap`, what the
 * broker runs on), plain (memory and `pwrite`: no native code) and faulty (tests: durable and
 * volatile copies, errors and crash states on demand).
 */

import type { BrokerError } from '../base/errors.ts';

/** One CommitLog segment file, preallocated to its whole size. */
export interface Segment {
  /** The file's bytes, `capacityBytes` of them. */
  readonly bytes: Buffer;
  readonly capacityBytes: number;
  /**
   * Writes `source[from, to)` at `position`: from then on it is in `bytes`, and survives the death of this process.
   * @throws BrokerError STORE_NO_SPACE, STORE_IO
   */
  write(source: Uint8Array, from: number, to: number, position: number): void;
  /**
   * Writes pieces one behind the other at `position`, by another thread; they may not change until `onWritten` is
   * called, from the event loop, with null or what `write` would have thrown. Absent where nobody else writes.
   */
  beginWrite?(
    pieces: readonly Uint8Array[],
    position: number,
    onWritten: (error: BrokerError | null) => void,
  ): void;
  /**
   * Makes [from, to) of `bytes`, where it was changed in place, survive the death of this process. Nothing to do where `bytes` is the page
   * cache itself.
   */
  publish(from: number, to: number): void;
  /**
   * Makes [from, to) survive the loss of power; blocks.
   * @throws BrokerError STORE_IO when the device fails: what was written since the last sync is lost.
   */
  sync(from: number, to: number): void;
  /** Makes the pages of [from, to) present and their blocks written, so that no later sync has to; blocks. */
  prepare(from: number, to: number): void;
  /** Lets go of what this thread has mapped of [from, to); it is mapped again when it is read. Absent where nothing is mapped. */
  unmapPages?(from: number, to: number): void;
  /** Has the page cache forget what is synced of [from, to), and mapped by no thread. An advice: no errors. */
  dropPages?(from: number, to: number): void;
  close(): void;
}

/** Space of a file system, as statfs says it. */
export interface DiskSpace {
  totalBytes: number;
  /** Also what is kept for the administrator. */
  freeBytes: number;
  availableBytes: number;
}

/** Share of what we may use that is used, 0 to 1, as df and RocketMQ reckon it: what is kept for the administrator does not count. */
export function usedShare(space: DiskSpace): number {
  const usedBytes = space.totalBytes - space.freeBytes;
  return usedBytes / Math.max(1, usedBytes + space.availableBytes);
}

/** The file calls of the store. Paths are absolute. Errors are BrokerErrors STORE_NO_SPACE and STORE_IO. */
export interface StoreFiles {
  readonly kind: 'mapped' | 'plain' | 'faulty';
  /** Creates and preallocates a segment; leaves no file behind when there is no room. */
  createSegment(path: string, capacityBytes: number): Segment;
  /** Opens an existing segment after checking its size. */
  openSegment(path: string, capacityBytes: number): Segment;

  /** File names in a directory, sorted; empty where there is none. */
  list(directory: string): string[];
  exists(path: string): boolean;
  sizeOf(path: string): number;
  modifiedMs(path: string): number;
  makeDirectory(path: string): void;
  /** Deletes a file, or a directory with all in it; nothing happens where there is none. */
  remove(path: string): void;
  /**
   * Deletes a file as `remove` does, and leaves it to another thread to free what it held, which takes some
   * 0.2 ms for each MB. The same as `remove` where there is none.
   */
  unlink(path: string): void;
  /** Moves a file, or a directory with all in it, within the file system, to a name that is free. */
  rename(from: string, to: string): void;
  /** Whole content; `undefined` where there is no such file. */
  readFile(path: string): Buffer | undefined;
  /**
   * Writes beside, syncs, renames over `path` and syncs the directory: after a crash old or new, never
   * less. A private file only its owner may read (mode 0600).
   */
  replaceFile(path: string, content: Uint8Array, isPrivate?: boolean): void;

  /** Opens for reading and writing; creates the file where `create` is set. */
  open(path: string, create: boolean): number;
  closeDescriptor(descriptor: number): void;
  truncate(descriptor: number, bytes: number): void;
  /** Reads up to `bytes` at `position` into `target` at `targetOffset`; returns the count, short at the end. */
  readAt(
    descriptor: number,
    target: Uint8Array,
    targetOffset: number,
    bytes: number,
    position: number,
  ): number;
  /** Writes all of `source[from, to)` at `position`. */
  writeAt(descriptor: number, source: Uint8Array, from: number, to: number, position: number): void;
  syncDescriptor(descriptor: number): void;
  /** Syncs the whole file system that holds a directory, others' files too; false where that can't be done. */
  syncFileSystem(directory: string): boolean;
  syncDirectory(path: string): void;
  /** Space of the file system that holds `path`. */
  space(path: string): DiskSpace;
}
