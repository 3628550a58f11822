/**
 * Fuzzing of everything that reads bytes from outside: frames of every request code through a whole broker,
 * filters, property and configuration text, and the files of a store. A crash is an exception that is not
 * an answer, a stall a turn of more than 100 ms.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ManualClock } from '../../src/base/clock.ts';
import { BrokerError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { parseProperties } from '../../src/base/properties-file.ts';
import { compileSql } from '../../src/broker/sql-filter.ts';
import { SqlError } from '../../src/broker/sql-tokens.ts';
import { parseFastjson } from '../../src/protocol/fastjson.ts';
import { decodeProperties } from '../../src/protocol/message-properties.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { FaultyFiles } from '../store/faulty-files.ts';
import { sendRequest } from '../workers/raw-client.ts';
import type { CaseContext, FaultCase } from './case.ts';
import { FuzzInput } from './fuzz-input.ts';
import { InlineBroker, storeRoot } from './inline-broker.ts';
import { collectGarbage } from './process-memory.ts';
import { Workload } from './workload.ts';

const FRAMES_SHORT = 100_000;
const FRAMES_LONG = 10_000_000;
/** Frames of one broker: what they create is counted against the memory only so far. */
const FRAMES_PER_BROKER = 50_000;
const FRAMES_PER_TURN = 8;
const STALL_MS = 100;
const GROWTH_BYTES_MAX = 64 * 1024 * 1024;
const START_MS = Date.UTC(2024, 0, 1);

function start(files: FaultyFiles, random: () => number): InlineBroker {
  const wallClock = new ManualClock(START_MS);
  files.nowMs = () => wallClock.nowMs();
  const options = { files, wallClock, random, logger: silentLogger, flush: 'sync' } as const;
  return new InlineBroker({ ...options, segmentBytes: 1024 * 1024, isLagging: false });
}

/** The longest turn, and of what. */
class StallWatch {
  longestMs = 0;
  stallCount = 0;

  run<Result>(call: () => Result): Result {
    const beganMs = process.cpuUsage();
    const result = call();
    // Of this process's own time: others have the machine's cores, too.
    const { user, system } = process.cpuUsage(beganMs);
    const tookMs = (user + system) / 1000;
    this.longestMs = Math.max(this.longestMs, tookMs);
    if (tookMs > STALL_MS) this.stallCount++;
    return result;
  }
}

interface FuzzRun {
  readonly wanted: number;
  readonly watch: StallWatch;
  readonly progress: (text: string) => void;
  frameCount: number;
  closedCount: number;
}

/** One broker, which nothing holds afterwards. */
function fuzzLife(run: FuzzRun, seed: number): void {
  const random = seededRandom(seed);
  const input = new FuzzInput(random);
  const files = new FaultyFiles();
  const broker = start(files, random);
  let client = broker.connect();
  let healthy = broker.connect();
  const end = Math.min(run.wanted, run.frameCount + FRAMES_PER_BROKER);
  for (let turn = 0; run.frameCount < end; turn++) {
    const frames = Array.from({ length: FRAMES_PER_TURN }, () => input.frame());
    run.frameCount += FRAMES_PER_TURN;
    try {
      run.watch.run(() => {
        for (const frame of frames) client.send(frame);
        broker.turn();
      });
      if (turn % 50 === 0) broker.advance(20);
    } catch (error) {
      const text = frames.map((frame) => frame.toString('base64')).join('\n');
      throw new Error(`the broker ends, after frame ${run.frameCount}, one of\n${text}`, {
        cause: error,
      });
    }
    if (client.closed !== null || turn % 200 === 0) {
      if (client.closed === null) client.close();
      else run.closedCount++;
      client = broker.connect();
    }
    if (turn % 500 !== 0) continue;
    run.progress(
      `${run.frameCount} of ${run.wanted} frames, longest turn ${run.watch.longestMs.toFixed(0)} ms`,
    );
    broker.settle();
    if (healthy.closed !== null) healthy = broker.connect();
    let code = -1;
    healthy.request(sendRequest({ topic: 'Healthy', body: 'x' }), (answer) => {
      code = answer.code;
    });
    broker.settle();
    if (code !== 0)
      throw new Error(`after frame ${run.frameCount} a good send is answered ${code}`);
  }
  if (Object.keys(Object.prototype).length > 0 || 'polluted' in {})
    throw new Error('Object.prototype was changed');
  const outside = files.files().filter((file) => !file.startsWith(`${storeRoot}/`));
  const odd = files.files().filter((file) => file.includes('..') || file.includes('\0'));
  if (outside.length + odd.length > 0)
    throw new Error(`files outside of the store: ${[...outside, ...odd].join(', ')}`);
  broker.kill();
}

/** What is held by somebody. Memory of buffers is given back by the event loop, not by the collection itself. */
async function heldBytes(): Promise<number> {
  for (let count = 0; count < 3; count++) {
    collectGarbage();
    await nextTurn();
  }
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

async function fuzzFrames({ seed, isLong, progress }: CaseContext): Promise<string> {
  const watch = new StallWatch();
  const wanted = isLong ? FRAMES_LONG : FRAMES_SHORT;
  const run: FuzzRun = { wanted, watch, progress, frameCount: 0, closedCount: 0 };
  let baseBytes = 0;
  let growthBytes = 0;
  for (let life = 0; run.frameCount < wanted; life++) {
    fuzzLife(run, seed + life);
    const bytes = await heldBytes();
    if (life === 0) baseBytes = bytes;
    growthBytes = Math.max(growthBytes, bytes - baseBytes);
  }
  if (watch.stallCount > 0)
    throw new Error(`${watch.stallCount} stalls, the longest ${watch.longestMs.toFixed(0)} ms`);
  if (growthBytes > GROWTH_BYTES_MAX)
    throw new Error(`memory grew by ${Math.round(growthBytes / 1048576)} MiB`);
  return `${run.frameCount} frames: 0 crashes, ${run.closedCount} connections closed, longest turn ${watch.longestMs.toFixed(1)} ms, memory + ${Math.round(growthBytes / 1048576)} MiB`;
}

const sqlWords = [
  ['a', 'b', '$x_1', 'AND', 'OR', 'NOT', 'IN', 'IS', 'NULL', 'BETWEEN', 'TRUE', 'FALSE', '('],
  [')', '=', '<>', '<', '>', '<=', '>=', ',', "'x'", "'it''s'", '5', '-7', '1.5', '1e3', '--'],
  ['/*', '*/', 'CONTAINS', 'STARTSWITH', 'ENDSWITH', '9223372036854775808', '1e400', '((((('],
].flat();
const jsonWords = [
  ['{', '}', '[', ']', ':', ',', '"a"', '"@type"', '"__proto__"', '1', '-1', '1e400', 'true'],
  ['null', '9223372036854775808', '{"a":1}', '0:{', '"\\ud800"', "'a'", '\\u0000', '[[[['],
].flat();
const propertyWords = [
  'a',
  '=',
  ':',
  '\n',
  '\\',
  '\\u12',
  '#',
  '!',
  ' ',
  '\x01',
  '\x02',
  'KEYS',
  '\r',
];

function fuzzTexts({ seed, isLong, progress }: CaseContext): string {
  const count = isLong ? 3_000_000 : 100_000;
  const input = new FuzzInput(seededRandom(seed));
  const watch = new StallWatch();
  const properties = Buffer.from('a\x015\x02b\x01x\x02$x_1\x01it\x02');
  const readers: readonly [string, readonly string[], (text: string) => void][] = [
    ['SQL92', sqlWords, (text) => compileSql(text).matches(properties, 0, properties.length)],
    ['JSON', jsonWords, (text) => void parseFastjson(text, 10_000)],
    ['properties', propertyWords, (text) => void decodeProperties(text)],
    ['configuration', propertyWords, (text) => void parseProperties(text)],
  ];
  let refused = 0;
  for (let index = 0; index < count; index++) {
    const [name, words, read] = readers[index % readers.length];
    const text = input.text(words);
    if (index % 1000 === 0) progress(`${index} of ${count} texts`);
    try {
      watch.run(() => read(text));
    } catch (error) {
      // Refused, with a word on why. Anything else was not thought of.
      const isRefusal =
        error instanceof SqlError || error instanceof SyntaxError || BrokerError.is(error);
      if (!isRefusal) throw new Error(`${name} ${JSON.stringify(text)}`, { cause: error });
      refused++;
    }
  }
  if (watch.stallCount > 0) throw new Error(`a text takes ${watch.longestMs.toFixed(0)} ms`);
  return `${count} texts, ${refused} refused: longest ${watch.longestMs.toFixed(1)} ms`;
}

/** What takes longest to evaluate of what is compiled, with the properties that make it so. */
const slowFilters: readonly (readonly [expression: string, properties: string])[] = [
  [repeated(500, ' OR ', (at) => `${name(at)} = 1`), repeated(4200, '', (at) => `${at}\x01x\x02`)],
  [
    repeated(1000, ' OR ', name),
    repeated(5400, '', (at) => `${name(at % 1000)}\x01${at % 10}\x02`),
  ],
  [repeated(500, ' OR ', () => "a CONTAINS 'aab'"), `a\x01${'a'.repeat(32_700)}\x02`],
  [repeated(400, ' OR ', () => "a CONTAINS 'aaaaaaaab'"), `a\x01${'a'.repeat(32_700)}\x02`],
  [repeated(500, ' OR ', () => "a CONTAINS 'aab'"), `a\x01${'a'.repeat(127)}\x02`],
  [repeated(500, ' OR ', () => "a CONTAINS 'éb'"), `a\x01${'é'.repeat(16_300)}\x02`],
  [repeated(500, ' OR ', () => 'a > b'), `a\x01${'9'.repeat(60)}\x02b\x01${'9'.repeat(60)}\x02`],
  [
    repeated(500, ' OR ', () => 'a > b'),
    `a\x01${'9'.repeat(16_000)}\x02b\x01${'9'.repeat(16_000)}\x02`,
  ],
  [
    repeated(500, ' AND ', () => 'a = b'),
    `a\x01${'9'.repeat(16_000)}\x02b\x01${'9'.repeat(16_000)}\x02`,
  ],
  [repeated(500, ' OR ', () => 'a = 9223372036854775807'), 'a\x019223372036854775806\x02'],
  [`a IN (${repeated(2000, ',', (index) => `'${index}'`)})`, `a\x01${'a'.repeat(32_700)}\x02`],
  [`${'NOT ('.repeat(45)}a = 1${')'.repeat(45)}`, 'a\x012\x02'],
];

function repeated(count: number, between: string, of: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => of(index)).join(between);
}

function name(index: number): string {
  return `$${index.toString(36)}`;
}

const EVALUATION_MS_MAX = 1;

function filterTimes(): string {
  let longestMs = 0;
  for (const [expression, text] of slowFilters) {
    const filter = compileSql(expression);
    const properties = Buffer.from(text);
    let ms = Infinity;
    // The shortest of many: others have the machine's cores, too.
    for (let times = 0; times < 200; times++) {
      const beganMs = performance.now();
      filter.matches(properties, 0, properties.length);
      ms = Math.min(ms, performance.now() - beganMs);
    }
    if (ms > EVALUATION_MS_MAX)
      throw new Error(`${expression.slice(0, 40)}… takes ${ms.toFixed(2)} ms a message`);
    longestMs = Math.max(longestMs, ms);
  }
  return `${slowFilters.length} filters that take long: at most ${longestMs.toFixed(2)} ms a message`;
}

/** Flipped bits anywhere in a store: it starts, or says what is damaged. */
function fuzzStore({ seed, isLong, progress }: CaseContext): string {
  const count = isLong ? 50_000 : 400;
  const random = seededRandom(seed);
  const input = new FuzzInput(random);
  const files = new FaultyFiles();
  const broker = start(files, random);
  const workload = new Workload(random, 'a');
  workload.attach(broker);
  for (let step = 0; step < 40; step++) {
    workload.act();
    broker.advance(step % 10 === 0 ? 1100 : 20);
  }
  workload.readAndCommit();
  broker.advance(6000);
  broker.kill();
  const names = files.files();
  let refused = 0;
  for (let index = 0; index < count; index++) {
    progress(`${index} of ${count} damaged stores`);
    const state = files.killProcess();
    const file = input.choose(names);
    state.damage(file, (content) => {
      // Where there is something: most of a store is holes.
      let used = content.length;
      while (used > 0 && content[used - 1] === 0) used--;
      if (random() < 0.2) return content.subarray(0, input.pick(content.length));
      const flipCount = used === 0 ? 0 : 1 + input.pick(3);
      for (let flips = 0; flips < flipCount; flips++)
        content[input.pick(used)] ^= 1 << input.pick(8);
      return content;
    });
    try {
      const next = start(state, random);
      next.advance(2000);
      next.kill();
    } catch (error) {
      if (!BrokerError.is(error)) throw new Error(`damage of ${file}`, { cause: error });
      refused++;
    }
  }
  return `${count} stores with damage: ${count - refused} start, ${refused} say what to do`;
}

export const fuzzCases: readonly FaultCase[] = [
  { name: 'fuzz-frames', covers: '1 3 4 5 12 13', run: fuzzFrames },
  { name: 'fuzz-texts', covers: '4 12', run: fuzzTexts },
  { name: 'filter-times', covers: '12', run: filterTimes },
  { name: 'fuzz-store', covers: '21', run: fuzzStore },
];
