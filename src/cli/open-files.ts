/**
 * @agent any
 *
 * How many connections a process may take before it has no file left for its store: what can not be opened ends a
 * broker, and connections are opened by anybody.
 */
import fs from 'node:fs';

/** Consume queues, index, timers, segments of some GiB, listeners, the log: see the descriptor caches. */
export const FILES_OF_STORE = 512;

/** Of `wanted` connections those for which there are files. Node raises its own limit as far as it may. */
export function connectionsWithin(wanted: number): number {
  const limit = openFilesMax();
  return Math.min(wanted, Math.max(Math.floor(limit / 4), limit - FILES_OF_STORE));
}

/** Infinity where there is no limit, or nobody tells. */
function openFilesMax(): number {
  try {
    const limits = fs.readFileSync('/proc/self/limits', 'utf8');
    const [, soft] = /^Max open files\s+(\d+)/m.exec(limits) ?? [];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}
