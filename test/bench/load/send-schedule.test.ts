import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SendSchedule } from '../../../bench/load/send-schedule.ts';

function times(ratePerSecond: number, seconds: number): number[] {
  const schedule = new SendSchedule({ ratePerSecond, startMs: 500, endMs: 500 + 1000 * seconds });
  const list: number[] = [];
  for (; schedule.nextMs !== Infinity; schedule.advance()) list.push(schedule.nextMs);
  return list;
}

describe('send schedule', () => {
  it('holds exactly the rate, in even ticks', () => {
    const list = times(20_000, 2);
    expect(list.length).toBe(40_000);
    expect(list.slice(0, 21).map((ms) => ms - 500)).toEqual([...Array(20).fill(0), 1]);
  });

  it('never goes back, and ends in time, at any rate', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), (rate) => {
        const list = times(rate, 2);
        expect(Math.abs(list.length - 2 * rate)).toBeLessThanOrEqual(rate / 1000 + 1);
        const gaps = list.slice(1).map((ms, index) => ms - list[index]);
        expect(Math.min(0, ...gaps)).toBe(0);
        expect(Math.max(0, ...gaps)).toBeLessThanOrEqual(Math.ceil(1000 / rate));
        expect(list.at(-1)).toBeLessThan(2500);
      }),
      { numRuns: 30 },
    );
  });
});
