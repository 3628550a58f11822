/**
 * The checks of the churn scenario, each with a breach planted: a run that was right passes, and every
 * kind of wrong one is told.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { checkChurn, readBatches } from './churn-check.ts';
import type { LockWitness } from './lock-witness.ts';

/** Two messages in queue 0; consumer a takes the first, is killed while it has the second, b goes on. */
const right = {
  logs: {
    a: [
      'B 1 a orderly 0 100 0:7',
      'E 1 110',
      'B 2 a concurrent 0 100 0:7',
      'E 2 110',
      'B 3 a orderly 0 120 1:8',
    ],
    b: ['B 1 b orderly 0 500 1:8', 'E 1 510', 'B 2 b concurrent 0 500 1:8', 'E 2 510'],
  },
  holdings: [
    { group: 'orderly', queueId: 0, clientId: 'ip@a', fromNs: 10, renewedNs: 10, toNs: 400 },
    { group: 'orderly', queueId: 0, clientId: 'ip@b', fromNs: 400, renewedNs: 400, toNs: Infinity },
  ],
  offsetAnswers: [
    { group: 'orderly', queueId: 0, clientId: 'ip@a', atNs: 20, offset: null as number | null },
    { group: 'concurrent', queueId: 0, clientId: 'ip@a', atNs: 20, offset: 0 },
    { group: 'orderly', queueId: 0, clientId: 'ip@b', atNs: 420, offset: 1 },
    { group: 'concurrent', queueId: 0, clientId: 'ip@b', atNs: 420, offset: 1 },
  ],
  committed: [1],
  doubleGrants: [] as string[],
};

function check(run: typeof right): ReturnType<typeof checkChurn> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-churn-check-'));
  try {
    const files = Object.entries(run.logs).map(([name, lines]) => {
      const file = path.join(directory, name);
      fs.writeFileSync(file, `${lines.join('\n')}\nB 9 cut off in the mid`);
      return file;
    });
    const acknowledged = [[7, 8]];
    const witness = {
      ...run,
      wasCommitted: (_group: string, _queueId: number, offset: number) =>
        run.committed.includes(offset),
    } as unknown as LockWitness;
    return checkChurn(readBatches(files, acknowledged), acknowledged, witness);
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

test('a run that was right is counted', () => {
  expect(check(right)).toEqual({
    deliveredCount: 5,
    duplicateCount: { orderly: 1, concurrent: 0 },
    stintCount: 2,
    instanceCount: 2,
  });
});

test.each<[string, (run: typeof right) => void, RegExp]>([
  [
    'another message than was sent',
    (run) => (run.logs.b[0] = 'B 1 b orderly 0 500 1:9'),
    /number 9/,
  ],
  ['a message that nobody finished', (run) => run.logs.b.splice(1, 1), /1 messages are lost/],
  ['a lock given twice', (run) => run.doubleGrants.push('queue 0 …'), /second client/],
  ['an offset that nobody committed', (run) => run.committed.pop(), /nobody committed/],
  ['two at work at once', (run) => (run.logs.a[1] = 'E 1 505'), /before a ended/],
  ['work without the lock', (run) => (run.holdings[1].clientId = 'ip@c'), /without the lock/],
  ['work after the unlock', (run) => (run.holdings[0].toNs = 115), /without the lock/],
  [
    'a step back within a lock',
    (run) => run.logs.b.push('B 3 b orderly 0 520 1:8', 'E 3 530'),
    /1 came where 2 was next/,
  ],
  [
    'a start elsewhere than where the group stood',
    (run) => (run.offsetAnswers[2].offset = 0),
    /1 came where 0 was next/,
  ],
  [
    'the same again without asking',
    (run) => run.logs.b.push('B 3 b concurrent 0 520 1:8', 'E 3 530'),
    /offset 1 2 times/,
  ],
])('%s is told', (_name, plant, message) => {
  const run = structuredClone(right);
  plant(run);
  expect(() => check(run)).toThrow(message);
});
