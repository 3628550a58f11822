/**
 * Headers of serialize type 2 against msgpackr: what it reads of ours, and what we read of its.
 */
import fc from 'fast-check';
import { Packr, Unpackr } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import { CODEC_MESSAGE_PACK, PlainFrame } from '../../src/client/frame-codec.ts';
import { FrameReader } from '../../src/client/frame-reader.ts';
import '../../src/client/index.ts';
import { SendTemplate } from '../../src/client/send-template.ts';

const packr = new Packr({ useRecords: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: false });

const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const text = fc.string({ unit: 'binary', maxLength: 300 });
const fields = fc.dictionary(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), text, {
  maxKeys: 40,
});

function headerOf(frame: Uint8Array): Buffer {
  const bytes = Buffer.from(frame);
  expect(bytes.readInt32BE(0)).toBe(bytes.length - 4);
  expect(bytes[4]).toBe(CODEC_MESSAGE_PACK);
  return bytes.subarray(8, 8 + bytes.readUIntBE(5, 3));
}

function frameAround(header: Uint8Array, body = new Uint8Array(0)): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(header.length | (CODEC_MESSAGE_PACK << 24));
  return Buffer.concat([head, header, body]);
}

test('what is written reads as the same array', () => {
  fc.assert(
    fc.property(int32, int32, int32, fc.option(text, { nil: undefined }), fields, (...parts) => {
      const [code, flag, opaque, remark, table] = parts;
      const frame = new PlainFrame({ code, flag, remark, fields: table });
      const target = new Uint8Array(frame.frameBytesMax());
      const end = frame.writeInto(target, 0, opaque, CODEC_MESSAGE_PACK);
      expect(unpackr.unpack(headerOf(target.subarray(0, end)))).toEqual([
        code,
        flag,
        opaque,
        479,
        remark ?? null,
        new Map(Object.entries(table)),
      ]);
    }),
  );
});

test('a send is the same array whatever its message', () => {
  const template = new SendTemplate({
    group: 'g',
    topic: 'orders',
    brokerName: 'broker-ä',
    isBatch: false,
  });
  const properties = fc.array(fc.string({ unit: 'binary', maxLength: 200 }), {
    minLength: 4,
    maxLength: 4,
  });
  fc.assert(
    fc.property(properties, fc.nat(70_000), fc.nat(0x7fff_ffff), (pairs, queueId, opaque) => {
      const request = {
        queueId,
        sysFlag: queueId % 2,
        bornTimestampMs: 1_795_421_373_987,
        flag: 2,
        idPrefix: 'F'.repeat(28),
        idCounter: 0x12af,
        properties: pairs,
        body: 'grün',
      };
      const target = new Uint8Array(template.frameBytesMax(request));
      const end = template.writeInto(target, 0, opaque, CODEC_MESSAGE_PACK, request);
      const header = headerOf(target.subarray(0, end));
      expect(Buffer.from(target.subarray(8 + header.length, end)).toString()).toBe('grün');
      const [name1, value1, name2, value2] = pairs;
      const own = `UNIQ_KEY\x01${'F'.repeat(28)}12AF\x02`;
      const told = `${own}${name1}\x01${value1}\x02${name2}\x01${value2}\x02`;
      expect(unpackr.unpack(header)).toEqual([
        310,
        2,
        opaque,
        479,
        null,
        new Map([
          ['a', 'g'],
          ['b', 'orders'],
          ['c', 'TBW102'],
          ['d', '4'],
          ['e', String(queueId)],
          ['f', String(queueId % 2)],
          ['h', '0'],
          ['m', 'false'],
          ['n', 'broker-ä'],
          ['g', '1795421373987'],
          // Lone surrogates become U+FFFD in UTF-8.
          ['i', told.toWellFormed()],
        ]),
      ]);
    }),
  );
});

describe('an answer', () => {
  test('reads as it was packed', () => {
    fc.assert(
      fc.property(int32, int32, int32, fc.option(text), fields, fc.uint8Array(), (...parts) => {
        const [code, flag, opaque, remark, table, body] = parts;
        const header = packr.pack([code, flag, opaque, 479, remark, table]);
        const reader = new FrameReader();
        const frame = frameAround(header, body);
        reader.read(frame, 0, frame.length);
        expect(reader.toAnswer()).toEqual({
          code,
          remark,
          fields: new Map(Object.entries(table)),
          body: Buffer.from(body),
          version: 479,
        });
        expect([reader.flag, reader.opaque]).toEqual([flag, opaque]);
      }),
    );
  });

  test.each([
    ['an array of five', packr.pack([0, 1, 2, 479, null])],
    ['a code of text', packr.pack(['0', 1, 2, 479, null, {}])],
    ['a code beyond 32 bits', packr.pack([2 ** 31, 1, 2, 479, null, {}])],
    ['a remark that is a number', packr.pack([0, 1, 2, 479, 7, {}])],
    ['a field that is a number', packr.pack([0, 1, 2, 479, null, { a: 1 }])],
    ['bytes behind it', Buffer.concat([packr.pack([0, 1, 2, 479, null, {}]), Buffer.of(0)])],
    ['nothing', Buffer.alloc(0)],
  ])('is refused: %s', (_name, header) => {
    const frame = frameAround(header);
    expect(() => new FrameReader().read(frame, 0, frame.length)).toThrow(/MessagePack/);
  });

  test('is refused wherever it is cut', () => {
    const whole = packr.pack([0, 1, 70_000, 479, 'why', { msgId: 'x'.repeat(40) }]);
    for (let bytes = 0; bytes < whole.length; bytes++) {
      const frame = frameAround(whole.subarray(0, bytes));
      expect(() => new FrameReader().read(frame, 0, frame.length)).toThrow(/MessagePack/);
    }
  });
});
