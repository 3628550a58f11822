import { describe, expect, it } from 'vitest';
import type { ConsumeQueueUnits } from '../../src/store/consume-queue-units.ts';
import { PositionSlot, StorePositions } from '../../src/store/store-positions.ts';
import { QueueQueries, type QueueQueriesOptions } from '../../src/workers/queue-queries.ts';

/** What code 14 says of a queue whose first message is so far from the end of the log; null: empty. */
function startOf(queue: { minOffset: number; bytesBehind: number } | null): number {
  const positions = new StorePositions();
  positions.publish(PositionSlot.APPENDED, 10_000);
  const consumeQueue = queue !== null && {
    minOffset: queue.minOffset,
    maxOffset: 7,
    read(_offset: number, _count: number, units: ConsumeQueueUnits): number {
      units.physicalOffset[0] = 10_000 - queue.bytesBehind;
      return 1;
    },
  };
  const topics = {
    topicNamed: () => ({ queues: consumeQueue === false ? [] : [consumeQueue] }),
  };
  const options = { topics, positions, inMemoryBytesMax: 4_000 };
  const queries = new QueueQueries(options as unknown as QueueQueriesOptions);
  const answer = queries.queueStart('T', 0);
  return answer.code === 0 ? Number(new Map(answer.extFields).get('offset')) : -answer.code;
}

describe('a group without an offset', () => {
  it('starts at 0 in a queue that is empty or young', () => {
    expect(startOf(null)).toBe(0);
    expect(startOf({ minOffset: 0, bytesBehind: 4_000 })).toBe(0);
  });

  it('leaves it to the client where the beginning has gone, or is long ago', () => {
    expect(startOf({ minOffset: 1, bytesBehind: 100 })).toBe(-22);
    expect(startOf({ minOffset: 0, bytesBehind: 4_001 })).toBe(-22);
  });
});
