/**
 * The writer between rings, on files in memory where another thread's writes are made when the test says so: what is
 * seen of them before, and after.
 */
import { describe, expect, test } from 'vitest';
import { systemMonotonicClock } from '../../src/base/clock.ts';
import { LatencyHistogram } from '../../src/base/latency-histogram.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { CopyKernel } from '../../src/kernel/copy-kernel.ts';
import { allocateKernelMemory } from '../../src/kernel/kernel-memory.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import { BLANK_MAGIC, readInt32, recordHead } from '../../src/protocol/message-record.ts';
import { encodeHost, encodeRecord } from '../../src/protocol/record-encoder.ts';
import { encodeRequest, decodeFrame } from '../../src/protocol/remoting-command.ts';
import { Doorbell } from '../../src/ring/doorbell.ts';
import { LargeMessagePool } from '../../src/ring/large-message-pool.ts';
import {
  allocateRing,
  allocateRings,
  SpscRingConsumer,
  SpscRingProducer,
} from '../../src/ring/spsc-ring.ts';
import { CommitLogSegments } from '../../src/store/commit-log-segments.ts';
import { PositionSlot, StorePositions } from '../../src/store/store-positions.ts';
import { STAGING_BYTES } from '../../src/workers/append-batch.ts';
import { AppendProxy } from '../../src/workers/append-proxy.ts';
import { CommitLogWriter } from '../../src/workers/commit-log-writer.ts';
import { QueueOffsets } from '../../src/workers/queue-offsets.ts';
import { appendAnswerMessage } from '../../src/workers/ring-messages.ts';
import { freeSlotCountOf } from '../ring/free-slots.ts';
import { FaultyFiles } from '../store/faulty-files.ts';

const KIB = 1024;
const SEGMENT_BYTES = 1024 * KIB;
const SLOT_BYTES = 128 * KIB;
const SLOT_COUNT = 24;
const SHORT = 200;
const LONG = 100 * KIB;

const host = encodeHost('10.0.0.1', 1000);
const doorbell = (): Doorbell => new Doorbell(Doorbell.allocate(), null);
const request = decodeFrame(
  encodeRequest({ code: RequestCode.SEND_MESSAGE_V2, opaque: 1, extFields: [] }).subarray(4),
);

function recordOf(bodyBytes: number, fill: number): Buffer {
  return encodeRecord({
    topic: 'TopicA',
    queueId: 0,
    flag: 0,
    sysFlag: 0,
    bornTimestampMs: 1,
    bornHost: host,
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.alloc(bodyBytes, fill),
    properties: Buffer.alloc(0),
  });
}

/** `usesKernel`: short records are staged in the memory of WebAssembly, in which the ring of sends is. */
function harness(flushesSynchronously = false, usesKernel = false) {
  const files = new FaultyFiles();
  const segments = new CommitLogSegments({
    files,
    directory: '/commitlog',
    segmentBytes: SEGMENT_BYTES,
  });
  const positions = new StorePositions();
  for (const base of [0, SEGMENT_BYTES]) segments.create(base);
  positions.publish(PositionSlot.ALLOCATED, 2 * SEGMENT_BYTES);
  const kernelMemory = usesKernel ? allocateKernelMemory(1024 * KIB) : null;
  const [[, sends]] = allocateRings(
    [['sends', 64 * KIB]],
    (bytes) => kernelMemory?.buffer ?? new SharedArrayBuffer(bytes),
  );
  const answers = allocateRing(64 * KIB);
  const poolMemory = LargeMessagePool.allocate(SLOT_COUNT, SLOT_BYTES);
  const toReactor = new SpscRingConsumer(answers);
  let wakeCount = 0;
  const writer = new CommitLogWriter({
    stagingKernel:
      kernelMemory === null ? null : new CopyKernel(kernelMemory, 512 * KIB, STAGING_BYTES),
    sources: [
      {
        ring: new SpscRingConsumer(sends),
        pool: new LargeMessagePool(poolMemory, SLOT_BYTES),
        waitsForSpace: false,
      },
    ],
    toReactor: new SpscRingProducer(answers, null),
    positions,
    segments,
    flusherDoorbell: doorbell(),
    dispatcherDoorbell: null,
    preparerDoorbell: doorbell(),
    queueOffsets: new QueueOffsets(),
    latency: new LatencyHistogram(),
    flushesSynchronously,
    syncFlushTimeoutMs: 5000,
    appendsPropertyCrc: false,
    refusals: new Refusals(silentLogger, () => 0),
    wallNowMs: () => 1_700_000_000_000,
    deferral: { bytesMin: 128 * KIB, wake: () => wakeCount++ },
  });
  const pool = new LargeMessagePool(poolMemory, SLOT_BYTES);
  const proxy = new AppendProxy(new SpscRingProducer(sends, null), pool, systemMonotonicClock);
  const sent: Buffer[] = [];
  let nowMs = 0;
  return {
    files,
    positions,
    /** Messages with bodies of these lengths. */
    send(...lengths: number[]): void {
      for (const bodyBytes of lengths) {
        const record = recordOf(bodyBytes, 1 + sent.length);
        const answerTo = { connectionId: 1, request };
        if (!proxy.append({ topicId: 1, queueId: 0, record }, answerTo)) throw new Error('no room');
        sent.push(record);
      }
      proxy.publish();
    },
    turn: (): number => writer.doWork(nowMs++),
    /** Codes of the answers since the last look. */
    answers(): number[] {
      const codes: number[] = [];
      for (; toReactor.peek(); toReactor.skip())
        codes.push(toReactor.int32[(toReactor.payloadOffset + appendAnswerMessage.code) >> 2]);
      toReactor.release();
      return codes;
    },
    get appended(): number {
      return positions.load(PositionSlot.APPENDED);
    },
    get isConsumed(): boolean {
      return new SpscRingConsumer(sends).isEmpty;
    },
    get freeSlotCount(): number {
      return freeSlotCountOf(pool, () => pool.claim());
    },
    get wakeCount(): number {
      return wakeCount;
    },
    /** Bodies in the log, by their filling, from its beginning to `appended`. */
    logged(): number[] {
      const fills: number[] = [];
      for (let at = 0; at < this.appended;) {
        const head = segments.recordAt(at, 100) as Buffer;
        const bytes = readInt32(head, 0);
        const record = segments.recordAt(at, bytes) as Buffer;
        if (readInt32(head, recordHead.magic) !== BLANK_MAGIC) fills.push(record[bytes - 20]);
        at += bytes;
      }
      return fills;
    },
    sent,
  };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe.each([
  ['a buffer', false],
  ['the memory of WebAssembly', true],
])('a long batch, short records staged in %s', (_name, usesKernel) => {
  test('is seen, answered and let go of when it is written, and not before', () => {
    const log = harness(false, usesKernel);
    log.send(LONG, SHORT, LONG);
    expect(log.turn()).toBe(3);
    for (let turns = 0; turns < 3; turns++) {
      expect(log.turn()).toBe(0);
      expect([log.appended, log.answers(), log.isConsumed, log.freeSlotCount]).toEqual([
        0,
        [],
        false,
        SLOT_COUNT - 2,
      ]);
    }
    log.files.makeDeferredWrite();
    expect(log.wakeCount).toBe(1);
    log.turn();
    expect(log.appended).toBe(log.sent.reduce((sum, { length }) => sum + length, 0));
    expect([log.answers(), log.isConsumed, log.freeSlotCount]).toEqual([
      [0, 0, 0],
      true,
      SLOT_COUNT,
    ]);
    expect(log.logged()).toEqual([1, 2, 3]);
  });

  test('is followed by others meanwhile, each seen when it is written', () => {
    const log = harness(false, usesKernel);
    log.send(LONG, LONG);
    log.turn();
    log.send(SHORT);
    log.turn();
    const ends = [log.sent[0].length + log.sent[1].length];
    log.send(LONG);
    log.turn();
    ends.push(ends[0] + log.sent[2].length);
    ends.push(ends[1] + log.sent[3].length);
    // A fourth batch waits in its ring.
    log.send(SHORT);
    expect(log.turn()).toBe(0);
    for (const [index, end] of ends.entries()) {
      log.files.makeDeferredWrite();
      log.turn();
      expect(log.appended).toBe(end);
      expect(log.answers()).toHaveLength([2, 1, 1][index]);
    }
    while (log.files.hasDeferredWrite) log.files.makeDeferredWrite();
    log.turn();
    expect(log.answers()).toEqual([0]);
    expect(log.logged()).toEqual(upTo(5));
    expect([log.isConsumed, log.freeSlotCount]).toEqual([true, SLOT_COUNT]);
  });

  test('ends its segment before the next is begun', () => {
    const log = harness(false, usesKernel);
    log.send(...upTo(12).map(() => LONG));
    for (let turns = 0; turns < 20; turns++) {
      log.turn();
      if (turns % 3 === 2) log.files.makeDeferredWrite();
    }
    expect(log.answers()).toEqual(upTo(12).map(() => 0));
    expect(log.logged()).toEqual(upTo(12));
    expect(log.appended).toBeGreaterThan(SEGMENT_BYTES);
  });

  test('that cannot be written is not answered, nor what comes behind it, and the next is refused', () => {
    const log = harness(false, usesKernel);
    log.send(LONG, LONG);
    log.turn();
    log.send(SHORT);
    log.turn();
    const { callCount } = log.files;
    log.files.failure = { call: callCount + 1, fault: 'EROFS' };
    log.files.makeDeferredWrite();
    log.turn();
    expect(log.positions.load(PositionSlot.READ_ONLY)).toBe(1);
    while (log.files.hasDeferredWrite) log.files.makeDeferredWrite();
    log.send(SHORT);
    log.turn();
    expect(log.appended).toBe(0);
    // SERVICE_NOT_AVAILABLE
    expect(log.answers()).toEqual([14]);
    expect([log.isConsumed, log.freeSlotCount]).toEqual([true, SLOT_COUNT]);
  });

  test('that fails otherwise ends the agent', () => {
    const log = harness(false, usesKernel);
    log.send(LONG, LONG);
    log.turn();
    log.files.failure = { call: log.files.callCount + 1, fault: 'EIO' };
    log.files.makeDeferredWrite();
    expect(() => log.turn()).toThrow('EIO');
    expect([log.appended, log.answers()]).toEqual([0, []]);
  });

  test('is wanted on the disk when it is written, where senders wait for that', () => {
    const log = harness(true, usesKernel);
    log.send(LONG, LONG);
    log.turn();
    expect(log.positions.load(PositionSlot.SYNC_WANTED)).toBe(0);
    log.files.makeDeferredWrite();
    log.turn();
    expect(log.positions.load(PositionSlot.SYNC_WANTED)).toBe(log.appended);
    expect(log.answers()).toEqual([]);
    log.positions.publish(PositionSlot.FLUSHED, log.appended);
    log.turn();
    expect(log.answers()).toEqual([0, 0]);
  });
});

test('what is short is written in the turn that appends it', () => {
  const log = harness();
  log.send(...upTo(20).map(() => SHORT), LONG);
  log.turn();
  expect(log.files.hasDeferredWrite).toBe(false);
  expect(log.answers()).toHaveLength(21);
  expect(log.logged()).toEqual(upTo(21));
});
