/**
 * SQL92 subscriptions beside the stock filter: random expressions over random properties, and each
 * must be refused, true or false in both. What differs on purpose is left out here and said in
 * docs/compatibility.md: Apache does not look at what stands behind a whole expression.
 */
import fs from 'node:fs';
import path from 'node:path';
import { compileSql } from '../../src/broker/sql-filter.ts';
import { SqlError } from '../../src/broker/sql-tokens.ts';
import { encodeProperties } from '../../src/protocol/message-properties.ts';
import { startJava } from './apache-rocketmq.ts';

const CASES = 20_000;
const TIMEOUT_MS = 60_000;

/** A generator of its own: a failure names the case by seed and number. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(count: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0;
    return ((this.#state >>> 8) % 0x1000000) % count;
  }

  of<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)];
  }
}

const names = ['a', 'b', 'missing', '$x_1', 'TAGS'];
const texts = [
  '',
  'abc',
  'ab',
  "it's",
  'true',
  'TRUE',
  '5',
  '+5',
  '-7',
  '5.0',
  '5.5',
  '1e3',
  ' 5 ',
];
const moreTexts = [
  '5d',
  'NaN',
  '-Infinity',
  '99999999999',
  '9223372036854775807',
  '-0',
  '0',
  'Ünï',
];
const numbers = [
  '0',
  '5',
  '-7',
  '5L',
  '2147483648',
  '9223372036854775807',
  '5.5',
  '.5',
  '5.',
  '1E3',
];
const oddNumbers = ['0.0', '9223372036854775808', '5l', '1e400', '-5', '+5'];

function value(random: Random, depth: number): string {
  switch (random.below(9)) {
    case 0:
      return `'${random.of([...texts, ...moreTexts]).replaceAll("'", "''")}'`;
    case 1:
      return random.of(['TRUE', 'false', 'NULL']);
    case 2:
      return random.of(oddNumbers);
    case 3:
      return depth > 0 ? `(${condition(random, depth - 1)})` : random.of(names);
    case 4:
      return `-${random.of([...names, ...numbers])}`;
    case 5:
    case 6:
      return random.of(numbers);
    default:
      return random.of(names);
  }
}

function condition(random: Random, depth: number): string {
  const operand = (): string => value(random, depth);
  const not = random.below(3) === 0 ? 'NOT ' : '';
  const text = (): string => `'${random.of(texts).replaceAll("'", "''")}'`;
  switch (random.below(depth > 0 ? 13 : 9)) {
    case 0:
    case 1:
      return `${operand()} ${random.of(['>', '>=', '<', '<='])} ${operand()}`;
    case 2:
    case 3:
      return `${operand()} ${random.of(['=', '<>', '='])} ${operand()}`;
    case 4:
      return `${operand()} IS ${not}NULL`;
    case 5:
      return `${operand()} ${not}BETWEEN ${operand()} AND ${operand()}`;
    case 6:
      return `${operand()} ${not}in (${text()}${random.below(2) === 0 ? `, ${text()}` : ''})`;
    case 7:
      return `${operand()} ${not}${random.of(['CONTAINS', 'startswith', 'ENDSWITH'])} ${text()}`;
    case 8:
      return operand();
    case 9:
      return `NOT (${condition(random, depth - 1)})`;
    default:
      return `${condition(random, depth - 1)}${random.of([' AND ', ' or ', '\n/* x * */ OR '])}${condition(random, depth - 1)}`;
  }
}

/** @throws Error where one differs. */
export async function compareSql(directory: string): Promise<string> {
  const seed = 20_240_229;
  const random = new Random(seed);
  const cases = Array.from({ length: CASES }, () => {
    const properties = new Map<string, string>();
    for (const name of names) {
      if (name !== 'missing' && random.below(4) > 0)
        properties.set(name, random.of([...texts, ...moreTexts]));
    }
    for (const [name, content] of properties) if (content === '') properties.delete(name);
    return { sql: condition(random, 3), properties };
  });
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const input = path.join(directory, 'cases.txt');
  const output = path.join(directory, 'answers.txt');
  const lines = cases.map(({ sql, properties }) => {
    const pairs = [...properties].map(([name, content]) => `${base64(name)}:${base64(content)}`);
    return `${base64(sql)}\t${pairs.join(',')}\n`;
  });
  fs.writeFileSync(input, lines.join(''));
  const oracle = startJava({
    main: 'millrace.SqlOracle',
    arguments: [input, output],
    directory,
    heapMb: 256,
    name: 'sql-oracle',
  });
  const timer = setTimeout(() => oracle.kill(), TIMEOUT_MS);
  const exitCode = await oracle.ended;
  clearTimeout(timer);
  if (exitCode !== 0) throw new Error(`the oracle ended with ${exitCode}: ${oracle.output()}`);
  const answers = fs.readFileSync(output, 'utf8').trim().split('\n');
  const counts = { refused: 0, true: 0, false: 0 };
  cases.forEach(({ sql, properties }, index) => {
    const ours = answerOf(sql, encodeProperties(properties));
    const theirs = answers[index];
    counts[ours]++;
    if (ours !== theirs)
      throw new Error(
        `case ${index} of seed ${seed}: ${ours}, Apache says ${theirs}: ${sql} with ${JSON.stringify([...properties])}`,
      );
  });
  if (Math.min(counts.refused, counts.true, counts.false) < CASES / 50)
    throw new Error(`one-sided cases: ${JSON.stringify(counts)}`);
  return `${CASES} expressions: ${counts.true} true, ${counts.false} not, ${counts.refused} refused, as Apache has it`;
}

function answerOf(sql: string, properties: string): 'refused' | 'true' | 'false' {
  try {
    const bytes = Buffer.from(properties);
    return compileSql(sql).matches(bytes, 0, bytes.length) ? 'true' : 'false';
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    return 'refused';
  }
}
