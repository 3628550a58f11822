/**
 * The store's files in memory, with a disk that fails and a power supply that ends.
 *
 * ```
 *  volatile   what the running process and, after its death, the next one reads (page cache)
 *  durable    what has been synced: contents by file, names by directory
 *  crash      durable, plus any part of what differs: units of 512 B or 4 KiB, and single names
 * ```
 * Every call counts; one of them can be made to fail, or to take long. A file whose sync has failed stays
 * bad: no later sync of it reports success; or, as Linux has it, the next one does, and what was dirty at
 * the first is not on the disk (`forgetsFailedSyncs`).
 *
 * A crash state is taken at any moment, also inside of a call (`onCall`), and changes nothing here.
 */
import path from 'node:path';
import { BrokerError } from '../../src/base/errors.ts';
import { storeError, syncError } from '../../src/store/file-calls.ts';
import type { DiskSpace, Segment, StoreFiles } from '../../src/store/segment.ts';
import { type CrashOptions, FaultyInode, PAGE_BYTES } from './faulty-inode.ts';

export type { CrashOptions } from './faulty-inode.ts';

/** `SHORT` writes the first half and then finds the disk full; `DELAY` lets `onDelay` wait, and succeeds. */
export type Fault = 'ENOSPC' | 'EIO' | 'EROFS' | 'SHORT' | 'DELAY';

/** Calls that a full disk refuses; what is there already can be synced. */
export const needsSpace = /^(create|allocate|write|make) /;

interface Descriptor {
  inode: FaultyInode;
  file: string;
}

export class FaultyFiles implements StoreFiles {
  readonly kind = 'faulty';
  /** Calls so far that can fail. */
  callCount = 0;
  /** The call, counted from 1, that fails, and how; with `isLasting` all that follow fail too. */
  failure: {
    call: number;
    fault: Fault;
    isLasting?: boolean;
    /** Fail only these, of a lasting one. */
    only?: RegExp;
  } | null = null;
  /** Before each call that can fail: its number and what it is. */
  onCall: ((call: number, what: string) => void) | null = null;
  /** What a call of fault DELAY does before it goes on. */
  onDelay: () => void = () => {};
  /** The call that failed last, and what it was. */
  failed = '';
  forgetsFailedSyncs = false;
  /** What another thread is to write, oldest first. */
  readonly #deferredWrites: (() => void)[] = [];
  availableBytes = 2 ** 40;
  nowMs: () => number = () => 0;
  readonly #names = new Map<string, FaultyInode>();
  readonly #durableNames = new Map<string, FaultyInode>();
  readonly #directories = new Set<string>();
  readonly #poisoned = new Set<FaultyInode>();
  readonly #descriptors = new Map<number, Descriptor>();
  #nextDescriptor = 1000;

  /** The files as the next process finds them when only this one dies. */
  killProcess(): FaultyFiles {
    const copies = new Map<FaultyInode, FaultyInode>();
    const copyOf = (inode: FaultyInode): FaultyInode => {
      const copy = copies.get(inode) ?? inode.copy();
      copies.set(inode, copy);
      return copy;
    };
    const next = this.#next();
    for (const [name, inode] of this.#names) next.#names.set(name, copyOf(inode));
    for (const [name, inode] of this.#durableNames) next.#durableNames.set(name, copyOf(inode));
    return next;
  }

  /** The files as the next process finds them after the loss of power. The files here stay as they are. */
  losePower(options: CrashOptions): FaultyFiles {
    const next = this.#next();
    const crashed = new Map<FaultyInode, FaultyInode>();
    for (const name of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      const now = this.#names.get(name);
      const before = this.#durableNames.get(name);
      const inode = now === before || options.isKept() ? now : before;
      if (inode === undefined) continue;
      const state = crashed.get(inode) ?? inode.crashed(options);
      crashed.set(inode, state);
      next.#names.set(name, state);
      next.#durableNames.set(name, state);
    }
    return next;
  }

  #next(): FaultyFiles {
    const next = new FaultyFiles();
    for (const directory of this.#directories) next.#directories.add(directory);
    next.availableBytes = this.availableBytes;
    next.nowMs = this.nowMs;
    return next;
  }

  /** Names of all files. */
  files(): string[] {
    return [...this.#names.keys()].sort();
  }

  get hasDeferredWrite(): boolean {
    return this.#deferredWrites.length > 0;
  }

  /** The other thread makes the oldest of its writes. */
  makeDeferredWrite(): void {
    this.#deferredWrites.shift()?.();
  }

  /** Changes a file behind the back of whoever has it, as a bad disk does. */
  damage(file: string, change: (content: Buffer) => Buffer): void {
    const inode = FaultyInode.of(change(this.#find(file, 'damage').content()));
    inode.sync();
    this.#names.set(file, inode);
    this.#durableNames.set(file, inode);
  }

  createSegment(file: string, capacityBytes: number): Segment {
    this.#count(`create ${file}`);
    if (this.#names.has(file)) throw storeError({ code: 'EEXIST' }, `create ${file}`);
    if (capacityBytes > this.availableBytes) {
      throw storeError({ code: 'ENOSPC' }, `create ${file}`);
    }
    const inode = new FaultyInode();
    inode.modifiedMs = this.nowMs();
    this.#names.set(file, inode);
    try {
      this.#count(`allocate ${file}`);
      inode.resize(capacityBytes);
      this.#count(`sync new ${file}`);
      inode.sync();
      this.#count(`sync ${path.dirname(file)}`);
    } catch (error) {
      this.#names.delete(file);
      throw error;
    }
    this.#durableNames.set(file, inode);
    return this.#segment(inode, file);
  }

  openSegment(file: string, capacityBytes: number): Segment {
    this.#count(`open ${file}`);
    const inode = this.#find(file, 'open');
    if (inode.bytes !== capacityBytes) {
      throw new BrokerError('STORE_DAMAGED', `${file} has ${inode.bytes} bytes`);
    }
    return this.#segment(inode, file);
  }

  #segment(inode: FaultyInode, file: string): Segment {
    const sync = (from: number, to: number): void => {
      const end = Math.min(inode.bytes, Math.ceil(to / PAGE_BYTES) * PAGE_BYTES);
      this.#sync(inode, file, from - (from % PAGE_BYTES), end);
    };
    const write: Segment['write'] = (source, from, to, position) => {
      const half = from + ((to - from) >> 1);
      this.#count(`append ${file}`, () => inode.write(source, from, half, position));
      inode.write(source, from, to, position);
      inode.modifiedMs = this.nowMs();
    };
    return {
      bytes: inode.map(),
      capacityBytes: inode.bytes,
      write,
      beginWrite: (pieces, position, onWritten) => {
        this.#deferredWrites.push(() => {
          let at = position;
          try {
            for (const piece of pieces) {
              write(piece, 0, piece.length, at);
              at += piece.length;
            }
          } catch (error) {
            if (!BrokerError.is(error)) throw error;
            onWritten(error);
            return;
          }
          onWritten(null);
        });
      },
      publish: () => {
        inode.modifiedMs = this.nowMs();
      },
      sync,
      prepare() {},
      close() {
        Object.assign(this, { bytes: Buffer.alloc(0) });
      },
    };
  }

  list(directory: string): string[] {
    const names = new Set<string>();
    for (const entry of [...this.#names.keys(), ...this.#directories]) {
      if (entry.startsWith(`${directory}/`)) {
        names.add(entry.slice(directory.length + 1).split('/')[0] ?? '');
      }
    }
    return [...names].sort();
  }

  exists(file: string): boolean {
    return this.#names.has(file) || this.#directories.has(withoutSlash(file));
  }

  sizeOf(file: string): number {
    return this.#find(file, 'stat').bytes;
  }

  modifiedMs(file: string): number {
    return this.#find(file, 'stat').modifiedMs;
  }

  /** Directories are durable at once: what is tested here is what is in them. */
  makeDirectory(directory: string): void {
    this.#count(`make directory ${directory}`);
    for (let at = directory; !this.#directories.has(at) && at !== '/'; at = path.dirname(at)) {
      this.#directories.add(at);
    }
  }

  remove(file: string): void {
    this.#count(`remove ${file}`);
    for (const entry of [...this.#names.keys(), ...this.#directories]) {
      if (entry !== file && !entry.startsWith(`${file}/`)) continue;
      this.#names.delete(entry);
      this.#directories.delete(entry);
    }
  }

  /** A crash keeps any of the names that were and that are, each by itself, until their directories are synced. */
  rename(from: string, to: string): void {
    this.#count(`rename ${from}`);
    if (!this.exists(from)) throw storeError({ code: 'ENOENT' }, `move ${from}`);
    const isInside = (entry: string): boolean => entry === from || entry.startsWith(`${from}/`);
    for (const [name, inode] of [...this.#names].filter(([entry]) => isInside(entry))) {
      this.#names.delete(name);
      this.#names.set(to + name.slice(from.length), inode);
    }
    for (const directory of [...this.#directories].filter(isInside)) {
      this.#directories.delete(directory);
      this.#directories.add(to + directory.slice(from.length));
    }
  }

  unlink(file: string): void {
    this.remove(file);
  }

  readFile(file: string): Buffer | undefined {
    return this.#names.get(file)?.content();
  }

  /** In the steps that it has on a disk: each can fail, and the power can go between any two. */
  replaceFile(file: string, content: Uint8Array): void {
    const temporary = `${file}.tmp`;
    const inode = new FaultyInode();
    this.#count(`create ${temporary}`);
    this.#names.set(temporary, inode);
    try {
      this.#count(`write ${temporary}`, () => inode.write(content, 0, content.length >> 1, 0));
      inode.write(content, 0, content.length, 0);
      this.#sync(inode, temporary);
    } catch (error) {
      this.#names.delete(temporary);
      // All of it is written again, so a failed sync is one failure among others.
      throw BrokerError.is(error) ? storeError(error.cause, `replace ${file}`) : error;
    }
    this.#count(`rename ${file}`);
    this.#names.delete(temporary);
    this.#names.set(file, inode);
    this.syncDirectory(path.dirname(file));
  }

  open(file: string, create: boolean): number {
    this.#count(`open ${file}`);
    let inode = this.#names.get(file);
    if (inode === undefined) {
      if (!create) throw storeError({ code: 'ENOENT' }, `open ${file}`);
      inode = new FaultyInode();
      this.#names.set(file, inode);
    }
    this.#descriptors.set(this.#nextDescriptor, { inode, file });
    return this.#nextDescriptor++;
  }

  closeDescriptor(descriptor: number): void {
    this.#descriptors.delete(descriptor);
  }

  truncate(descriptor: number, bytes: number): void {
    this.#count('truncate');
    this.#at(descriptor).inode.resize(bytes);
  }

  readAt(
    descriptor: number,
    target: Uint8Array,
    targetOffset: number,
    bytes: number,
    position: number,
  ): number {
    return this.#at(descriptor).inode.read(target, targetOffset, bytes, position);
  }

  writeAt(
    descriptor: number,
    source: Uint8Array,
    from: number,
    to: number,
    position: number,
  ): void {
    const { inode, file } = this.#at(descriptor);
    const half = from + ((to - from) >> 1);
    this.#count(`write ${file}`, () => inode.write(source, from, half, position));
    inode.write(source, from, to, position);
    inode.modifiedMs = this.nowMs();
  }

  syncDescriptor(descriptor: number): void {
    const { inode, file } = this.#at(descriptor);
    this.#sync(inode, file);
  }

  /** Each file is synced for itself: what one call for all would do is of no interest here. */
  syncFileSystem(): boolean {
    return false;
  }

  syncDirectory(directory: string): void {
    try {
      this.#count(`sync ${directory}`);
    } catch (error) {
      throw asSyncError(error, `sync ${directory}`);
    }
    for (const name of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      if (path.dirname(name) !== withoutSlash(directory)) continue;
      const inode = this.#names.get(name);
      if (inode === undefined) this.#durableNames.delete(name);
      else this.#durableNames.set(name, inode);
    }
  }

  space(): DiskSpace {
    const { availableBytes } = this;
    return { totalBytes: 2 ** 40, freeBytes: availableBytes, availableBytes };
  }

  #sync(inode: FaultyInode, file: string, from?: number, to?: number): void {
    try {
      this.#count(`sync ${file}`);
    } catch (error) {
      if (this.forgetsFailedSyncs) inode.failSync(from, to);
      else this.#poisoned.add(inode);
      throw asSyncError(error, `sync ${file}`);
    }
    if (this.#poisoned.has(inode)) throw syncError({ code: 'EIO' }, `sync ${file}`);
    inode.sync(from, to);
  }

  #count(what: string, writeHalf: () => void = () => {}): void {
    this.callCount++;
    this.onCall?.(this.callCount, what);
    if (this.failure === null || this.callCount < this.failure.call) return;
    const { call, fault, isLasting = false, only } = this.failure;
    if (this.callCount > call && !isLasting) return;
    if (only !== undefined && !only.test(what)) return;
    this.failed = what;
    if (fault === 'DELAY') {
      this.onDelay();
      return;
    }
    if (fault === 'SHORT') writeHalf();
    throw storeError({ code: fault === 'SHORT' ? 'ENOSPC' : fault }, what);
  }

  #find(file: string, what: string): FaultyInode {
    const inode = this.#names.get(file);
    if (inode === undefined) throw storeError({ code: 'ENOENT' }, `${what} ${file}`);
    return inode;
  }

  #at(descriptor: number): Descriptor {
    const entry = this.#descriptors.get(descriptor);
    if (entry === undefined) throw storeError({ code: 'EBADF' }, 'descriptor');
    return entry;
  }
}

/** The failure of a call as the real file layer says it of a sync. */
function asSyncError(error: unknown, what: string): unknown {
  return BrokerError.is(error) ? syncError(error.cause, what) : error;
}

/** A directory may be named with a closing "/". */
function withoutSlash(file: string): string {
  return file.endsWith('/') ? file.slice(0, -1) : file;
}
