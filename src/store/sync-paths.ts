/**
 * @agent any
 *
 * Makes written files and directories survive the loss of power; blocks.
 */
import { dirname } from 'node:path';
import { failedWith } from './file-calls.ts';
import type { StoreFiles } from './segment.ts';

/**
 * So many files are synced by one call for the whole file system: each for itself waits for the disk, and
 * that takes minutes for the queues of 10,000 topics. A guess.
 */
export const SYNC_ALL_COUNT = 256;

/** Syncs many files at once; false where there is no call for it. */
export function syncAll(files: StoreFiles, paths: Iterable<string>): boolean {
  for (const path of paths) {
    const directory = dirname(path);
    if (files.exists(directory)) return files.syncFileSystem(directory);
  }
  return true;
}

/** Paths of files, and of directories with a closing "/". What has been deleted meanwhile needs no sync. */
export function syncPaths(files: StoreFiles, paths: readonly string[]): void {
  if (paths.length >= SYNC_ALL_COUNT && syncAll(files, paths)) return;
  for (const path of paths) {
    try {
      syncPath(files, path);
    } catch (error) {
      // Also of one that goes while this one is looked at.
      if (!failedWith(error, 'ENOENT')) throw error;
    }
  }
}

function syncPath(files: StoreFiles, path: string): void {
  if (path.endsWith('/')) {
    files.syncDirectory(path);
    return;
  }
  const descriptor = files.open(path, false);
  try {
    files.syncDescriptor(descriptor);
  } finally {
    files.closeDescriptor(descriptor);
  }
}
