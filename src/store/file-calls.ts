/**
 * @agent any
 *
 * The small file calls that the mapped and the plain implementation share, over node:fs, with the
 * store's errors.
 */
import fs from 'node:fs';
import path from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { BrokerError } from '../base/errors.ts';
import type { StoreFiles } from './segment.ts';

export type FileCalls = Omit<StoreFiles, 'kind' | 'createSegment' | 'openSegment'>;

/** What keeps a call from writing, and what to do about it. */
const advices: Readonly<Record<string, string>> = {
  ENOSPC: 'free space on the file system of the store',
  EDQUOT: 'free space on the file system of the store',
  EROFS: 'the file system of the store is read-only: see why, and mend it',
};

/** The store's error for a failed call: STORE_NO_SPACE where nothing can be written for now, else STORE_IO. */
export function storeError(cause: unknown, what: string): BrokerError {
  const code = codeOf(cause) || String(cause);
  const advice = advices[code];
  if (advice !== undefined)
    return new BrokerError('STORE_NO_SPACE', `${what}: ${code}; ${advice}`, { cause });
  const text = `${what}: ${code}; check the device, permissions and limits`;
  return new BrokerError('STORE_IO', text, { cause });
}

/**
 * STORE_IO for a failed sync, whatever the system said: pages that it could not write may be gone, and a
 * second sync would report success.
 */
export function syncError(cause: unknown, what: string): BrokerError {
  const code = codeOf(cause) || String(cause);
  return new BrokerError(
    'STORE_IO',
    `${what}: ${code}; what was written may be lost: check the device, its space and quota, then start again`,
    { cause },
  );
}

/** Runs a call and says its failure as the store does. */
export function attempt<Result>(
  what: string,
  call: () => Result,
  errorOf: (cause: unknown, what: string) => BrokerError = storeError,
): Result {
  try {
    return call();
  } catch (cause) {
    throw errorOf(cause, what);
  }
}

/** What the system said of a failed call, as ENOENT; empty where it said nothing. */
export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

/** Whether the store's error is of a call that failed so. */
export function failedWith(error: unknown, code: string): boolean {
  return BrokerError.is(error) && codeOf(error.cause) === code;
}

/**
 * Throws on what is not for lack of space, which heals, or because the file system has become read-only, also where
 * a sync says so.
 */
export function throwUnlessNoSpace(error: unknown): asserts error is BrokerError {
  if (!BrokerError.is(error)) throw error;
  if (error.code !== 'STORE_NO_SPACE' && !failedWith(error, 'EROFS')) throw error;
}

/** Runs what a file system that is read-only may refuse without harm; false where it did. */
export function unlessReadOnly(call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (!failedWith(error, 'EROFS')) throw error;
    return false;
  }
}

export const fileCalls: FileCalls = {
  list(directory) {
    return attempt(`list ${directory}`, () => {
      try {
        return fs.readdirSync(directory).sort();
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return [];
        throw error;
      }
    });
  },
  exists: (file) => fs.existsSync(file),
  sizeOf: (file) => attempt(`stat ${file}`, () => fs.statSync(file).size),
  modifiedMs: (file) => attempt(`stat ${file}`, () => fs.statSync(file).mtimeMs),
  makeDirectory(directory) {
    attempt(`make directory ${directory}`, () => makeDirectories(directory));
  },
  remove(file) {
    attempt(`remove ${file}`, () => {
      try {
        unlinkIfThere(file);
      } catch (error) {
        const code = codeOf(error);
        // EPERM: a directory, where this is not Linux.
        if (code !== 'EISDIR' && code !== 'EPERM') throw error;
        fs.rmSync(file, { recursive: true, force: true });
      }
    });
  },
  unlink(file) {
    attempt(`remove ${file}`, () => unlinkAndClose(file));
  },
  rename(from, to) {
    attempt(`move ${from}`, () => fs.renameSync(from, to));
  },
  readFile(file) {
    return attempt(`read ${file}`, () => {
      try {
        return fs.readFileSync(file);
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw error;
      }
    });
  },
  replaceFile(file, content, isPrivate = false) {
    attempt(`replace ${file}`, () => {
      const temporary = `${file}.tmp`;
      const descriptor = openTemporary(temporary, isPrivate);
      try {
        writeAll(descriptor, content, 0, content.length, 0);
        fs.fsyncSync(descriptor);
      } catch (error) {
        discard(temporary);
        throw error;
      } finally {
        fs.closeSync(descriptor);
      }
      fs.renameSync(temporary, file);
      syncDirectory(path.dirname(file));
    });
  },
  open(file, create) {
    if (!create) return openExisting(file).descriptor;
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT;
    return attempt(`open ${file}`, () => fs.openSync(file, flags, 0o644));
  },
  closeDescriptor: (descriptor) => fs.closeSync(descriptor),
  truncate(descriptor, bytes) {
    attempt('truncate', () => fs.ftruncateSync(descriptor, bytes));
  },
  readAt(descriptor, target, targetOffset, bytes, position) {
    return attempt('read', () => fs.readSync(descriptor, target, targetOffset, bytes, position));
  },
  writeAt(descriptor, source, from, to, position) {
    // Of each turn that appends: no closure.
    try {
      writeAll(descriptor, source, from, to, position);
    } catch (cause) {
      throw writeError(cause);
    }
  },
  syncDescriptor(descriptor) {
    attempt('fsync', () => fs.fdatasyncSync(descriptor), syncError);
  },
  syncFileSystem() {
    return false;
  },
  syncDirectory(directory) {
    attempt(`fsync ${directory}`, () => syncDirectory(directory), syncError);
  },
  space(file) {
    return attempt(`statfs ${file}`, () => {
      const status = fs.statfsSync(file);
      return {
        totalBytes: status.blocks * status.bsize,
        freeBytes: status.bfree * status.bsize,
        availableBytes: status.bavail * status.bsize,
      };
    });
  },
};

/** What `writeAt` throws. */
function writeError(cause: unknown): BrokerError {
  // EBADF: what could only be opened to read, see `openExisting`.
  return storeError(codeOf(cause) === 'EBADF' ? { code: 'EROFS' } : cause, 'write');
}

/** `writeAt` of pieces, one behind the other, by a thread of Node's pool; `onWritten` gets null or what that throws. */
export function beginWriteAt(
  descriptor: number,
  pieces: readonly Uint8Array[],
  position: number,
  onWritten: (error: BrokerError | null) => void,
): void {
  fs.writev(descriptor, pieces, position, (cause, writtenBytes) => {
    let error = cause === null ? null : writeError(cause);
    // Where it was cut short, the rest says why.
    let at = 0;
    for (const piece of pieces) {
      if (error !== null) break;
      const from = Math.max(0, writtenBytes - at);
      if (from < piece.length) {
        try {
          writeAll(descriptor, piece, from, piece.length, position + at + from);
        } catch (rest) {
          error = writeError(rest);
        }
      }
      at += piece.length;
    }
    onWritten(error);
  });
}

export interface ExistingFile {
  readonly descriptor: number;
  readonly isReadOnly: boolean;
}

/** Opens what is there to read and write, on a file system that is read-only to read. */
export function openExisting(file: string): ExistingFile {
  try {
    return { descriptor: fs.openSync(file, fs.constants.O_RDWR), isReadOnly: false };
  } catch (error) {
    if (codeOf(error) !== 'EROFS') throw storeError(error, `open ${file}`);
    return openToRead(file);
  }
}

export function openToRead(file: string): ExistingFile {
  const descriptor = attempt(`open ${file}`, () => fs.openSync(file, fs.constants.O_RDONLY));
  return { descriptor, isReadOnly: true };
}

/** Of what only the owner may read the file is made anew: one that was left keeps its mode. */
export function openTemporary(file: string, isPrivate: boolean): number {
  if (!isPrivate) return fs.openSync(file, 'w');
  unlinkIfThere(file);
  return fs.openSync(file, 'wx', 0o600);
}

/** Removes what a call left that failed: why it did is to be told, and not why this does. */
export function discard(file: string): void {
  try {
    fs.unlinkSync(file);
  } catch {
    // The next start finds it as after a crash.
  }
}

/** As `rmSync`, which does not say the code of what went wrong. */
function unlinkIfThere(file: string): void {
  try {
    fs.unlinkSync(file);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Closed by threads of Node's pool just now. More would use up the descriptors of the process. */
let closingCount = 0;
const CLOSING_COUNT_MAX = 64;

/**
 * An open file keeps what it holds until it is closed, whoever closes it. On threads of agents no event tells that it
 * is: they do it themselves.
 */
function unlinkAndClose(file: string): void {
  let descriptor = -1;
  try {
    if (isMainThread && closingCount < CLOSING_COUNT_MAX)
      descriptor = fs.openSync(file, fs.constants.O_RDONLY);
  } catch {
    // Whatever is in the way of this: the next call says it, or frees it all itself.
  }
  try {
    unlinkIfThere(file);
  } finally {
    if (descriptor >= 0) {
      closingCount++;
      fs.close(descriptor, () => closingCount--);
    }
  }
}

function syncDirectory(directory: string): void {
  const descriptor = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

function writeAll(
  descriptor: number,
  source: Uint8Array,
  from: number,
  to: number,
  position: number,
): void {
  let written = from;
  while (written < to)
    written += fs.writeSync(descriptor, source, written, to - written, position + written - from);
}

/**
 * Node's own recursive way never returns where a parent takes no directories, as /proc. The parent is mostly
 * there: one call then.
 */
function makeDirectories(directory: string): void {
  try {
    fs.mkdirSync(directory);
    return;
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
  }
  const missing: string[] = [];
  for (let at = directory; !fs.existsSync(at); at = path.dirname(at)) missing.push(at);
  // Another start may have made one meanwhile.
  for (const one of missing.reverse()) {
    try {
      fs.mkdirSync(one);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
  }
  if (!fs.statSync(directory).isDirectory())
    throw Object.assign(new Error(`${directory} is no directory`), { code: 'ENOTDIR' });
}
