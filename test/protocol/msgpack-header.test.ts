/**
 * Goal: MessagePack headers say what the other two say, and hostile ones cost nothing. Method: any header
 * through all three codecs and through msgpackr itself; every form of MessagePack in every place; declared
 * lengths far beyond the frame; frames with changed, cut and added bytes, of which the scanner and the general
 * decoder must think the same.
 */
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../src/base/errors.ts';
import { decodeMsgpackHeader, encodeMsgpackHeader } from '../../src/protocol/msgpack-header.ts';
import {
  decodeFrame,
  encodeAnswer,
  encodeRequest,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';
import { peekRequestCode, RequestScanner } from '../../src/protocol/request-scanner.ts';
import { writeExtra } from '../../src/protocol/answer-extra.ts';
import { AnswerEncoder } from '../../src/reactor/answer-encoder.ts';

const packr = new Packr({ useRecords: false, mapsAsObjects: false });

function frameOf(header: Uint8Array, body = ''): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE((2 << 24) | header.length);
  return Buffer.concat([head, header, Buffer.from(body)]);
}

/** What the general decoder makes of a frame; null where it refuses it. */
function decoded(frame: Buffer): RemotingCommand | null {
  try {
    return decodeFrame(frame);
  } catch (error) {
    if (BrokerError.is(error) && error.code === 'FRAME_INVALID') return null;
    throw error;
  }
}

/** Header and fields as the scanner sees them; null where it refuses them. */
function scanned(frame: Buffer): unknown {
  const scanner = new RequestScanner();
  if (!scanner.scan(frame, 0, frame.length)) return null;
  const { code, flag, opaque, version } = scanner;
  const fields = Array.from({ length: scanner.fieldCount }, (_, field) => [
    frame.toString('utf8', scanner.nameStart[field], scanner.nameEnd[field]),
    scanner.text(field),
  ]);
  const body = frame.toString('latin1', scanner.bodyStart, scanner.bodyEnd);
  return { code, flag, opaque, version, fields: new Map(fields as [string, string][]), body };
}

function seen(command: RemotingCommand | null): unknown {
  if (command === null) return null;
  const { code, flag, opaque, version, extFields, body } = command;
  return { code, flag, opaque, version, fields: extFields, body: body.toString('latin1') };
}

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });
const header = fc.record({
  code: fc.integer({ min: 0, max: 32_767 }),
  opaque: int32,
  flag: fc.integer({ min: 0, max: 3 }),
  // An empty value is none in the ROCKETMQ codec.
  extFields: fc.uniqueArray(
    fc.tuple(name, fc.string({ unit: 'binary', minLength: 1, maxLength: 300 })),
    { selector: ([field]) => field, maxLength: 60 },
  ),
  body: fc.uint8Array({ maxLength: 40 }),
});

describe('a header in MessagePack', () => {
  test('says the same as in JSON and in ROCKETMQ, to our decoder and to msgpackr', () => {
    fc.assert(
      fc.property(header, (request) => {
        const [json, binary, msgpack] = ([0, 1, 2] as const).map((serializeType) => {
          const frame = encodeRequest({ ...request, serializeType });
          return decodeFrame(frame.subarray(4));
        });
        const common = ({
          code,
          flag,
          opaque,
          version,
          remark,
          extFields,
          body,
        }: RemotingCommand) => ({ code, flag, opaque, version, remark, extFields, body });
        expect(common(msgpack)).toEqual(common(json));
        expect(common(msgpack)).toEqual(common(binary));
        expect(msgpack.language).toBe('OTHER');
        const frame = encodeRequest({ ...request, serializeType: 2 });
        const headerBytes = frame.readUIntBE(5, 3);
        expect(packr.unpack(frame.subarray(8, 8 + headerBytes))).toEqual([
          request.code,
          request.flag,
          request.opaque,
          msgpack.version,
          null,
          new Map(request.extFields),
        ]);
      }),
    );
  });

  test('of an answer keeps its remark', () => {
    for (const remark of ['', 'no such topic', 'ä'.repeat(16_000)]) {
      const frame = encodeAnswer({ opaque: 3, serializeType: 2 }, { code: 17, remark });
      expect(decodeFrame(frame.subarray(4)).remark).toBe(remark);
    }
    // Longer than the broker's own are.
    const remark = 'ä'.repeat(70_000);
    const fields = { code: 17, flag: 1, opaque: 3, version: 479, remark };
    const header = encodeMsgpackHeader({ ...fields, extFields: new Map() });
    expect(decoded(frameOf(header))?.remark).toBe(remark);
  });

  test('written by hand for sends and pulls is what msgpackr reads', () => {
    const encoder = new AnswerEncoder(Buffer.alloc(8, 1), 'Region'.repeat(60), true);
    const target = Buffer.alloc(4096);
    const read = (end: number): unknown[] => packr.unpack(target.subarray(8, end)) as unknown[];
    const answer = { opaque: -5, serializeType: 2, code: 0, queueId: 7, queueOffset: 300 };
    const extra = Buffer.alloc(8);
    const send = {
      ...answer,
      offsets: Float64Array.of(1, 2, 3),
      first: 0,
      count: 3,
      extra,
      extraStart: 0,
      extraEnd: writeExtra(extra, 0, ['transactionId', 'x']),
      isPlain: false,
    };
    const sent = read(encoder.writeSend(target, 0, send));
    expect(sent.slice(0, 5)).toEqual([0, 1, -5, expect.any(Number), null]);
    expect((sent[5] as Map<string, string>).get('transactionId')).toBe('x');
    expect((sent[5] as Map<string, string>).get('MSG_REGION')).toBe('Region'.repeat(60));
    expect((sent[5] as Map<string, string>).get('msgId')?.length).toBe(3 * 32 + 2);
    const failed = read(encoder.writeSend(target, 0, { ...send, code: 14 }));
    expect(failed[0]).toBe(14);
    expect(failed[4]).toContain('disk');
    const offsets = { nextBeginOffset: 2 ** 53 - 1, minOffset: 0, maxOffset: 12 };
    const pulled = read(
      encoder.writePull(target, 0, { ...answer, ...offsets, code: 20, bodyBytes: 0 }),
    );
    expect(pulled[5]).toEqual(
      new Map([
        ['maxOffset', '12'],
        ['minOffset', '0'],
        ['nextBeginOffset', '9007199254740991'],
        ['suggestWhichBrokerId', '0'],
      ]),
    );
  });
});

const good: readonly unknown[] = [310, 0, 9, 479, null, new Map([['a', 'group']])];

describe('the reader of MessagePack headers', () => {
  const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

  test.each([
    ['7f', 127],
    ['ff', -1],
    ['e0', -32],
    ['cc ff', 255],
    ['cd ffff', 65_535],
    ['ce 7fffffff', 2 ** 31 - 1],
    ['cf 000000007fffffff', 2 ** 31 - 1],
    ['d0 80', -128],
    ['d1 8000', -32_768],
    ['d2 80000000', -(2 ** 31)],
    ['d3 ffffffff80000000', -(2 ** 31)],
    ['d3 0000000000000005', 5],
  ])('takes an integer as %s', (form, value) => {
    const frame = frameOf(hex(`96 0c 00 ${form} 01 c0 80`));
    expect(decoded(frame)?.opaque).toBe(value);
    expect((scanned(frame) as { opaque: number }).opaque).toBe(value);
  });

  test.each([
    ['an unsigned integer above int32', 'ce 80000000'],
    ['a long above int32', 'cf 0000000100000000'],
    ['a long that is large in its low half', 'cf 0000000080000000'],
    ['a long below int32', 'd3 ffffffff7fffffff'],
    ['a float', 'ca 3f800000'],
    ['a double', 'cb 3ff0000000000000'],
    ['nil', 'c0'],
    ['the byte that is never used', 'c1'],
    ['a boolean', 'c3'],
    ['a text', 'a1 31'],
    ['bytes', 'c4 01 31'],
    ['an extension', 'd4 01 00'],
    ['a date', 'd6 ff 00000000'],
    ['an array', '90'],
    ['a map', '80'],
  ])('refuses %s for an integer', (_what, form) => {
    const frame = frameOf(hex(`96 0c 00 ${form} 01 c0 80`));
    expect(decoded(frame)).toBeNull();
    expect(scanned(frame)).toBeNull();
  });

  test.each([
    ['an integer', '05'],
    ['bytes', 'c4 01 31'],
    ['an extension', 'c7 01 05 31'],
    ['an extension of fixed length', 'd8 05 00000000000000000000000000000000'],
    ['an array', '91 a1 31'],
    ['a map', '81 a1 31 a1 32'],
    ['a boolean', 'c2'],
  ])('refuses %s for a remark, a name and a value', (_what, form) => {
    for (const text of [
      `96 0c 00 01 01 ${form} 80`,
      `96 0c 00 01 01 c0 81 ${form} a1 31`,
      `96 0c 00 01 01 c0 81 a1 31 ${form}`,
    ]) {
      expect(decoded(frameOf(hex(text)))).toBeNull();
      expect(scanned(frameOf(hex(text)))).toBeNull();
    }
  });

  test.each([
    ['nothing', ''],
    ['an array of five', '95 0c 00 01 01 c0'],
    ['an array of seven', '97 0c 00 01 01 c0 80 80'],
    ['a map', '86 0c 00 01 01 c0 80'],
    ['no map of fields', '96 0c 00 01 01 c0 c0'],
    ['fields as an array', '96 0c 00 01 01 c0 92 a1 31 a1 31'],
    ['a nil value', '96 0c 00 01 01 c0 81 a1 31 c0'],
    ['a byte behind it', '96 0c 00 01 01 c0 80 00'],
    ['a name without a value', '96 0c 00 01 01 c0 81 a1 31'],
  ])('refuses a header that is %s', (_what, text) => {
    expect(decoded(frameOf(hex(text)))).toBeNull();
    expect(scanned(frameOf(hex(text)))).toBeNull();
    expect(scanned(frameOf(hex(text), 'a body is no part of the header'))).toBeNull();
  });

  test('takes the long forms of array, map and text', () => {
    const long = 'dc 0006 0c 00 01 01 da 0001 31 de 0001 db 00000001 61 d9 01 62';
    const longest = 'dd 00000006 0c 00 01 01 db 00000001 31 df 00000001 d9 01 61 da 0001 62';
    for (const text of [long, longest]) {
      const command = decoded(frameOf(hex(text)));
      expect(command?.remark).toBe('1');
      expect(command?.extFields).toEqual(new Map([['a', 'b']]));
      expect(scanned(frameOf(hex(text)))).toEqual(seen(command));
    }
  });

  test('holds a declared count or length against the bytes that are there', () => {
    const began = performance.now();
    for (const text of [
      'dd ffffffff 0c 00 01 01 c0 80',
      '96 0c 00 01 01 c0 df ffffffff a1 31',
      '96 0c 00 01 01 c0 df 00000400 a1 31 a1 32',
      '96 0c 00 01 01 db ffffffff 31',
      '96 0c 00 01 01 c0 81 db 7fffffff 31 a1 32',
      '96 0c 00 01 01 c0 81 a1 31 db 7fffffff 32',
      `96 0c 00 01 01 c0 ${'81 a1 31'.repeat(100_000)}`,
      '91'.repeat(1_000_000),
    ]) {
      expect(decoded(frameOf(hex(text)))).toBeNull();
      expect(scanned(frameOf(hex(text)))).toBeNull();
    }
    expect(performance.now() - began).toBeLessThan(2000);
  });

  test('takes 1024 fields, 128 on the hot path, and no more', () => {
    const withFields = (count: number): Buffer => {
      const fields = new Map(Array.from({ length: count }, (_, index) => [`f${index}`, 'v']));
      return frameOf(packr.pack([12, 0, 1, 0, null, fields]));
    };
    expect(decoded(withFields(1024))?.extFields.size).toBe(1024);
    expect(decoded(withFields(1025))).toBeNull();
    expect(scanned(withFields(128))).not.toBeNull();
    expect(scanned(withFields(129))).toBeNull();
    expect(decodeMsgpackHeader(withFields(3).subarray(4), 2)).toBeNull();
  });

  test('thinks of whatever MessagePack can say what its type says', () => {
    const isInt32 = (value: unknown): boolean =>
      typeof value === 'number' && (value | 0) === value && !Object.is(value, -0);
    const member = fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...good) },
      {
        weight: 1,
        arbitrary: fc.anything({ withMap: true, withDate: true, withTypedArray: true }),
      },
    );
    fc.assert(
      fc.property(fc.array(member, { minLength: 5, maxLength: 7 }), (members) => {
        let frame: Buffer;
        try {
          frame = frameOf(packr.pack(members));
        } catch {
          return;
        }
        const command = decoded(frame);
        expect(scanned(frame)).toEqual(seen(command));
        if (command === null) return;
        const said = packr.unpack(frame.subarray(4)) as unknown[];
        expect(said.length).toBe(6);
        expect(said.slice(0, 4).every(isInt32)).toBe(true);
        expect(said[4] === null || typeof said[4] === 'string').toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test('never throws, never hangs, and agrees with the scanner on changed, cut and added bytes', () => {
    const whole = encodeRequest({
      code: 310,
      opaque: 7,
      extFields: [
        ['a', 'group'],
        ['b', 'Topic'],
        ['i', 'K\u0001v\u0002'.repeat(40)],
        ['unitMode', 'ü'],
      ],
      body: Buffer.from('body'),
      serializeType: 2,
    }).subarray(4);
    const check = (frame: Buffer): void => {
      const view = seen(decoded(frame));
      expect(scanned(frame)).toEqual(view);
      peekRequestCode(frame, 0, frame.length, new RequestScanner());
    };
    for (let at = 4; at < whole.length; at++) {
      for (const byte of [0, 0x7f, 0x80, 0x96, 0xa0, 0xbf, 0xc0, 0xc7, 0xdb, 0xdf, 0xff]) {
        const changed = Buffer.from(whole);
        changed[at] = byte;
        check(changed);
      }
      check(whole.subarray(0, at));
    }
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            at: fc.nat({ max: whole.length }),
            removed: fc.nat({ max: 6 }),
            added: fc.uint8Array({ maxLength: 6 }),
          }),
          { minLength: 1, maxLength: 6 },
        ),
        (changes) => {
          let headerBytes = whole.subarray(4, 4 + whole.readUIntBE(1, 3));
          for (const { at, removed, added } of changes) {
            const cut = Math.min(at, headerBytes.length);
            headerBytes = Buffer.concat([
              headerBytes.subarray(0, cut),
              added,
              headerBytes.subarray(Math.min(headerBytes.length, cut + removed)),
            ]);
          }
          check(frameOf(headerBytes, 'body'));
        },
      ),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => check(frameOf(bytes))),
      {
        numRuns: 3000,
      },
    );
  });

  test('peeks at codes of every length', () => {
    for (const code of [0, 10, 127, 128, 255, 310, 32_767, 70_000, -1]) {
      const frame = frameOf(packr.pack([code, 0, 1, 479, null, new Map()]));
      expect(peekRequestCode(frame, 0, frame.length, new RequestScanner())).toBe(code);
    }
  });
});
