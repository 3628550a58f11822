/**
 * Takes files out of the page cache, so that the next reading is one of the disk. The files must not be
 * mapped by anybody: their broker has stopped.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** Unit of `blocks` in stat(2). */
const BLOCK_BYTES = 512;
/** Smaller files hold next to nothing of a backlog, and may be tens of thousands. */
const FILE_BYTES_MIN = 64 * 1024;

/** @throws Error where `dd` can not ask for it */
export function dropFromPageCache(directory: string): void {
  // Only what is on the disk can be dropped.
  execFileSync('sync');
  const files = fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => fs.statSync(file).blocks * BLOCK_BYTES >= FILE_BYTES_MIN);
  // With a count of 0 `dd` reads nothing; it says of the whole file that its pages are not needed.
  for (const file of files)
    execFileSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
}
