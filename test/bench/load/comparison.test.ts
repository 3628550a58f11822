import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compare, type ComparisonOptions, type Sitting } from '../../../bench/load/comparison.ts';
import { formatTable, tableOf } from '../../../bench/load/comparison-table.ts';
import { commandContender } from '../../../bench/load/contenders.ts';
import type { LoadResult, Mark } from '../../../bench/load/load-result.ts';
import { quickDurations, workloads } from '../../../bench/load/workloads.ts';
import { latencyOf, resultOf } from './made-up-result.ts';

function result(ratePerSecond: number, p99Ms: number, marks: Mark[] = []): LoadResult {
  const sendLatency = { ...latencyOf(1), p99Ms, p999Ms: p99Ms, p9999Ms: p99Ms, maxMs: p99Ms };
  return resultOf(ratePerSecond, 1, { sendLatency, marks });
}

function sitting(contender: string, pair: number, send: LoadResult | null): Sitting {
  const start = { acceptMs: 100, firstSendMs: 200, idleRssAnonBytes: 1024 * 1024 };
  const results: Record<string, LoadResult> = send === null ? {} : { send };
  return { contender, pair, flush: 'async', start, results, failures: {} };
}

describe('comparison table', () => {
  const sittings = [
    sitting('A', 0, result(100, 8)),
    sitting('B', 0, result(900, 2, ['disturbed'])),
    sitting('A', 1, result(120, 9)),
    sitting('B', 1, result(1000, 3)),
    sitting('A', 2, result(110, 40)),
    sitting('B', 2, null),
  ];
  const rows = tableOf(sittings, ['A', 'B'], ['send', 'absent']);
  const row = (figure: string): (typeof rows)[number] | undefined =>
    rows.find((each) => each.workload === 'send' && each.figure === figure);

  it('gives medians and spreads of the runs that were', () => {
    expect(row('msg/s')?.values).toEqual({
      A: { median: 110, spread: 20 / 110, runCount: 3, marks: [] },
      B: { median: 950, spread: 100 / 950, runCount: 2, marks: ['disturbed'] },
    });
  });

  it('says by how much the second is better, whichever way a figure counts', () => {
    expect(row('msg/s')?.betterBy).toBeCloseTo(950 / 110);
    expect(row('send p99 ms')?.betterBy).toBeCloseTo(9 / 2.5);
  });

  it('leaves out what no run gave', () => {
    expect(row('end-to-end p99 ms')).toBeUndefined();
    expect(rows.some((each) => each.workload === 'absent')).toBe(false);
  });

  it('prints the marks of a workload beside its name', () => {
    const text = formatTable(rows, ['A', 'B']);
    expect(text).toContain('send   (B: disturbed)');
    expect(text).toContain('8.64 x');
  });
});

describe('comparison', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-compare-'));
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

  it('goes on after a broker that does not start, and says why', async () => {
    const lines: string[] = [];
    const options: ComparisonOptions = {
      contenders: [
        commandContender('A', 'node --eval process.exit(3)'),
        commandContender('B', 'no-such-program {store}'),
      ],
      workloads: workloads(quickDurations, 1).slice(0, 1),
      durations: quickDurations,
      pairCount: 1,
      directory,
      brokerPort: 1,
      nameServerPort: 1,
      quietTimeoutMs: 0,
      log: (line) => lines.push(line),
    };
    const sittings = await compare(options);
    expect(sittings.map(({ contender, start }) => [contender, start])).toEqual([
      ['A', null],
      ['B', null],
    ]);
    expect(sittings[0]?.failures['send 8x16']).toContain('ended with 3');
    expect(sittings[1]?.failures['send 8x16']).toContain('ENOENT');
    expect(lines.filter((line) => line.includes('FAILED'))).toHaveLength(2);
    expect(fs.readdirSync(directory)).toEqual([]);
  });
});
