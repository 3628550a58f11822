/**
 * The bars of the client benchmark: that one which is missed is said to be missed.
 */
import { describe, expect, test } from 'vitest';
import { barsOf, type LatencyRun, type Run } from '../../../bench/client/figures.ts';

function run(round: number, contender: string, ratePerSecond: number, cpuMs: number): Run {
  const result = { messages: ratePerSecond, ms: 1000, cpuMs, errors: 0 };
  return { round, servers: 'Apache', contender, mode: 'send', result };
}

function paced(p99Ms: number, lost = 0, stolenShare = 0): LatencyRun {
  const latency = {
    count: 1,
    meanMs: 1,
    p50Ms: 1,
    p90Ms: 1,
    p99Ms,
    p999Ms: 1,
    p9999Ms: 1,
    maxMs: 1,
    curveMs: [],
  };
  return { processes: 1, ratePerSecond: 2000, stolenShare, result: { latency, lost, unsent: 0 } };
}

describe('bars', () => {
  test('the ratio is the median of the rounds', () => {
    const runs = [
      run(0, 'millrace/client', 3000, 100),
      run(0, 'ali-ons', 1000, 100),
      run(1, 'millrace/client', 4000, 100),
      run(1, 'ali-ons', 4000, 100),
      run(2, 'millrace/client', 2500, 100),
      run(2, 'ali-ons', 1000, 100),
    ];
    expect(barsOf(runs, [])[0]).toMatchObject({ value: 2.5, holds: true });
  });

  test('less than twice as many messages per CPU is a miss', () => {
    const runs = [run(0, 'millrace/client', 1000, 100), run(0, 'ali-ons', 1000, 150)];
    expect(barsOf(runs, [])[0]).toMatchObject({ value: 1.5, holds: false });
  });

  test('beside the Java client the rate counts, not the CPU', () => {
    const runs = [run(0, 'millrace/client', 1000, 900), run(0, 'Java client', 999, 1)];
    expect(barsOf(runs, [])[0]).toMatchObject({ value: 1000 / 999, holds: true });
  });

  test('what was not measured neither holds nor is missed', () => {
    const runs = [run(0, 'millrace/client', 1000, 100), run(0, 'ali-ons', 1000, 150)];
    const bars = barsOf(runs, []);
    expect(bars.map((bar) => bar.holds)).toEqual([false, null]);
  });

  test('a latency above the bar and one with lost messages are missed', () => {
    expect(barsOf([], [paced(4.9)])[0]).toMatchObject({ holds: true });
    expect(barsOf([], [paced(5.1)])[0]).toMatchObject({ holds: false });
    expect(barsOf([], [paced(1, 3)])[0]).toMatchObject({ holds: false });
  });

  test('a run that the hypervisor disturbed is no measurement, but what it lost is lost', () => {
    expect(barsOf([], [paced(9, 0, 0.1)])[0]).toMatchObject({ value: null, holds: null });
    const [bar] = barsOf([], [paced(9, 0, 0.1), paced(4, 0, 0.002)]);
    expect(bar).toMatchObject({ value: 4, holds: true });
    expect(barsOf([], [paced(4), paced(4, 1, 0.1)])[0]).toMatchObject({ holds: false });
  });
});
