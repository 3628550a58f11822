import { describe, expect, it } from 'vitest';
import { LatencyCounts, LatencyHistogram } from '../../src/base/latency-histogram.ts';

describe('LatencyHistogram', () => {
  it('keeps values within a quarter, at every size', () => {
    for (const ms of [0.001, 0.004, 0.0071, 0.25, 1, 3.3, 17, 999, 60_000]) {
      const histogram = new LatencyHistogram();
      const before = histogram.copy();
      histogram.record(ms);
      const found = new LatencyCounts(before, histogram.copy()).percentileMs(1);
      expect(found).toBeGreaterThanOrEqual(ms);
      expect(found).toBeLessThanOrEqual(ms * 1.25 + 0.0011);
      expect(histogram.maxMs).toBeCloseTo(ms, 2);
    }
  });

  it('shows what was counted since a copy, from another view of its memory', () => {
    const histogram = new LatencyHistogram();
    const reader = new LatencyHistogram(histogram.memory);
    histogram.record(500);
    const before = reader.copy();
    for (let count = 0; count < 990; count++) histogram.record(0.05);
    for (let count = 0; count < 10; count++) histogram.record(30);
    const counts = new LatencyCounts(before, reader.copy());
    expect(counts.total).toBe(1000);
    expect(counts.percentileMs(0.5)).toBeLessThan(0.07);
    expect(counts.percentileMs(0.995)).toBeGreaterThan(29);
    expect(counts.between([1, 10, 50])).toEqual([990, 0, 10, 0]);
    expect(new LatencyCounts(before, before).percentileMs(0.99)).toBe(0);
  });

  it('takes times that are negative or without end', () => {
    const histogram = new LatencyHistogram();
    const before = histogram.copy();
    histogram.record(-1);
    histogram.record(1e12);
    expect(new LatencyCounts(before, histogram.copy()).total).toBe(2);
  });
});
