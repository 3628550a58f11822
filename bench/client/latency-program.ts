/**
 * Paced messages from end to end with our own client, in one process or as one half of two. The time that
 * counts is from the moment a message was meant to go, which its body carries, to its listener.
 *
 *   node latency-program.ts both|produce|consume ADDRESS TOPIC GROUP RATE WARM_MS SPAN_MS
 *
 * A consumer's last line is `RESULT {…}`. Between two processes the clock is the machine's monotonic one.
 */
import { Consumer, Producer } from '../../src/client/index.ts';
import { createHistogram, encodeHistogram, recordMs, summarize } from '../load/latency.ts';
import { steadyNowMs } from '../load/steady-clock.ts';

const BODY_BYTES = 128;
const READY_TIMEOUT_MS = 30_000;

const [, , role = '', address = '', topic = '', group = '', ...numbers] = process.argv;
const [rate, warmMs, spanMs] = numbers.map(Number);
/** Bodies carry the moment they were meant to go; before the measured ones it is negative. */
const messageCount = Math.round((rate * spanMs) / 1000);

let unsent = 0;

async function startProducing(): Promise<Producer> {
  const producer = new Producer({ servers: address, group: `${group}-producer` });
  await producer.start();
  return producer;
}

async function sendAt(producer: Producer, meantMs: number): Promise<void> {
  const body = Buffer.alloc(BODY_BYTES);
  body.writeDoubleBE(meantMs);
  try {
    await producer.send({ topic, body });
  } catch (error) {
    if (unsent++ === 0) console.error(error);
  }
}

/** Keeps to a fixed schedule: what a late timer missed goes at once, and counts from when it was meant. */
async function pace(producer: Producer): Promise<void> {
  const startMs = steadyNowMs();
  const totalCount = messageCount + Math.round((rate * warmMs) / 1000);
  const pending = new Set<Promise<void>>();
  for (let sent = 0; sent < totalCount;) {
    const now = steadyNowMs();
    while (sent < totalCount && startMs + (sent * 1000) / rate <= now) {
      const meantMs = startMs + (sent++ * 1000) / rate;
      const isWarm = meantMs - startMs >= warmMs;
      const one = sendAt(producer, isWarm ? meantMs : -meantMs);
      pending.add(one);
      void one.then(() => pending.delete(one));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  await producer.close();
}

async function consume(): Promise<{ done: Promise<void>; isReady: Promise<void> }> {
  const histogram = createHistogram();
  const consumer = new Consumer({ servers: address, group, from: 'first' });
  consumer.subscribe(topic);
  let received = 0;
  let onReady = (): void => {};
  let onDone = (): void => {};
  const isReady = new Promise<void>((resolve) => {
    onReady = resolve;
  });
  const isDone = new Promise<void>((resolve) => {
    onDone = resolve;
  });
  await consumer.run((message) => {
    const view = new DataView(message.body.buffer, message.body.byteOffset);
    const meantMs = view.getFloat64(0);
    onReady();
    if (meantMs <= 0) return;
    recordMs(histogram, steadyNowMs() - meantMs);
    if (++received === messageCount) onDone();
  });
  const finish = async (): Promise<void> => {
    const limit = new Promise((resolve) => setTimeout(resolve, warmMs + spanMs + READY_TIMEOUT_MS));
    await Promise.race([isDone, limit]);
    await consumer.close();
    const latency = summarize([encodeHistogram(histogram)]);
    console.log(`RESULT ${JSON.stringify({ latency, lost: messageCount - received, unsent })}`);
  };
  return { done: finish(), isReady };
}

if (role === 'both') {
  const producer = await startProducing();
  const { done, isReady } = await consume();
  // The first message says that the consumer has its queues.
  await sendAt(producer, -1);
  await isReady;
  await pace(producer);
  await done;
} else if (role === 'consume') {
  const { done, isReady } = await consume();
  void isReady.then(() => console.log('READY'));
  await done;
} else {
  const producer = await startProducing();
  await sendAt(producer, -1);
  await new Promise<void>((resolve) => process.stdin.once('data', () => resolve()));
  await pace(producer);
}
process.exit(0);
