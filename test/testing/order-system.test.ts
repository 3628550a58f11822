/**
 * Goal: an application's test moves half an hour at once, and sees the same each time. Method: a small order
 * system with our own clients, many times over with one seed. `MILLRACE_RUNS=1000` makes it as many.
 */
import { expect, test } from 'vitest';
import { runShop, type ShopOutcome } from './shop.ts';

const RUNS = Number(process.env['MILLRACE_RUNS'] ?? 15);

const visible = ({ orders, stock, events }: ShopOutcome): Partial<ShopOutcome> => ({
  orders,
  stock,
  events,
});

test('an order that is not paid in half an hour is cancelled then, and its stock is back', async () => {
  const { orders, stock, events, advanceMs } = await runShop(1);
  console.log(`30 minutes: ${advanceMs.toFixed(1)} ms\n${events.join('\n')}`);
  expect(orders).toEqual({
    'order-0': 'cancelled',
    'order-1': 'paid',
    'order-2': 'cancelled',
    'order-3': 'cancelled',
    'order-4': 'paid',
    'order-5': 'cancelled',
  });
  expect(stock).toBe(98);
  // Not before its time, nor later than its retries come.
  const cancelled = events.filter((event) => event.endsWith('cancelled'));
  expect(cancelled).toHaveLength(4);
  for (const event of cancelled) expect(event).toMatch(/^30m/);
});

test(`${RUNS} runs with one seed see the same`, { timeout: RUNS * 5000 }, async () => {
  const first = await runShop(7);
  const times = [first.advanceMs];
  for (let run = 1; run < RUNS; run++) {
    const outcome = await runShop(7);
    expect(visible(outcome)).toEqual(visible(first));
    times.push(outcome.advanceMs);
  }
  times.sort((a, b) => a - b);
  console.log(
    `30 minutes: median ${times[RUNS >> 1]?.toFixed(1)} ms, most ${times.at(-1)?.toFixed(1)} ms`,
  );
  expect(first.events.length).toBeGreaterThan(8);
});

test('another seed has other failures, and the same orders', async () => {
  const [one, other] = [await runShop(7), await runShop(12)];
  expect(other.orders).toEqual(one.orders);
  expect(other.events).not.toEqual(one.events);
});
