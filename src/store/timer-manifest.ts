/**
 * @agent dispatcher
 *
 * What a timer wheel was at one moment: a JSON file, replaced as a whole.
 */
import type { Logger } from '../base/logging.ts';
import type { StoreFiles } from './segment.ts';

export interface TimerManifest {
  /** Records of the log below were added. */
  position: number;
  /** Entries due up to here were handed out; milliseconds since the epoch. */
  cursorMs: number;
  /** The owner's; see `TimerWheel.mark`. */
  mark: number;
  /** The last one given to a bucket. */
  serial: number;
  /** By level: buckets of earlier times were opened. */
  opened: number[];
  buckets: {
    level: number;
    startMs: number;
    serial: number;
    /** Length of the file. */
    bytes: number;
    /** What of it was taken over elsewhere. */
    readBytes: number;
  }[];
}

/** What the file says; an empty wheel where there is none, or none of ours: all is added again from the log. */
export function readManifest(files: StoreFiles, path: string, logger: Logger): TimerManifest {
  const empty = { position: 0, cursorMs: 0, mark: 0, serial: 0, opened: [0, 0, 0, 0], buckets: [] };
  const bytes = files.readFile(path);
  if (bytes === undefined) return empty;
  try {
    const manifest = JSON.parse(bytes.toString()) as TimerManifest;
    if (Array.isArray(manifest.buckets) && Array.isArray(manifest.opened)) return manifest;
  } catch {
    // Said below.
  }
  logger.warn(
    { path },
    'ignored a damaged timer manifest: timed messages are read from the log again',
  );
  return empty;
}
