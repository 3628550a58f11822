/**
 * @agent dispatcher
 *
 * Where all ConsumeQueues begin and end, in one file, `millrace.queues`: so that a start need not open
 * 80,000 files to find out. Only stores with many queues have it. It is a copy of what the ConsumeQueues
 * say themselves, and may be deleted at any time while no broker runs: the next start is slower.
 *
 * ```
 * head      magic, version, crc of what follows, topics
 *           position: units of all records below are on file, and in here
 *           end: no unit in here is of a record past it
 * a topic   queues, bytes of the name, name
 *   a queue queueId, then QueueNumbers
 * ```
 * Big-endian, longs where not said otherwise. A reader believes it only where the log reaches `end`, and
 * goes on building at `position`.
 */
import { layout } from '../base/layout.ts';
import { crc32Masked } from '../protocol/crc32.ts';
import { readLong, writeLong } from '../protocol/message-record.ts';

/** A queue as its files have it. Offsets count messages, file positions and physical offsets are bytes. */
export interface QueueNumbers {
  minOffset: number;
  /** Units below are on file. */
  endOffset: number;
  filesStart: number;
  filesEnd: number;
  /** Of the first and the last unit; -1 where not known. */
  firstPhysicalOffset: number;
  lastPhysicalOffset: number;
}

export interface SnapshotTopic {
  topic: string;
  queues: { queueId: number; numbers: QueueNumbers }[];
}

export interface QueueSnapshot {
  position: number;
  end: number;
  topics: SnapshotTopic[];
}

const MAGIC = 0x4d49_4c51; // "MILQ"
const VERSION = 1;

const headLayout = layout({
  magic: 'i32',
  version: 'i32',
  crc: 'i32',
  topicCount: 'i32',
  position: 'i64',
  end: 'i64',
});
const topicLayout = layout({ queueCount: 'i32', nameBytes: 'i32' });
const queueLayout = layout({
  queueId: 'i32',
  reserved: 'i32',
  minOffset: 'i64',
  endOffset: 'i64',
  filesStart: 'i64',
  filesEnd: 'i64',
  firstPhysicalOffset: 'i64',
  lastPhysicalOffset: 'i64',
});

/** Collects topics and queues; a topic's queues come after it. */
export class QueueSnapshotEncoder {
  #bytes: Buffer;
  #used = headLayout.totalBytes;
  #topicCount = 0;
  #topicAt = -1;

  constructor(queueCount: number) {
    this.#bytes = Buffer.alloc(headLayout.totalBytes + queueCount * queueLayout.totalBytes * 2);
  }

  addTopic(topic: string): void {
    const nameBytes = Buffer.byteLength(topic);
    const at = this.#claim(topicLayout.totalBytes + nameBytes);
    this.#bytes.writeInt32BE(0, at + topicLayout.queueCount);
    this.#bytes.writeInt32BE(nameBytes, at + topicLayout.nameBytes);
    this.#bytes.write(topic, at + topicLayout.totalBytes);
    this.#topicAt = at;
    this.#topicCount++;
  }

  addQueue(queueId: number, numbers: QueueNumbers): void {
    const at = this.#claim(queueLayout.totalBytes);
    const bytes = this.#bytes;
    const countAt = this.#topicAt + topicLayout.queueCount;
    bytes.writeInt32BE(bytes.readInt32BE(countAt) + 1, countAt);
    bytes.writeInt32BE(queueId, at + queueLayout.queueId);
    bytes.writeInt32BE(0, at + queueLayout.reserved);
    writeLong(bytes, numbers.minOffset, at + queueLayout.minOffset);
    writeLong(bytes, numbers.endOffset, at + queueLayout.endOffset);
    writeLong(bytes, numbers.filesStart, at + queueLayout.filesStart);
    writeLong(bytes, numbers.filesEnd, at + queueLayout.filesEnd);
    writeLong(bytes, finite(numbers.firstPhysicalOffset), at + queueLayout.firstPhysicalOffset);
    writeLong(bytes, finite(numbers.lastPhysicalOffset), at + queueLayout.lastPhysicalOffset);
  }

  finish(position: number, end: number): Buffer {
    const bytes = this.#bytes.subarray(0, this.#used);
    bytes.writeInt32BE(MAGIC, headLayout.magic);
    bytes.writeInt32BE(VERSION, headLayout.version);
    bytes.writeInt32BE(this.#topicCount, headLayout.topicCount);
    writeLong(bytes, position, headLayout.position);
    writeLong(bytes, end, headLayout.end);
    bytes.writeInt32BE(crc32Masked(bytes.subarray(headLayout.topicCount)), headLayout.crc);
    return bytes;
  }

  #claim(byteCount: number): number {
    const at = this.#used;
    this.#used += byteCount;
    if (this.#used > this.#bytes.length) {
      const longer = Buffer.alloc(this.#used * 2);
      this.#bytes.copy(longer, 0, 0, at);
      this.#bytes = longer;
    }
    return at;
  }
}

/** What the file says; null where it is none, or not whole. */
export function decodeQueueSnapshot(bytes: Buffer | undefined): QueueSnapshot | null {
  if (bytes === undefined || bytes.length < headLayout.totalBytes) return null;
  if (bytes.readInt32BE(headLayout.magic) !== MAGIC) return null;
  if (bytes.readInt32BE(headLayout.version) !== VERSION) return null;
  const crc = crc32Masked(bytes.subarray(headLayout.topicCount));
  if (bytes.readInt32BE(headLayout.crc) !== crc) return null;
  const topics: SnapshotTopic[] = [];
  let at = headLayout.totalBytes;
  for (let left = bytes.readInt32BE(headLayout.topicCount); left > 0; left--) {
    const queueCount = bytes.readInt32BE(at + topicLayout.queueCount);
    const nameStart = at + topicLayout.totalBytes;
    at = nameStart + bytes.readInt32BE(at + topicLayout.nameBytes);
    const topic = bytes.toString('utf8', nameStart, at);
    const queues: SnapshotTopic['queues'] = [];
    for (let index = 0; index < queueCount; index++, at += queueLayout.totalBytes) {
      queues.push({
        queueId: bytes.readInt32BE(at + queueLayout.queueId),
        numbers: {
          minOffset: readLong(bytes, at + queueLayout.minOffset),
          endOffset: readLong(bytes, at + queueLayout.endOffset),
          filesStart: readLong(bytes, at + queueLayout.filesStart),
          filesEnd: readLong(bytes, at + queueLayout.filesEnd),
          firstPhysicalOffset: readLong(bytes, at + queueLayout.firstPhysicalOffset),
          lastPhysicalOffset: readLong(bytes, at + queueLayout.lastPhysicalOffset),
        },
      });
    }
    topics.push({ topic, queues });
  }
  return {
    position: readLong(bytes, headLayout.position),
    end: readLong(bytes, headLayout.end),
    topics,
  };
}

/** A hole at the end of a queue has no place: it is looked for again. */
const finite = (offset: number): number => (Number.isFinite(offset) ? offset : -1);
