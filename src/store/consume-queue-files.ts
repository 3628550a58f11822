/**
 * @agent dispatcher
 *
 * The files of one queue, `consumequeue/<topic>/<queueId>/<20 digits>`, named by the byte at which
 * they start. Positions are bytes from the beginning of the queue. Files are sparse at their full
 * size, since RocketMQ opens no others, and follow each other without a gap.
 */
import { dirname } from 'node:path';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import { binarySearch } from './binary-search.ts';
import { UNIT_BYTES, unitLayout } from './consume-queue-units.ts';
import type { DescriptorCache } from './descriptor-cache.ts';
import { failedWith } from './file-calls.ts';
import { QueueField } from './queue-table.ts';
import {
  makeQueueFile,
  queueDirectory,
  queueFile,
  type QueueFilesPlace,
  type QueueWrites,
} from './queue-writes.ts';

export interface ConsumeQueueFilesContext extends QueueFilesPlace {
  readonly descriptors: DescriptorCache;
  /** Files and directories (with a closing "/") written since the last sync. */
  readonly unsynced: Set<string>;
  readonly logger: Logger;
  /** The path that was made last. */
  readonly lastFile: { topic: string; queueId: number; start: number; path: string };
}

export class ConsumeQueueFiles {
  readonly #topic: string;
  readonly #queueId: number;
  readonly #context: ConsumeQueueFilesContext;
  /** The queue's numbers, which begin at `#at`. */
  readonly #row: Float64Array;
  readonly #at: number;

  constructor(
    queue: { topic: string; queueId: number },
    context: ConsumeQueueFilesContext,
    row: Float64Array,
    at: number,
  ) {
    this.#topic = queue.topic;
    this.#queueId = queue.queueId;
    this.#context = context;
    this.#row = row;
    this.#at = at;
  }

  /** Where the first file starts and the last one ends; equal where there is none. */
  get start(): number {
    return this.#row[this.#at + QueueField.FILES_START];
  }

  set start(position: number) {
    this.#row[this.#at + QueueField.FILES_START] = position;
  }

  get end(): number {
    return this.#row[this.#at + QueueField.FILES_END];
  }

  set end(position: number) {
    this.#row[this.#at + QueueField.FILES_END] = position;
  }

  get isEmpty(): boolean {
    return this.start === this.end;
  }

  /**
   * Finds the files. One that a crash left short is brought to its size. After a clean stop (`wasClean`) a
   * queue that has its first file and no second is not listed: of 80,000 queues that alone takes seconds.
   * @throws BrokerError STORE_DAMAGED where files have another size than this store's
   */
  load(wasClean: boolean): void {
    const { files, descriptors, fileBytes, logger } = this.#context;
    if (wasClean && this.#isSingle()) {
      this.start = 0;
      this.end = fileBytes;
      return;
    }
    let expected = -1;
    for (const name of files.list(this.#directory)) {
      const file = `${this.#directory}/${name}`;
      const fileStart = Number(name);
      if (!/^\d{20}$/.test(name) || fileStart % fileBytes !== 0) {
        logger.warn({ file }, 'ignored a file that is no part of this queue');
        continue;
      }
      const bytes = files.sizeOf(file);
      if (bytes > fileBytes) {
        throw new BrokerError(
          'STORE_DAMAGED',
          `${file} has ${bytes} bytes, not ${fileBytes}; a queue written with another mappedFileSizeConsumeQueue can't be opened`,
        );
      }
      if (bytes < fileBytes) files.truncate(descriptors.get(file), fileBytes);
      if (expected >= 0 && fileStart !== expected) {
        logger.error(
          { file, missing: this.#fileAt(expected) },
          'a file of this queue is missing: its messages are not found',
        );
      }
      if (expected < 0) this.start = fileStart;
      expected = fileStart + fileBytes;
      this.end = expected;
    }
    // A broker that was killed may have made a file whose name is not on the disk, and nobody makes it again.
    if (!wasClean && !this.isEmpty) this.#addDirectories();
  }

  /** Whether the queue has its first file, whole, and none behind it. */
  #isSingle(): boolean {
    const { files, fileBytes } = this.#context;
    if (files.exists(this.#fileAt(fileBytes))) return false;
    try {
      // Its size says that it is there, too: of 80,000 queues each question less is half a second.
      return files.sizeOf(this.#fileAt(0)) === fileBytes;
    } catch (error) {
      if (!failedWith(error, 'ENOENT')) throw error;
      return false;
    }
  }

  /** Reads into the start of `target`, up to the end of a file; what is not on disk reads as zeroes. Returns the bytes. */
  read(target: Buffer, byteCount: number, position: number): number {
    const { files, descriptors, fileBytes } = this.#context;
    const fileStart = position - (position % fileBytes);
    const bytes = Math.min(byteCount, fileStart + fileBytes - position);
    let readBytes = 0;
    try {
      const descriptor = descriptors.get(this.#fileAt(fileStart));
      readBytes = files.readAt(descriptor, target, 0, bytes, position - fileStart);
    } catch (error) {
      if (!failedWith(error, 'ENOENT')) throw error;
    }
    if (readBytes < bytes) target.fill(0, readBytes, bytes);
    return bytes;
  }

  /** Writes `source[from, to)` up to the end of a file, which is made where there is none; returns the bytes. */
  write(source: Buffer, from: number, to: number, position: number): number {
    const { files, descriptors, fileBytes, unsynced } = this.#context;
    const fileStart = position - (position % fileBytes);
    const bytes = Math.min(to - from, fileStart + fileBytes - position);
    const file = this.#fileAt(fileStart);
    let descriptor = this.#has(fileStart) ? this.#descriptorOf(file) : -1;
    if (descriptor < 0) {
      files.closeDescriptor(makeQueueFile(this.#context, this.#directory, file));
      this.#count(fileStart);
      descriptor = descriptors.get(file);
    }
    files.writeAt(descriptor, source, from, from + bytes, position - fileStart);
    unsynced.add(file);
    return bytes;
  }

  /** The same for whoever gets the batch; the file counts as made. */
  handOver(
    writes: QueueWrites,
    source: Buffer,
    from: number,
    to: number,
    position: number,
  ): number {
    const { fileBytes, unsynced } = this.#context;
    const start = position - (position % fileBytes);
    const bytes = Math.min(to - from, start + fileBytes - position);
    const isNew = !this.#has(start);
    if (isNew) this.#count(start);
    const queue = { topic: this.#topic, queueId: this.#queueId };
    writes.add(queue, { start, isNew }, source, from, from + bytes, position - start);
    unsynced.add(this.#fileAt(start));
    return bytes;
  }

  #has(fileStart: number): boolean {
    return fileStart >= this.start && fileStart < this.end;
  }

  /** -1 where the file is not there. */
  #descriptorOf(file: string): number {
    try {
      return this.#context.descriptors.get(file);
    } catch (error) {
      if (!failedWith(error, 'ENOENT')) throw error;
      return -1;
    }
  }

  /** Offset behind the written units in the last file. Most queues are short: one read into `scratch` finds it. */
  findEnd(scratch: Buffer): number {
    const { fileBytes } = this.#context;
    const start = this.end - fileBytes;
    const unitsPerFile = fileBytes / UNIT_BYTES;
    const isWritten = (at: number): boolean =>
      scratch.readInt32BE(at) >= 0 && scratch.readInt32BE(at + unitLayout.recordBytes) > 0;
    const headCount = Math.min(Math.floor(scratch.length / UNIT_BYTES), unitsPerFile);
    this.read(scratch, headCount * UNIT_BYTES, start);
    for (let index = 0; index < headCount; index++) {
      if (!isWritten(index * UNIT_BYTES)) return start / UNIT_BYTES + index;
    }
    const rest = binarySearch(unitsPerFile - headCount, (index) => {
      this.read(scratch, UNIT_BYTES, start + (headCount + index) * UNIT_BYTES);
      return !isWritten(0);
    });
    return start / UNIT_BYTES + headCount + rest;
  }

  /** Removes files behind `position` and clears the rest of the one that holds it; the first file stays. */
  cutAt(position: number, isChange: boolean): void {
    const { files, descriptors, fileBytes, unsynced } = this.#context;
    while (this.end - fileBytes > this.start && this.end - fileBytes >= position) {
      const file = this.#fileAt(this.end - fileBytes);
      descriptors.close(file);
      files.remove(file);
      unsynced.add(`${this.#directory}/`);
      this.end -= fileBytes;
    }
    if (position >= this.end) return;
    const file = this.#fileAt(this.end - fileBytes);
    if (!files.exists(file)) return;
    const descriptor = descriptors.get(file);
    files.truncate(descriptor, position - (this.end - fileBytes));
    files.truncate(descriptor, fileBytes);
    if (isChange) unsynced.add(file);
  }

  /** Removes files wholly below `position`, but for the last: the queue's offsets never start again. */
  removeBelow(position: number): void {
    const { files, descriptors, fileBytes } = this.#context;
    while (this.end - this.start > fileBytes && this.start + fileBytes <= position) {
      const file = this.#fileAt(this.start);
      descriptors.close(file);
      files.unlink(file);
      this.start += fileBytes;
    }
  }

  /** Removes all of them. */
  removeAll(): void {
    const { files, unsynced } = this.#context;
    if (this.isEmpty) return;
    this.close();
    files.remove(this.#directory);
    unsynced.add(`${dirname(this.#directory)}/`);
    this.start = 0;
    this.end = 0;
  }

  close(): void {
    const { descriptors, fileBytes } = this.#context;
    for (let at = this.start; at < this.end; at += fileBytes) descriptors.close(this.#fileAt(at));
  }

  /** Notes a new file. */
  #count(fileStart: number): void {
    const { fileBytes, unsynced } = this.#context;
    if (this.isEmpty) {
      this.#addDirectories();
      this.start = fileStart;
      this.end = fileStart;
    }
    unsynced.add(`${this.#directory}/`);
    this.end = Math.max(this.end, fileStart + fileBytes);
  }

  /** Where the names of its files stand, for the next sync. */
  #addDirectories(): void {
    const topicDirectory = dirname(this.#directory);
    this.#context.unsynced
      .add(`${dirname(topicDirectory)}/`)
      .add(`${topicDirectory}/`)
      .add(`${this.#directory}/`);
  }

  get #directory(): string {
    return queueDirectory(this.#context.directory, this.#topic, this.#queueId);
  }

  /** Often the file of the time before, of whichever queue; a path is a microsecond and garbage. */
  #fileAt(fileStart: number): string {
    const { lastFile } = this.#context;
    const isSame =
      lastFile.topic === this.#topic &&
      lastFile.queueId === this.#queueId &&
      lastFile.start === fileStart;
    if (!isSame) {
      lastFile.topic = this.#topic;
      lastFile.queueId = this.#queueId;
      lastFile.start = fileStart;
      lastFile.path = queueFile(this.#directory, fileStart);
    }
    return lastFile.path;
  }
}
