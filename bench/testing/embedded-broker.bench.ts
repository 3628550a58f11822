/**
 * Question: how long does a test wait for its broker, from `startBroker()` to the first acknowledged send of our
 * client, and for half an hour of the unpaid order? Aims: at most 100 ms, median of 20; less than 100 ms.
 * Machine: any, but idle: the CPU that it took is told beside; the files of the package should have been read before, so the first start is told by itself.
 * Command: node bench/testing/embedded-broker.bench.ts
 */
import { Producer } from '../../src/client/index.ts';
import { startBroker } from '../../src/testing/index.ts';
import { runShop } from '../../test/testing/shop.ts';

const RUNS = 20;
const median = (times: readonly number[]): string =>
  times.toSorted((a, b) => a - b)[times.length >> 1].toFixed(1);

async function start(): Promise<{ startMs: number; sendMs: number; closeMs: number }> {
  const beganMs = performance.now();
  const broker = await startBroker();
  const startedMs = performance.now();
  const producer = new Producer({ servers: broker.nameServer, group: 'bench' });
  await producer.send({ topic: 'orders', body: 'hello' });
  const sentMs = performance.now();
  await producer.close();
  await broker.close();
  const closeMs = performance.now() - sentMs;
  return { startMs: startedMs - beganMs, sendMs: sentMs - beganMs, closeMs };
}

const first = await start();
const times = [];
const before = process.cpuUsage();
for (let run = 0; run < RUNS; run++) times.push(await start());
const { user, system } = process.cpuUsage(before);
const advances = [];
for (let run = 0; run < RUNS; run++) advances.push((await runShop(run)).advanceMs);
console.table({
  'first start in the process, first send acknowledged': { ms: first.sendMs.toFixed(1) },
  'startBroker()': { ms: median(times.map(({ startMs }) => startMs)) },
  '… and the first send acknowledged': { ms: median(times.map(({ sendMs }) => sendMs)) },
  'close of producer and broker': { ms: median(times.map(({ closeMs }) => closeMs)) },
  'CPU of one start, send and close': { ms: ((user + system) / 1000 / RUNS).toFixed(1) },
  '30 minutes of the order system': { ms: median(advances) },
});
