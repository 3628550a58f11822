/**
 * @agent any
 *
 * A file that says which process holds a directory, for where no lock of the system can be had. It
 * may outlive its process, and process numbers are used again: so it also names the start of the
 * machine and the time at which the process started, where the system tells them.
 *
 * ```
 *  <process id> <id of the machine's start> <start of the process in clock ticks>
 * ```
 */
import fs from 'node:fs';
import { threadId } from 'node:worker_threads';
import { codeOf, discard, storeError } from './file-calls.ts';

/** Takes the file, or takes it over from a process that has ended; false while its owner lives. */
export function takePidFile(file: string): boolean {
  // Linked into place whole: nobody ever reads a half of it.
  const own = `${file}.${process.pid}.${threadId}`;
  try {
    writeOwn(own, file);
    return linkOver(own, file);
  } catch (cause) {
    throw storeError(cause, `lock ${file}`);
  } finally {
    discard(own);
  }
}

/** The living process that a file names; undefined where there is none. */
export function holderOf(file: string): number | undefined {
  const identity = readIfThere(file);
  return identity !== undefined && isAlive(identity) ? Number(identity.split(' ')[0]) : undefined;
}

/** On a full disk what a killed process has left is the room for it. */
function writeOwn(own: string, file: string): void {
  const identity = identityOf(process.pid);
  try {
    fs.writeFileSync(own, identity);
  } catch (error) {
    const holder = readIfThere(file);
    if (codeOf(error) !== 'ENOSPC' || holder === undefined || isAlive(holder)) throw error;
    if (!takeAway(file, holder, own)) throw error;
    overwrite(own, identity);
  }
}

/**
 * Moves the file of a holder that has ended to a name of our own: of two that find it, one gets it. False where
 * another process had been quicker.
 */
function takeAway(file: string, holder: string | undefined, to: string): boolean {
  fs.renameSync(file, to);
  const moved = readIfThere(to);
  if (moved === holder || moved === undefined) return true;
  // It gets its file back.
  tryLink(to, file);
  discard(to);
  return false;
}

/** In the blocks that the file has. */
function overwrite(file: string, text: string): void {
  const descriptor = fs.openSync(file, 'r+');
  try {
    fs.ftruncateSync(descriptor, fs.writeSync(descriptor, text));
  } finally {
    fs.closeSync(descriptor);
  }
}

function linkOver(own: string, file: string): boolean {
  if (tryLink(own, file)) return true;
  const holder = readIfThere(file);
  if (holder !== undefined && isAlive(holder)) return false;
  const aside = `${own}.stale`;
  try {
    if (!takeAway(file, holder, aside)) return false;
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return tryLink(own, file);
  }
  discard(aside);
  return tryLink(own, file);
}

/** What file systems without hard links answer; a copy is not taken at once, but the file is as exclusive. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

function tryLink(from: string, to: string): boolean {
  try {
    fs.linkSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!NO_LINKS.has(codeOf(error))) throw error;
  }
  try {
    fs.copyFileSync(from, to, fs.constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isAlive(identity: string): boolean {
  const pid = Number(identity.split(' ')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
  }
  return identityOf(pid) === identity;
}

function identityOf(pid: number): string {
  try {
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold anything; field 22 is the 20th behind it.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${pid} ${boot} ${ticks}`;
  } catch {
    return `${pid} - -`;
  }
}
