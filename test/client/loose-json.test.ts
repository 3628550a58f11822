/** What fastjson writes, and JSON does not have. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseLooseJson } from '../../src/client/loose-json.ts';
import { printFastjsonTable } from '../../src/protocol/fastjson.ts';

test('numbers as keys', () => {
  expect(parseLooseJson('{"a":{0:"h:1", -1 :"{2:3}"},"b":[{1:2}]}')).toEqual({
    a: { '0': 'h:1', '-1': '{2:3}' },
    b: [{ '1': 2 }],
  });
});

test('whole objects as keys, named by their text', () => {
  const key = '{"brokerName":"a:{1}","queueId":0,"topic":"t\\"x"}';
  expect(parseLooseJson(`{"offsetTable":{${key}:5,{"queueId":1}:6}}`)).toEqual({
    offsetTable: { [key]: 5, '{"queueId":1}': 6 },
  });
});

test('any table that a broker prints', () => {
  const queue = fc.record({ brokerName: fc.string(), queueId: fc.nat(), topic: fc.string() });
  fc.assert(
    fc.property(fc.uniqueArray(queue, { selector: (one) => JSON.stringify(one) }), (queues) => {
      const text = printFastjsonTable(queues.map((one, index) => [one, String(index)]));
      const table = parseLooseJson(text) as Record<string, number>;
      expect(Object.keys(table).map((key): unknown => JSON.parse(key))).toEqual(queues);
    }),
    { numRuns: 50 },
  );
});

test('any JSON as it is', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(parseLooseJson(text)).toEqual(JSON.parse(text));
    }),
    { numRuns: 50 },
  );
});

test('what is neither throws', () => {
  for (const text of ['', '{', '{a:1}', '{0:}', '{{"a":1}}'])
    expect(() => parseLooseJson(text)).toThrow(SyntaxError);
});
