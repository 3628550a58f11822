/** Stored records as messages, against the broker's own encoder; and bytes that are none. */
import zlib from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { browserPlatform } from '../../src/client/browser-platform.ts';
import '../../src/client/index.ts';
import { nodePlatform } from '../../src/client/node-platform.ts';
import { installPlatform } from '../../src/client/platform.ts';
import { readRecords, type StoredMessage } from '../../src/client/record-reader.ts';
import { recordHead, writeLong } from '../../src/protocol/message-record.ts';
import {
  encodeHost,
  encodeRecord,
  offsetMessageId,
  type RecordFields,
} from '../../src/protocol/record-encoder.ts';

const queue = { topic: 'orders', brokerName: 'broker-a', queueId: 3 };
const storeHost = encodeHost('10.1.2.3', 10_911);

function recordOf(overrides: Partial<RecordFields> = {}): Buffer {
  const record = encodeRecord({
    topic: 'orders',
    queueId: 3,
    flag: 0,
    sysFlag: 0,
    bornTimestampMs: 1_795_421_373_987,
    bornHost: encodeHost('192.0.2.7', 4711),
    storeHost,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from('hello'),
    properties: Buffer.from(
      'UNIQ_KEY\x01ID1\x02TAGS\x01created\x02KEYS\x01a b\x02__proto__\x01x\x02',
    ),
    ...overrides,
  });
  writeLong(record, 2 ** 40 + 5, recordHead.queueOffset);
  writeLong(record, 2 ** 41 + 9, recordHead.physicalOffset);
  return record;
}

const readOne = async (record: Uint8Array): Promise<StoredMessage> =>
  (await readRecords(record, queue))[0];

afterEach(() => installPlatform(nodePlatform));

test('a record says what was stored', async () => {
  const message = await readOne(recordOf());
  expect(message).toMatchObject({ topic: 'orders', queue, tag: 'created', messageId: 'ID1' });
  expect(message.keys).toEqual(['a', 'b']);
  expect(message.text()).toBe('hello');
  expect(() => message.json()).toThrow(SyntaxError);
  expect(message.queueOffset).toBe(2 ** 40 + 5);
  expect(message.offsetMessageId).toBe(offsetMessageId(storeHost, 2 ** 41 + 9));
  expect(message.bornTimestampMs).toBe(1_795_421_373_987);
  expect(message.bornHost).toBe('192.0.2.7:4711');
  expect(Object.keys(message.properties)).toEqual(['UNIQ_KEY', 'TAGS', 'KEYS', '__proto__']);
});

test('many records of all kinds come in their order', async () => {
  const long = 't'.repeat(200);
  const records = [
    recordOf(),
    recordOf({ topic: long, bornHost: encodeHost('2001:db8::7', 1), body: new Uint8Array(0) }),
    recordOf({ storeHost: encodeHost('::1', 2), properties: new Uint8Array(0) }),
    recordOf({
      topic: '%RETRY%g',
      reconsumeTimes: 2,
      properties: Buffer.from('RETRY_TOPIC\x01orders'),
    }),
  ];
  const [plain, wide, bare, retried] = await readRecords(Buffer.concat(records), {
    brokerName: 'broker-b',
  });
  expect(plain.queue).toEqual({ topic: 'orders', brokerName: 'broker-b', queueId: 3 });
  expect([wide.topic, wide.bornHost]).toEqual([long, '[2001:db8:0:0:0:0:0:7]:1']);
  expect(wide.body).toHaveLength(0);
  expect([bare.tag, bare.keys]).toEqual([undefined, []]);
  expect(bare.messageId).toBe(bare.offsetMessageId);
  expect(bare.messageId).toBe(offsetMessageId(encodeHost('::1', 2), 2 ** 41 + 9));
  expect([retried.topic, retried.storedTopic, retried.deliveryAttempt]).toEqual([
    'orders',
    '%RETRY%g',
    3,
  ]);
});

describe('a compressed body', () => {
  const text = 'tracing '.repeat(50);
  const inflatable = { body: zlib.deflateSync(text) };

  test.each([
    ['by zlib', { ...inflatable, sysFlag: 0x301 }],
    ['by an old client', { ...inflatable, sysFlag: 0x1 }],
    ['by zstd', { body: zlib.zstdCompressSync(text), sysFlag: 0x201 }],
  ])('comes out as it was: %s', async (_name, fields) => {
    expect((await readOne(recordOf(fields))).text()).toBe(text);
  });

  test('comes out in browsers, too, once it was waited for', async () => {
    installPlatform(browserPlatform);
    const [message, plain] = await readRecords(
      Buffer.concat([recordOf({ ...inflatable, sysFlag: 0x301 }), recordOf()]),
      queue,
    );
    expect([message.text(), plain.text()]).toEqual([text, 'hello']);
  });

  test.each([
    ['lz4', { ...inflatable, sysFlag: 0x101 }],
    ['a kind that is not known', { ...inflatable, sysFlag: 0x701 }],
    ['damage', { body: Buffer.from('junk'), sysFlag: 0x301 }],
  ])('that can not be decompressed throws only when it is asked for: %s', async (_name, fields) => {
    for (const platform of [nodePlatform, browserPlatform]) {
      installPlatform(platform);
      const message = await readOne(recordOf(fields));
      expect(message.tag).toBe('created');
      for (let count = 0; count < 2; count++)
        expect(() => message.body).toThrow(/body of message ID1 can not be decompressed/);
    }
  });
});

test('bytes that are no record are refused, wherever one is cut or changed', () => {
  const record = recordOf();
  for (let bytes = 1; bytes < record.length; bytes++)
    expect(() => readRecords(record.subarray(0, bytes), queue)).toThrow(/no record/);
  for (const at of [recordHead.totalSize, recordHead.magic]) {
    const changed = Buffer.from(record);
    changed[at + 3] ^= 0x01;
    expect(() => readRecords(changed, queue)).toThrow(/no record/);
  }
  expect(readRecords(new Uint8Array(0), queue)).toEqual([]);
});
