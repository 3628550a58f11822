/**
 * The offset to commit against a model: the smallest offset that is not finished, whatever happens in
 * whatever order; and the count of work at hand comes back to where it was.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clientActivity } from '../../src/client/client-activity.ts';
import { MessageState, ProcessQueue, type TrackedMessage } from '../../src/client/process-queue.ts';

const queue = { topic: 'orders', brokerName: 'broker', queueId: 0 };
const limits = { openCountMax: 10, openBytesMax: 1000, spanMax: 50 };

const messageAt = (queueOffset: number, storeBytes = 10): TrackedMessage => ({
  queueOffset,
  storeBytes,
  state: MessageState.WAITING,
});
const messagesAt = (...offsets: number[]): TrackedMessage[] => offsets.map((at) => messageAt(at));

const queueOf = (options: Partial<{ offset: number; isOrdered: boolean }> = {}) =>
  new ProcessQueue<TrackedMessage>(queue, { offset: 0, isOrdered: false, limits, ...options });

describe('the offset to commit', () => {
  test('is the smallest unfinished one, in whatever order messages finish', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('pull' as const), gaps: fc.array(fc.nat({ max: 3 })) }),
      fc.record({ kind: fc.constant('take' as const), count: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ kind: fc.constant('finish' as const), index: fc.nat() }),
      fc.record({ kind: fc.constant('put back' as const), index: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const pendingBefore = clientActivity.pendingCount;
        const processQueue = queueOf();
        const open = new Set<number>();
        const out: TrackedMessage[] = [];
        let next = 0;
        let committed = 0;
        for (const now of steps) {
          if (now.kind === 'pull') {
            const messages = now.gaps.map((gap) => {
              const at = next + gap;
              next = at + 1;
              open.add(at);
              return messageAt(at);
            });
            processQueue.append(messages, next);
          } else if (now.kind === 'take') out.push(...processQueue.take(now.count));
          else if (out.length > 0) {
            const [message] = out.splice(now.index % out.length, 1);
            if (message === undefined) continue;
            if (now.kind === 'put back') processQueue.putBack(message);
            else {
              processQueue.finish(message);
              open.delete(message.queueOffset);
            }
          }
          expect(processQueue.commitOffset).toBe(open.size > 0 ? Math.min(...open) : next);
          expect(processQueue.openCount).toBe(open.size);
          expect(processQueue.commitOffset).toBeGreaterThanOrEqual(committed);
          committed = processQueue.commitOffset;
        }
        processQueue.drop();
        for (const message of out) processQueue.finish(message);
        expect(clientActivity.pendingCount).toBe(pendingBefore);
      }),
    );
  });

  test('moves on over what a filter left out', () => {
    const processQueue = queueOf();
    processQueue.append([], 40);
    expect(processQueue.commitOffset).toBe(40);
  });

  test('is not changed by messages of a dropped queue', () => {
    const processQueue = queueOf({ offset: 5 });
    processQueue.append(messagesAt(5, 6), 7);
    const [first] = processQueue.take(1);
    processQueue.drop();
    if (first !== undefined) processQueue.finish(first);
    expect(processQueue.commitOffset).toBe(5);
    expect(processQueue.canTake(0)).toBe(false);
  });
});

test('says once when there is room for a pull again', () => {
  const processQueue = queueOf();
  let roomCount = 0;
  processQueue.onRoom = () => roomCount++;
  processQueue.append(messagesAt(...Array(12).keys()), 12);
  expect(processQueue.hasRoom).toBe(false);
  const taken = processQueue.take(12);
  for (const message of taken) processQueue.finish(message);
  expect(processQueue.hasRoom).toBe(true);
  expect(roomCount).toBe(1);
});

test('pulls no further than the span allows, though few messages are open', () => {
  const processQueue = queueOf();
  processQueue.append(messagesAt(0, 60), 61);
  expect(processQueue.hasRoom).toBe(false);
});

test('an ordered queue hands out one batch at a time, and a failed one again before the next', () => {
  const processQueue = queueOf({ isOrdered: true });
  processQueue.append(messagesAt(0, 1, 2), 3);
  const batch = processQueue.take(2);
  expect(processQueue.canTake(0)).toBe(false);
  for (const message of batch) processQueue.putBack(message);
  processQueue.suspend(true);
  expect(processQueue.canTake(0)).toBe(false);
  processQueue.suspend(false);
  expect(processQueue.take(3).map(({ queueOffset }) => queueOffset)).toEqual([0, 1, 2]);
});

test('an ordered queue hands out nothing when its lock is over', () => {
  const processQueue = queueOf({ isOrdered: true });
  processQueue.append(messagesAt(0), 1);
  processQueue.lockedUntilMs = 100;
  expect(processQueue.canTake(99)).toBe(true);
  expect(processQueue.canTake(100)).toBe(false);
});

test('what waits in a paused queue, or is put back, is no work at hand', () => {
  const before = clientActivity.pendingCount;
  const processQueue = queueOf();
  processQueue.append(messagesAt(0, 1), 2);
  expect(clientActivity.pendingCount).toBe(before + 2);
  processQueue.pause(true);
  processQueue.append(messagesAt(2), 3);
  expect(clientActivity.pendingCount).toBe(before);
  processQueue.pause(false);
  expect(clientActivity.pendingCount).toBe(before + 3);
  const [message] = processQueue.take(1);
  if (message !== undefined) processQueue.putBack(message);
  expect(clientActivity.pendingCount).toBe(before + 2);
  processQueue.drop();
  expect(clientActivity.pendingCount).toBe(before);
});
