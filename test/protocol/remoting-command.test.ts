/** Frames that are made to cost: what no request has is found out before a parser looks at it. */
import { expect, test } from 'vitest';
import { decodeFrame, encodeAnswer } from '../../src/protocol/remoting-command.ts';

function frameOf(header: string): Buffer {
  const bytes = Buffer.from(header);
  const head = Buffer.alloc(4);
  head.writeInt32BE(bytes.length);
  return Buffer.concat([head, bytes]);
}

const members = (count: number, bytes: number): string =>
  Array.from({ length: count }, (_, index) => `"k${index}":"${'v'.repeat(bytes)}"`).join(',');
const headerOf = (extFields: string): string =>
  `{"code":34,"flag":0,"language":"JAVA","opaque":1,"version":479,"extFields":${extFields}}`;

test('a header of many values is none, and is not parsed', () => {
  for (const extFields of [
    `{${members(20_000, 1)}}`,
    `{"a":"${'x'.repeat(20_000)}",${members(1100, 1)}}`,
    '['.repeat(20_000) + ']'.repeat(20_000),
  ])
    expect(() => decodeFrame(frameOf(headerOf(extFields)))).toThrow(/^JSON /);
  // A short one is parsed and counted.
  expect(() => decodeFrame(frameOf(headerOf(`{${members(1025, 0)}}`)))).toThrow('1025 extFields');
});

test('a long header of few values is one, whatever stands in them', () => {
  const value = ',,[[{{"\\ '.repeat(10_000);
  const text = JSON.stringify(value);
  const { extFields } = decodeFrame(frameOf(headerOf(`{"a":${text},${members(1000, 40)}}`)));
  expect(extFields.size).toBe(1001);
  expect(extFields.get('a')).toBe(value);
});

test.each([0, 1, 2] as const)(
  'an answer does not say a name of megabytes again, type %d',
  (type) => {
    const request = { opaque: 1, serializeType: type };
    const remarkOf = (remark: string): string =>
      decodeFrame(encodeAnswer(request, { code: 1, remark }).subarray(4)).remark ?? '';
    const long = remarkOf(`no topic ${'x'.repeat(1_000_000)}`);
    expect([long.length, long.slice(0, 12), long.at(-1)]).toEqual([16_385, 'no topic xxx', '…']);
    expect(remarkOf('y'.repeat(16_384))).toBe('y'.repeat(16_384));
  },
);
