import { describe, expect, test } from 'vitest';
import { decodeFrame } from '../../src/protocol/remoting-command.ts';
import { PartAssembler } from '../../src/ring/queued-producer.ts';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../../src/ring/spsc-ring.ts';
import { ReactorProxy } from '../../src/workers/reactor-proxy.ts';
import { answerBytesMessage } from '../../src/workers/ring-messages.ts';

interface Taken {
  connectionId: number;
  opaque: number;
  body: Buffer;
}

function setUp(): { proxy: ReactorProxy; take: () => Taken[] } {
  const memory = allocateRing(4096);
  const proxy = new ReactorProxy(new SpscRingProducer(memory, null));
  const consumer = new SpscRingConsumer(memory);
  const assembler = new PartAssembler();
  const take = (): Taken[] => {
    const taken: Taken[] = [];
    proxy.publish();
    while (consumer.peek()) {
      const payload = assembler.take(consumer);
      consumer.skip();
      if (payload === null) continue;
      const frame = decodeFrame(payload.subarray(answerBytesMessage.totalBytes + 4));
      const connectionId = payload.readInt32LE(answerBytesMessage.connectionId);
      taken.push({ connectionId, opaque: frame.opaque, body: Buffer.from(frame.body) });
    }
    consumer.release();
    return taken;
  };
  return { proxy, take };
}

const asked = (opaque: number): { opaque: number; serializeType: 0 } => ({
  opaque,
  serializeType: 0,
});

describe('the door to the reactor', () => {
  test('sends an answer longer than the ring in parts, and none between them', () => {
    const { proxy, take } = setUp();
    const body = Buffer.from(Array.from({ length: 30_000 }, (_, index) => index % 251));
    expect(proxy.answer(7, asked(1), { code: 0, body })).toBe(true);
    const taken: Taken[] = [];
    let refusals = 0;
    while (!proxy.answer(8, asked(2), { code: 0, body: Buffer.from('next') })) {
      taken.push(...take());
      expect(++refusals).toBeLessThan(100);
    }
    expect(refusals).toBeGreaterThan(5);
    taken.push(...take());
    expect(taken.map(({ connectionId, opaque }) => [connectionId, opaque])).toEqual([
      [7, 1],
      [8, 2],
    ]);
    expect(taken[0]?.body.equals(body)).toBe(true);
    expect(taken[1]?.body.toString()).toBe('next');
  });

  test('goes on with a long answer each time that it publishes', () => {
    const { proxy, take } = setUp();
    proxy.answer(7, asked(1), { code: 0, body: Buffer.alloc(30_000) });
    const taken: Taken[] = [];
    for (let turn = 0; turn < 100 && taken.length === 0; turn++) taken.push(...take());
    expect(taken.map(({ body }) => body.length)).toEqual([30_000]);
  });

  test('refuses an answer while the ring is full', () => {
    const { proxy, take } = setUp();
    const body = Buffer.alloc(1000);
    let sent = 0;
    while (proxy.answer(1, asked(sent), { code: 0, body })) sent++;
    expect(sent).toBe(3);
    expect(take().map(({ opaque }) => opaque)).toEqual([0, 1, 2]);
    expect(proxy.answer(1, asked(3), { code: 0, body })).toBe(true);
    expect(take().map(({ opaque }) => opaque)).toEqual([3]);
  });
});
