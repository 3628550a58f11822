/**
 * @agent dispatcher
 *
 * What a timer wheel was at one moment: a file of JSON and a checksum, replaced as a whole.
 */
import type { Logger } from '../base/logging.ts';
import { crc32Masked } from '../protocol/crc32.ts';
import type { StoreFiles } from './segment.ts';
import { bucketPath } from './timer-bucket.ts';

/** Its name, among the buckets. */
export const MANIFEST = 'manifest';

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

const emptyManifest = (): TimerManifest => ({
  position: 0,
  cursorMs: 0,
  mark: 0,
  serial: 0,
  opened: [0, 0, 0, 0],
  buckets: [],
});

/** JSON, and in a line of its own the checksum of it. */
export function manifestText(manifest: TimerManifest): string {
  const json = JSON.stringify(manifest);
  return `${json}\n${checksumOf(json)}\n`;
}

const checksumOf = (json: string): string =>
  crc32Masked(Buffer.from(json)).toString(16).padStart(8, '0');

/**
 * What the file says; an empty wheel where there is none, or none of ours, or a bucket is shorter than it says:
 * all is added again from the log.
 */
export function readManifest(files: StoreFiles, directory: string, logger: Logger): TimerManifest {
  const path = `${directory}/${MANIFEST}`;
  const bytes = files.readFile(path);
  if (bytes === undefined) return emptyManifest();
  const manifest = parse(bytes.toString('latin1'));
  const isWhole = (bucket: TimerManifest['buckets'][number]): boolean => {
    const file = bucketPath(directory, bucket);
    return files.exists(file) && files.sizeOf(file) >= bucket.bytes;
  };
  if (manifest?.buckets.every(isWhole) === true) return manifest;
  logger.warn(
    { path },
    'ignored a damaged timer manifest, or one of damaged buckets: timed messages are read from the log again',
  );
  return emptyManifest();
}

/** Null where it is damaged. One without a checksum is of a broker that wrote none. */
function parse(text: string): TimerManifest | null {
  const [json, checksum] = text.split('\n');
  if (checksum !== undefined && checksum !== checksumOf(json)) return null;
  try {
    const manifest = JSON.parse(json) as TimerManifest;
    return Array.isArray(manifest.buckets) && Array.isArray(manifest.opened) ? manifest : null;
  } catch {
    return null;
  }
}
