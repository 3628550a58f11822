import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BACK_PRESSURED } from '../../src/ring/agent.ts';
import {
  allocateRing,
  allocateRings,
  SpscRingConsumer,
  SpscRingProducer,
} from '../../src/ring/spsc-ring.ts';

const CAPACITY = 1024;

function pair(): { producer: SpscRingProducer; consumer: SpscRingConsumer } {
  const memory = allocateRing(CAPACITY);
  return { producer: new SpscRingProducer(memory, null), consumer: new SpscRingConsumer(memory) };
}

function offer(producer: SpscRingProducer, type: number, payload: Uint8Array): boolean {
  const offset = producer.claim(type, payload.length);
  if (offset === BACK_PRESSURED) return false;
  producer.bytes.set(payload, offset);
  producer.commit(payload.length);
  return true;
}

function takeAll(consumer: SpscRingConsumer): { type: number; payload: number[] }[] {
  const taken: { type: number; payload: number[] }[] = [];
  while (consumer.peek()) {
    const { payloadOffset, payloadBytes } = consumer;
    taken.push({
      type: consumer.type,
      payload: [...consumer.bytes.subarray(payloadOffset, payloadOffset + payloadBytes)],
    });
    consumer.skip();
  }
  consumer.release();
  return taken;
}

test('rings in one piece of memory do not touch each other', () => {
  const memories = allocateRings([
    ['one', 1024],
    ['two', 4096],
    ['three', 1024],
  ]);
  expect(memories.map(([name]) => name)).toEqual(['one', 'two', 'three']);
  const rings = memories.map(([, memory]) => ({
    producer: new SpscRingProducer(memory, null),
    consumer: new SpscRingConsumer(memory),
  }));
  expect(rings.map(({ producer }) => producer.capacityBytes)).toEqual([1024, 4096, 1024]);
  for (let round = 0; round < 50; round++) {
    rings.forEach(({ producer }, type) => {
      while (offer(producer, type, new Uint8Array(200).fill(type + round)));
      producer.publish();
    });
    rings.forEach(({ consumer }, type) => {
      const taken = takeAll(consumer);
      expect(taken.length).toBeGreaterThan(2);
      for (const one of taken)
        expect(one).toEqual({ type, payload: Array(200).fill(type + round) });
    });
  }
});

describe('a ring', () => {
  test('shows nothing before publish, and everything in order after it', () => {
    const { producer, consumer } = pair();
    offer(producer, 1, Uint8Array.of(1));
    offer(producer, 2, Uint8Array.of(2, 2));
    expect(consumer.peek()).toBe(false);
    producer.publish();
    expect(takeAll(consumer)).toEqual([
      { type: 1, payload: [1] },
      { type: 2, payload: [2, 2] },
    ]);
    expect(consumer.peek()).toBe(false);
  });

  test('gives room back only when the consumer releases', () => {
    const { producer, consumer } = pair();
    let count = 0;
    while (offer(producer, 1, new Uint8Array(56))) count++;
    expect(count).toBe(CAPACITY / 64);
    expect(producer.backPressureCount).toBe(1);
    producer.publish();
    expect(consumer.peek()).toBe(true);
    consumer.skip();
    expect(offer(producer, 1, new Uint8Array(56))).toBe(false);
    consumer.release();
    expect(offer(producer, 1, new Uint8Array(56))).toBe(true);
  });

  test('skips the padding when a record would wrap', () => {
    const { producer, consumer } = pair();
    for (let round = 0; round < 50; round++) {
      expect(offer(producer, round, new Uint8Array(300).fill(round))).toBe(true);
      producer.publish();
      expect(takeAll(consumer)).toEqual([
        { type: round, payload: Array.from({ length: 300 }, () => round) },
      ]);
    }
  });

  test('peekBefore stops at the end that was taken, also where padding follows', () => {
    const { producer, consumer } = pair();
    for (let round = 0; round < 50; round++) {
      const end = consumer.publishedEnd;
      expect(consumer.peekBefore(end)).toBe(false);
      offer(producer, round, new Uint8Array(300));
      producer.publish();
      expect(consumer.peekBefore(end)).toBe(false);
      const later = consumer.publishedEnd;
      offer(producer, -2 - round, new Uint8Array(300));
      producer.publish();
      expect(consumer.peekBefore(later)).toBe(true);
      expect(consumer.type).toBe(round);
      consumer.skip();
      expect(consumer.peekBefore(later)).toBe(false);
      expect(consumer.peek()).toBe(true);
      expect(consumer.type).toBe(-2 - round);
      consumer.skip();
      consumer.release();
    }
  });

  test('forgets a claim that was not committed', () => {
    const { producer, consumer } = pair();
    producer.claim(7, 100);
    offer(producer, 8, Uint8Array.of(8));
    producer.publish();
    expect(takeAll(consumer)).toEqual([{ type: 8, payload: [8] }]);
  });

  test('takes back what was committed and not published, and nothing else', () => {
    const { producer, consumer } = pair();
    // Until the end of the ring is passed, with padding in what is taken back.
    for (let round = 0; round < 20; round++) {
      offer(producer, 1, new Uint8Array(40).fill(round));
      producer.publish();
      offer(producer, 2, new Uint8Array(90));
      offer(producer, 2, new Uint8Array(200));
      producer.forgetUnpublished();
      producer.publish();
      expect(takeAll(consumer)).toEqual([{ type: 1, payload: Array(40).fill(round) }]);
    }
  });

  test('ends a record with the bytes really written', () => {
    const { producer, consumer } = pair();
    const offset = producer.claim(1, 200);
    producer.bytes[offset] = 9;
    producer.commit(1);
    producer.publish();
    expect(takeAll(consumer)).toEqual([{ type: 1, payload: [9] }]);
  });

  test('starts payloads at multiples of 8', () => {
    const { producer } = pair();
    for (const bytes of [1, 7, 8, 9]) {
      expect(producer.claim(1, bytes) % 8).toBe(0);
      producer.commit(bytes);
    }
  });

  test('refuses a record that could never fit', () => {
    const { producer } = pair();
    expect(() => producer.claim(1, CAPACITY)).toThrow('too long');
  });

  test('knows when everything before a mark was consumed', () => {
    const { producer, consumer } = pair();
    offer(producer, 1, Uint8Array.of(1));
    const mark = producer.committedPosition;
    offer(producer, 2, Uint8Array.of(2));
    producer.publish();
    expect(producer.isConsumed(mark)).toBe(false);
    consumer.peek();
    consumer.skip();
    consumer.release();
    expect(producer.isConsumed(mark)).toBe(true);
    expect(producer.isDrained).toBe(false);
  });

  test('keeps every record, whole and in order, under any interleaving', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('offer' as const), bytes: fc.integer({ min: 0, max: 400 }) }),
      fc.record({ kind: fc.constant('publish' as const) }),
      fc.record({ kind: fc.constant('take' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { producer, consumer } = pair();
        const sent: number[][] = [];
        const taken: number[][] = [];
        let seed = 0;
        for (const one of steps) {
          if (one.kind === 'offer') {
            seed = (seed + 1) & 0xff;
            const payload = new Uint8Array(one.bytes).fill(seed);
            if (offer(producer, 1, payload)) sent.push([...payload]);
          } else if (one.kind === 'publish') producer.publish();
          else taken.push(...takeAll(consumer).map((record) => record.payload));
        }
        producer.publish();
        taken.push(...takeAll(consumer).map((record) => record.payload));
        expect(taken).toEqual(sent);
      }),
    );
  });
});

test('a part of what was committed can be shown, and a part of what was taken given back', () => {
  const { producer, consumer } = pair();
  for (const type of [1, 2]) offer(producer, type, new Uint8Array(300));
  const shown = producer.committedPosition;
  offer(producer, 3, new Uint8Array(300));
  producer.publishUntil(shown);
  const seen: number[] = [];
  let given = 0;
  for (; consumer.peek(); consumer.skip()) {
    if (consumer.type === 2) given = consumer.takenPosition;
    seen.push(consumer.type);
  }
  expect(seen).toEqual([1, 2]);
  expect(offer(producer, 4, new Uint8Array(300))).toBe(false);
  consumer.releaseUntil(given);
  expect(offer(producer, 4, new Uint8Array(300))).toBe(true);
  expect(consumer.isEmpty).toBe(false);
  producer.publish();
  for (; consumer.peek(); consumer.skip()) seen.push(consumer.type);
  expect(seen).toEqual([1, 2, 3, 4]);
  consumer.release();
  expect(consumer.isEmpty).toBe(true);
});
