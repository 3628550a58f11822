import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import {
  hasPropertyCrc,
  isPropertyCrcRight,
  PROPERTY_CRC_BYTES,
  reservePropertyCrc,
  writePropertyCrc,
} from '../../src/protocol/property-crc.ts';
import { encodeHost, encodeRecord } from '../../src/protocol/record-encoder.ts';

const host = encodeHost('127.0.0.1', 10911);

/** A record with room behind it. */
function record(properties: string): Buffer {
  const bytes = encodeRecord({
    topic: 'TopicTest',
    queueId: 1,
    flag: 0,
    sysFlag: 0,
    bornTimestampMs: 1000,
    bornHost: host,
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from('body'),
    properties: Buffer.from(properties),
  });
  return Buffer.concat([bytes, Buffer.alloc(PROPERTY_CRC_BYTES)]);
}

function read(bytes: Buffer): RecordView {
  const view = new RecordView();
  expect(view.read(bytes, 0, bytes.length, true)).toBe(RecordKind.MESSAGE);
  return view;
}

test.each(['', 'TAGS\x01a\x02'])(
  'closes the properties %j with the checksum of all before',
  (properties) => {
    const bytes = record(properties);
    expect(hasPropertyCrc(read(bytes))).toBe(false);
    expect(reservePropertyCrc(bytes, 0)).toBe(true);
    writePropertyCrc(bytes, 0, bytes.readInt32BE(0));
    const view = read(bytes);
    expect(view.totalBytes).toBe(bytes.length);
    const text = bytes.toString(
      'latin1',
      view.propertiesStart,
      view.propertiesStart + view.propertiesBytes,
    );
    const sum = crc32(bytes.subarray(0, bytes.length - PROPERTY_CRC_BYTES)) & 0x7fffffff;
    const digits = String(sum).padStart(10, '0').split('').reverse().join('');
    expect(text).toBe(`${properties}__CRC32#\x01${digits}\x02`);
    expect(isPropertyCrcRight(view)).toBe(true);
  },
);

test('any changed byte makes it wrong, also in topic and properties', () => {
  const bytes = record('TAGS\x01a\x02');
  reservePropertyCrc(bytes, 0);
  writePropertyCrc(bytes, 0, bytes.length);
  const view = read(bytes);
  for (const at of [view.topicStart, view.propertiesStart + 5, bytes.length - 3]) {
    bytes[at] = bytes[at] === 0x30 ? 0x31 : 0x30;
    expect(isPropertyCrcRight(view)).toBe(false);
    writePropertyCrc(bytes, 0, bytes.length);
  }
});

test('properties at the limit of their length go without', () => {
  const bytes = record(`TAGS\x01${'x'.repeat(32767 - 6 - PROPERTY_CRC_BYTES + 1)}\x02`);
  expect(reservePropertyCrc(bytes, 0)).toBe(false);
  expect(read(bytes).totalBytes).toBe(bytes.length - PROPERTY_CRC_BYTES);
});
