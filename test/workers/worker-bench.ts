/**
 * A request worker between rings, without a thread, with the kernel or without.
 */
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { DelayLevels } from '../../src/broker/delay-level.ts';
import { allocateKernelMemory, type KernelMemory } from '../../src/kernel/kernel-memory.ts';
import {
  KERNEL_STATE_BYTES,
  SendKernel,
  type SendKernelOptions,
} from '../../src/kernel/send-kernel.ts';
import { decodeProperties } from '../../src/protocol/message-properties.ts';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import { encodeHost } from '../../src/protocol/record-encoder.ts';
import {
  decodeFrame,
  encodeRequest,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';
import { LargeMessagePool, type ShortSlots } from '../../src/ring/large-message-pool.ts';
import {
  allocateRings,
  type RingMemory,
  SpscRingConsumer,
  SpscRingProducer,
} from '../../src/ring/spsc-ring.ts';
import { FrameProxy } from '../../src/workers/frame-proxy.ts';
import { specialNames } from '../../src/workers/property-copier.ts';
import { ReactorProxy } from '../../src/workers/reactor-proxy.ts';
import { RequestWorker } from '../../src/workers/request-worker.ts';
import {
  answerBytesMessage,
  appendMessage,
  pooledTail,
  MessageType,
  type TopicSnapshot,
} from '../../src/workers/ring-messages.ts';
import { propertySuffix } from '../../src/workers/send-encoder.ts';
import { sendRequest, type SendOptions } from './raw-client.ts';
import { freeSlotCountOf } from '../ring/free-slots.ts';

const POOL_BYTES = 64 * 1024;

export interface WorkerBenchOptions {
  /** Of the ring to the writer; the others have `ringBytes`. */
  writerRingBytes?: number;
  ringBytes?: number;
  bodyBytesMax?: number;
  /** Slots for frames from 32 KiB on. */
  short?: ShortSlots;
}

/** A worker between rings, to be given frames and asked what it made of them. */
export class WorkerBench {
  readonly #rings = new Map<string, RingMemory>();
  /** Records that the kernel has written. */
  quickCount = 0;
  readonly #pool: LargeMessagePool;
  readonly #recordPool = new LargeMessagePool(LargeMessagePool.allocate(2, POOL_BYTES), POOL_BYTES);
  readonly worker: RequestWorker;
  readonly #frames: FrameProxy;
  readonly #control: SpscRingProducer;
  readonly #toControl: SpscRingConsumer;
  readonly #toWriter: SpscRingConsumer;
  readonly #toReactor: SpscRingConsumer;

  constructor(hasKernel: boolean, options: WorkerBenchOptions = {}) {
    const { ringBytes = 64 * 1024, bodyBytesMax = 32 * 1024, short } = options;
    const { writerRingBytes = ringBytes } = options;
    this.#pool = new LargeMessagePool(
      LargeMessagePool.allocate(2, POOL_BYTES, short),
      POOL_BYTES,
      short,
    );
    let kernelMemory: KernelMemory | null = null;
    let stateOffset = 0;
    const capacities = ['requests', 'control', 'reactor', 'toControl'].map(
      (name): [string, number] => [name, ringBytes],
    );
    const rings = allocateRings([...capacities, ['writer', writerRingBytes]], (bytes) => {
      stateOffset = bytes;
      kernelMemory = allocateKernelMemory(bytes + KERNEL_STATE_BYTES);
      return (kernelMemory as KernelMemory).buffer;
    });
    for (const [name, memory] of rings) this.#rings.set(name, memory);
    const producer = (name: string): SpscRingProducer =>
      new SpscRingProducer(this.#rings.get(name) as RingMemory, null);
    const consumer = (name: string): SpscRingConsumer =>
      new SpscRingConsumer(this.#rings.get(name) as RingMemory);
    const requests = consumer('requests');
    const toWriter = producer('writer');
    const named = { clusterName: 'DefaultCluster', regionId: 'DefaultRegion', traceOn: true };
    const storeHost = encodeHost('10.0.0.1', 10911);
    const kernel = hasKernel
      ? new CountedKernel(this, {
          memory: kernelMemory as unknown as KernelMemory,
          stateOffset,
          source: requests.bytes,
          target: toWriter.bytes,
          storeHost,
          suffix: propertySuffix(named),
          specialNames,
        })
      : null;
    this.#frames = new FrameProxy(producer('requests'), this.#pool);
    this.#control = producer('control');
    this.worker = new RequestWorker({
      requests,
      kernel,
      requestPool: this.#pool,
      control: consumer('control'),
      toWriter,
      recordPool: this.#recordPool,
      toReactor: new ReactorProxy(producer('reactor')),
      toControl: new FrameProxy(producer('toControl'), this.#pool),
      storeHost,
      ...named,
      bodyBytesMax,
      queueWaitMsMax: 200,
      delayLevels: new DelayLevels('1s 5s'),
      brokerName: 'broker-a',
      rejectTransactionMessage: false,
      timer: { timerWheelEnable: true, timerMaxDelaySec: 60 },
      random: () => 0.5,
      refusals: new Refusals(silentLogger, () => 0),
      wallClock: new ManualClock(1_700_000_000_000),
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

  /** A frame as it is, of a connection from an address of IPv4 or IPv6. */
  offerFrame(id: number, frame: Buffer, hostBytes: Uint8Array): void {
    const source = { id, listener: 0, hostBytes, remotePort: 5000 };
    if (!this.#frames.offer(source, 1000, frame, 4, frame.length)) throw new Error('no room');
    this.#frames.publish();
  }

  /** All that the worker has said, of every ring, as it travels. */
  outputs(): Buffer[][] {
    return [this.#toWriter, this.#toReactor, this.#toControl].map((ring) =>
      takeAll(ring, (bytes, type) =>
        type === MessageType.APPEND_IN_FRAME ? this.#takeFromFrame(bytes) : bytes,
      ),
    );
  }

  /** What APPEND would say of a record that stands in its frame; frees the slot, as the writer does. */
  #takeFromFrame(bytes: Buffer): Buffer {
    const tail = appendMessage.totalBytes;
    const slot = bytes.readInt32LE(tail + pooledTail.slot);
    const start = bytes.readInt32LE(tail + pooledTail.start);
    const end = start + bytes.readInt32LE(tail + pooledTail.bytes);
    if (start < this.#pool.offsetOf(slot) || end > this.#pool.endOf(slot))
      throw new Error('the record is not within its slot');
    const record = Buffer.from(this.#pool.bytes.subarray(start, end));
    this.#pool.release(slot);
    this.inFrameCount++;
    const extra = bytes.subarray(tail + pooledTail.totalBytes);
    return Buffer.concat([bytes.subarray(0, tail), record, extra]);
  }

  /** Records that were made in their frames. */
  inFrameCount = 0;

  /** Short slots that nobody holds. */
  get freeSlotCount(): number {
    return freeSlotCountOf(this.#pool, () => this.#pool.claimShort());
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

/** Counts what it writes. */
class CountedKernel extends SendKernel {
  readonly #bench: WorkerBench;

  constructor(bench: WorkerBench, options: SendKernelOptions) {
    super(options);
    this.#bench = bench;
  }

  override encodeRecord(...values: Parameters<SendKernel['encodeRecord']>): number {
    const result = super.encodeRecord(...values);
    if (result !== 0) this.#bench.quickCount++;
    return result;
  }
}

function takeAll<Item>(
  ring: SpscRingConsumer,
  read: (bytes: Buffer, type: number) => Item,
): Item[] {
  const items: Item[] = [];
  while (ring.peek()) {
    items.push(
      read(
        Buffer.from(
          ring.bytes.subarray(ring.payloadOffset, ring.payloadOffset + ring.payloadBytes),
        ),
        ring.type,
      ),
    );
    ring.skip();
  }
  ring.release();
  return items;
}
