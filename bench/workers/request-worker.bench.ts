/**
 * Question: what does a send cost in the request worker, from its frame in one ring to the record that is
 * encoded, with its checksum, in the writer's ring: by header serialization and length of body, with the
 * kernel in WebAssembly and without?
 * Machine: any; compare the rows of one run.
 * Command: node bench/workers/request-worker.bench.ts
 */
import { Bench } from 'tinybench';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { DelayLevels } from '../../src/broker/delay-level.ts';
import { allocateKernelMemory, type KernelMemory } from '../../src/kernel/kernel-memory.ts';
import { KERNEL_STATE_BYTES, SendKernel } from '../../src/kernel/send-kernel.ts';
import { encodeHost } from '../../src/protocol/record-encoder.ts';
import { LargeMessagePool } from '../../src/ring/large-message-pool.ts';
import { allocateRings, SpscRingConsumer, SpscRingProducer } from '../../src/ring/spsc-ring.ts';
import { FrameProxy } from '../../src/workers/frame-proxy.ts';
import { specialNames } from '../../src/workers/property-copier.ts';
import { ReactorProxy } from '../../src/workers/reactor-proxy.ts';
import { RequestWorker } from '../../src/workers/request-worker.ts';
import { MessageType, type TopicSnapshot } from '../../src/workers/ring-messages.ts';
import { propertySuffix } from '../../src/workers/send-encoder.ts';
import { SendFrames } from '../load/send-frames.ts';

const RING_BYTES = 4 << 20;
const POOL_BYTES = 256 * 1024;
/** Sends of a turn; all fit the rings. */
const TURN_COUNT = 32;

const topic: TopicSnapshot = {
  kind: 'topic',
  topicId: 1,
  topic: 'BenchTopic',
  perm: 6,
  readQueueNums: 8,
  writeQueueNums: 8,
  sendForbidden: false,
};
const connection = {
  id: 1,
  listener: 0,
  hostBytes: Uint8Array.of(127, 0, 0, 1),
  remotePort: 5000,
};

/** A worker between rings; the function gives it a turn of one frame many times. */
function makeTurn(hasKernel: boolean): (frame: Buffer) => void {
  let kernelMemory: KernelMemory | null = null;
  let stateOffset = 0;
  const rings = Object.fromEntries(
    allocateRings(
      ['requests', 'control', 'writer', 'reactor', 'toControl'].map((name) => [name, RING_BYTES]),
      (bytes) => {
        stateOffset = bytes;
        kernelMemory = allocateKernelMemory(bytes + KERNEL_STATE_BYTES);
        return kernelMemory?.buffer ?? new SharedArrayBuffer(bytes);
      },
    ),
  );
  const producer = (name: string): SpscRingProducer => new SpscRingProducer(rings[name], null);
  const consumer = (name: string): SpscRingConsumer => new SpscRingConsumer(rings[name]);
  const pool = (): LargeMessagePool =>
    new LargeMessagePool(LargeMessagePool.allocate(4, POOL_BYTES), POOL_BYTES);
  const requestPool = pool();
  const frames = new FrameProxy(producer('requests'), requestPool);
  const requests = consumer('requests');
  const control = producer('control');
  const toWriter = producer('writer');
  const written = consumer('writer');
  const named = { clusterName: 'DefaultCluster', regionId: 'DefaultRegion', traceOn: true };
  const storeHost = encodeHost('127.0.0.1', 10911);
  const kernel =
    hasKernel && kernelMemory !== null
      ? new SendKernel({
          memory: kernelMemory,
          stateOffset,
          source: requests.bytes,
          target: toWriter.bytes,
          storeHost,
          suffix: propertySuffix(named),
          specialNames,
        })
      : null;
  const worker = new RequestWorker({
    ...named,
    requests,
    kernel,
    requestPool,
    control: consumer('control'),
    toWriter,
    recordPool: pool(),
    toReactor: new ReactorProxy(producer('reactor')),
    toControl: new FrameProxy(producer('toControl'), requestPool),
    storeHost,
    bodyBytesMax: 4 << 20,
    queueWaitMsMax: 200,
    delayLevels: new DelayLevels('1s 5s'),
    brokerName: 'broker-a',
    rejectTransactionMessage: false,
    timer: { timerWheelEnable: true, timerMaxDelaySec: 60 },
    random: () => 0.5,
    refusals: new Refusals(silentLogger, () => 0),
    wallClock: new ManualClock(1_700_000_000_000),
  });
  const snapshot = Buffer.from(JSON.stringify(topic));
  const at = control.claim(MessageType.SNAPSHOT, snapshot.length);
  snapshot.copy(control.bytes, at);
  control.commit(snapshot.length);
  control.publish();
  return (frame) => {
    for (let index = 0; index < TURN_COUNT; index++)
      if (!frames.offer(connection, 0, frame, 4, frame.length)) throw new Error('no room');
    frames.publish();
    worker.doWork(0);
    let count = 0;
    for (; written.peek(); count++) written.skip();
    written.release();
    if (count !== TURN_COUNT) throw new Error(`${count} of ${TURN_COUNT} sends were encoded`);
  };
}

const turns = [
  ['kernel', makeTurn(true)],
  ['TypeScript', makeTurn(false)],
] as const;

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
    for (const [name, turn] of turns)
      bench.add(`${codec} header, body of ${bodyBytes} B, ${name}`, () => turn(frame));
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
