/**
 * @agent any
 *
 * The few libc calls that mapped files need, through koffi. Loaded on first use: a broker on plain
 * files never loads native code. Calls block the calling thread.
 */
import { createRequire } from 'node:module';

export interface Posix {
  /** Returns 0 or an errno. */
  posixFallocate(descriptor: number, offset: number, bytes: number): number;
  /**
   * Maps a file shared, to read and write, or to read alone, anywhere or `at` a place that is blank; returns the address
   * or throws, with the errno's name as `code`.
   */
  map(descriptor: number, bytes: number, isReadOnly: boolean, at?: bigint | null): bigint;
  /** The memory at an address: from now on something must be mapped there, until this process ends. */
  view(address: bigint, bytes: number): ArrayBuffer;
  /** Ends a mapping that has no view. */
  unmap(address: bigint, bytes: number): void;
  /** Ends a mapping that has one: from now on it shows zeroes, and takes no memory. */
  blank(address: bigint, bytes: number): void;
  /** MS_SYNC; returns 0 or an errno. `from` is rounded down to a page. */
  sync(address: bigint, from: number, to: number): number;
  /** Returns 0 or an errno. `from` is rounded down to a page. */
  advise(address: bigint, from: number, to: number, advice: number): number;
  /** Has the page cache forget what is on the disk and nobody has mapped; returns 0 or an errno, ENOSYS where there is no such call. */
  dropPages(descriptor: number, from: number, to: number): number;
  /**
   * A write lock on a whole open file; false when somebody else holds one. It keeps out the locks of
   * Java's FileLock (fcntl) and is kept out by them, also other threads of this process, and ends
   * when this descriptor is closed or the process ends, however it ends.
   */
  tryLock(descriptor: number): boolean;
  /**
   * Who holds such a lock: a process where a lock of a process stands in the way (Java's FileLock), -1 for one of
   * an open file, null for nobody. Takes nothing.
   */
  lockHolder(descriptor: number): number | null;
  /** Syncs the whole file system of an open file; returns 0 or an errno, ENOSYS where there is no such call. */
  syncFileSystem(descriptor: number): number;
  errorName(errno: number): string;
}

export const Advice = { RANDOM: 1, WILL_NEED: 3, DONT_NEED: 4, POPULATE_WRITE: 23 } as const;

const PROT_READ = 1;
const PROT_READ_WRITE = 3;
/** MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE of Linux. */
const MAP_PRIVATE_ANONYMOUS_FIXED = 0x4032;
const MAP_SHARED = 1;
const MAP_FIXED = 0x10;
const MS_SYNC = 4;
const POSIX_FADV_DONTNEED = 4;
/** Belongs to the open file, not to the process as F_SETLK does, which any close of the file would end. */
const F_OFD_SETLK = 37;
const F_OFD_GETLK = 36;
const F_WRLCK = 1;
const F_UNLCK = 2;
const PAGE_BYTES = 4096;
const M_MMAP_THRESHOLD = -3;
/** glibc's own, to begin with. */
const MAPPED_BLOCK_BYTES_MIN = 128 * 1024;

let loaded: Posix | null = null;

/** @throws Error where koffi has no binary for this platform. */
export function posix(): Posix {
  loaded ??= load();
  return loaded;
}

function load(): Posix {
  // A require keeps the load lazy and synchronous.
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const libc = koffi.load(process.platform === 'darwin' ? 'libSystem.dylib' : 'libc.so.6');
  const fallocate = libc.func('int posix_fallocate(int, int64_t, int64_t)');
  const mmap = libc.func('void *mmap(void *, size_t, int, int, int, int64_t)');
  const munmap = libc.func('int munmap(void *, size_t)');
  const msync = libc.func('int msync(void *, size_t, int)');
  const madvise = libc.func('int madvise(void *, size_t, int)');
  const fcntl = libc.func('int fcntl(int, int, void *)');
  // Blocks from this size on go back to the system when they are freed. Unless told, glibc raises it each time
  // that happens, up to 32 MiB, and keeps the holes: 20 MB after some minutes of strangers' requests.
  if (process.platform === 'linux')
    libc.func('int mallopt(int, int)')(M_MMAP_THRESHOLD, MAPPED_BLOCK_BYTES_MIN);
  const syncfs = process.platform === 'linux' ? libc.func('int syncfs(int)') : null;
  const fadvise =
    process.platform === 'linux'
      ? libc.func('int posix_fadvise(int, int64_t, int64_t, int)')
      : null;
  const errorNames = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]));
  const failed = 0xffff_ffff_ffff_ffffn;
  const pageStart = (offset: number): number => offset - (offset % PAGE_BYTES);
  const errorName = (errno: number): string => errorNames.get(errno) ?? `errno ${errno}`;
  /** @throws Error where the call gave no address */
  const checked = (address: bigint | null, what: string): bigint => {
    if (address !== null && address !== failed && address !== -1n) return address;
    const code = errorName(koffi.errno());
    throw Object.assign(new Error(`${what}: ${code}`), { code });
  };
  return {
    posixFallocate: (descriptor, offset, bytes) => fallocate(descriptor, offset, bytes) as number,
    map(descriptor, bytes, isReadOnly, at = null) {
      const protection = isReadOnly ? PROT_READ : PROT_READ_WRITE;
      const flags = at === null ? MAP_SHARED : MAP_SHARED | MAP_FIXED;
      const address = mmap(at, bytes, protection, flags, descriptor, 0) as bigint | null;
      return checked(address, `mmap of ${bytes} bytes`);
    },
    unmap(address, bytes) {
      munmap(address, bytes);
    },
    blank(address, bytes) {
      const flags = MAP_PRIVATE_ANONYMOUS_FIXED;
      checked(mmap(address, bytes, PROT_READ, flags, -1, 0) as bigint | null, 'mmap');
    },
    view: (address, bytes) => koffi.view(address, bytes),
    sync(address, from, to) {
      const start = pageStart(from);
      return msync(address + BigInt(start), to - start, MS_SYNC) === 0 ? 0 : koffi.errno();
    },
    advise(address, from, to, advice) {
      const start = pageStart(from);
      return madvise(address + BigInt(start), to - start, advice) === 0 ? 0 : koffi.errno();
    },
    dropPages(descriptor, from, to) {
      if (fadvise === null) return koffi.os.errno.ENOSYS;
      return fadvise(descriptor, from, to - from, POSIX_FADV_DONTNEED) as number;
    },
    tryLock(descriptor) {
      // struct flock of 64-bit Linux: type i16, whence i16, pad, start i64, length i64, pid i32 (0 here).
      const lock = Buffer.alloc(32);
      lock.writeInt16LE(F_WRLCK, 0);
      return fcntl(descriptor, F_OFD_SETLK, lock) === 0;
    },
    lockHolder(descriptor) {
      const lock = Buffer.alloc(32);
      lock.writeInt16LE(F_WRLCK, 0);
      if (fcntl(descriptor, F_OFD_GETLK, lock) !== 0) return null;
      return lock.readInt16LE(0) === F_UNLCK ? null : lock.readInt32LE(24);
    },
    syncFileSystem(descriptor) {
      if (syncfs === null) return koffi.os.errno.ENOSYS;
      return syncfs(descriptor) === 0 ? 0 : koffi.errno();
    },
    errorName,
  };
}
