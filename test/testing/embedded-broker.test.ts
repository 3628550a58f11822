/**
 * Goal: a broker in a test is the real one, is there at once, and leaves nothing behind. Method: many of them,
 * one after the other and together, each of which acknowledges a send; then what the process holds is counted,
 * and compared with what it held after the first few.
 */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Producer } from '../../src/client/index.ts';
import { type EmbeddedBroker, startBroker } from '../../src/testing/index.ts';
import { collectGarbage } from '../faults/process-memory.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from '../workers/raw-client.ts';
import { readRecords } from '../workers/test-broker.ts';

const run = promisify(execFile);
const portOf = (address: string): number => Number(address.split(':')[1]);
const nextTurns = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

/** Starts, sends, closes; the time until the send was acknowledged. */
async function use(): Promise<number> {
  const beganMs = performance.now();
  await using broker = await startBroker();
  await sendOne(broker);
  return performance.now() - beganMs;
}

async function sendOne(broker: EmbeddedBroker): Promise<void> {
  const client = await RawClient.connect(portOf(broker.address));
  const answer = await client.request(sendRequest({ topic: 'TopicA', body: 'x' }));
  client.close();
  await client.closed;
  expect(answer.code).toBe(0);
}

const storeDirectories = (): string[] =>
  fs
    .readdirSync(os.tmpdir())
    .filter((name) => name.startsWith(`millrace-embedded-${process.pid}-`));

interface Held {
  descriptors: number;
  threads: number;
  resources: string[];
  heapBytes: number;
  residentBytes: number;
}

async function held(): Promise<Held> {
  await nextTurns();
  for (let round = 0; round < 3; round++) {
    collectGarbage();
    await nextTurns();
  }
  const status = fs.readFileSync('/proc/self/status', 'utf8');
  return {
    descriptors: fs.readdirSync('/proc/self/fd').length,
    threads: Number(/Threads:\s+(\d+)/.exec(status)?.[1]),
    resources: process.getActiveResourcesInfo().sort(),
    heapBytes: process.memoryUsage().heapUsed,
    residentBytes: Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) * 1024,
  };
}

const MIB = 1024 * 1024;

function expectNoMore(after: Held, before: Held): void {
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
  expect(after.threads).toBeLessThanOrEqual(before.threads);
  expect(after.resources).toEqual(before.resources);
  // One broker's tables, rings and segments are far more than either of these in a hundred.
  expect(after.heapBytes - before.heapBytes).toBeLessThan(10 * MIB);
  expect(after.residentBytes - before.residentBytes).toBeLessThan(100 * MIB);
}

test('a broker in a test takes what any broker takes, and tells clients where it is', async () => {
  await using broker = await startBroker({ brokerName: 'mine' });
  expect(broker.address).toMatch(/^127\.0\.0\.1:\d+$/);
  const names = await RawClient.connect(portOf(broker.nameServer));
  const client = await RawClient.connect(portOf(broker.address));
  const body = 'x'.repeat(3 * MIB);
  const sent = await client.request(sendRequest({ topic: 'TopicA', body, serializeType: 2 }));
  expect(sent.code).toBe(0);
  const route = await names.request({ code: 105, fields: { topic: 'TopicA' } });
  const { brokerDatas } = JSON.parse(route.body.toString()) as {
    brokerDatas: { brokerName: string; brokerAddrs: Record<string, string> }[];
  };
  expect(brokerDatas[0]?.brokerName).toBe('mine');
  expect(brokerDatas[0]?.brokerAddrs['0']).toBe(broker.address);
  await client.request(heartbeatRequest('c', 'readers', 'TopicA'));
  const pulled = await client.request(pullRequest('readers', 'TopicA', 0, 0));
  expect(readRecords(pulled.body)[0]?.body).toBe(body);
  names.close();
  client.close();
});

test('loads no native code, and lets the program end without being closed', async () => {
  const source = (file: string): string => path.join(import.meta.dirname, '../..', file);
  const script = `
    import fs from 'node:fs';
    const { startBroker } = await import(${JSON.stringify(source('src/testing/index.ts'))});
    const { RawClient, sendRequest } = await import(${JSON.stringify(source('test/workers/raw-client.ts'))});
    const broker = await startBroker();
    const client = await RawClient.connect(Number(broker.address.split(':')[1]));
    for (const serializeType of [0, 1, 2])
      await client.request(sendRequest({ topic: 'T', body: 'x', serializeType }));
    await client.request(sendRequest({ topic: 'T', body: 'x'.repeat(100_000) }));
    const native = fs.readFileSync('/proc/self/maps', 'utf8').split('\\n').filter((line) => line.endsWith('.node'));
    console.log(JSON.stringify(native));
    process.exit(0);
  `;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
  expect(JSON.parse(stdout)).toEqual([]);
});

test('one after the other, a hundred leave nothing behind', { timeout: 120_000 }, async () => {
  for (let count = 0; count < 10; count++) await use();
  const before = await held();
  const times: number[] = [];
  for (let count = 0; count < 100; count++) times.push(await use());
  const after = await held();
  console.log(
    `to the first acknowledged send: median ${times.sort((a, b) => a - b)[50]?.toFixed(1)} ms; heap ${Math.round((after.heapBytes - before.heapBytes) / 1024)} KiB, resident ${Math.round((after.residentBytes - before.residentBytes) / 1024)} KiB more after 100`,
  );
  expectNoMore(after, before);
  expect(storeDirectories()).toEqual([]);
});

test('twenty at once serve, and leave nothing behind', { timeout: 120_000 }, async () => {
  const together = async (): Promise<void> => {
    const brokers = await Promise.all(Array.from({ length: 20 }, () => startBroker()));
    expect(new Set(brokers.map(({ address }) => address)).size).toBe(20);
    expect(storeDirectories().length).toBe(20);
    await Promise.all(brokers.map(sendOne));
    await Promise.all(brokers.map((broker) => broker.close()));
  };
  await together();
  const before = await held();
  for (let round = 0; round < 3; round++) await together();
  expectNoMore(await held(), before);
  expect(storeDirectories()).toEqual([]);
});

test('closes in order beside clients that are still connected, once however often it is told', async () => {
  const broker = await startBroker();
  const client = await RawClient.connect(portOf(broker.address));
  await client.request(sendRequest({ topic: 'TopicA', body: 'x' }));
  await Promise.all([broker.close(), broker.close()]);
  await client.closed;
  await broker.close();
  await expect(RawClient.connect(portOf(broker.address))).rejects.toThrow('ECONNREFUSED');
});

test('a store that was named stays, and is found again', async () => {
  const storeDirectory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-named-'));
  try {
    for (const queueOffset of ['0', '1']) {
      await using broker = await startBroker({ storeDirectory });
      const client = await RawClient.connect(portOf(broker.address));
      const sent = await client.request(sendRequest({ topic: 'TopicA', body: 'x' }));
      expect(sent.extFields.get('queueOffset')).toBe(queueOffset);
      client.close();
    }
  } finally {
    fs.rmSync(storeDirectory, { recursive: true, force: true });
  }
});

test('speaks WebSocket where it is told to', async () => {
  await using plain = await startBroker();
  expect(plain.webUrl).toBeNull();
  await using broker = await startBroker({ webPort: 0, topics: ['T'] });
  await using producer = new Producer({ servers: broker.webUrl ?? '', group: 'page' });
  const { status } = await producer.send({ topic: 'T', body: 'x' });
  expect(status).toBe('ok');
});

test('what a broker leaves to chance is decided by the seed', async () => {
  const queues = async (seed: number): Promise<string[]> => {
    await using broker = await startBroker({ seed });
    const client = await RawClient.connect(portOf(broker.address));
    const chosen: string[] = [];
    for (let count = 0; count < 40; count++) {
      const sent = await client.request(sendRequest({ topic: 'T', body: 'x', queueId: -1 }));
      chosen.push(sent.extFields.get('queueId') ?? '');
    }
    client.close();
    return chosen;
  };
  const chosen = await queues(3);
  expect(new Set(chosen).size).toBeGreaterThan(1);
  expect(await queues(3)).toEqual(chosen);
  expect(await queues(4)).not.toEqual(chosen);
});

test('topics that were named are there before anybody sends', async () => {
  await using broker = await startBroker({ topics: ['early', 'birds'], defaultTopicQueueNums: 3 });
  const names = await RawClient.connect(portOf(broker.nameServer));
  for (const topic of ['early', 'birds']) {
    const route = await names.request({ code: 105, fields: { topic } });
    const { queueDatas } = JSON.parse(route.body.toString()) as {
      queueDatas: { readQueueNums: number; writeQueueNums: number }[];
    };
    expect(queueDatas).toMatchObject([{ readQueueNums: 3, writeQueueNums: 3 }]);
  }
  names.close();
  await expect(startBroker({ topics: ['not a topic'] })).rejects.toThrow(/not a topic/);
});

test('a start that fails leaves nothing behind', async () => {
  await using broker = await startBroker();
  const brokerPort = portOf(broker.address);
  const before = storeDirectories();
  await expect(startBroker({ brokerPort })).rejects.toThrow(/is taken/);
  expect(storeDirectories()).toEqual(before);
});
