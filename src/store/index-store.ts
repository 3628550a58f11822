/**
 * @agent dispatcher
 *
 * The message index: a row of IndexFiles, each named by the time it was begun (yyyyMMddHHmmssSSS,
 * local), of which the newest is written. Source: IndexService.java.
 */
import path from 'node:path';
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { DescriptorCache } from './descriptor-cache.ts';
import { throwUnlessNoSpace } from './file-calls.ts';
import { IndexFile, indexFileBytes } from './index-file.ts';
import type { StoreFiles } from './segment.ts';
import { syncPaths } from './sync-paths.ts';

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
const DESCRIPTOR_COUNT_MAX = 16;

export class IndexStore {
  readonly #options: IndexStoreOptions;
  readonly #slotCount: number;
  readonly #entryCountMax: number;
  #indexFiles: IndexFile[] = [];
  readonly #unsynced = new Set<string>();
  #lastName = '';
  readonly #descriptors: DescriptorCache;
  #hasGivenUp = false;

  constructor(options: IndexStoreOptions) {
    this.#options = options;
    this.#slotCount = options.slotCount ?? SLOT_COUNT;
    this.#entryCountMax = options.entryCountMax ?? ENTRY_COUNT_MAX;
    this.#descriptors = new DescriptorCache(options.files, DESCRIPTOR_COUNT_MAX);
  }

  /**
   * Opens what is there. `physicalOffset`: where dispatch goes on; everything below was synced before.
   * Entries at or past it are taken back, and what a crash left unfinished is built again.
   */
  load(physicalOffset: number): void {
    const { files, directory, logger } = this.#options;
    const expectedBytes = indexFileBytes(this.#slotCount, this.#entryCountMax);
    for (const name of files.list(directory)) {
      const file = path.join(directory, name);
      const isNamed = /^\d{17}$/.test(name);
      if (isNamed) this.#lastName = name;
      const bytes = files.sizeOf(file);
      if (isNamed && bytes === 0) files.remove(file);
      else if (isNamed && bytes === expectedBytes) this.#load(file, physicalOffset);
      else
        logger.warn({ file, bytes, expectedBytes }, 'ignored a file that is no index of this size');
    }
    // A broker that was killed may have made a file whose name is not on the disk.
    if (this.#indexFiles.length > 0) this.#unsynced.add(`${directory}/`);
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
      if (file.query(hash, beginMs, endMs, countMax, found)) continue;
      if (!this.#hasGivenUp) {
        this.#options.logger.warn(
          { hash },
          'a query by key gave up: too many newer messages have keys like it',
        );
      }
      this.#hasGivenUp = true;
    }
    return found;
  }

  /**
   * Writes new entries; returns the bytes.
   * @throws BrokerError STORE_NO_SPACE; what is not written stays in memory
   */
  writePending(): number {
    let bytes = 0;
    for (const file of this.#indexFiles) {
      const fileBytes = file.writePending();
      if (fileBytes > 0) this.#unsynced.add(file.path);
      bytes += fileBytes;
    }
    return bytes;
  }

  /** Files and directories (with a closing "/") written since the last call, for another thread to sync. */
  takeUnsynced(): string[] {
    const paths = [...this.#unsynced];
    this.#unsynced.clear();
    return paths;
  }

  /** Deletes files whose messages have all expired. */
  expireBelow(minimumPhysicalOffset: number): void {
    while (this.#indexFiles.length > 1) {
      const first = this.#indexFiles[0];
      if (first.endPhysicalOffset >= minimumPhysicalOffset) return;
      this.#remove(first.path);
      this.#indexFiles.shift();
    }
  }

  /** Stores the slots too, and syncs: the next start, of whichever broker, finds the files whole. */
  close(): void {
    try {
      for (const file of this.#indexFiles) file.seal();
      syncPaths(this.#options.files, this.takeUnsynced());
    } catch (error) {
      throwUnlessNoSpace(error);
      this.#options.logger.warn(
        { error: error.message },
        'the index is not stored whole; the next start builds it again',
      );
    }
    this.#descriptors.closeAll();
    this.#indexFiles = [];
  }

  #load(file: string, physicalOffset: number): void {
    const indexFile = this.#open(file);
    indexFile.load(physicalOffset);
    if (indexFile.isEmpty) this.#remove(file);
    else this.#indexFiles.push(indexFile);
  }

  #remove(file: string): void {
    this.#descriptors.close(file);
    this.#options.files.unlink(file);
  }

  #roll(): IndexFile {
    const { directory, wallClock } = this.#options;
    const name = indexFileName(wallClock.nowMs());
    // Names ascend even where the clock went back: the order of files is the order of messages.
    this.#lastName = name > this.#lastName ? name : String(BigInt(this.#lastName) + 1n);
    const file = this.#open(path.join(directory, this.#lastName));
    this.#indexFiles.push(file);
    this.#unsynced.add(`${directory}/`);
    return file;
  }

  #open(file: string): IndexFile {
    return new IndexFile({
      files: this.#options.files,
      descriptors: this.#descriptors,
      path: file,
      slotCount: this.#slotCount,
      entryCountMax: this.#entryCountMax,
    });
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
