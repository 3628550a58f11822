/** What is counted over the last minute. */
import { expect, test } from 'vitest';
import { ConsumeStatistics } from '../../src/client/consume-statistics.ts';

test('rates are of the last minute, failures of all time', () => {
  const statistics = new ConsumeStatistics(0);
  statistics.add('orders', 30, true, 60, 1000);
  statistics.add('orders', 30, false, 60, 11_000);
  expect(statistics.status('orders', 20_000)).toEqual({
    okPerSecond: 1.5,
    failedPerSecond: 1.5,
    meanMs: 2,
    failedCount: 30,
  });
  expect(statistics.status('orders', 65_000)).toMatchObject({
    okPerSecond: 0,
    failedPerSecond: 0.5,
  });
  expect(statistics.status('orders', 500_000)).toMatchObject({
    failedPerSecond: 0,
    meanMs: 0,
    failedCount: 30,
  });
});

test('a topic of which nothing is known has nothing', () => {
  expect(new ConsumeStatistics(0).status('orders', 5000).okPerSecond).toBe(0);
});
