/**
 * Question: what does one ConsumeQueue unit cost the dispatcher, spread over 8 queues, the writes
 * to real files included? Aim: well under 0.15 us. And what do reads cost, from memory and from files?
 * Machine: any; the figures in the log messages of commits are from 2 cores.
 * Command: node bench/store/consume-queue.bench.ts
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Bench } from 'tinybench';
import { silentLogger } from '../../src/base/logging.ts';
import { ConsumeQueueUnits } from '../../src/store/consume-queue-units.ts';
import { ConsumeQueueStore } from '../../src/store/consume-queue-store.ts';
import { DeletedTopics } from '../../src/store/deleted-topics.ts';
import { createPlainFiles } from '../../src/store/plain-files.ts';

const QUEUE_COUNT = 8;
/** Units of one round: a tenth of a second at 300,000 messages a second. */
const ROUND_COUNT = 30_000;
const RECORD_BYTES = 220;
/** Units behind the end at which old units are read: surely not in memory any more. */
const BEHIND_COUNT = 20_000;

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-bench-'));
try {
  const files = createPlainFiles();
  const store = new ConsumeQueueStore({
    files,
    directory: path.join(root, 'consumequeue'),
    deletedTopics: new DeletedTopics(files, path.join(root, 'deleted')),
    logger: silentLogger,
  });
  const queues = Array.from({ length: QUEUE_COUNT }, (_, queueId) =>
    store.getOrCreate('bench', queueId),
  );
  let physicalOffset = 0;
  const appendRound = (): void => {
    for (let index = 0; index < ROUND_COUNT; index++) {
      const queue = queues[index % QUEUE_COUNT];
      queue.append(queue.maxOffset, physicalOffset, RECORD_BYTES, -1, index);
      physicalOffset += RECORD_BYTES;
    }
    store.writePending();
  };
  while ((queues[0]?.maxOffset ?? 0) < BEHIND_COUNT * 2) appendRound();

  const units = new ConsumeQueueUnits(32);
  const first = queues[0];
  const bench = new Bench({ time: 1000, warmupTime: 200 });
  bench.add(`append, ${ROUND_COUNT} units`, appendRound);
  bench.add('read 32 newest units', () => {
    first.read(first.maxOffset - 32, 32, units);
  });
  bench.add('read 32 old units', () => {
    first.read(first.maxOffset - BEHIND_COUNT, 32, units);
  });
  await bench.run();
  console.table(bench.table());
  const append = bench.tasks[0]?.result;
  if (append !== undefined && 'latency' in append) {
    console.log(`append: ${((append.latency.mean * 1000) / ROUND_COUNT).toFixed(4)} us a unit`);
  }
  store.close();
} finally {
  fs.rmSync(root, { recursive: true, force: true });
}
