/**
 * The request worker between rings, without a thread: what it does when the writer has no room, and
 * how it keeps the order of a connection whose topic is being created.
 */
import { describe, expect, test } from 'vitest';
import { WorkerBench } from './worker-bench.ts';

describe.each([
  ['with its kernel', true],
  ['in TypeScript alone', false],
])('a request worker %s', (_name, hasKernel) => {
  test('keeps what has no room, and answers it busy once it has waited too long', () => {
    const bench = new WorkerBench(hasKernel, { writerRingBytes: 8192 });
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
    const bench = new WorkerBench(hasKernel);
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
    const bench = new WorkerBench(hasKernel, { writerRingBytes: 4096 });
    bench.topic('TopicA', 0);
    for (let opaque = 0; opaque < 10; opaque++) {
      bench.send(1, opaque, 1000, { topic: 'TopicA', body: Buffer.alloc(40 * 1024) });
      bench.worker.doWork(1001);
      expect(bench.answers().map((answer) => answer.code)).toEqual([13]);
    }
  });

  test('writes no half message past the room that it has claimed, however long its key', () => {
    const bench = new WorkerBench(hasKernel);
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
