/**
 * Long sends that are read from the socket straight to the slot of their worker: they come whole and in order,
 * among others, whatever pieces they arrive in; and every slot comes back.
 */
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { AnswerEncoder } from '../../src/reactor/answer-encoder.ts';
import { Reactor } from '../../src/reactor/reactor.ts';
import { acceptSocket } from '../../src/reactor/tcp-peer.ts';
import { LargeMessagePool } from '../../src/ring/large-message-pool.ts';
import { SpscRingConsumer, SpscRingProducer, allocateRings } from '../../src/ring/spsc-ring.ts';
import { FrameProxy, FrameReader } from '../../src/workers/frame-proxy.ts';
import { Listener, MessageType } from '../../src/workers/ring-messages.ts';
import { freeSlotCountOf } from '../ring/free-slots.ts';
import { frameOf, plainHeader } from '../workers/send-frames.ts';

const KIB = 1024;
/** Fewer than there are connections, and more than the smallest ring has room for. */
const SHORT = { count: 24, bytes: 132 * KIB };

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

interface Taken {
  readonly connectionId: number;
  readonly frame: Buffer;
  readonly isInSlot: boolean;
}

/** A reactor on a port, whose worker takes frames when it is asked to. */
class Bench {
  readonly reactor: Reactor;
  readonly taken: Taken[] = [];
  readonly server: net.Server;
  nowMs = 0;
  readonly #pool: LargeMessagePool;
  readonly #requests: SpscRingConsumer;
  readonly #frame: FrameReader;

  constructor(ringBytes: number) {
    const [requests, toControl, toDispatcher] = allocateRings([
      ['requests', ringBytes],
      ['toControl', 1024 * KIB],
      ['toDispatcher', 64 * KIB],
    ]).map(([, memory]) => memory);
    this.#pool = new LargeMessagePool(
      LargeMessagePool.allocate(1, 4096 * KIB, SHORT),
      4096 * KIB,
      SHORT,
    );
    this.#requests = new SpscRingConsumer(requests);
    this.#frame = new FrameReader(this.#pool);
    const proxy = (memory: typeof requests): FrameProxy =>
      new FrameProxy(new SpscRingProducer(memory, null), this.#pool);
    this.reactor = new Reactor({
      inbound: [],
      toWorkers: [proxy(requests)],
      toControl: proxy(toControl),
      toDispatcher: proxy(toDispatcher),
      segments: null,
      positions: null,
      encoder: new AnswerEncoder(Uint8Array.of(127, 0, 0, 1, 0, 0, 0, 1), 'region', true),
      answerKernel: null,
      readBuffer: Buffer.allocUnsafeSlow(64 * 1024),
      logger: silentLogger,
      refusals: new Refusals(silentLogger, () => this.nowMs),
      schedule: () => {},
      nowMs: () => this.nowMs,
      connectionCountMax: 1000,
      waitingAnswerBytesMax: 64 * KIB * KIB,
      waitingRequestBytesMax: 64 * KIB * KIB,
      idleCloseMs: 120_000,
      onTopicsChanged: () => {},
      gate: null,
    });
    this.server = net.createServer({ pauseOnConnect: true }, (socket) =>
      acceptSocket(this.reactor, socket, Listener.BROKER),
    );
  }

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    stops.push(() => {
      this.reactor.close();
      this.server.close();
    });
  }

  async connect(): Promise<net.Socket> {
    const { port } = this.server.address() as net.AddressInfo;
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    socket.on('error', () => {});
    stops.push(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  }

  /** A turn of reactor and worker. */
  turn(): void {
    this.reactor.doWork(this.nowMs);
    const ring = this.#requests;
    while (ring.peek()) {
      this.#frame.read(ring);
      const { connectionId, bytes, start, end } = this.#frame;
      const isInSlot = ring.type === MessageType.FRAME_POOLED;
      this.taken.push({ connectionId, frame: Buffer.from(bytes.subarray(start, end)), isInSlot });
      this.#frame.free();
      ring.skip();
    }
    ring.release();
  }

  async until(condition: () => boolean, takes = true): Promise<void> {
    for (let count = 0; !condition(); count++) {
      if (count > 2000) throw new Error('it does not happen');
      if (takes) this.turn();
      await setTimeout(2);
    }
  }

  get freeSlotCount(): number {
    return freeSlotCountOf(this.#pool, () => this.#pool.claimShort());
  }
}

async function benchWith(ringBytes = 2048 * KIB): Promise<Bench> {
  const bench = new Bench(ringBytes);
  await bench.listen();
  return bench;
}

let seed = 1;
const random = (below: number): number => {
  seed = (Math.imul(seed, 48_271) + 11) >>> 0;
  return seed % below;
};

function send(bodyBytes: number): Buffer {
  const body = Buffer.alloc(bodyBytes);
  for (let at = 0; at < bodyBytes; at += 7) body[at] = random(256);
  return frameOf(Buffer.from(plainHeader), body);
}

/** Frames as their worker gets them. */
const withoutLength = (frames: readonly Buffer[]): Buffer[] =>
  frames.map((frame) => frame.subarray(4));

/** Writes in pieces, so that the peer sees most of them by themselves. */
async function write(socket: net.Socket, bytes: Buffer, pieceBytes: () => number): Promise<void> {
  for (let at = 0; at < bytes.length && !socket.destroyed;) {
    const end = Math.min(bytes.length, at + pieceBytes());
    socket.write(bytes.subarray(at, end));
    at = end;
    if (random(4) === 0) await setTimeout(1);
  }
}

/** Whether two lists of frames are the same, without a megabyte of difference where they are not. */
const summary = (frames: readonly Buffer[]): string[] =>
  frames.map((frame) => `${frame.length} ${frame.subarray(-8).toString('hex')}`);

function expectSame(taken: readonly Buffer[], sent: readonly Buffer[]): void {
  expect(summary(taken)).toEqual(summary(sent));
  expect(taken.every((frame, index) => frame.equals(sent[index]))).toBe(true);
}

describe('long sends over a socket', () => {
  test.each([
    ['whole', () => 1 << 20],
    ['in pieces of any length', () => 1 + random(90_000)],
    ['in small pieces', () => 1 + random(5000)],
    ['cut within heads', () => 66_000],
  ])('come whole and in order, written %s', async (_name, pieceBytes) => {
    const bench = await benchWith();
    const sizes = [
      65_536, 65_536, 128, 40_000, 130_000, 10, 33_000, 200_000, 65_536, 31_000, 70_000,
    ];
    const sent = [...sizes, ...sizes.map(() => random(135_000))].map(send);
    const socket = await bench.connect();
    void write(socket, Buffer.concat(sent), pieceBytes);
    await bench.until(() => bench.taken.length === sent.length);
    expectSame(
      bench.taken.map(({ frame }) => frame),
      withoutLength(sent),
    );
    expect(bench.taken.some(({ isInSlot }) => isInSlot)).toBe(true);
    expect(bench.freeSlotCount).toBe(SHORT.count);
  });

  test('of many connections, of which not all find a slot', async () => {
    const bench = await benchWith();
    const sent = await Promise.all(
      Array.from({ length: 32 }, async () => {
        const frames = Array.from({ length: 15 }, () => send(33_000 + random(98_000)));
        const socket = await bench.connect();
        void write(socket, Buffer.concat(frames), () => 1 + random(100_000));
        return frames;
      }),
    );
    const count = sent.flat().length;
    await bench.until(() => bench.taken.length === count);
    const byConnection = new Map<number, Buffer[]>();
    for (const { connectionId, frame } of bench.taken)
      byConnection.set(connectionId, [...(byConnection.get(connectionId) ?? []), frame]);
    // Which of them has which number is not known: their frames tell.
    const byFirst = new Map(sent.map((frames) => [summary(withoutLength(frames))[0], frames]));
    for (const frames of byConnection.values()) {
      expectSame(frames, withoutLength(byFirst.get(summary(frames)[0]) as Buffer[]));
    }
    expect(byConnection.size).toBe(32);
    expect(bench.freeSlotCount).toBe(SHORT.count);
  });

  test('a ring without room: frames wait where they are, and nothing is read to them', async () => {
    const bench = await benchWith(1 * KIB);
    const sent = Array.from({ length: 40 }, () => send(60_000));
    const socket = await bench.connect();
    socket.write(Buffer.concat(sent));
    for (let count = 0; count < 10; count++) {
      bench.reactor.doWork(0);
      await setTimeout(5);
    }
    // One more than the ring has room for stands in its slot.
    expect(bench.freeSlotCount).toBeGreaterThan(0);
    await bench.until(() => bench.taken.length === sent.length);
    expectSame(
      bench.taken.map(({ frame }) => frame),
      withoutLength(sent),
    );
    expect(bench.freeSlotCount).toBe(SHORT.count);
  });

  test('a connection that ends within its frame gives the slot back', async () => {
    const bench = await benchWith();
    const half = send(100_000).subarray(0, 50_000);
    const sockets = await Promise.all(Array.from({ length: 30 }, () => bench.connect()));
    for (const socket of sockets) socket.write(half);
    await bench.until(() => bench.freeSlotCount === 0);
    for (const [index, socket] of sockets.entries()) {
      if (index % 2 === 0) socket.end();
      else socket.resetAndDestroy();
    }
    await bench.until(() => bench.reactor.connectionCount === 0);
    expect(bench.freeSlotCount).toBe(SHORT.count);
  });

  test('a frame that never ends is cut, and its slot comes back', async () => {
    const bench = await benchWith();
    const socket = await bench.connect();
    const frame = send(100_000);
    socket.write(frame.subarray(0, 50_000));
    await bench.until(() => bench.freeSlotCount === SHORT.count - 1);
    bench.nowMs = 20_000;
    socket.write(frame.subarray(50_000, 50_001));
    await bench.until(() => bench.reactor.counts.bytesIn === 50_001);
    bench.nowMs = 30_001;
    await bench.until(() => bench.reactor.connectionCount === 0);
    expect(bench.freeSlotCount).toBe(SHORT.count);
    expect(bench.taken).toEqual([]);
  });

  test('what is not a send, or announces what it is not, takes no slot', async () => {
    const bench = await benchWith();
    const header = (code: number): Buffer => Buffer.from(plainHeader.replace('310', String(code)));
    for (const [bytes, announced] of [
      [frameOf(header(34), Buffer.alloc(60_000)), null],
      [frameOf(header(11), Buffer.alloc(60_000)), null],
      [send(60_000), 200_000],
      [send(60_000), 20_000],
    ] as const) {
      const socket = await bench.connect();
      if (announced !== null) bytes.writeInt32BE(announced, 0);
      const before = bench.reactor.counts.bytesIn;
      socket.write(bytes.subarray(0, 15_000));
      await bench.until(() => bench.reactor.counts.bytesIn === before + 15_000);
      expect(bench.freeSlotCount).toBe(SHORT.count);
      socket.destroy();
    }
  });
});
