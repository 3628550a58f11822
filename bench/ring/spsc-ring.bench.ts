/**
 * Question: what does a record cost to go through a ring, claimed, published, looked at and released on
 * one thread? And one at a time against many in one publication, as an agent's turn has them?
 * Machine: any; compare the rows of one run.
 * Command: node bench/ring/spsc-ring.bench.ts
 */
import { Bench } from 'tinybench';
import { BACK_PRESSURED } from '../../src/ring/agent.ts';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../../src/ring/spsc-ring.ts';

const CAPACITY_BYTES = 1 << 20;
/** Records of a turn; all fit the ring. */
const TURN_COUNT = 64;

const memory = allocateRing(CAPACITY_BYTES);
const producer = new SpscRingProducer(memory, null);
const consumer = new SpscRingConsumer(memory);
const payload = Buffer.alloc(4096, 0x61);

function pass(payloadBytes: number, publications: 'each' | 'once'): void {
  for (let index = 0; index < TURN_COUNT; index++) {
    const at = producer.claim(1, payloadBytes);
    if (at === BACK_PRESSURED) throw new Error('the ring is full');
    payload.copy(producer.bytes, at, 0, payloadBytes);
    producer.commit(payloadBytes);
    if (publications === 'each') producer.publish();
  }
  producer.publish();
  let count = 0;
  while (consumer.peek()) {
    consumer.skip();
    if (publications === 'each') consumer.release();
    count++;
  }
  consumer.release();
  if (count !== TURN_COUNT) throw new Error(`${count} records came through`);
}

const bench = new Bench({ time: 500 });
for (const payloadBytes of [32, 256, 4096]) {
  bench.add(`${payloadBytes} B, published one by one`, () => pass(payloadBytes, 'each'));
  bench.add(`${payloadBytes} B, ${TURN_COUNT} at once`, () => pass(payloadBytes, 'once'));
}
await bench.run();
console.table(
  bench.tasks.map(({ name, result }) => ({
    name,
    'ns a record (median)':
      'latency' in result ? Math.round((result.latency.p50 * 1e6) / TURN_COUNT) : result.state,
  })),
);
