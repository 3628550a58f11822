import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { LOCK_LIVE_MS, QueueLockTable } from '../../src/broker/queue-lock-table.ts';

const queue = { topic: 'T', queueId: 0 };

describe('queue locks', () => {
  it('gives a queue to one client of a group, and to other groups independently', () => {
    const locks = new QueueLockTable(new ManualClock());
    expect(locks.tryLock('g', queue, 'a')).toBe(true);
    expect(locks.tryLock('g', queue, 'b')).toBe(false);
    expect(locks.tryLock('g', queue, 'a')).toBe(true);
    expect(locks.tryLock('h', queue, 'b')).toBe(true);
    expect(locks.tryLock('g', { topic: 'T', queueId: 1 }, 'b')).toBe(true);
  });

  it('frees a lock only for the client that holds it', () => {
    const locks = new QueueLockTable(new ManualClock());
    locks.tryLock('g', queue, 'a');
    locks.unlock('g', queue, 'b');
    expect(locks.tryLock('g', queue, 'b')).toBe(false);
    locks.unlock('g', queue, 'a');
    expect(locks.hasLiveLock('g')).toBe(false);
    expect(locks.tryLock('g', queue, 'b')).toBe(true);
  });

  it('keeps a lock for 60 s from its last renewal', () => {
    const clock = new ManualClock();
    const locks = new QueueLockTable(clock);
    locks.tryLock('g', queue, 'a');
    clock.advance(LOCK_LIVE_MS);
    expect(locks.tryLock('g', queue, 'b')).toBe(false);
    locks.tryLock('g', queue, 'a');
    clock.advance(LOCK_LIVE_MS);
    locks.removeExpired();
    expect(locks.tryLock('g', queue, 'b')).toBe(false);
    expect(locks.hasLiveLock('g')).toBe(true);
    clock.advance(1);
    expect(locks.hasLiveLock('g')).toBe(false);
    expect(locks.tryLock('g', queue, 'b')).toBe(true);
  });

  it('never has two holders, whatever clients do', () => {
    const step = fc.record({
      client: fc.constantFrom('a', 'b', 'c'),
      kind: fc.constantFrom('lock', 'unlock', 'wait', 'sweep'),
      ms: fc.integer({ min: 0, max: 40_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const clock = new ManualClock();
        const locks = new QueueLockTable(clock);
        // What each client believes: until when it holds the queue.
        const heldUntilMs = new Map<string, number>();
        for (const { client, kind, ms } of steps) {
          if (kind === 'wait') clock.advance(ms);
          else if (kind === 'sweep') locks.removeExpired();
          else if (kind === 'unlock') {
            locks.unlock('g', queue, client);
            heldUntilMs.delete(client);
          } else if (locks.tryLock('g', queue, client)) {
            heldUntilMs.set(client, clock.nowMs() + LOCK_LIVE_MS);
          }
          const holders = [...heldUntilMs.values()].filter((untilMs) => clock.nowMs() <= untilMs);
          expect(holders.length).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});
