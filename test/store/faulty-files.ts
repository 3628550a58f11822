/**
 * The store's files in memory, with a disk that fails and a power supply that ends.
 *
 * ```
 *  volatile   what the running process and, after its death, the next one reads (page cache)
 *  durable    what has been synced: contents by file, names by directory
 *  crash      durable, plus any part of what differs: units of 512 B or 4 KiB, and single names
 * ```
 * Every call counts; one of them can be made to fail. A file whose sync has failed stays bad: what
 * was dirty then is lost, and no later sync of it reports success.
 */
import path from 'node:path';
import { BrokerError } from '../../src/base/errors.ts';
import { storeError } from '../../src/store/file-calls.ts';
import type { DiskSpace, Segment, StoreFiles } from '../../src/store/segment.ts';

/** `SHORT` writes the first half and then finds the disk full. */
export type Fault = 'ENOSPC' | 'EIO' | 'SHORT';

export interface CrashOptions {
  unitBytes: 512 | 4096;
  /** Asked for each unit and name that is not durable: whether the disk has it all the same. */
  isKept: () => boolean;
}

class Inode {
  content = Buffer.alloc(0);
  durable = Buffer.alloc(0);
  isPoisoned = false;

  resize(bytes: number): void {
    const resized = Buffer.alloc(bytes);
    this.content.copy(resized);
    this.content = resized;
  }

  sync(from = 0, to = this.content.length): void {
    if (this.durable.length !== this.content.length) {
      const resized = Buffer.alloc(this.content.length);
      this.durable.copy(resized);
      this.durable = resized;
    }
    this.content.copy(this.durable, from, from, to);
  }

  /** What a disk may hold after the loss of power. */
  crashed({ unitBytes, isKept }: CrashOptions): Inode {
    const inode = new Inode();
    const isResized = this.durable.length !== this.content.length && isKept();
    const state = Buffer.alloc(isResized ? this.content.length : this.durable.length);
    this.durable.copy(state);
    for (let at = 0; at < state.length; at += unitBytes) {
      const to = Math.min(at + unitBytes, state.length, this.content.length);
      if (at >= to || this.content.compare(state, at, to, at, to) === 0) continue;
      if (isKept()) this.content.copy(state, at, at, to);
    }
    inode.content = state;
    inode.durable = Buffer.from(state);
    return inode;
  }
}

const PAGE_BYTES = 4096;

export class FaultyFiles implements StoreFiles {
  readonly kind = 'faulty';
  /** Calls so far that can fail. */
  callCount = 0;
  /** The call, counted from 1, that fails, and how. */
  failure: { call: number; fault: Fault } | null = null;
  availableBytes = 2 ** 40;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  readonly #directories = new Set<string>();
  readonly #descriptors = new Map<number, { inode: Inode; file: string }>();
  #nextDescriptor = 1000;

  /** The files as the next process finds them when only this one dies. */
  killProcess(): FaultyFiles {
    const next = new FaultyFiles();
    for (const directory of this.#directories) next.#directories.add(directory);
    next.#names = new Map(this.#names);
    next.#durableNames = new Map(this.#durableNames);
    return next;
  }

  /** The files as the next process finds them after the loss of power. The files here stay as they are. */
  losePower(options: CrashOptions): FaultyFiles {
    const next = new FaultyFiles();
    for (const directory of this.#directories) next.#directories.add(directory);
    const crashed = new Map<Inode, Inode>();
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

  createSegment(file: string, capacityBytes: number): Segment {
    this.#count(`create ${file}`);
    if (this.#names.has(file)) throw storeError({ code: 'EEXIST' }, `create ${file}`);
    if (capacityBytes > this.availableBytes) {
      throw storeError({ code: 'ENOSPC' }, `create ${file}`);
    }
    const inode = new Inode();
    inode.resize(capacityBytes);
    inode.sync();
    this.#names.set(file, inode);
    this.#durableNames.set(file, inode);
    return this.#segment(inode, file);
  }

  openSegment(file: string, capacityBytes: number): Segment {
    this.#count(`open ${file}`);
    const inode = this.#find(file, 'open');
    if (inode.content.length !== capacityBytes) {
      throw new BrokerError('STORE_DAMAGED', `${file} has ${inode.content.length} bytes`);
    }
    return this.#segment(inode, file);
  }

  #segment(inode: Inode, file: string): Segment {
    const sync = (from: number, to: number): void => {
      const end = Math.min(inode.content.length, Math.ceil(to / PAGE_BYTES) * PAGE_BYTES);
      this.#sync(inode, file, from - (from % PAGE_BYTES), end);
    };
    return {
      bytes: inode.content,
      capacityBytes: inode.content.length,
      write: (source, from, to, position) => {
        const write = (end: number): void => {
          inode.content.set(source.subarray(from, end), position);
        };
        this.#count(`write ${file}`, () => write(from + ((to - from) >> 1)));
        write(to);
      },
      publish() {},
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
    return this.#names.has(file) || this.#directories.has(file);
  }

  sizeOf(file: string): number {
    return this.#find(file, 'stat').content.length;
  }

  modifiedMs(file: string): number {
    this.#find(file, 'stat');
    return 0;
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

  readFile(file: string): Buffer | undefined {
    const inode = this.#names.get(file);
    return inode === undefined ? undefined : Buffer.from(inode.content);
  }

  replaceFile(file: string, content: Uint8Array): void {
    this.#count(`replace ${file}`);
    const inode = new Inode();
    inode.content = Buffer.from(content);
    inode.sync();
    this.#names.set(file, inode);
    this.syncDirectory(path.dirname(file));
  }

  open(file: string, create: boolean): number {
    this.#count(`open ${file}`);
    let inode = this.#names.get(file);
    if (inode === undefined) {
      if (!create) throw storeError({ code: 'ENOENT' }, `open ${file}`);
      inode = new Inode();
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
    const { content } = this.#at(descriptor).inode;
    const count = Math.max(0, Math.min(bytes, content.length - position));
    target.set(content.subarray(position, position + count), targetOffset);
    return count;
  }

  writeAt(
    descriptor: number,
    source: Uint8Array,
    from: number,
    to: number,
    position: number,
  ): void {
    const { inode, file } = this.#at(descriptor);
    const write = (end: number): void => {
      if (position + end - from > inode.content.length) inode.resize(position + end - from);
      inode.content.set(source.subarray(from, end), position);
    };
    this.#count(`write ${file}`, () => write(from + ((to - from) >> 1)));
    write(to);
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
    this.#count(`sync ${directory}`);
    for (const name of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      if (path.dirname(name) !== directory) continue;
      const inode = this.#names.get(name);
      if (inode === undefined) this.#durableNames.delete(name);
      else this.#durableNames.set(name, inode);
    }
  }

  space(): DiskSpace {
    const { availableBytes } = this;
    return { totalBytes: 2 ** 40, freeBytes: availableBytes, availableBytes };
  }

  #sync(inode: Inode, file: string, from?: number, to?: number): void {
    try {
      this.#count(`sync ${file}`);
      if (inode.isPoisoned) throw storeError({ code: 'EIO' }, `sync ${file}`);
    } catch (error) {
      inode.isPoisoned = true;
      throw error;
    }
    inode.sync(from, to);
  }

  #count(what: string, writeHalf: () => void = () => {}): void {
    this.callCount++;
    if (this.failure?.call !== this.callCount) return;
    const { fault } = this.failure;
    if (fault === 'SHORT') writeHalf();
    throw storeError({ code: fault === 'SHORT' ? 'ENOSPC' : fault }, what);
  }

  #find(file: string, what: string): Inode {
    const inode = this.#names.get(file);
    if (inode === undefined) throw storeError({ code: 'ENOENT' }, `${what} ${file}`);
    return inode;
  }

  #at(descriptor: number): { inode: Inode; file: string } {
    const entry = this.#descriptors.get(descriptor);
    if (entry === undefined) throw storeError({ code: 'EBADF' }, 'descriptor');
    return entry;
  }
}
