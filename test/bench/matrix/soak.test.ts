import { describe, expect, it } from 'vitest';
import { costGrowthOf, growthOf, stallsOf, stolenStallsOf } from '../../../bench/matrix/soak.ts';

describe('soak', () => {
  it('counts a stall once, however long it is', () => {
    expect(stallsOf([1, 60, 70, 2, 50, 51])).toBe(2);
    expect(stallsOf([])).toBe(0);
  });

  it('tells stalls where the host took time from others', () => {
    expect(stolenStallsOf([1, 60, 1, 1, 1, 1, 60], [0, 30, 20, 0, 0, 0, 10])).toBe(1);
    expect(stolenStallsOf([60, 70], [0, 40])).toBe(1);
    expect(stolenStallsOf([60], [])).toBe(0);
  });

  it('compares memory at the end with memory when it had settled', () => {
    const points = [10, 50, 50, 60, 55].map((bytes, atSeconds) => ({
      atSeconds,
      rssAnonBytes: bytes,
    }));
    expect(growthOf(points)).toBeCloseTo(1.1);
    expect(growthOf(points.slice(0, 3))).toBe(1);
  });

  it('compares the cost of a message at the end with that on the way to a million', () => {
    const costs = [22, 9, 5, 5.5].map((cpuUsPerMessage, index) => ({
      storedCount: 10 ** (4 + index),
      cpuUsPerMessage,
    }));
    expect(costGrowthOf(costs)).toBeCloseTo(1.1);
    expect(costGrowthOf(costs.slice(0, 3))).toBeNull();
  });
});
