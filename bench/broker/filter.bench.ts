/**
 * Question: what does it cost to ask whether a subscription wants a message: by tags, of the ConsumeQueue
 * unit, and by SQL92, of the properties of the record? And to compile an expression?
 * Machine: any; compare the rows of one run.
 * Command: node bench/broker/filter.bench.ts
 */
import { Bench } from 'tinybench';
import { compileSql } from '../../src/broker/sql-filter.ts';
import { compileTagExpression } from '../../src/broker/tag-filter.ts';
import { javaStringHash } from '../../src/protocol/java-string-hash.ts';

/** Messages that one call asks about, since one takes less than the clock shows. */
const MESSAGE_COUNT = 100;

const properties = Buffer.from(
  'UNIQ_KEY\x017F0000011A2B18B4AAC200000000000C\x02WAIT\x01true\x02TAGS\x01TagB\x02price\x0142\x02region\x01north\x02',
);
const tag = Buffer.from('TagB');
const tagsCode = javaStringHash(tag, 0, tag.length);
const tagLists = ['*', 'TagB', Array.from({ length: 20 }, (_, index) => `Tag${index}`).join('||')];
const expressions = [
  "TAGS = 'TagB'",
  "price BETWEEN 10 AND 50 AND region IN ('north', 'south')",
  "region STARTSWITH 'nor' OR (price > 100 AND TAGS IS NOT NULL)",
];

const bench = new Bench({ time: 300 });
let passedCount = 0;
for (const list of tagLists) {
  const filter = compileTagExpression(list);
  bench.add(`tags ${list.slice(0, 20)}`, () => {
    for (let index = 0; index < MESSAGE_COUNT; index++)
      if (filter.matches(0, tagsCode)) passedCount++;
  });
}
for (const expression of expressions) {
  const filter = compileSql(expression);
  if (!filter.matches(properties, 0, properties.length)) throw new Error(`${expression} is false`);
  bench.add(`SQL ${expression}`, () => {
    for (let index = 0; index < MESSAGE_COUNT; index++)
      if (filter.matches(properties, 0, properties.length)) passedCount++;
  });
}
for (const expression of expressions)
  bench.add(`compile ${expression}`, () => {
    for (let index = 0; index < MESSAGE_COUNT; index++)
      passedCount += compileSql(expression).operationCount;
  });
await bench.run();
console.table(
  bench.tasks.map(({ name, result }) => ({
    name,
    'ns (median)':
      'latency' in result ? Math.round((result.latency.p50 * 1e6) / MESSAGE_COUNT) : result.state,
  })),
);
if (passedCount === 0) throw new Error('nothing passed');
