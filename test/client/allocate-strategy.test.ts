/**
 * Whoever works out a division for itself must come to the same one as everybody else in the group.
 * Java's own results stand here for the consistent hash, whose MD5 is compared with Node's.
 */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AllocateStrategy,
  averagely,
  averagelyByCircle,
  compareQueues,
  consistentHash,
  machineRoom,
  strategyOf,
} from '../../src/client/allocate-strategy.ts';
import { ClientError } from '../../src/client/client-error.ts';
import { md5Head } from '../../src/client/md5.ts';
import type { MessageQueue } from '../../src/client/message.ts';

const queuesOf = (count: number, brokerName = 'broker'): MessageQueue[] =>
  Array.from({ length: count }, (_, queueId) => ({ topic: 'orders', brokerName, queueId }));

const strategies: Record<string, AllocateStrategy> = {
  averagely,
  'averagely by circle': averagelyByCircle,
  'consistent hash': consistentHash(),
  'machine room': machineRoom(['here']),
};

describe.each(Object.entries(strategies))('%s', (_name, strategy) => {
  test('gives every queue to exactly one member', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.uniqueArray(fc.string({ minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 12 }),
        (queueCount, ids) => {
          const members = [...ids].sort();
          const queues = queuesOf(queueCount, 'here@broker');
          const given = members.flatMap((clientId) =>
            strategy({ group: 'group', clientId, queues, members }),
          );
          expect([...given].sort(compareQueues)).toEqual(queues);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('gives nothing to one who is no member', () => {
    const input = { group: 'group', clientId: 'x', queues: queuesOf(4), members: ['a', 'b'] };
    expect(strategy(input)).toEqual([]);
  });
});

const idsOf = (strategy: AllocateStrategy, queueCount: number, memberCount: number): number[][] => {
  const members = Array.from({ length: memberCount }, (_, index) => `member-${index}`);
  return members.map((clientId) =>
    strategy({ group: 'group', clientId, queues: queuesOf(queueCount), members }).map(
      ({ queueId }) => queueId,
    ),
  );
};

test('averagely gives neighbours, one more to the first', () => {
  expect(idsOf(averagely, 8, 3)).toEqual([
    [0, 1, 2],
    [3, 4, 5],
    [6, 7],
  ]);
  expect(idsOf(averagely, 2, 3)).toEqual([[0], [1], []]);
});

test('averagely by circle deals them out', () => {
  expect(idsOf(averagelyByCircle, 8, 3)).toEqual([
    [0, 3, 6],
    [1, 4, 7],
    [2, 5],
  ]);
});

test('consistent hashing keeps the queues of those who stay', () => {
  const before = idsOf(consistentHash(), 32, 5);
  const after = idsOf(consistentHash(), 32, 4);
  for (const [member, queues] of after.entries())
    expect(queues).toEqual(expect.arrayContaining(before[member] ?? []));
});

test('machine room leaves out brokers of other rooms', () => {
  const queues = [...queuesOf(2, 'here@b'), ...queuesOf(2, 'there@b'), ...queuesOf(1, 'nowhere')];
  const input = { group: 'group', clientId: 'a', queues, members: ['a'] };
  expect(machineRoom(['here'])(input)).toEqual(queuesOf(2, 'here@b'));
});

test("the ring's hash is the head of MD5", () => {
  const check = (text: string): void => {
    const digest = createHash('md5').update(new TextEncoder().encode(text)).digest();
    expect(md5Head(text)).toBe(digest.readUInt32BE(0));
  };
  // Around the length at which one more block is needed, and beyond ASCII.
  for (let length = 0; length < 130; length++) check('x'.repeat(length));
  fc.assert(fc.property(fc.string({ maxLength: 200 }), check));
  check('Ünï 漢字 \u{1f389}');
});

test('an unknown name is refused with the ones that there are', () => {
  expect(() => strategyOf('best' as never)).toThrow(/averagely-by-circle/);
  try {
    strategyOf('best' as never);
  } catch (error) {
    expect(ClientError.is(error) && error.code).toBe('INVALID_ARGUMENT');
  }
});
