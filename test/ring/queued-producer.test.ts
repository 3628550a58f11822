import { describe, expect, test } from 'vitest';
import { LargeMessagePool } from '../../src/ring/large-message-pool.ts';
import { PartAssembler, QueuedProducer } from '../../src/ring/queued-producer.ts';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../../src/ring/spsc-ring.ts';

describe('a queued producer', () => {
  test('brings messages of any length through a small ring, in order', () => {
    const memory = allocateRing(1024);
    const queued = new QueuedProducer(new SpscRingProducer(memory, null));
    const consumer = new SpscRingConsumer(memory);
    const assembler = new PartAssembler();
    const lengths = [10, 5000, 0, 400, 20_000, 1];
    for (const [index, length] of lengths.entries())
      queued.offer(index, Buffer.alloc(length, index));
    const taken: [number, number][] = [];
    for (let turn = 0; turn < 500 && taken.length < lengths.length; turn++) {
      queued.flush();
      while (consumer.peek()) {
        const { type } = consumer;
        const payload = assembler.take(consumer);
        if (payload !== null) {
          expect(payload.every((byte) => byte === type)).toBe(true);
          taken.push([type, payload.length]);
        }
        consumer.skip();
      }
      consumer.release();
    }
    expect(taken).toEqual(lengths.map((length, index) => [index, length]));
    expect(queued.waitingCount).toBe(0);
    expect(queued.isDrained).toBe(true);
  });
});

describe('a pool of large messages', () => {
  test('lends each slot once until it is released', () => {
    const pool = new LargeMessagePool(LargeMessagePool.allocate(2, 4096), 4096);
    const first = pool.claim();
    const second = pool.claim();
    expect(new Set([first, second])).toEqual(new Set([0, 1]));
    expect(pool.claim()).toBe(-1);
    expect(pool.offsetOf(1) - pool.offsetOf(0)).toBe(4096);
    pool.release(first);
    expect(pool.claim()).toBe(first);
  });
});
