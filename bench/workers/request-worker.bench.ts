/**
 * Question: what does a send cost in the request worker, from its frame in one ring to the record that is
 * encoded, with its checksum, in the writer's ring: by header serialization and length of body?
 * Machine: any; compare the rows of one run.
 * Command: node bench/workers/request-worker.bench.ts
 */
import { Bench } from 'tinybench';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { DelayLevels } from '../../src/broker/delay-level.ts';
import { encodeHost } from '../../src/protocol/record-encoder.ts';
import { LargeMessagePool } from '../../src/ring/large-message-pool.ts';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../../src/ring/spsc-ring.ts';
import { FrameProxy } from '../../src/workers/frame-proxy.ts';
import { ReactorProxy } from '../../src/workers/reactor-proxy.ts';
import { RequestWorker } from '../../src/workers/request-worker.ts';
import { MessageType, type TopicSnapshot } from '../../src/workers/ring-messages.ts';
import { SendFrames } from '../load/send-frames.ts';

const RING_BYTES = 4 << 20;
const POOL_BYTES = 256 * 1024;
/** Sends of a turn; all fit the rings. */
const TURN_COUNT = 32;

const ring = (): { producer: SpscRingProducer; consumer: SpscRingConsumer } => {
  const memory = allocateRing(RING_BYTES);
  return {
    producer: new SpscRingProducer(memory, null),
    consumer: new SpscRingConsumer(memory),
  };
};
const pool = (): LargeMessagePool =>
  new LargeMessagePool(LargeMessagePool.allocate(4, POOL_BYTES), POOL_BYTES);

const requests = ring();
const control = ring();
const writer = ring();
const requestPool = pool();
const frames = new FrameProxy(requests.producer, requestPool);
const worker = new RequestWorker({
  requests: requests.consumer,
  requestPool,
  control: control.consumer,
  toWriter: writer.producer,
  recordPool: pool(),
  toReactor: new ReactorProxy(ring().producer),
  toControl: new FrameProxy(ring().producer, requestPool),
  storeHost: encodeHost('127.0.0.1', 10911),
  clusterName: 'DefaultCluster',
  regionId: 'DefaultRegion',
  traceOn: true,
  bodyBytesMax: 4 << 20,
  queueWaitMsMax: 200,
  delayLevels: new DelayLevels('1s 5s'),
  brokerName: 'broker-a',
  rejectTransactionMessage: false,
  timer: { timerWheelEnable: true, timerMaxDelaySec: 60 },
  random: () => 0.5,
  refusals: new Refusals(silentLogger, () => 0),
  wallNowMs: () => 1_700_000_000_000,
});
const topic: TopicSnapshot = {
  kind: 'topic',
  topicId: 1,
  topic: 'BenchTopic',
  perm: 6,
  readQueueNums: 8,
  writeQueueNums: 8,
  sendForbidden: false,
};
const snapshot = Buffer.from(JSON.stringify(topic));
const at = control.producer.claim(MessageType.SNAPSHOT, snapshot.length);
snapshot.copy(control.producer.bytes, at);
control.producer.commit(snapshot.length);
control.producer.publish();
const connection = {
  id: 1,
  listener: 0,
  hostBytes: Uint8Array.of(127, 0, 0, 1),
  remotePort: 5000,
};

function turn(frame: Buffer): void {
  for (let index = 0; index < TURN_COUNT; index++)
    if (!frames.offer(connection, 0, frame, 4, frame.length)) throw new Error('no room');
  frames.publish();
  worker.doWork(0);
  let count = 0;
  for (; writer.consumer.peek(); count++) writer.consumer.skip();
  writer.consumer.release();
  if (count !== TURN_COUNT) throw new Error(`${count} of ${TURN_COUNT} sends were encoded`);
}

const bench = new Bench({ time: 500 });
for (const codec of ['json', 'rocketmq'] as const) {
  for (const bodyBytes of [128, 1024, 16 * 1024]) {
    const template = new SendFrames({
      codec,
      producerGroup: 'producer-group',
      topic: topic.topic,
      brokerName: 'broker-a',
      queueId: 3,
      bodyBytes,
      tag: 'TagA',
      uniqueKeyPrefix: '7F0000010000000000000000',
    });
    const frame = Buffer.alloc(template.frameBytes);
    template.writeInto(frame, 0, 1_234_567, 1_700_000_000_000);
    bench.add(`${codec} header, body of ${bodyBytes} B`, () => turn(frame));
  }
}
await bench.run();
console.table(
  bench.tasks.map(({ name, result }) => ({
    name,
    'us a send (median)':
      'latency' in result
        ? Number(((result.latency.p50 * 1000) / TURN_COUNT).toFixed(3))
        : result.state,
  })),
);
