/**
 * The request worker between rings, without a thread: what it does when the writer has no room, and
 * how it keeps the order of a connection whose topic is being created.
 */
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { DelayLevels } from '../../src/broker/delay-level.ts';
import { decodeProperties } from '../../src/protocol/message-properties.ts';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import { encodeHost } from '../../src/protocol/record-encoder.ts';
import {
  decodeFrame,
  encodeRequest,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';
import { LargeMessagePool } from '../../src/ring/large-message-pool.ts';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../../src/ring/spsc-ring.ts';
import { FrameProxy } from '../../src/workers/frame-proxy.ts';
import { ReactorProxy } from '../../src/workers/reactor-proxy.ts';
import { RequestWorker } from '../../src/workers/request-worker.ts';
import {
  answerBytesMessage,
  appendMessage,
  MessageType,
  type TopicSnapshot,
} from '../../src/workers/ring-messages.ts';
import { sendRequest, type SendOptions } from './raw-client.ts';

const POOL_BYTES = 64 * 1024;

class Bench {
  readonly #rings = new Map<string, SharedArrayBuffer>();
  readonly #pool = new LargeMessagePool(LargeMessagePool.allocate(2, POOL_BYTES), POOL_BYTES);
  readonly #recordPool = new LargeMessagePool(LargeMessagePool.allocate(2, POOL_BYTES), POOL_BYTES);
  readonly worker: RequestWorker;
  readonly #frames: FrameProxy;
  readonly #control: SpscRingProducer;
  readonly #toControl: SpscRingConsumer;
  readonly #toWriter: SpscRingConsumer;
  readonly #toReactor: SpscRingConsumer;

  constructor(writerRingBytes = 64 * 1024) {
    const producer = (name: string, bytes = 64 * 1024): SpscRingProducer => {
      const memory = allocateRing(bytes);
      this.#rings.set(name, memory);
      return new SpscRingProducer(memory, null);
    };
    const consumer = (name: string): SpscRingConsumer =>
      new SpscRingConsumer(this.#rings.get(name) as SharedArrayBuffer);
    this.#frames = new FrameProxy(producer('requests'), this.#pool);
    this.#control = producer('control');
    this.worker = new RequestWorker({
      requests: consumer('requests'),
      requestPool: this.#pool,
      control: consumer('control'),
      toWriter: producer('writer', writerRingBytes),
      recordPool: this.#recordPool,
      toReactor: new ReactorProxy(producer('reactor')),
      toControl: new FrameProxy(producer('toControl'), this.#pool),
      storeHost: encodeHost('10.0.0.1', 10911),
      clusterName: 'DefaultCluster',
      regionId: 'DefaultRegion',
      traceOn: true,
      bodyBytesMax: 32 * 1024,
      queueWaitMsMax: 200,
      delayLevels: new DelayLevels('1s 5s'),
      brokerName: 'broker-a',
      rejectTransactionMessage: false,
      timer: { timerWheelEnable: true, timerMaxDelaySec: 60 },
      random: () => 0.5,
      refusals: new Refusals(silentLogger, () => 0),
      wallNowMs: () => 1_700_000_000_000,
    });
    this.#toControl = consumer('toControl');
    this.#toWriter = consumer('writer');
    this.#toReactor = consumer('reactor');
  }

  topic(topic: string, topicId: number): void {
    const snapshot: TopicSnapshot = {
      kind: 'topic',
      topicId,
      topic,
      perm: 6,
      readQueueNums: 4,
      writeQueueNums: 4,
      sendForbidden: false,
    };
    this.#offer(MessageType.SNAPSHOT, Buffer.from(JSON.stringify(snapshot)));
  }

  send(connectionId: number, opaque: number, arrivalMs: number, options: SendOptions): void {
    const request = sendRequest(options);
    const extFields = Object.entries(request.fields ?? {}).map(
      ([name, value]): [string, string] => [name, String(value)],
    );
    const frame = encodeRequest({ code: request.code, opaque, extFields, body: request.body });
    const source = {
      id: connectionId,
      listener: 0,
      hostBytes: Uint8Array.of(10, 0, 0, 2),
      remotePort: 5000,
    };
    if (!this.#frames.offer(source, arrivalMs, frame, 4, frame.length)) throw new Error('no room');
    this.#frames.publish();
  }

  /** What control would do: hands back the next frame that the worker sent there. */
  returnFrame(): boolean {
    const ring = this.#toControl;
    if (!ring.peek()) return false;
    this.#offer(
      ring.type,
      Buffer.from(ring.bytes.subarray(ring.payloadOffset, ring.payloadOffset + ring.payloadBytes)),
    );
    ring.skip();
    ring.release();
    return true;
  }

  answers(): RemotingCommand[] {
    return takeAll(this.#toReactor, (bytes) =>
      decodeFrame(bytes.subarray(answerBytesMessage.totalBytes + 4)),
    );
  }

  appends(): { opaque: number; body: string }[] {
    const view = new RecordView();
    return takeAll(this.#toWriter, (bytes) => {
      const kind = view.read(bytes, appendMessage.totalBytes, bytes.length, true);
      if (kind !== RecordKind.MESSAGE) throw new Error('no record');
      const body = bytes.toString('utf8', view.bodyStart, view.bodyStart + view.bodyBytes);
      return { opaque: bytes.readInt32LE(appendMessage.opaque), body };
    });
  }

  /** Properties of the records, which end them. */
  appendedProperties(): Map<string, string>[] {
    const view = new RecordView();
    return takeAll(this.#toWriter, (bytes) => {
      const kind = view.read(bytes, appendMessage.totalBytes, bytes.length, true);
      if (kind !== RecordKind.MESSAGE) throw new Error('no record');
      const { propertiesStart, propertiesBytes } = view;
      return decodeProperties(
        bytes.toString('utf8', propertiesStart, propertiesStart + propertiesBytes),
      );
    });
  }

  #offer(type: number, payload: Buffer): void {
    const offset = this.#control.claim(type, payload.length);
    this.#control.bytes.set(payload, offset);
    this.#control.commit(payload.length);
    this.#control.publish();
  }
}

function takeAll<Item>(ring: SpscRingConsumer, read: (bytes: Buffer) => Item): Item[] {
  const items: Item[] = [];
  while (ring.peek()) {
    items.push(
      read(
        Buffer.from(
          ring.bytes.subarray(ring.payloadOffset, ring.payloadOffset + ring.payloadBytes),
        ),
      ),
    );
    ring.skip();
  }
  ring.release();
  return items;
}

describe('a request worker', () => {
  test('keeps what has no room, and answers it busy once it has waited too long', () => {
    const bench = new Bench(8192);
    bench.topic('TopicA', 0);
    for (let opaque = 0; opaque < 10; opaque++)
      bench.send(1, opaque, 1000, { topic: 'TopicA', body: 'x'.repeat(1000) });
    bench.worker.doWork(1050);
    expect(bench.answers()).toEqual([]);
    const first = bench.appends().map(({ opaque }) => opaque);
    expect(first.length).toBeGreaterThan(0);
    expect(first.length).toBeLessThan(10);
    // The writer has taken those; nobody takes any more.
    bench.worker.doWork(1100);
    bench.worker.doWork(1300);
    const busy = bench.answers();
    expect(busy.length).toBeGreaterThan(0);
    for (const answer of busy) {
      expect(answer.code).toBe(2);
      expect(answer.remark).toContain('period in queue: 300ms');
    }
    const later = bench.appends().map(({ opaque }) => opaque);
    const refused = busy.map((answer) => answer.opaque);
    expect([...first, ...later, ...refused].toSorted((left, right) => left - right)).toEqual([
      ...Array(10).keys(),
    ]);
  });

  test('keeps the order of a connection while its topic is being created', () => {
    const bench = new Bench();
    bench.topic('Known', 0);
    bench.send(1, 1, 1000, { topic: 'New', body: 'first' });
    bench.send(1, 2, 1000, { topic: 'Known', body: 'second' });
    bench.send(2, 3, 1000, { topic: 'Known', body: 'of another connection' });
    bench.worker.doWork(1001);
    expect(bench.appends().map(({ body }) => body)).toEqual(['of another connection']);
    bench.topic('New', 1);
    while (bench.returnFrame());
    bench.send(1, 4, 1000, { topic: 'New', body: 'third' });
    bench.worker.doWork(1002);
    expect(bench.appends().map(({ body }) => body)).toEqual(['first', 'second', 'third']);
  });

  test('brings bodies that are too long for a ring through the pool, and gives slots back', () => {
    const bench = new Bench(4096);
    bench.topic('TopicA', 0);
    for (let opaque = 0; opaque < 10; opaque++) {
      bench.send(1, opaque, 1000, { topic: 'TopicA', body: Buffer.alloc(40 * 1024) });
      bench.worker.doWork(1001);
      expect(bench.answers().map((answer) => answer.code)).toEqual([13]);
    }
  });

  test('writes no half message past the room that it has claimed, however long its key', () => {
    const bench = new Bench();
    bench.topic('TopicA', 1);
    bench.topic('RMQ_SYS_TRANS_HALF_TOPIC', 2);
    bench.worker.doWork(0);
    // Lengths that bring the end of the ring to every place of a record.
    for (let index = 0; index < 400; index++) {
      const UNIQ_KEY = 'k'.repeat(1000 + ((index * 37) % 3000));
      const properties = { TRAN_MSG: 'true', PGROUP: 'g', UNIQ_KEY };
      bench.send(1, index, 0, { topic: 'TopicA', body: 'half', properties });
      bench.worker.doWork(0);
      const [stored] = bench.appendedProperties();
      expect(stored.get('UNIQ_KEY')).toBe(UNIQ_KEY);
      expect(stored.get('__transactionId__')).toBe(UNIQ_KEY);
      // What the broker adds comes last.
      expect(stored.get('CLUSTER')).toBe('DefaultCluster');
    }
  });
});
