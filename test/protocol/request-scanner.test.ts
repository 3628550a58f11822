import fc from 'fast-check';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { decodeFrame, encodeRequest } from '../../src/protocol/remoting-command.ts';
import { peekRequestCode, RequestScanner } from '../../src/protocol/request-scanner.ts';

function scan(frame: Buffer): RequestScanner | null {
  const scanner = new RequestScanner();
  return scanner.scan(frame, 4, frame.length) ? scanner : null;
}

function jsonFrame(header: string, body = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.from(header);
  const frame = Buffer.alloc(8 + bytes.length + body.length);
  frame.writeInt32BE(frame.length - 4, 0);
  frame.writeInt32BE(bytes.length, 4);
  bytes.copy(frame, 8);
  body.copy(frame, 8 + bytes.length);
  return frame;
}

/** extFields as the scanner sees them. */
function fieldsOf(scanner: RequestScanner): Map<string, string | null> {
  const fields = new Map<string, string | null>();
  for (let field = 0; field < scanner.fieldCount; field++) {
    const name = scanner.bytes.toString('utf8', scanner.nameStart[field], scanner.nameEnd[field]);
    fields.set(name, scanner.text(field));
  }
  return fields;
}

describe('the request scanner', () => {
  test('sees in any request what the general codec sees', () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 });
    fc.assert(
      fc.property(
        fc.record({
          code: fc.integer({ min: 0, max: 32_767 }),
          opaque: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
          flag: fc.integer({ min: 0, max: 3 }),
          fields: fc.uniqueArray(fc.tuple(fc.string({ minLength: 1, maxLength: 20 }), text), {
            selector: ([name]) => name,
            maxLength: 20,
          }),
          body: fc.uint8Array({ maxLength: 100 }),
          serializeType: fc.constantFrom(0 as const, 1 as const, 2 as const),
        }),
        ({ code, opaque, flag, fields, body, serializeType }) => {
          // JSON names with escapes are nothing that RocketMQ sends; the scanner compares raw names.
          const plain = fields.filter(
            ([name]) => /^[A-Za-z_]+$/.test(name) && name !== '__proto__',
          );
          const frame = encodeRequest({
            code,
            opaque,
            flag,
            extFields: plain,
            body,
            serializeType,
          });
          const scanner = scan(frame);
          const command = decodeFrame(frame.subarray(4));
          expect(scanner).not.toBeNull();
          expect([scanner?.code, scanner?.opaque, scanner?.flag]).toEqual([
            command.code,
            command.opaque,
            command.flag,
          ]);
          expect(fieldsOf(scanner as RequestScanner)).toEqual(command.extFields);
          expect(frame.subarray(scanner?.bodyStart, scanner?.bodyEnd).equals(command.body)).toBe(
            true,
          );
          expect(peekRequestCode(frame, 4, frame.length, new RequestScanner())).toBe(code);
        },
      ),
    );
  });

  test('never throws and never reads outside, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const frame = Buffer.from(bytes);
        const scanner = new RequestScanner();
        if (scanner.scan(frame, 0, frame.length)) {
          expect(scanner.bodyStart).toBeLessThanOrEqual(frame.length);
          for (let field = 0; field < scanner.fieldCount; field++) {
            expect(scanner.valueEnd[field]).toBeLessThanOrEqual(frame.length);
          }
        }
        peekRequestCode(frame, 0, frame.length, scanner);
      }),
      { numRuns: 2000 },
    );
  });

  test('never throws on a real header with any byte changed or cut', () => {
    const header =
      '{"code":310,"extFields":{"a":"g","b":"T","i":"K\\u0001v\\u0002"},"flag":0,"language":"JAVA","opaque":7,"version":479}';
    const frame = jsonFrame(header);
    for (let at = 4; at < frame.length; at++) {
      for (const byte of [0, 0x22, 0x5c, 0x7b, 0x7d, 0xff]) {
        const changed = Buffer.from(frame);
        changed[at] = byte;
        scan(changed);
      }
      scan(frame.subarray(0, at));
    }
    expect(scan(frame)?.code).toBe(310);
  });

  test.each([
    ['nothing', ''],
    ['an array', '[1]'],
    ['no code', '{"opaque":1}'],
    ['no opaque', '{"code":1}'],
    ['an object in a field', '{"code":1,"opaque":1,"extFields":{"a":{}}}'],
    ['an array in a field', '{"code":1,"opaque":1,"extFields":{"a":[]}}'],
    ['deep nesting', `{"code":1,"opaque":1,"x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
    ['a number too long', '{"code":1,"opaque":99999999999}'],
    ['an exponent', '{"code":1,"opaque":1e400}'],
    ['text behind it', '{"code":1,"opaque":1}x'],
    ['an open string', '{"code":1,"opaque":1,"remark":"abc'],
  ])('refuses a header with %s', (_what, header) => {
    expect(scan(jsonFrame(header))).toBeNull();
  });

  test('refuses lengths that contradict each other', () => {
    const frame = jsonFrame('{"code":1,"opaque":1}');
    frame.writeInt32BE(1000, 4);
    expect(scan(frame)).toBeNull();
    const unknown = jsonFrame('{"code":1,"opaque":1}');
    unknown[4] = 9;
    expect(scan(unknown)).toBeNull();
  });

  test('reads numbers, booleans and what is not one', () => {
    const scanner = scan(
      jsonFrame(
        '{"code":1,"opaque":1,"extFields":{"a":"-12","b":"TRUE","c":"1x","d":"","e":"9007199254740991"}}',
      ),
    );
    const field = (letter: string): number => scanner?.letter[letter.charCodeAt(0) - 97] ?? -1;
    expect(scanner?.integer(field('a'), 0)).toBe(-12);
    expect(scanner?.isTrue(field('b'))).toBe(true);
    expect(scanner?.integer(field('c'), 0)).toBeNaN();
    expect(scanner?.integer(field('d'), 5)).toBe(5);
    expect(scanner?.integer(field('e'), 0)).toBe(Number.MAX_SAFE_INTEGER);
    expect(scanner?.integer(field('z'), 3)).toBe(3);
  });

  test('reads the frames of real clients', () => {
    const directory = path.join(import.meta.dirname, '../fixtures/frames');
    const files = fs
      .readdirSync(directory)
      .filter((name) => name.endsWith('.hex') || name.endsWith('.bin'));
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) {
      const content = fs.readFileSync(path.join(directory, file));
      const frame = file.endsWith('.hex')
        ? Buffer.from(content.toString().replaceAll(/\s|#.*$/gm, ''), 'hex')
        : content;
      const command = decodeFrame(frame.subarray(4));
      const scanner = scan(frame);
      expect([file, scanner?.code]).toEqual([file, command.code]);
      expect([file, fieldsOf(scanner as RequestScanner)]).toEqual([file, command.extFields]);
    }
  });
});
