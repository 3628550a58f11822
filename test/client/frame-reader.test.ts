/**
 * JSON answers read by their bytes, against the broker's own decoder and frames captured from Java's;
 * and a stream of frames cut at any byte.
 */
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CODEC_JSON, FrameSplitter, PlainFrame } from '../../src/client/frame-codec.ts';
import { FrameReader } from '../../src/client/frame-reader.ts';
import '../../src/client/index.ts';
import { SendTemplate } from '../../src/client/send-template.ts';
import { decodeFrame } from '../../src/protocol/remoting-command.ts';

const fixtures = path.join(import.meta.dirname, '../fixtures/frames');

function read(frame: Buffer): FrameReader {
  const reader = new FrameReader();
  reader.read(frame, 4, frame.length);
  return reader;
}

function jsonFrame(header: string, body = ''): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(4 + Buffer.byteLength(header) + body.length, 0);
  head.writeInt32BE(Buffer.byteLength(header), 4);
  return Buffer.concat([head, Buffer.from(header), Buffer.from(body)]);
}

describe('frames captured from Java', () => {
  const files = fs.readdirSync(fixtures).filter((file) => /^json-.*\.bin$/.test(file));

  test.each(files)('%s reads as the broker reads it', (file) => {
    const frame = fs.readFileSync(path.join(fixtures, file));
    const reader = read(frame);
    const { code, opaque, flag, remark, extFields, version, body } = decodeFrame(frame.subarray(4));
    expect(reader.toAnswer()).toEqual({ code, remark, fields: extFields, version, body });
    expect([reader.opaque, reader.flag]).toEqual([opaque, flag]);
  });
});

test('the answer to a send is read without making its fields', () => {
  const reader = read(fs.readFileSync(path.join(fixtures, 'json-310-send-answer.bin')));
  expect(reader.hasPlaces).toBe(true);
  for (const text of ['asciiAt', 'hexAt'] as const)
    expect(reader[text](reader.findField('msgId'))).toBe('7F00000100002A9F000000000000016C');
  expect(reader.integerAt(reader.findField('queueOffset'))).toBe(0);
  expect(reader.integerAt(reader.findField('msgId'))).toBeNaN();
  expect(reader.findField('recallHandle')).toBe(-1);
});

test('identifiers are read one after another, whatever they are', () => {
  const reader = new FrameReader();
  const ids = [
    '7F00000100002A9F000000000000016C',
    '7F00000100002A9F0000000000000ABC',
    '0A00000100002A9F0000000000000ABC',
    '7F00000100002A9F0000000100000ABC',
    '7f00000100002a9f0000000100000abc',
    '7F00000100002A9F000000000000016C,7F00000100002A9F00000000000009B6',
    '12345678',
    'no hex',
    '',
  ];
  for (const msgId of ids) {
    const header = { code: 0, extFields: { msgId }, flag: 1, opaque: 1 };
    const frame = jsonFrame(JSON.stringify(header));
    reader.read(frame, 4, frame.length);
    expect(reader.hexAt(reader.findField('msgId'))).toBe(msgId);
  }
});

test('any JSON header reads as JSON.parse reads it', () => {
  const text = fc.string({ unit: 'binary', maxLength: 30 });
  const member = fc.record({
    code: fc.integer({ min: 0, max: 0x7fffffff }),
    extFields: fc.dictionary(fc.string({ minLength: 1, unit: 'binary' }), text, { maxKeys: 8 }),
    flag: fc.constantFrom(0, 1, 2, 3),
    language: fc.constantFrom('JAVA', 'ä"\\'),
    opaque: fc.integer({ min: -5, max: 0x7fffffff }),
    remark: fc.option(text),
    version: fc.constant(479),
  });
  fc.assert(
    fc.property(member, fc.constantFrom(undefined, 1), (header, space) => {
      const reader = read(jsonFrame(JSON.stringify(header, null, space), 'body'));
      expect(reader.toAnswer()).toMatchObject({ code: header.code, remark: header.remark });
      expect([...reader.fields]).toEqual(Object.entries(header.extFields));
      expect(reader.opaque).toBe(header.opaque);
      expect(Buffer.from(reader.body).toString()).toBe('body');
    }),
  );
});

test('more fields than have places are read all the same', () => {
  const extFields = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`f${n}`, `${n}`]));
  const reader = read(jsonFrame(JSON.stringify({ code: 0, extFields, flag: 1, opaque: 1 })));
  expect(reader.hasPlaces).toBe(false);
  expect(reader.fields).toEqual(new Map(Object.entries(extFields)));
});

test.each(['', '[]', '{"code":1.5,"opaque":1}', '{"code":0,"opaque":1', '{"code":0}', 'null'])(
  'a header of %j is refused',
  (header) => {
    expect(() => read(jsonFrame(header))).toThrow(/header|integer/);
  },
);

test('a header that runs past its frame is refused', () => {
  const frame = jsonFrame('{"code":0,"opaque":1}');
  frame.writeInt32BE(400, 4);
  expect(() => read(frame)).toThrow(/past its frame/);
});

test('frames come out whole however their stream is cut', () => {
  const frames = fc.array(fc.string({ maxLength: 60 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(
      frames,
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
      (bodies, cuts) => {
        const stream = Buffer.concat(
          bodies.map((body, opaque) => {
            const frame = new PlainFrame({ code: 1, flag: 1, body: Buffer.from(body) });
            const target = Buffer.alloc(frame.frameBytesMax());
            return target.subarray(0, frame.writeInto(target, 0, opaque, CODEC_JSON));
          }),
        );
        const seen: string[] = [];
        const reader = new FrameReader();
        const splitter = new FrameSplitter((bytes, start, end) => {
          reader.read(bytes, start, end);
          seen[reader.opaque] = Buffer.from(reader.body).toString();
        });
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const bytes = cuts[turn % cuts.length];
          splitter.push(stream.subarray(at, at + bytes));
          at += bytes;
        }
        expect(seen).toEqual(bodies);
      },
    ),
  );
});

test('a length that no frame has is refused', () => {
  for (const length of [0, 3, -1, 16 * 1024 * 1024 + 1]) {
    const word = Buffer.alloc(4);
    word.writeInt32BE(length);
    expect(() => new FrameSplitter(() => {}).push(word)).toThrow(/frame of/);
  }
});

test('a send has the members of the Java client, in its order', () => {
  const frame = fs.readFileSync(path.join(fixtures, 'json-310-send-keys-tag.bin'));
  const java = frame.subarray(8, 8 + frame.readUIntBE(5, 3)).toString();
  const template = new SendTemplate({
    group: 'frame-producer',
    topic: 'FrameTopic',
    brokerName: 'broker-a',
    isBatch: false,
  });
  const request = {
    queueId: 0,
    sysFlag: 0,
    bornTimestampMs: 1_795_421_373_987,
    flag: 0,
    idPrefix: '7F0000014DCA30946E09730C1E23',
    idCounter: 1,
    properties: ['KEYS', 'key-1', 'WAIT', 'true', 'TAGS', 'TagA'],
    body: frame.subarray(8 + java.length),
  };
  const target = Buffer.alloc(template.frameBytesMax(request));
  const end = template.writeInto(target, 0, 16, CODEC_JSON, request);
  const ours = target.subarray(8, end - request.body.length).toString();
  const properties =
    'KEYS\\u0001key-1\\u0002UNIQ_KEY\\u00017F0000014DCA30946E09730C1E230001\\u0002';
  const reordered = 'UNIQ_KEY\\u00017F0000014DCA30946E09730C1E230001\\u0002KEYS\\u0001key-1\\u0002';
  expect(ours).toBe(java.replace(properties, reordered).replace('"JAVA"', '"OTHER"'));
});
