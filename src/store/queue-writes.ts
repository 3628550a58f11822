/**
 * @agent dispatcher, queueWriter
 *
 * Units of many queues on their way from the agent that makes them to the one that writes their files.
 *
 * ```
 * entry   | head, see entryLayout | topic, UTF-8 | units |      one entry for each file; big-endian
 * ```
 */
import { layout } from '../base/layout.ts';
import { readLong, writeLong } from '../protocol/message-record.ts';
import { failedWith } from './file-calls.ts';
import type { StoreFiles } from './segment.ts';

const entryLayout = layout({
  topicBytes: 'i32',
  unitBytes: 'i32',
  queueId: 'i32',
  /** 1: the file is to be made. */
  isNew: 'i32',
  /** Where the file starts in the queue. */
  fileStart: 'i64',
  /** Of the units in the file. */
  position: 'i64',
});

const NAME_DIGITS = 20;
const BATCH_BYTES_START = 64 * 1024;

/** Where the files of a queue stand. */
export function queueDirectory(directory: string, topic: string, queueId: number): string {
  return `${directory}/${topic}/${queueId}`;
}

/** The file of a queue that starts at a byte of it. */
export function queueFile(queuePath: string, fileStart: number): string {
  return `${queuePath}/${String(fileStart).padStart(NAME_DIGITS, '0')}`;
}

/** Collects entries; `take` gives them away and begins again. */
export class QueueWrites {
  #bytes = Buffer.allocUnsafe(BATCH_BYTES_START);
  #used = 0;

  get byteCount(): number {
    return this.#used;
  }

  /** Adds `source[from, to)` for a place in a queue's file. */
  add(
    queue: { topic: string; queueId: number },
    file: { start: number; isNew: boolean },
    source: Buffer,
    from: number,
    to: number,
    position: number,
  ): void {
    const topicBytes = Buffer.byteLength(queue.topic);
    const at = this.#claim(entryLayout.totalBytes + topicBytes + to - from);
    const bytes = this.#bytes;
    bytes.writeInt32BE(topicBytes, at + entryLayout.topicBytes);
    bytes.writeInt32BE(to - from, at + entryLayout.unitBytes);
    bytes.writeInt32BE(queue.queueId, at + entryLayout.queueId);
    bytes.writeInt32BE(file.isNew ? 1 : 0, at + entryLayout.isNew);
    writeLong(bytes, file.start, at + entryLayout.fileStart);
    writeLong(bytes, position, at + entryLayout.position);
    bytes.write(queue.topic, at + entryLayout.totalBytes);
    source.copy(bytes, at + entryLayout.totalBytes + topicBytes, from, to);
  }

  take(): Buffer {
    const bytes = Buffer.from(this.#bytes.subarray(0, this.#used));
    this.#used = 0;
    return bytes;
  }

  #claim(byteCount: number): number {
    const at = this.#used;
    this.#used += byteCount;
    if (this.#used > this.#bytes.length) {
      const longer = Buffer.allocUnsafe(this.#used * 2);
      this.#bytes.copy(longer, 0, 0, at);
      this.#bytes = longer;
    }
    return at;
  }
}

/** Where the files of all queues stand, and how long one is. */
export interface QueueFilesPlace {
  readonly files: StoreFiles;
  /** `consumequeue/` */
  readonly directory: string;
  readonly fileBytes: number;
}

/**
 * Writes the units of the entry at `at`; returns where the next one stands.
 * @throws BrokerError STORE_NO_SPACE
 */
export function writeEntry(place: QueueFilesPlace, batch: Buffer, at: number): number {
  const topicAt = at + entryLayout.totalBytes;
  const unitsAt = topicAt + batch.readInt32BE(at + entryLayout.topicBytes);
  const end = unitsAt + batch.readInt32BE(at + entryLayout.unitBytes);
  const topic = batch.toString('utf8', topicAt, unitsAt);
  const queuePath = queueDirectory(
    place.directory,
    topic,
    batch.readInt32BE(at + entryLayout.queueId),
  );
  const file = queueFile(queuePath, readLong(batch, at + entryLayout.fileStart));
  const { files } = place;
  let descriptor = batch.readInt32BE(at + entryLayout.isNew) === 1 ? -1 : openThere(files, file);
  if (descriptor < 0) descriptor = makeQueueFile(place, queuePath, file);
  try {
    files.writeAt(descriptor, batch, unitsAt, end, readLong(batch, at + entryLayout.position));
  } finally {
    files.closeDescriptor(descriptor);
  }
  return end;
}

/** Makes a file at its full size, sparse, or leaves one that is there as it is; returns it open. */
export function makeQueueFile(place: QueueFilesPlace, queuePath: string, file: string): number {
  const { files, fileBytes } = place;
  files.makeDirectory(queuePath);
  const descriptor = files.open(file, true);
  try {
    files.truncate(descriptor, fileBytes);
  } catch (error) {
    files.closeDescriptor(descriptor);
    throw error;
  }
  return descriptor;
}

/** -1 where the file is not there: somebody has deleted it. */
function openThere(files: StoreFiles, file: string): number {
  try {
    return files.open(file, false);
  } catch (error) {
    if (!failedWith(error, 'ENOENT')) throw error;
    return -1;
  }
}
