/**
 * The window in which a client is measured: where it begins, where it ends.
 */
import { expect, test } from 'vitest';
import { Window } from '../../../bench/client/window.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('counts what comes after the warm-up, up to the wanted count', async () => {
  const window = new Window({ warmCount: 10, warmMs: 60_000, count: 5, spanMs: 60_000 });
  for (let index = 0; index < 14; index++) window.count();
  expect(window.isOver).toBe(false);
  window.count();
  await window.over;
  window.count();
  expect(window.result(1)).toMatchObject({ messages: 5, errors: 1 });
});

test('a slow client warms up and is measured by time', async () => {
  const window = new Window({ warmCount: 1000, warmMs: 20, count: 1000, spanMs: 30 });
  window.count();
  await pause(25);
  window.count();
  await pause(10);
  window.count();
  expect(window.isOver).toBe(false);
  await pause(25);
  window.count();
  expect(window.isOver).toBe(true);
  const { messages, ms } = window.result(0);
  expect(messages).toBe(2);
  expect(ms).toBeGreaterThanOrEqual(30);
});

test('says nothing before it is over', () => {
  const window = new Window({ warmCount: 0, warmMs: 0, count: 5, spanMs: 1000 });
  expect(() => window.result(0)).toThrow('not over');
});
