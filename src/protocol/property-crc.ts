/**
 * @agent any
 *
 * The checksum of a whole record, as its last property: `__CRC32# 0x01 ten digits 0x02`, the CRC-32
 * (sign bit cleared) of every byte before it, lowest digit first. Off by default, since consumers see
 * it; on by enabledAppendPropCRC.
 *
 * Source: CommitLog.java (CRC32_RESERVED_LEN, doAppend), MessageDecoder.java (createCrc32).
 */
import { PROPERTIES_BYTES_MAX } from './message-properties.ts';
import { crc32Masked } from './crc32.ts';
import { readInt32, recordHead, RecordKind, RecordView, writeInt32 } from './message-record.ts';

const ZERO = 0x30;
const VALUE_END = 0x02;
const DIGIT_COUNT = 10;

const name = Buffer.from('__CRC32#\x01');
/** Length of the property, which is the end of its record. */
export const PROPERTY_CRC_BYTES = name.length + DIGIT_COUNT + 1;

/** Whether the record's last property is its checksum. */
export function hasPropertyCrc(view: RecordView): boolean {
  if (view.propertiesBytes < PROPERTY_CRC_BYTES) return false;
  const start = view.start + view.totalBytes - PROPERTY_CRC_BYTES;
  for (let index = 0; index < name.length; index++) {
    if (view.buffer[start + index] !== name[index]) return false;
  }
  return true;
}

/** Whether the record's checksum is right; it must have one. */
export function isPropertyCrcRight(view: RecordView): boolean {
  const start = view.start + view.totalBytes - PROPERTY_CRC_BYTES;
  let told = 0;
  for (let digit = DIGIT_COUNT - 1; digit >= 0; digit--)
    told = told * 10 + (view.buffer[start + name.length + digit] - ZERO);
  return told === crc32Masked(view.buffer.subarray(view.start, start));
}

const scratch = new RecordView();

/**
 * Makes room for the checksum of the record at `start`, behind which PROPERTY_CRC_BYTES are free. False
 * where its properties are too long for one more: it goes without.
 */
export function reservePropertyCrc(buffer: Buffer, start: number): boolean {
  const totalBytes = readInt32(buffer, start);
  if (scratch.read(buffer, start, start + totalBytes, false) !== RecordKind.MESSAGE) return false;
  const propertiesBytes = scratch.propertiesBytes + PROPERTY_CRC_BYTES;
  if (propertiesBytes > PROPERTIES_BYTES_MAX) return false;
  buffer.writeInt16BE(propertiesBytes, scratch.propertiesStart - 2);
  writeInt32(buffer, totalBytes + PROPERTY_CRC_BYTES, start + recordHead.totalSize);
  return true;
}

/** Writes the checksum of a record that is otherwise complete. */
export function writePropertyCrc(buffer: Buffer, start: number, totalBytes: number): void {
  const end = start + totalBytes;
  let at = end - PROPERTY_CRC_BYTES;
  let rest = crc32Masked(buffer.subarray(start, at));
  name.copy(buffer, at);
  at += name.length;
  for (let digit = 0; digit < DIGIT_COUNT; digit++) {
    buffer[at++] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  buffer[at] = VALUE_END;
}
