/**
 * @agent dispatcher
 *
 * The message index: a row of IndexFiles, each named by the time it was begun (yyyyMMddHHmmssSSS,
 * local), of which the newest is written. Source: IndexService.java.
 */
import path from 'node:path';
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { IndexFile, indexFileBytes } from './index-file.ts';
import type { StoreFiles } from './segment.ts';

export interface IndexStoreOptions {
  files: StoreFiles;
  directory: string;
  logger: Logger;
  wallClock: WallClock;
  /** RocketMQ opens only files of its own sizes: the defaults. */
  slotCount?: number;
  entryCountMax?: number;
}

const SLOT_COUNT = 5_000_000;
const ENTRY_COUNT_MAX = 20_000_000;

export class IndexStore {
  readonly #options: IndexStoreOptions;
  readonly #slotCount: number;
  readonly #entryCountMax: number;
  #indexFiles: IndexFile[] = [];
  #unsynced = new Set<string>();
  #lastName = '';

  constructor(options: IndexStoreOptions) {
    this.#options = options;
    this.#slotCount = options.slotCount ?? SLOT_COUNT;
    this.#entryCountMax = options.entryCountMax ?? ENTRY_COUNT_MAX;
  }

  /** Opens what is there and takes back entries at or past `physicalOffset`, which dispatch will bring again. */
  load(physicalOffset: number): void {
    const { files, directory, logger } = this.#options;
    const expectedBytes = indexFileBytes(this.#slotCount, this.#entryCountMax);
    for (const name of files.list(directory)) {
      const file = path.join(directory, name);
      if (!/^\d{17}$/.test(name) || files.sizeOf(file) !== expectedBytes) {
        logger.warn({ file }, 'ignored a file that is no index of this size');
        continue;
      }
      this.#lastName = name;
      const indexFile = this.#open(file);
      if (indexFile.beginPhysicalOffset >= physicalOffset && physicalOffset > 0) {
        indexFile.close();
        files.remove(file);
      } else this.#indexFiles.push(indexFile);
    }
    this.#indexFiles.at(-1)?.truncateTo(physicalOffset);
  }

  /** Store timestamp and place of the newest indexed message. */
  get lastIndexed(): { timestampMs: number; physicalOffset: number } {
    const last = this.#indexFiles.at(-1);
    return { timestampMs: last?.endTimestampMs ?? 0, physicalOffset: last?.endPhysicalOffset ?? 0 };
  }

  /** Adds a key, by the Java hash of `topic#key`. */
  put(hash: number, physicalOffset: number, storeTimestampMs: number): void {
    let last = this.#indexFiles.at(-1);
    if (last === undefined || last.isFull) last = this.#roll();
    last.put(hash, physicalOffset, storeTimestampMs);
  }

  /** Places of messages whose key has this hash, newest first. Hashes collide: the caller compares keys. */
  query(hash: number, beginMs: number, endMs: number, countMax: number): number[] {
    const found: number[] = [];
    for (const file of [...this.#indexFiles].reverse()) {
      if (found.length >= countMax) break;
      if (file.beginTimestampMs > endMs || file.endTimestampMs + 999 < beginMs) continue;
      file.query(hash, beginMs, endMs, countMax, found);
    }
    return found;
  }

  /** @throws BrokerError STORE_NO_SPACE; what is not written stays in memory */
  writePending(): number {
    let count = 0;
    for (const file of this.#indexFiles) {
      if (!file.writePending()) continue;
      this.#unsynced.add(file.path);
      count++;
    }
    return count;
  }

  takeUnsynced(): string[] {
    const paths = [...this.#unsynced];
    this.#unsynced.clear();
    return paths;
  }

  /** Deletes files whose messages have all expired. */
  expireBelow(minimumPhysicalOffset: number): void {
    while (this.#indexFiles.length > 1) {
      const first = this.#indexFiles[0] as IndexFile;
      if (first.endPhysicalOffset >= minimumPhysicalOffset) return;
      first.close();
      this.#options.files.remove(first.path);
      this.#indexFiles.shift();
    }
  }

  close(): void {
    for (const file of this.#indexFiles) file.close();
    this.#indexFiles = [];
  }

  #roll(): IndexFile {
    const { files, directory, wallClock } = this.#options;
    let timestampMs = wallClock.nowMs();
    while (indexFileName(timestampMs) <= this.#lastName) timestampMs++;
    this.#lastName = indexFileName(timestampMs);
    files.makeDirectory(directory);
    const file = this.#open(path.join(directory, this.#lastName));
    this.#indexFiles.push(file);
    this.#unsynced.add(`${directory}/`);
    return file;
  }

  #open(file: string): IndexFile {
    return new IndexFile(this.#options.files, file, this.#slotCount, this.#entryCountMax);
  }
}

/** Local time as yyyyMMddHHmmssSSS. */
function indexFileName(timestampMs: number): string {
  const time = new Date(timestampMs);
  const digits = (value: number, count: number): string => String(value).padStart(count, '0');
  const date = `${time.getFullYear()}${digits(time.getMonth() + 1, 2)}${digits(time.getDate(), 2)}`;
  const clock = `${digits(time.getHours(), 2)}${digits(time.getMinutes(), 2)}${digits(time.getSeconds(), 2)}`;
  return `${date}${clock}${digits(time.getMilliseconds(), 3)}`;
}
