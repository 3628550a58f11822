/**
 * @agent any
 *
 * Encodes a whole stored record from its fields: for what control and dispatcher store by
 * themselves (retries, dead letters, delayed deliveries). Client sends are encoded by the request
 * worker, straight into its ring. The picture of a record is in `message-record.ts`.
 *
 * queueOffset, physicalOffset and storeTimestamp stay zero: the commit-log writer stamps them.
 */
import { isIP } from 'node:net';
import { crc32Masked } from './crc32.ts';
import {
  HOST_V4_BYTES,
  HOST_V6_BYTES,
  MAGIC_V1,
  MAGIC_V2,
  recordBytes,
  recordHead,
  type RecordView,
  SysFlag,
  writeInt32,
  writeLong,
} from './message-record.ts';
import { PROPERTIES_BYTES_MAX } from './message-properties.ts';
import { hasPropertyCrc, PROPERTY_CRC_BYTES } from './property-crc.ts';

/** A record to append: everything but its place and time. */
export interface RecordDraft {
  topicId: number;
  queueId: number;
  record: Buffer;
}

export interface RecordFields {
  topic: string;
  queueId: number;
  flag: number;
  /** The two host bits follow from the hosts' lengths, whatever is given here. */
  sysFlag: number;
  bornTimestampMs: number;
  /** Address and port: 8 or 20 bytes (`encodeHost`). */
  bornHost: Uint8Array;
  storeHost: Uint8Array;
  reconsumeTimes: number;
  preparedTransactionOffset: number;
  body: Uint8Array;
  /** The property string's bytes. */
  properties: Uint8Array;
}

/** Above this a topic's length needs two bytes, so the record is v2. */
const TOPIC_V1_BYTES_MAX = 127;

/** @throws RangeError where a field does not fit the record's layout. */
export function encodeRecord(fields: RecordFields): Buffer {
  const topic = Buffer.from(fields.topic);
  if (fields.properties.length > PROPERTIES_BYTES_MAX) {
    throw new RangeError(`properties of ${fields.properties.length} bytes`);
  }
  const sysFlag = sysFlagOf(fields);
  const isV1 = topic.length <= TOPIC_V1_BYTES_MAX;
  const bytes = recordBytes(sysFlag, fields.body.length, topic.length, fields.properties.length);
  const record = Buffer.alloc(bytes);
  record.writeInt32BE(bytes, recordHead.totalSize);
  record.writeInt32BE(isV1 ? MAGIC_V1 : MAGIC_V2, recordHead.magic);
  record.writeInt32BE(crc32Masked(fields.body), recordHead.bodyCrc);
  record.writeInt32BE(fields.queueId, recordHead.queueId);
  record.writeInt32BE(fields.flag, recordHead.flag);
  record.writeInt32BE(sysFlag, recordHead.sysFlag);
  writeLong(record, fields.bornTimestampMs, recordHead.bornTimestamp);
  let at: number = recordHead.totalBytes;
  record.set(fields.bornHost, at);
  // The store timestamp stands between the two hosts.
  at += fields.bornHost.length + 8;
  record.set(fields.storeHost, at);
  at += fields.storeHost.length;
  at = record.writeInt32BE(fields.reconsumeTimes, at);
  writeLong(record, fields.preparedTransactionOffset, at);
  at = record.writeInt32BE(fields.body.length, at + 8);
  record.set(fields.body, at);
  at += fields.body.length;
  at = isV1 ? record.writeUInt8(topic.length, at) : record.writeInt16BE(topic.length, at);
  record.set(topic, at);
  at = record.writeInt16BE(fields.properties.length, at + topic.length);
  record.set(fields.properties, at);
  return record;
}

/** The fields of the record that `view` has read, as views of its buffer; without a checksum of that record. */
export function fieldsOf(view: RecordView): RecordFields {
  const { buffer, propertiesStart } = view;
  const checksumBytes = hasPropertyCrc(view) ? PROPERTY_CRC_BYTES : 0;
  return {
    topic: buffer.toString('utf8', view.topicStart, view.topicStart + view.topicBytes),
    queueId: view.queueId,
    flag: buffer.readInt32BE(view.start + recordHead.flag),
    sysFlag: view.sysFlag,
    bornTimestampMs: view.bornTimestampMs,
    bornHost: buffer.subarray(view.bornHostStart, view.storeHostStart - 8),
    storeHost: buffer.subarray(view.storeHostStart, view.reconsumeTimesStart),
    reconsumeTimes: buffer.readInt32BE(view.reconsumeTimesStart),
    preparedTransactionOffset: 0,
    body: buffer.subarray(view.bodyStart, view.bodyStart + view.bodyBytes),
    properties: buffer.subarray(
      propertiesStart,
      propertiesStart + view.propertiesBytes - checksumBytes,
    ),
  };
}

/** What changes of a stored record when it is stored once more, on another topic. */
export interface RecordMove {
  /** The topic's name, `topicSource[topicStart, topicEnd)`. */
  topicSource: Uint8Array;
  topicStart: number;
  topicEnd: number;
  queueId: number;
  sysFlag: number;
  preparedTransactionOffset: number;
}

/** Length of the record that `view` has read, moved to a topic whose name has so many bytes. */
export function movedRecordBytes(view: RecordView, topicBytes: number): number {
  const checksumBytes = hasPropertyCrc(view) ? PROPERTY_CRC_BYTES : 0;
  return recordBytes(
    view.sysFlag,
    view.bodyBytes,
    topicBytes,
    view.propertiesBytes - checksumBytes,
  );
}

/**
 * Writes the moved record to `target` at `start`: its bytes as they are, but for the topic and what
 * else a move changes. The checksum of the body stays what it was; one of the record is left out.
 */
export function writeMovedRecord(
  target: Buffer,
  start: number,
  view: RecordView,
  move: Readonly<RecordMove>,
): void {
  const { buffer, topicStart } = view;
  const topicBytes = move.topicEnd - move.topicStart;
  const isV1 = topicBytes <= TOPIC_V1_BYTES_MAX;
  const bytes = movedRecordBytes(view, topicBytes);
  const headBytes = topicStart - (view.magic === MAGIC_V1 ? 1 : 2) - view.start;
  buffer.copy(target, start, view.start, view.start + headBytes);
  writeInt32(target, bytes, start + recordHead.totalSize);
  writeInt32(target, isV1 ? MAGIC_V1 : MAGIC_V2, start + recordHead.magic);
  writeInt32(target, move.queueId, start + recordHead.queueId);
  writeInt32(target, move.sysFlag, start + recordHead.sysFlag);
  const preparedAt = start + view.reconsumeTimesStart + 4 - view.start;
  writeLong(target, move.preparedTransactionOffset, preparedAt);
  let at = start + headBytes;
  if (!isV1) target[at++] = topicBytes >> 8;
  target[at++] = topicBytes & 0xff;
  for (let index = 0; index < topicBytes; index++)
    target[at + index] = move.topicSource[move.topicStart + index];
  at += topicBytes;
  const propertiesBytes = start + bytes - at - 2;
  target[at++] = propertiesBytes >> 8;
  target[at++] = propertiesBytes & 0xff;
  buffer.copy(target, at, view.propertiesStart, view.propertiesStart + propertiesBytes);
}

/**
 * Address and port as a record holds them: 4 or 16 bytes, then int32. An IPv4 address mapped into
 * IPv6 becomes plain IPv4, so that old clients can read the record.
 * @throws RangeError where `address` is no IP address.
 */
export function encodeHost(address: string, port: number): Buffer {
  const unmapped =
    address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
  const version = isIP(unmapped);
  if (version === 0) throw new RangeError(`not an IP address: ${address}`);
  const host = Buffer.alloc(version === 4 ? HOST_V4_BYTES : HOST_V6_BYTES);
  if (version === 4) writeIpv4(host, unmapped, 0);
  else writeIpv6(host, unmapped);
  host.writeInt32BE(port, host.length - 4);
  return host;
}

/** A host of a record as `ip:port`. */
export function hostText(host: Uint8Array): string {
  const bytes = Buffer.from(host);
  const port = bytes.readInt32BE(bytes.length - 4);
  if (bytes.length === HOST_V4_BYTES) return `${bytes.subarray(0, 4).join('.')}:${port}`;
  const groups = Array.from({ length: 8 }, (_, index) =>
    bytes.readUInt16BE(index * 2).toString(16),
  );
  return `${groups.join(':')}:${port}`;
}

/** `ip:port`, the last colon before the port. */
export function splitAddress(remoteAddress: string): { address: string; port: number } {
  const colon = remoteAddress.lastIndexOf(':');
  const address = remoteAddress.slice(0, colon).replace(/^\[|\]$/g, '');
  return { address, port: Number(remoteAddress.slice(colon + 1)) };
}

/**
 * The id under which the record at `physicalOffset` can be asked for (33): its store host and
 * offset in upper-case hex, 32 or 56 digits (MessageDecoder.createMessageId).
 */
export function offsetMessageId(storeHost: Uint8Array, physicalOffset: number): string {
  const id = Buffer.alloc(storeHost.length + 8);
  id.set(storeHost);
  writeLong(id, physicalOffset, storeHost.length);
  return id.toString('hex').toUpperCase();
}

function sysFlagOf(fields: RecordFields): number {
  let sysFlag = fields.sysFlag & ~(SysFlag.BORN_HOST_V6 | SysFlag.STORE_HOST_V6);
  if (fields.bornHost.length === HOST_V6_BYTES) sysFlag |= SysFlag.BORN_HOST_V6;
  if (fields.storeHost.length === HOST_V6_BYTES) sysFlag |= SysFlag.STORE_HOST_V6;
  return sysFlag;
}

function writeIpv4(host: Buffer, address: string, at: number): void {
  for (const [index, part] of address.split('.').entries()) host[at + index] = Number(part);
}

function writeIpv6(host: Buffer, address: string): void {
  // A zone (`%eth0`) is not part of the address.
  let text = address.replace(/%.*$/, '');
  const dotted = /[^:]*\.[^:]*$/.exec(text)?.[0];
  if (dotted !== undefined) {
    // The last 32 bits may be written as IPv4: turned into two groups.
    const tail = Buffer.alloc(4);
    writeIpv4(tail, dotted, 0);
    const groups = `${tail.readUInt16BE(0).toString(16)}:${tail.readUInt16BE(2).toString(16)}`;
    text = text.slice(0, -dotted.length) + groups;
  }
  const [before = '', after] = text.split('::');
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  for (const [index, group] of head.entries()) host.writeUInt16BE(parseInt(group, 16), 2 * index);
  for (const [index, group] of tail.entries()) {
    host.writeUInt16BE(parseInt(group, 16), 16 - 2 * (tail.length - index));
  }
}
