/**
 * The other thread of the race tests: produces numbered records of varying length as fast as the ring
 * takes them, and sleeps on its own now and then so that both sides get to wait.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { BACK_PRESSURED } from '../../src/ring/agent.ts';
import { Doorbell } from '../../src/ring/doorbell.ts';
import { SpscRingProducer } from '../../src/ring/spsc-ring.ts';

const { ring, doorbell, count, wakesEventLoop } = workerData as {
  ring: SharedArrayBuffer;
  doorbell: SharedArrayBuffer;
  count: number;
  wakesEventLoop: boolean;
};
const bell = new Doorbell(doorbell, wakesEventLoop ? () => parentPort?.postMessage('wake') : null);
const producer = new SpscRingProducer(ring, bell);
const pause = new Int32Array(new SharedArrayBuffer(4));

for (let number = 0; number < count; number++) {
  const bytes = 8 + ((number * 37) % 200);
  let offset = producer.claim(number & 0xff, bytes);
  while (offset === BACK_PRESSURED) {
    producer.publish();
    Atomics.wait(pause, 0, 0, 0.05);
    offset = producer.claim(number & 0xff, bytes);
  }
  producer.int32[offset >> 2] = number;
  producer.bytes.fill(number & 0xff, offset + 8, offset + bytes);
  producer.commit(bytes);
  if (number % 7 === 0) producer.publish();
  if (number % 5000 === 0) {
    producer.publish();
    Atomics.wait(pause, 0, 0, 2);
  }
}
producer.publish();
