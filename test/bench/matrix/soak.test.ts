import { describe, expect, it } from 'vitest';
import { growthOf, stallsOf } from '../../../bench/matrix/soak.ts';

describe('soak', () => {
  it('counts a stall once, however long it is', () => {
    expect(stallsOf([1, 60, 70, 2, 50, 51])).toBe(2);
    expect(stallsOf([])).toBe(0);
  });

  it('compares memory at the end with memory when it had settled', () => {
    const points = [10, 50, 50, 60, 55].map((bytes, atSeconds) => ({
      atSeconds,
      rssAnonBytes: bytes,
    }));
    expect(growthOf(points)).toBeCloseTo(1.1);
    expect(growthOf(points.slice(0, 3))).toBe(1);
  });
});
