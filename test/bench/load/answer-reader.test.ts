import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AnswerReader } from '../../../bench/load/answer-reader.ts';
import { decodeFrame } from '../../../src/protocol/remoting-command.ts';

interface Seen {
  code: number;
  flag: number;
  opaque: number;
  body: string;
}

function read(reader: AnswerReader, chunks: readonly Buffer[]): Seen[] {
  const seen: Seen[] = [];
  const shared = Buffer.alloc(Math.max(1, ...chunks.map((chunk) => chunk.length)));
  for (const chunk of chunks) {
    // Every read lands in the same memory, as those of a socket do.
    chunk.copy(shared);
    reader.feed(shared, chunk.length, {
      onFrame: ({ code, flag, opaque, bytes, bodyStart, frameEnd }) => {
        seen.push({ code, flag, opaque, body: bytes.toString('latin1', bodyStart, frameEnd) });
      },
    });
  }
  return seen;
}

function framed(header: string | Buffer, body: Buffer, type = 0): Buffer {
  const lengths = Buffer.alloc(8);
  lengths.writeInt32BE(4 + header.length + body.length, 0);
  lengths.writeInt32BE(header.length, 4);
  lengths[4] = type;
  return Buffer.concat([lengths, Buffer.from(header as string), body]);
}

const folder = path.join(import.meta.dirname, '..', '..', 'fixtures', 'frames');
const frames = fs
  .readdirSync(folder)
  .filter((name) => name.endsWith('.bin'))
  .map((name) => fs.readFileSync(path.join(folder, name)));

describe('answer reader', () => {
  it('reads real frames as the general codec does, however the stream is cut', () => {
    const stream = fc.array(fc.constantFrom(...frames), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(stream, fc.array(fc.integer({ min: 1, max: 700 })), (list, cuts) => {
        const bytes = Buffer.concat(list);
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          chunks.push(bytes.subarray(at, at + cut));
          at += cut;
        }
        chunks.push(bytes.subarray(at));
        const expected = list.map((frame): Seen => {
          const { code, flag, opaque, body } = decodeFrame(frame.subarray(4));
          return { code, flag, opaque, body: body.toString('latin1') };
        });
        expect(read(new AnswerReader(), chunks)).toEqual(expected);
      }),
    );
  });

  it('finds the members in any order, after answers that had another', () => {
    const member = fc.record({
      code: fc.integer({ min: 0, max: 2000 }),
      opaque: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      remark: fc.string(),
    });
    const answer = fc.tuple(member, fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }));
    fc.assert(
      fc.property(fc.array(answer, { minLength: 1 }), (answers) => {
        const list = answers.map(([values, order]) => {
          const members: [string, unknown][] = [
            ['code', values.code],
            ['flag', 1],
            ['opaque', values.opaque],
            // What a remark says about opaques is not one.
            ['remark', `"opaque":77,${values.remark}`],
          ];
          const entries = order.map((index) => members[index]);
          return framed(Buffer.from(JSON.stringify(Object.fromEntries(entries))), Buffer.alloc(0));
        });
        const seen = read(new AnswerReader(), [Buffer.concat(list)]);
        expect(seen.map(({ code, opaque }) => [code, opaque])).toEqual(
          answers.map(([{ code, opaque }]) => [code, opaque]),
        );
      }),
    );
  });

  it('refuses what it can not read', () => {
    const none = Buffer.alloc(0);
    const bad = [
      framed('{"code":0,"flag":1}', none),
      framed('{"opaque":0,"flag":1}', none),
      Buffer.from([0, 0, 0, 3, 0, 0, 0, 0]),
      Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
      Buffer.from([0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 0]),
    ];
    for (const bytes of bad) expect(() => read(new AnswerReader(), [bytes])).toThrow('answer');
  });
});
