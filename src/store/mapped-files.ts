/**
 * @agent any
 *
 * Segments as memory maps of preallocated files, which are read where they are mapped and appended to
 * by `pwrite`: the page cache is one. A store to a page that is new to the mapping costs a fault of up to 5 us,
 * for each 4 KiB; a call for all records of a turn costs a quarter of that, and the kernel takes larger pages.
 * Every thread maps a file for itself and unmaps only its own view.
 *
 * A view outlives its file, and shows another one later. To detach it would be the end of all optimized code of the
 * thread: the first array that is detached has V8 throw away whatever had relied on that none is, and compile it anew,
 * with a look at each access. And each new view of 1 GiB would count as memory that was taken.
 *
 * A page fault on a hole of a full disk would be SIGBUS and the end of the process, so a file is
 * allocated whole before it is mapped, and its size is checked before an existing one is. A bad
 * sector under a mapping stays SIGBUS; nothing in user space can turn that into an error.
 */
import fs from 'node:fs';
import path from 'node:path';
import { BrokerError } from '../base/errors.ts';
import { welcomeNativeCrc32 } from '../protocol/crc32.ts';
import {
  beginWriteAt,
  discard,
  type ExistingFile,
  failedWith,
  fileCalls,
  openExisting,
  openToRead,
  storeError,
  syncError,
} from './file-calls.ts';
import { Advice, posix } from './posix.ts';
import type { Segment, StoreFiles } from './segment.ts';

export function createMappedFiles(): StoreFiles {
  // These need native code themselves.
  welcomeNativeCrc32();
  return {
    ...fileCalls,
    kind: 'mapped',
    syncFileSystem(directory) {
      const descriptor = openSync(directory, fs.constants.O_RDONLY);
      try {
        const errno = posix().syncFileSystem(descriptor);
        const name = errno === 0 ? '' : posix().errorName(errno);
        if (errno === 0 || name === 'ENOSYS') return errno === 0;
        throw syncError({ code: name }, `sync the file system of ${directory}`);
      } finally {
        fs.closeSync(descriptor);
      }
    },
    createSegment(file, capacityBytes) {
      const descriptor = openSync(
        file,
        fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
      );
      try {
        const errno = posix().posixFallocate(descriptor, 0, capacityBytes);
        if (errno !== 0) throw storeError({ code: posix().errorName(errno) }, `allocate ${file}`);
        fs.fsyncSync(descriptor);
        fileCalls.syncDirectory(path.dirname(file));
        return new MappedSegment(descriptor, file, capacityBytes, false);
      } catch (error) {
        // Half a segment is worse than none: the next start would have to tell it from a damaged one.
        discard(file);
        throw BrokerError.is(error) ? error : storeError(error, `create ${file}`);
      } finally {
        fs.closeSync(descriptor);
      }
    },
    openSegment(file, capacityBytes) {
      try {
        return mapExisting(file, capacityBytes, openExisting(file));
      } catch (error) {
        if (!failedWith(error, 'EROFS')) throw error;
      }
      // ext4 that met an error still opens files to write, and maps none of those.
      return mapExisting(file, capacityBytes, openToRead(file));
    },
  };
}

/** Closes the descriptor: a mapping outlives it. */
function mapExisting(
  file: string,
  capacityBytes: number,
  { descriptor, isReadOnly }: ExistingFile,
): MappedSegment {
  try {
    const { size, blocks } = fs.fstatSync(descriptor);
    if (size !== capacityBytes) {
      throw new BrokerError(
        'STORE_DAMAGED',
        `${file} has ${size} bytes, not ${capacityBytes}; restore it from a copy or remove it`,
      );
    }
    // A sparse file, as another broker may have left it, is made whole before a hole can fault.
    if (blocks * 512 < size && !isReadOnly) {
      const errno = posix().posixFallocate(descriptor, 0, capacityBytes);
      if (errno !== 0) throw storeError({ code: posix().errorName(errno) }, `allocate ${file}`);
    }
    return new MappedSegment(descriptor, file, capacityBytes, isReadOnly);
  } catch (error) {
    throw BrokerError.is(error) ? error : storeError(error, `open ${file}`);
  } finally {
    fs.closeSync(descriptor);
  }
}

function openSync(file: string, flags: number): number {
  try {
    return fs.openSync(file, flags, 0o644);
  } catch (cause) {
    throw storeError(cause, `open ${file}`);
  }
}

const NO_BYTES = Buffer.alloc(0);

/** Memory that a file can be mapped to. */
interface MappedView {
  readonly address: bigint;
  readonly bytes: Buffer;
}

/** Of this thread: views that show no file now, by their size. */
const idleViews = new Map<number, MappedView[]>();

class MappedSegment implements Segment {
  readonly capacityBytes: number;
  #bytes: Buffer | null = null;
  readonly #file: string;
  readonly #address: bigint;
  /** Of whoever appends; -1: nobody has. */
  #descriptor = -1;
  #isClosed = false;
  /** Of other threads. */
  #writeCount = 0;
  /** Pages are prepared from some place on, forwards. */
  #isRandom = false;

  constructor(descriptor: number, file: string, capacityBytes: number, isReadOnly: boolean) {
    this.capacityBytes = capacityBytes;
    this.#file = file;
    const idle = idleViews.get(capacityBytes)?.pop();
    this.#address = posix().map(descriptor, capacityBytes, isReadOnly, idle?.address);
    this.#bytes = idle?.bytes ?? null;
  }

  /** V8 counts all of it as memory that was taken, and looks for garbage: threads that only sync have no view. */
  get bytes(): Buffer {
    return this.#bytes ?? this.#view();
  }

  #view(): Buffer {
    if (this.#isClosed) return NO_BYTES;
    this.#bytes = Buffer.from(posix().view(this.#address, this.capacityBytes));
    return this.#bytes;
  }

  write(source: Uint8Array, from: number, to: number, position: number): void {
    this.#openToWrite();
    fileCalls.writeAt(this.#descriptor, source, from, to, position);
  }

  beginWrite(
    pieces: readonly Uint8Array[],
    position: number,
    onWritten: (error: BrokerError | null) => void,
  ): void {
    try {
      this.#openToWrite();
    } catch (error) {
      onWritten(error as BrokerError);
      return;
    }
    const descriptor = this.#descriptor;
    this.#writeCount++;
    beginWriteAt(descriptor, pieces, position, (error) => {
      if (--this.#writeCount === 0 && this.#isClosed) fs.closeSync(descriptor);
      onWritten(error);
    });
  }

  #openToWrite(): void {
    if (this.#descriptor < 0) this.#descriptor = openSync(this.#file, fs.constants.O_RDWR);
  }

  publish(): void {}

  sync(from: number, to: number): void {
    const errno = posix().sync(this.#address, from, to);
    if (errno !== 0) throw syncError({ code: posix().errorName(errno) }, `sync ${this.#file}`);
  }

  prepare(from: number, to: number): void {
    // Without it a fault makes a page cache folio of up to 2 MiB, of which one changed byte makes
    // every sync write all. The advice holds for this thread's mapping; readers keep read-ahead.
    if (!this.#isRandom) posix().advise(this.#address, from, this.capacityBytes, Advice.RANDOM);
    this.#isRandom = true;
    if (posix().advise(this.#address, from, to, Advice.POPULATE_WRITE) !== 0) {
      // Kernels before 5.14. Nothing may be written here: the writer may be writing there itself.
      posix().advise(this.#address, from, to, Advice.WILL_NEED);
      return;
    }
    // Populated pages are dirty: written now, they do not burden the next group commit. To clean one that is
    // mapped interrupts all cores, each by itself.
    this.unmapPages(from, to);
    this.sync(from, to);
  }

  unmapPages(from: number, to: number): void {
    posix().advise(this.#address, from, to, Advice.DONT_NEED);
  }

  dropPages(from: number, to: number): void {
    try {
      const { descriptor } = openToRead(this.#file);
      posix().dropPages(descriptor, from, to);
      fs.closeSync(descriptor);
    } catch {
      // Of no use to say: they stay until the system wants their memory.
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Not before the last write: its number would be another file's.
    if (this.#descriptor >= 0 && this.#writeCount === 0) fs.closeSync(this.#descriptor);
    const bytes = this.#bytes;
    const address = this.#address;
    const { capacityBytes } = this;
    this.#bytes = null;
    if (bytes === null) {
      posix().unmap(address, capacityBytes);
      return;
    }
    posix().blank(address, capacityBytes);
    const idle = idleViews.get(capacityBytes) ?? [];
    idle.push({ address, bytes });
    idleViews.set(capacityBytes, idle);
  }
}
