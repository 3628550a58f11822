/**
 * Rings and doorbells between real threads.
 *
 * Allowed: the consumer sees every record once, whole, in order, and is woken whenever it sleeps
 * while there is something to take. Forbidden: a record torn, lost, twice or out of order; a
 * consumer that sleeps on while records wait (it would only notice after its one second limit).
 */
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { EventLoopRunner, Lifecycle, ThreadRunner } from '../../src/ring/agent-runner.ts';
import type { Agent } from '../../src/ring/agent.ts';
import { Doorbell } from '../../src/ring/doorbell.ts';
import { allocateRing, SpscRingConsumer } from '../../src/ring/spsc-ring.ts';

const COUNT = 200_000;

/** Takes numbered records and remembers the first that was wrong. */
class Checker implements Agent {
  readonly name = 'checker';
  next = 0;
  fault = '';
  readonly #ring: SpscRingConsumer;

  constructor(ring: SharedArrayBuffer) {
    this.#ring = new SpscRingConsumer(ring);
  }

  doWork(): number {
    const ring = this.#ring;
    let work = 0;
    while (work < 64 && ring.peek()) {
      const number = ring.int32[ring.payloadOffset >> 2];
      if (number !== this.next) this.fault ||= `${number} where ${this.next} was due`;
      const body = ring.bytes.subarray(
        ring.payloadOffset + 8,
        ring.payloadOffset + ring.payloadBytes,
      );
      if (ring.payloadBytes !== 8 + ((this.next * 37) % 200))
        this.fault ||= `length of ${this.next}`;
      if (body.some((byte) => byte !== (this.next & 0xff))) this.fault ||= `bytes of ${this.next}`;
      this.next++;
      ring.skip();
      work++;
    }
    ring.release();
    return work;
  }

  nextDeadlineMs(): number {
    return Infinity;
  }

  close(): void {}
}

function startProducer(
  ring: SharedArrayBuffer,
  doorbell: SharedArrayBuffer,
  wakesEventLoop: boolean,
): Worker {
  return new Worker(new URL('race-producer.ts', import.meta.url), {
    workerData: { ring, doorbell, count: COUNT, wakesEventLoop },
  });
}

describe('a ring between threads', () => {
  test('an event loop that sleeps is woken for every record', async () => {
    const ring = allocateRing(4096);
    const doorbell = Doorbell.allocate();
    const checker = new Checker(ring);
    let failure: unknown;
    const runner = new EventLoopRunner(
      [checker],
      new Doorbell(doorbell, null),
      () => performance.now(),
      (error) => {
        failure = error;
      },
    );
    const producer = startProducer(ring, doorbell, true);
    producer.on('message', () => runner.schedule());
    runner.schedule();
    await expect.poll(() => checker.next, { timeout: 25_000, interval: 20 }).toBe(COUNT);
    runner.close();
    await producer.terminate();
    expect(failure).toBeUndefined();
    expect(checker.fault).toBe('');
  });

  test('a thread that waits on its doorbell is woken for every record', async () => {
    const ring = allocateRing(4096);
    const doorbell = Doorbell.allocate();
    const checker = new Checker(ring);
    const lifecycle = new Int32Array(new SharedArrayBuffer(4));
    const producer = startProducer(ring, doorbell, false);
    await new Promise<void>((resolve) => producer.once('online', () => resolve()));
    const startedMs = performance.now();
    // This thread becomes the consumer's: it sees no event until the last record has come.
    const runner = new ThreadRunner(
      [
        checker,
        {
          name: 'stopper',
          doWork: () => {
            const isDone = checker.next === COUNT || performance.now() - startedMs > 25_000;
            if (isDone) Atomics.store(lifecycle, 0, Lifecycle.STOPPING);
            return 0;
          },
          nextDeadlineMs: () => Infinity,
          close() {},
        },
      ],
      new Doorbell(doorbell, null),
      lifecycle,
      () => performance.now(),
    );
    runner.run();
    await producer.terminate();
    expect(checker.next).toBe(COUNT);
    expect(checker.fault).toBe('');
  });
});

describe('a runner', () => {
  test('prepares, drains and closes its agents in order when it is stopped', () => {
    const events: string[] = [];
    const lifecycle = new Int32Array(new SharedArrayBuffer(4));
    let left = 3;
    const agent = (name: string): Agent => ({
      name,
      doWork: () => {
        const state = Atomics.load(lifecycle, 0);
        if (state === Lifecycle.RUNNING) Atomics.store(lifecycle, 0, Lifecycle.PREPARING);
        else if (events.includes(`prepare ${name}`))
          Atomics.store(lifecycle, 0, Lifecycle.STOPPING);
        if (state !== Lifecycle.STOPPING || left === 0) return 0;
        left--;
        events.push(`drain ${name}`);
        return 1;
      },
      nextDeadlineMs: () => 0,
      prepareClose: () => void events.push(`prepare ${name}`),
      close: () => void events.push(`close ${name}`),
    });
    const doorbell = new Doorbell(Doorbell.allocate(), null);
    new ThreadRunner([agent('a'), agent('b')], doorbell, lifecycle, () => performance.now()).run();
    expect(left).toBe(0);
    expect(events.filter((event) => event.startsWith('prepare'))).toEqual([
      'prepare a',
      'prepare b',
    ]);
    expect(events.slice(-2)).toEqual(['close a', 'close b']);
  });

  test('an exception of an agent ends the runner and says why', async () => {
    const failure = await new Promise((resolve) => {
      const broken: Agent = {
        name: 'broken',
        doWork: () => {
          throw new Error('the cause');
        },
        nextDeadlineMs: () => Infinity,
        close() {},
      };
      const doorbell = new Doorbell(Doorbell.allocate(), null);
      new EventLoopRunner([broken], doorbell, () => performance.now(), resolve).schedule();
    });
    expect(String(failure)).toContain('the cause');
  });
});

test('a thread that is stopped before it saw that it was to prepare still prepares', () => {
  const events: string[] = [];
  const lifecycle = new Int32Array(new SharedArrayBuffer(4));
  Atomics.store(lifecycle, 0, Lifecycle.STOPPING);
  const agent: Agent = {
    name: 'late',
    doWork: () => (events.at(-1) === 'prepare' ? events.push('work') - 1 : 0),
    nextDeadlineMs: () => Infinity,
    prepareClose: () => void events.push('prepare'),
    close: () => void events.push('close'),
  };
  const doorbell = new Doorbell(Doorbell.allocate(), null);
  new ThreadRunner([agent], doorbell, lifecycle, () => performance.now()).run();
  expect(events).toEqual(['prepare', 'work', 'close']);
});
