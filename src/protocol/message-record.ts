/**
 * @agent any
 *
 * The stored record of one message: what the CommitLog holds and what a pull answer carries,
 * byte for byte. Big-endian. Source: CommitLog.java, MessageExtEncoder.java, MessageDecoder.java.
 *
 * ```
 * totalSize magic bodyCrc queueId flag | queueOffset physicalOffset | sysFlag | bornTimestamp
 * bornHost(4|16 + port) | storeTimestamp | storeHost(4|16 + port) | reconsumeTimes
 * preparedTransactionOffset | bodyLength body | topicLength(1 in v1, 2 in v2) topic
 * propertiesLength(2) properties
 * ```
 * A segment ends with a blank record: int32 bytes left, int32 BLANK_MAGIC, rest ignored.
 */
import { crc32Masked } from './crc32.ts';
import { layout } from '../base/layout.ts';

/** Topic length in one byte: topics up to 127 bytes. */
export const MAGIC_V1 = 0xdaa320a7 | 0;
/** Topic length in two bytes. */
export const MAGIC_V2 = 0xdaa320ab | 0;
/** End of a segment: the next record starts the next one. */
export const BLANK_MAGIC = 0xcbd43194 | 0;
/** A blank record's own length; a record fits a segment only if this much stays behind it. */
export const BLANK_BYTES = 8;

export const SysFlag = {
  COMPRESSED: 0x1,
  MULTI_TAGS: 0x2,
  TRANSACTION_PREPARED: 0x4,
  TRANSACTION_COMMIT: 0x8,
  /** Both transaction bits: a rollback, and the mask of the two. */
  TRANSACTION_ROLLBACK: 0xc,
  TRANSACTION_MASK: 0xc,
  BORN_HOST_V6: 0x10,
  STORE_HOST_V6: 0x20,
} as const;

/** Offsets up to the born host, the same in every record. */
export const recordHead = layout(
  {
    totalSize: 'i32',
    magic: 'i32',
    bodyCrc: 'i32',
    queueId: 'i32',
    flag: 'i32',
    queueOffset: 'i64',
    physicalOffset: 'i64',
    sysFlag: 'i32',
    bornTimestamp: 'i64',
  },
  48,
);

export const HOST_V4_BYTES = 8;
export const HOST_V6_BYTES = 20;

/** Bytes of a record besides body, topic and properties: v1, both hosts IPv4. */
export const RECORD_FIXED_BYTES = 91;

/** Lengths of the two host fields under these flags. */
export function bornHostBytes(sysFlag: number): number {
  return (sysFlag & SysFlag.BORN_HOST_V6) === 0 ? HOST_V4_BYTES : HOST_V6_BYTES;
}
export function storeHostBytes(sysFlag: number): number {
  return (sysFlag & SysFlag.STORE_HOST_V6) === 0 ? HOST_V4_BYTES : HOST_V6_BYTES;
}

/** Bytes of a whole record. A topic above 127 bytes makes it v2. */
export function recordBytes(
  sysFlag: number,
  bodyBytes: number,
  topicBytes: number,
  propertiesBytes: number,
): number {
  const hosts = bornHostBytes(sysFlag) + storeHostBytes(sysFlag) - 2 * HOST_V4_BYTES;
  return (
    RECORD_FIXED_BYTES +
    hosts +
    bodyBytes +
    topicBytes +
    (topicBytes > 127 ? 1 : 0) +
    propertiesBytes
  );
}

/** What stands at a place in the log. */
export const RecordKind = {
  /** A whole, consistent record. */
  MESSAGE: 0,
  /** The blank record that ends a segment. */
  BLANK: 1,
  /** Nothing that was ever finished here: zeroes, a torn record, damage. */
  INVALID: 2,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

/**
 * A reusable cursor over one record: `read` fills the fields, offsets are absolute in `buffer`.
 * One per owner; nothing is allocated per record.
 */
export class RecordView {
  buffer: Buffer = Buffer.alloc(0);
  /** Where the record starts in `buffer`. */
  start = 0;
  totalBytes = 0;
  magic = 0;
  queueId = 0;
  sysFlag = 0;
  /** Messages in the queue before this one; exact up to 2^53. */
  queueOffset = 0;
  physicalOffset = 0;
  bornTimestampMs = 0;
  storeTimestampMs = 0;
  bornHostStart = 0;
  storeHostStart = 0;
  reconsumeTimesStart = 0;
  bodyStart = 0;
  bodyBytes = 0;
  topicStart = 0;
  topicBytes = 0;
  propertiesStart = 0;
  propertiesBytes = 0;

  /** Of a committed message: where its half is. */
  get preparedTransactionOffset(): number {
    return readLong(this.buffer, this.reconsumeTimesStart + 4);
  }

  /**
   * Reads the record at `start`, never past `limit`. Lengths must add up exactly, or it is INVALID.
   * `checkCrc` also compares the body's CRC. For BLANK, `totalBytes` is the rest of the segment.
   */
  read(buffer: Buffer, start: number, limit: number, checkCrc: boolean): RecordKind {
    if (limit - start < BLANK_BYTES) return RecordKind.INVALID;
    const totalBytes = readInt32(buffer, start);
    const magic = readInt32(buffer, start + recordHead.magic);
    this.buffer = buffer;
    this.start = start;
    this.totalBytes = totalBytes;
    this.magic = magic;
    if (magic === BLANK_MAGIC)
      return totalBytes >= BLANK_BYTES ? RecordKind.BLANK : RecordKind.INVALID;
    if (magic !== MAGIC_V1 && magic !== MAGIC_V2) return RecordKind.INVALID;
    if (totalBytes < RECORD_FIXED_BYTES || totalBytes > limit - start) return RecordKind.INVALID;
    const end = start + totalBytes;
    const sysFlag = readInt32(buffer, start + recordHead.sysFlag);
    this.sysFlag = sysFlag;
    this.queueId = readInt32(buffer, start + recordHead.queueId);
    this.queueOffset = readLong(buffer, start + recordHead.queueOffset);
    this.physicalOffset = readLong(buffer, start + recordHead.physicalOffset);
    this.bornTimestampMs = readLong(buffer, start + recordHead.bornTimestamp);
    let at = start + recordHead.totalBytes;
    this.bornHostStart = at;
    at += bornHostBytes(sysFlag);
    this.storeTimestampMs = readLong(buffer, at);
    at += 8;
    this.storeHostStart = at;
    at += storeHostBytes(sysFlag);
    this.reconsumeTimesStart = at;
    at += 4 + 8;
    if (at + 4 > end) return RecordKind.INVALID;
    const bodyBytes = readInt32(buffer, at);
    at += 4;
    this.bodyStart = at;
    this.bodyBytes = bodyBytes;
    if (bodyBytes < 0 || bodyBytes > end - at) return RecordKind.INVALID;
    at += bodyBytes;
    const topicLengthBytes = magic === MAGIC_V1 ? 1 : 2;
    if (at + topicLengthBytes > end) return RecordKind.INVALID;
    const topicBytes = magic === MAGIC_V1 ? buffer.readUInt8(at) : buffer.readUInt16BE(at);
    at += topicLengthBytes;
    this.topicStart = at;
    this.topicBytes = topicBytes;
    at += topicBytes;
    if (at + 2 > end) return RecordKind.INVALID;
    const propertiesBytes = buffer.readUInt16BE(at);
    at += 2;
    this.propertiesStart = at;
    this.propertiesBytes = propertiesBytes;
    if (at + propertiesBytes !== end) return RecordKind.INVALID;
    if (checkCrc && bodyBytes > 0) {
      const crc = crc32Masked(buffer.subarray(this.bodyStart, this.bodyStart + bodyBytes));
      if (crc !== readInt32(buffer, start + recordHead.bodyCrc)) return RecordKind.INVALID;
    }
    return RecordKind.MESSAGE;
  }
}

/** A signed 64-bit integer as a number; exact within ±2^53, which every offset and time here is. */
export function readLong(buffer: Buffer, at: number): number {
  return readInt32(buffer, at) * 0x1_0000_0000 + (readInt32(buffer, at + 4) >>> 0);
}

/**
 * A signed 32-bit integer, big-endian, like the next without the checks of Buffer's own method: the
 * caller knows that it is inside.
 */
export function readInt32(buffer: Uint8Array, at: number): number {
  return (buffer[at] << 24) | (buffer[at + 1] << 16) | (buffer[at + 2] << 8) | buffer[at + 3];
}

/**
 * A 32-bit integer, big-endian, without the range checks of Buffer's own method, which V8 does not
 * inline here: they took 9 % of the main thread at 200,000 messages a second.
 */
export function writeInt32(buffer: Buffer, value: number, at: number): void {
  const bits = value | 0;
  buffer[at] = bits >>> 24;
  buffer[at + 1] = bits >>> 16;
  buffer[at + 2] = bits >>> 8;
  buffer[at + 3] = bits;
}

export function writeLong(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  writeInt32(buffer, high, at);
  writeInt32(buffer, value - high * 0x1_0000_0000, at + 4);
}
