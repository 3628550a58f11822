import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AnswerExtra,
  EXTRA_BYTES_MAX,
  extraFieldNames,
  writeExtra,
} from '../../src/protocol/answer-extra.ts';
import { encodeHost } from '../../src/protocol/record-encoder.ts';
import { decodeFrame } from '../../src/protocol/remoting-command.ts';
import { AnswerEncoder, PULL_HEADER_BYTES_MAX } from '../../src/reactor/answer-encoder.ts';

const offset = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
/** What a field may hold: any characters, those that JSON escapes among them. */
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom('"', '\\', '\n', '\u007f', 'ü', '語'),
    fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
  ),
  minLength: 1,
  maxLength: 60,
});
const codec = fc.constantFrom(0, 1, 2);

describe('the answer encoder', () => {
  test('writes answers to sends that decode to what was put in', () => {
    const encoder = new AnswerEncoder(encodeHost('10.1.2.3', 10911), 'DefaultRegion', true);
    fc.assert(
      fc.property(
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        codec,
        fc.constantFrom(0, 10, 13, 14),
        fc.integer({ min: 0, max: 65_535 }),
        offset,
        fc.array(offset, { minLength: 1, maxLength: 20 }),
        fc.option(fc.tuple(fc.constantFrom(...extraFieldNames.slice(0, 2)), text), { nil: null }),
        fc.boolean(),
        (opaque, serializeType, code, queueId, queueOffset, offsets, field, isPlain) => {
          const extra = Buffer.alloc(EXTRA_BYTES_MAX);
          const extraEnd = field === null ? 0 : writeExtra(extra, 0, field);
          const extras: readonly AnswerExtra[] = field === null ? [] : [field];
          const target = Buffer.alloc(
            3 + encoder.sendBytesMax(offsets.length) + 6 * EXTRA_BYTES_MAX,
          );
          const answer = {
            opaque,
            serializeType,
            code,
            isPlain,
            queueId,
            queueOffset,
            offsets: Float64Array.from(offsets),
            first: 0,
            count: offsets.length,
            extra,
            extraStart: 0,
            extraEnd,
          };
          const end = encoder.writeSend(target, 3, answer);
          expect(target.readInt32BE(3)).toBe(end - 7);
          const frame = decodeFrame(target.subarray(7, end));
          expect([frame.code, frame.opaque, frame.flag]).toEqual([code, opaque, 1]);
          expect(frame.serializeType).toBe(serializeType);
          if (code !== 0) expect(frame.remark).toMatch(/\w+ \w+/);
          if (code === 13 || code === 14) return;
          if (isPlain) {
            expect(frame.extFields).toEqual(new Map(extras));
            return;
          }
          expect(frame.extFields).toEqual(
            new Map([
              ['MSG_REGION', 'DefaultRegion'],
              ['TRACE_ON', 'true'],
              [
                'msgId',
                offsets
                  .map(
                    (one) => `0A01020300002A9F${one.toString(16).toUpperCase().padStart(16, '0')}`,
                  )
                  .join(','),
              ],
              ['queueId', String(queueId)],
              ['queueOffset', String(queueOffset)],
              ...extras,
            ]),
          );
        },
      ),
    );
  });

  test('writes answers to pulls with all four offsets, whatever the code', () => {
    const encoder = new AnswerEncoder(encodeHost('10.1.2.3', 10911), 'DefaultRegion', true);
    fc.assert(
      fc.property(
        codec,
        fc.constantFrom(0, 19, 20, 21),
        offset,
        offset,
        offset,
        (serializeType, code, next, min, max) => {
          const target = Buffer.alloc(PULL_HEADER_BYTES_MAX + 5);
          const answer = {
            opaque: 77,
            serializeType,
            code,
            nextBeginOffset: next,
            minOffset: min,
            maxOffset: max,
            bodyBytes: 5,
          };
          const at = encoder.writePull(target, 0, answer);
          target.write('body!', at);
          expect(target.readInt32BE(0)).toBe(at + 5 - 4);
          const frame = decodeFrame(target.subarray(4, at + 5));
          expect([frame.code, frame.opaque, frame.flag, frame.body.toString()]).toEqual([
            code,
            77,
            1,
            'body!',
          ]);
          expect(Object.fromEntries(frame.extFields)).toEqual({
            suggestWhichBrokerId: '0',
            nextBeginOffset: String(next),
            minOffset: String(min),
            maxOffset: String(max),
          });
        },
      ),
    );
  });

  test.each([
    [0, 5, 0, 9, 'FOUND'],
    [20, 9, 0, 9, 'NO_MATCHED_MESSAGE'],
    [19, 9, 0, 9, 'OFFSET_OVERFLOW_ONE'],
    [19, 0, 0, 0, 'NO_MESSAGE_IN_QUEUE'],
    [21, 0, 0, 0, 'NO_MESSAGE_IN_QUEUE'],
    [21, 9, 4, 9, 'OFFSET_OVERFLOW_BADLY'],
    [21, 4, 4, 9, 'OFFSET_TOO_SMALL'],
  ])('names the outcome of a pull: %i, %i of [%i, %i)', (code, next, min, max, name) => {
    const encoder = new AnswerEncoder(encodeHost('10.1.2.3', 10911), 'DefaultRegion', true);
    for (const serializeType of [0, 1, 2]) {
      const target = Buffer.alloc(PULL_HEADER_BYTES_MAX);
      const answer = { opaque: 1, serializeType, code, bodyBytes: 0 };
      const offsets = { nextBeginOffset: next, minOffset: min, maxOffset: max };
      const end = encoder.writePull(target, 0, { ...answer, ...offsets });
      expect(decodeFrame(target.subarray(4, end)).remark).toBe(name);
    }
  });
});
