import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MAGIC_V1,
  MAGIC_V2,
  RecordKind,
  RecordView,
  SysFlag,
} from '../../src/protocol/message-record.ts';
import {
  encodeHost,
  encodeRecord,
  fieldsOf,
  offsetMessageId,
  type RecordFields,
  splitAddress,
} from '../../src/protocol/record-encoder.ts';

const host = fc.oneof(
  fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 65535 })),
  fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 65535 })),
);
const recordFields: fc.Arbitrary<RecordFields> = fc.record({
  topic: fc.string({ minLength: 1, maxLength: 250 }),
  queueId: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
  flag: fc.integer(),
  sysFlag: fc.constantFrom(0, SysFlag.COMPRESSED, SysFlag.TRANSACTION_COMMIT),
  bornTimestampMs: fc.integer({ min: 0, max: 2 ** 50 }),
  bornHost: host.map(([address, port]) => encodeHost(address, port)),
  storeHost: host.map(([address, port]) => encodeHost(address, port)),
  reconsumeTimes: fc.nat(100),
  preparedTransactionOffset: fc.constant(0),
  body: fc.uint8Array({ maxLength: 300 }),
  properties: fc.uint8Array({ maxLength: 300 }),
});

describe('record encoder', () => {
  it('writes records that RecordView reads back, CRC included', () => {
    fc.assert(
      fc.property(recordFields, (fields) => {
        const record = encodeRecord(fields);
        const view = new RecordView();
        expect(view.read(record, 0, record.length, true)).toBe(RecordKind.MESSAGE);
        const read = fieldsOf(view);
        const hostBits = SysFlag.BORN_HOST_V6 | SysFlag.STORE_HOST_V6;
        expect({ ...read, sysFlag: read.sysFlag & ~hostBits, body: [...read.body] }).toEqual({
          ...fields,
          bornHost: Buffer.from(fields.bornHost),
          storeHost: Buffer.from(fields.storeHost),
          body: [...fields.body],
          properties: Buffer.from(fields.properties),
        });
        expect(view.magic).toBe(Buffer.byteLength(fields.topic) > 127 ? MAGIC_V2 : MAGIC_V1);
        expect([view.queueOffset, view.physicalOffset, view.storeTimestampMs]).toEqual([0, 0, 0]);
      }),
    );
  });

  it('refuses properties that their length field cannot count', () => {
    const [fields] = fc.sample(recordFields, 1) as [RecordFields];
    expect(() => encodeRecord({ ...fields, properties: Buffer.alloc(32768) })).toThrow(RangeError);
  });
});

describe('hosts', () => {
  it.each([
    ['127.0.0.1', '7f000001'],
    ['::ffff:10.1.2.3', '0a010203'],
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['2001:db8::8a2e:370:7334', '20010db80000000000008a2e03707334'],
    ['fe80::1%eth0', `fe80${'0'.repeat(27)}1`],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
  ])('encodes %s', (address, hex) => {
    expect(encodeHost(address, 0x1234).toString('hex')).toBe(`${hex}00001234`);
  });

  it('refuses what is no address', () => {
    expect(() => encodeHost('localhost', 1)).toThrow(RangeError);
  });

  it.each([
    ['10.0.0.1:80', '10.0.0.1', 80],
    ['[::1]:80', '::1', 80],
    ['::1:80', '::1', 80],
  ])('splits %s', (text, address, port) => {
    expect(splitAddress(text)).toEqual({ address, port });
  });

  it('writes offset ids as clients take them apart', () => {
    expect(offsetMessageId(encodeHost('10.0.0.9', 10911), 0x1_0000_0002)).toBe(
      '0A00000900002A9F0000000100000002',
    );
  });
});
