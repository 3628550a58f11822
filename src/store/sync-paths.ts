/**
 * @agent any
 *
 * Makes written files and directories survive the loss of power; blocks.
 */
import type { StoreFiles } from './segment.ts';

/** Paths of files, and of directories with a closing "/". What has been deleted meanwhile needs no sync. */
export function syncPaths(files: StoreFiles, paths: Iterable<string>): void {
  for (const path of paths) {
    if (!files.exists(path)) continue;
    if (path.endsWith('/')) {
      files.syncDirectory(path);
      continue;
    }
    const descriptor = files.open(path, false);
    try {
      files.syncDescriptor(descriptor);
    } finally {
      files.closeDescriptor(descriptor);
    }
  }
}
