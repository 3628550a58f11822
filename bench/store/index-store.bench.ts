/**
 * Question: what does one index entry with a random key cost the dispatcher, the writes to real files
 * included? Aim: at most 0.3 us. And how long does one `writePending` keep the dispatcher?
 * Machine: any; the figures in the log messages of commits are from 2 cores.
 * Command: node bench/store/index-store.bench.ts
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Bench } from 'tinybench';
import { systemWallClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { IndexStore } from '../../src/store/index-store.ts';
import { createPlainFiles } from '../../src/store/plain-files.ts';

/** Entries between two writes: a second at 300,000 keys a second. */
const ROUND_COUNT = 300_000;
/** A multiplier of a full-period generator: keys that do not repeat, without a random source. */
const STEP = 0x9e37_79b1;

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-bench-'));
try {
  const store = new IndexStore({
    files: createPlainFiles(),
    directory: path.join(root, 'index'),
    logger: silentLogger,
    wallClock: systemWallClock,
  });
  let hash = 1;
  let physicalOffset = 0;
  const putRound = (): void => {
    for (let index = 0; index < ROUND_COUNT; index++) {
      hash = (hash + STEP) | 0;
      store.put(hash, physicalOffset, 1_700_000_000_000);
      physicalOffset += 220;
    }
  };
  putRound();
  const bench = new Bench({ iterations: 12, time: 0, warmup: false });
  bench.add(`put ${ROUND_COUNT} entries`, putRound, { afterEach: () => void store.writePending() });
  bench.add('write pending', () => void store.writePending(), { beforeEach: putRound });
  await bench.run();
  console.table(bench.table());
  const put = bench.tasks[0]?.result;
  if (put !== undefined && 'latency' in put) {
    console.log(`put: ${((put.latency.mean * 1000) / ROUND_COUNT).toFixed(4)} us an entry`);
  }
  store.close();
} finally {
  fs.rmSync(root, { recursive: true, force: true });
}
