/**
 * Goal: the table and the bars say what the runs say. Method: made-up runs whose medians and ratios can be
 * told by heart.
 */
import { describe, expect, it } from 'vitest';
import { bars, formatVerdicts, judge } from '../../../bench/matrix/bars.ts';
import { FigureTable, rate, ratiosOf, spreadOf } from '../../../bench/matrix/figures.ts';
import { matrixOf, quickDurations, standardDurations } from '../../../bench/matrix/matrix.ts';
import { pageOf } from '../../../bench/matrix/page.ts';
import type { Rounds, Run, Start } from '../../../bench/matrix/rounds.ts';
import type { SystemKey } from '../../../bench/matrix/systems.ts';
import { formatTable, tableOf } from '../../../bench/matrix/table.ts';
import { resultOf } from '../load/made-up-result.ts';

const workload = 'send 8x16';

function run(system: SystemKey, round: number, ratePerSecond: number, ms = 1): Run {
  const result = resultOf(ratePerSecond, ms, {
    brokerCpuUsPerMessage: 1e5 / ratePerSecond,
    marks: ratePerSecond === 900 ? ['disturbed'] : [],
  });
  return { round, system, workload, result, failure: null };
}

function start(round: number, firstSendMs: number): Start {
  const figures = { acceptMs: 100, firstSendMs, idleRssAnonBytes: 100 * 2 ** 20 };
  return { round, system: 'millrace', flush: 'async', figures };
}

const rounds: Rounds = {
  roundCount: 3,
  runs: [
    run('millrace', 0, 800),
    run('millrace', 1, 900),
    run('millrace', 2, 1000, 3),
    run('apache', 0, 100, 9),
    run('apache', 1, 90, 9),
    run('apache', 2, 200, 9),
    { round: 0, system: 'nats', workload, result: null, failure: 'no answer\nat all' },
    run('nats', 1, 750),
  ],
  starts: [start(0, 700), start(1, 400), start(2, 450)],
};
const table = new FigureTable(rounds);
const columns = [
  { key: 'millrace', name: 'Millrace' },
  { key: 'apache', name: 'Apache' },
  { key: 'nats', name: 'NATS' },
] as const;

describe('figures', () => {
  it('have the median of the rounds and their spread', () => {
    expect(spreadOf(table.values('millrace', workload, rate.name))).toEqual({
      median: 900,
      spread: 200 / 900,
      count: 3,
    });
    expect(spreadOf(new Map())).toBeNull();
  });

  it('have ratios of runs of the same round', () => {
    const ratios = table.ratios('millrace', 'apache', workload, rate);
    expect([...ratios.values()]).toEqual([8, 10, 5]);
    expect([...table.ratios('millrace', 'nats', workload, rate).keys()]).toEqual([1]);
  });

  it('have ratios above 1 where less is better and there is less', () => {
    expect(ratiosOf(new Map([[0, 2]]), new Map([[0, 10]]), false).get(0)).toBe(5);
    expect(ratiosOf(new Map([[0, 0]]), new Map([[0, 10]]), true).size).toBe(0);
  });

  it('say why they may not be what they seem', () => {
    expect(table.marks('millrace', workload)).toEqual(['disturbed']);
    expect(table.marks('nats', workload)).toEqual(['FAILED: no answer']);
  });
});

describe('table', () => {
  const rows = tableOf(table, [workload], columns);
  const text = formatTable(rows, columns, () => []);

  it('has a cell for each system that was measured', () => {
    const row = rows.find(({ figure }) => figure === rate.name);
    expect(row?.cells.millrace?.ratio).toBeNull();
    expect(row?.cells.apache?.ratio?.median).toBe(8);
    expect(row?.cells.redis).toBeUndefined();
  });

  it('has lines of the same length', () => {
    const lines = text.split('\n').filter((line) => line.startsWith('  '));
    expect(lines.find((line) => line.includes('msg/s'))).toMatch(/900 ±11%.*8\.00x/);
    expect(text).toContain('first send answered after');
  });

  it('is on the page, with the latencies drawn', () => {
    const machine = { date: '', cores: 2, cpu: 'a <b>', memoryGib: 1, kernel: '1', node: 'v24' };
    const verdicts = judge(table);
    const page = pageOf({ machine, columns, rounds, rows, verdicts, table, marksOf: () => [] });
    expect(page).toContain('a &lt;b>');
    expect(page).toContain('<polyline');
    expect(page).not.toContain('NaN');
  });
});

describe('bars', () => {
  const verdictOf = (what: string): string =>
    judge(table).find((verdict) => verdict.what === what)?.verdict ?? 'no such bar';

  it('pass or are missed by the median of the rounds', () => {
    expect(verdictOf("send 8x16: msg/s of Apache's")).toBe('passed');
    expect(verdictOf("send 8x16: broker CPU, us/msg of Apache's")).toBe('missed');
    expect(verdictOf("send 8x16: msg/s of NATS's")).toBe('missed');
    expect(verdictOf('start: first send answered after, ms')).toBe('passed');
    expect(verdictOf('start: memory (RssAnon), MiB')).toBe('passed');
    expect(verdictOf("send 8x128: msg/s of Redis's")).toBe('not measured');
  });

  it('are counted', () => {
    expect(formatVerdicts(judge(table))).toMatch(/3 passed, 2 missed$/);
  });

  it('are about rows that there are, which --quick has too', () => {
    const names = new Set(matrixOf(quickDurations).map(({ name }) => name));
    const quick = matrixOf(quickDurations).filter(({ isQuick }) => isQuick);
    const quickNames = [...quick.map(({ name }) => name), 'start'];
    for (const { what } of bars) {
      const [row = ''] = /^.*?(?=: )/.exec(what) ?? [];
      expect([...names, 'start']).toContain(row);
      expect(quickNames).toContain(row);
    }
  });
});

describe('matrix', () => {
  const matrix = matrixOf(standardDurations);

  it('has each row once, and reads no topic that another has given up', () => {
    expect(new Set(matrix.map(({ name }) => name)).size).toBe(matrix.length);
    const givenUp = new Set<string>();
    for (const { load, isLastOfTopic, flush } of matrix) {
      expect(givenUp).not.toContain(`${flush} ${load.topic}`);
      if (isLastOfTopic) givenUp.add(`${flush} ${load.topic}`);
    }
  });
});
