import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../src/base/errors.ts';
import { parseFastjson, printFastjsonTable } from '../../src/protocol/fastjson.ts';

/** Null prototypes put aside, for comparisons. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown;

describe('parseFastjson', () => {
  it('reads standard JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        expect(plain(parseFastjson(JSON.stringify(value)))).toEqual(plain(value));
      }),
    );
  });

  it('counts values outside of strings, and reads no more of them than it is told', () => {
    const strings = { 'a,b': '[[,"\\', c: ['"', '\\"', 1, {}] };
    // Eight, by commas and opening brackets.
    expect(plain(parseFastjson(JSON.stringify(strings), 8))).toEqual(strings);
    expect(() => parseFastjson(JSON.stringify(strings), 7)).toThrow('JSON has more than 7 values');
    expect(() => parseFastjson(`[${'"\\\\",'.repeat(9)}`, 9)).toThrow(/more than 9 values/);
  });

  it('leaves no prototype to objects at any depth, and keeps names that belong to one', () => {
    const value = parseFastjson('{"__proto__":{"a":[{"constructor":1}]},"toString":2}') as never;
    expect(Object.getPrototypeOf(value)).toBe(null);
    expect(Object.keys(value)).toEqual(['__proto__', 'toString']);
    const inner = value['__proto__'];
    expect(Object.getPrototypeOf(inner)).toBe(null);
    expect(Object.getPrototypeOf(inner['a'][0])).toBe(null);
  });

  it('reads bare numeric keys', () => {
    expect(plain(parseFastjson('{"offsetTable":{"t@g":{0:12,1:-3}, "u@g" : { 10 : 7 }}}'))).toEqual(
      {
        offsetTable: { 't@g': { 0: 12, 1: -3 }, 'u@g': { 10: 7 } },
      },
    );
  });

  it('reads objects as keys into pairs', () => {
    const text =
      '{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"t"}:5,{"brokerName":"b","queueId":1,"topic":"t"}:6}}';
    expect(plain(parseFastjson(text))).toEqual({
      offsetTable: [
        [{ brokerName: 'b', queueId: 0, topic: 't' }, 5],
        [{ brokerName: 'b', queueId: 1, topic: 't' }, 6],
      ],
    });
  });

  it('reads escapes, numbers, words and empty containers beside bare keys', () => {
    const text = '{0:"a\\"b\\u4e2d\\\\",1:-1.5e3,2:true,3:null,4:[],5:{},6:[1,[2]]}';
    expect(plain(parseFastjson(text))).toEqual({
      0: 'a"b中\\',
      1: -1500,
      2: true,
      3: null,
      4: [],
      5: {},
      6: [1, [2]],
    });
  });

  it.each([
    '',
    '{',
    '{0:}',
    '{0:1',
    '{0:1}}',
    '[1',
    '{0 1}',
    '{0:"a}',
    '{0:1e400}',
    '{0:nope}',
    'undefined',
    '{0:"\\x"}',
  ])('refuses %j, saying where', (text) => {
    expect(() => parseFastjson(text)).toThrow(/character \d+/);
    expect(() => parseFastjson(text)).toThrow(BrokerError);
  });

  it.each(['[', '{"a":', '{0:', '{{"a":1}:'])('refuses 10,000 levels of %s', (open) => {
    expect(() => parseFastjson(open.repeat(10_000))).toThrow(BrokerError);
  });

  it('takes 64 levels and refuses 65, brackets in strings aside', () => {
    expect(() => parseFastjson('['.repeat(64) + ']'.repeat(64))).not.toThrow();
    expect(() => parseFastjson('['.repeat(65) + ']'.repeat(65))).toThrow(/deeper than 64/);
    expect(parseFastjson(JSON.stringify(`\\"${'['.repeat(100)}`))).toBe(`\\"${'['.repeat(100)}`);
  });

  it.each([
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
    '{0:1,"__proto__":{"polluted":1}}',
  ])('gives objects that no name reaches a prototype of: %s', (text) => {
    const value = parseFastjson(text) as Record<string, unknown>;
    expect(Object.getPrototypeOf(value)).toBeNull();
    expect(Object.keys(value)).toContain('__proto__');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect((value as { toString?: unknown }).toString).toBeUndefined();
  });
});

describe('printFastjsonTable', () => {
  it('prints numbers bare and fields of keys by name', () => {
    expect(
      printFastjsonTable([
        [0, '12'],
        [3, '{}'],
      ]),
    ).toBe('{0:12,3:{}}');
    expect(printFastjsonTable([[{ topic: 't', queueId: 0, brokerName: 'b' }, '12']])).toBe(
      '{{"brokerName":"b","queueId":0,"topic":"t"}:12}',
    );
    expect(printFastjsonTable([['a"b', 'null']])).toBe('{"a\\"b":null}');
    expect(printFastjsonTable([])).toBe('{}');
  });

  it('prints what parseFastjson reads', () => {
    const queue = fc.record({ brokerName: fc.string(), queueId: fc.nat(), topic: fc.string() });
    fc.assert(
      fc.property(fc.array(fc.tuple(queue, fc.nat()), { minLength: 1 }), (pairs) => {
        const text = printFastjsonTable(pairs.map(([key, value]) => [key, JSON.stringify(value)]));
        expect(plain(parseFastjson(text))).toEqual(plain(pairs));
      }),
    );
  });
});
