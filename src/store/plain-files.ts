/**
 * @agent any
 *
 * Segments as ordinary memory that is written to a file: no native code, for embedded use and for
 * platforms without maps. `publish` writes, `sync` writes and syncs. Whoever opens a file on the
 * same thread gets the same memory; threads do not share it, so all agents must be on one thread.
 *
 * A temporary store is one that nobody wants to have after the process: what is written is written, but
 * nothing waits for a disk. Its segments may be dated by a clock of their own, for retention goes by that.
 */
import fs from 'node:fs';
import { dirname } from 'node:path';
import type { WallClock } from '../base/clock.ts';
import { BrokerError } from '../base/errors.ts';
import { freshBuffer } from '../base/fresh-memory.ts';
import { attempt, discard, fileCalls, openTemporary, storeError, syncError } from './file-calls.ts';
import type { Segment, StoreFiles } from './segment.ts';

/** Open files of this thread by path: its agents must see each other's appends. */
const openFiles = new Map<string, PlainFile>();

export interface PlainFilesOptions {
  isTemporary?: boolean;
  /** Dates segments; absent: the file system does. */
  wallClock?: WallClock | undefined;
}

export function createPlainFiles(options: PlainFilesOptions = {}): StoreFiles {
  const { isTemporary = false, wallClock } = options;
  return {
    ...fileCalls,
    ...(isTemporary ? callsWithoutSync : {}),
    kind: 'plain',
    modifiedMs: (path) => openFiles.get(path)?.modifiedMs ?? fileCalls.modifiedMs(path),
    createSegment(path, capacityBytes) {
      let descriptor = -1;
      try {
        // The file is sparse: without this look a full disk would show only while messages are written.
        const { availableBytes } = fileCalls.space(dirname(path));
        if (availableBytes < capacityBytes) throw storeError({ code: 'ENOSPC' }, `create ${path}`);
        descriptor = fs.openSync(path, 'wx+', 0o644);
        fs.ftruncateSync(descriptor, capacityBytes);
        if (!isTemporary) {
          fs.fsyncSync(descriptor);
          fileCalls.syncDirectory(dirname(path));
        }
      } catch (cause) {
        if (descriptor >= 0) {
          fs.closeSync(descriptor);
          discard(path);
        }
        throw BrokerError.is(cause) ? cause : storeError(cause, `create ${path}`);
      }
      // A file that was deleted while somebody still reads it may stand under this path: it stays theirs.
      const file = new PlainFile(descriptor, path, capacityBytes, wallClock);
      file.onWritten();
      openFiles.set(path, file);
      return new PlainSegment(file, isTemporary);
    },
    openSegment(path, capacityBytes) {
      const bytes = fileCalls.sizeOf(path);
      if (bytes !== capacityBytes) {
        throw new BrokerError(
          'STORE_DAMAGED',
          `${path} has ${bytes} bytes, not ${capacityBytes}; restore it from a copy or remove it`,
        );
      }
      let file = openFiles.get(path);
      if (file === undefined || !file.isAt(path)) {
        file = new PlainFile(fileCalls.open(path, false), path, capacityBytes, wallClock);
        file.load();
        openFiles.set(path, file);
      }
      return new PlainSegment(file, isTemporary);
    },
  };
}

const callsWithoutSync = {
  syncFileSystem: () => true,
  syncDescriptor() {},
  syncDirectory() {},
  replaceFile(file: string, content: Uint8Array, isPrivate = false): void {
    const descriptor = openTemporary(`${file}.tmp`, isPrivate);
    try {
      fileCalls.writeAt(descriptor, content, 0, content.length, 0);
    } catch (error) {
      discard(`${file}.tmp`);
      throw error;
    } finally {
      fileCalls.closeDescriptor(descriptor);
    }
    fs.renameSync(`${file}.tmp`, file);
  },
};

/** Read in pieces, so that the zeroes of a sparse file do not become resident memory. */
const LOAD_BYTES = 1024 * 1024;

/** One open file and its memory, let go by the last of its holders. */
class PlainFile {
  readonly bytes: Buffer;
  readonly path: string;
  readonly descriptor: number;
  holderCount = 0;
  /** When it was written last, by a clock of its own; null: the file system knows. */
  modifiedMs: number | null = null;
  readonly #wallClock: WallClock | undefined;

  constructor(
    descriptor: number,
    path: string,
    capacityBytes: number,
    wallClock: WallClock | undefined,
  ) {
    this.descriptor = descriptor;
    this.path = path;
    this.#wallClock = wallClock;
    if (wallClock !== undefined) this.modifiedMs = fs.fstatSync(descriptor).mtimeMs;
    this.bytes = freshBuffer(capacityBytes);
  }

  /** Whether the path still names this file, and not one that was made after it was deleted. */
  isAt(path: string): boolean {
    const there = fs.statSync(path);
    const mine = fs.fstatSync(this.descriptor);
    return there.ino === mine.ino && there.dev === mine.dev;
  }

  load(): void {
    const capacityBytes = this.bytes.length;
    const piece = Buffer.alloc(Math.min(LOAD_BYTES, capacityBytes));
    const zeroes = Buffer.alloc(piece.length);
    for (let at = 0; at < capacityBytes;) {
      const wanted = Math.min(piece.length, capacityBytes - at);
      const count = fileCalls.readAt(this.descriptor, piece, 0, wanted, at);
      if (count === 0) break;
      if (piece.compare(zeroes, 0, count, 0, count) !== 0) piece.copy(this.bytes, at, 0, count);
      at += count;
    }
  }

  onWritten(): void {
    if (this.#wallClock !== undefined) this.modifiedMs = this.#wallClock.nowMs();
  }

  letGo(): void {
    if (--this.holderCount > 0) return;
    // So that the next start finds the age that it has by that clock.
    if (this.modifiedMs !== null)
      fs.futimesSync(this.descriptor, this.modifiedMs / 1000, this.modifiedMs / 1000);
    fs.closeSync(this.descriptor);
    if (openFiles.get(this.path) === this) openFiles.delete(this.path);
  }
}

class PlainSegment implements Segment {
  bytes: Buffer;
  readonly capacityBytes: number;
  readonly #file: PlainFile;
  readonly #isTemporary: boolean;
  #isClosed = false;

  constructor(file: PlainFile, isTemporary: boolean) {
    file.holderCount++;
    this.#isTemporary = isTemporary;
    this.#file = file;
    this.bytes = file.bytes;
    this.capacityBytes = file.bytes.length;
  }

  write(source: Uint8Array, from: number, to: number, position: number): void {
    fileCalls.writeAt(this.#file.descriptor, source, from, to, position);
    this.bytes.set(source.subarray(from, to), position);
    this.#file.onWritten();
  }

  publish(from: number, to: number): void {
    fileCalls.writeAt(this.#file.descriptor, this.bytes, from, to, from);
    this.#file.onWritten();
  }

  sync(from: number, to: number): void {
    // Not `publish`: the file is as old as what was appended, whenever that is flushed.
    fileCalls.writeAt(this.#file.descriptor, this.bytes, from, to, from);
    if (this.#isTemporary) return;
    const { path, descriptor } = this.#file;
    attempt(`sync ${path}`, () => fs.fdatasyncSync(descriptor), syncError);
  }

  prepare(): void {}

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.bytes = Buffer.alloc(0);
    this.#file.letGo();
  }
}
