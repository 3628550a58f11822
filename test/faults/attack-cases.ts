/** Attacks on a broker process over the network; each on a broker of its own. */
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import fs from 'node:fs';
import os from 'node:os';
import { deflateSync } from 'node:zlib';
import { killRounds } from '../interop/kill-rounds.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from '../workers/raw-client.ts';
import { AttackedBroker, type AttackOptions } from './attacked-broker.ts';
import type { CaseContext, FaultCase } from './case.ts';

const MIB = 1024 * 1024;
const FRAME_BYTES_MAX = 16 * MIB;

/** Resolves to whether it was closed in time. */
function closesWithin(closed: Promise<void>, ms: number): Promise<boolean> {
  return Promise.race([closed.then(() => true), pause(ms, false)]);
}

function int32(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4);
  for (const [index, number] of numbers.entries()) bytes.writeInt32BE(number | 0, index * 4);
  return bytes;
}

function framed(header: string): Buffer {
  const bytes = Buffer.from(header);
  return Buffer.concat([int32(bytes.length + 4, bytes.length), bytes]);
}

const badLengths = ({ isLong }: CaseContext): Promise<string> =>
  AttackedBroker.attack({ port: 26010, memoryBytesMax: 64 * MIB }, async (broker) => {
    const lengths = [0, 1, 3, -1, -0x80000000, 0x7fffffff, FRAME_BYTES_MAX + 1];
    const rounds = isLong ? 200 : 20;
    for (let round = 0; round < rounds; round++) {
      for (const length of lengths) {
        const { socket, closed } = await broker.connect();
        socket.write(Buffer.concat([int32(length), Buffer.alloc(100)]));
        if (!(await closesWithin(closed, 2000)))
          throw new Error(`a frame of length ${length} does not cost its connection`);
      }
    }
    return `${rounds * lengths.length} frames of wrong lengths closed at once`;
  });

const slowDrip = ({ isLong, progress }: CaseContext): Promise<string> =>
  AttackedBroker.attack({ port: 26020, memoryBytesMax: 64 * MIB }, async (broker) => {
    const count = isLong ? 1000 : 200;
    const drips: Awaited<ReturnType<AttackedBroker['connect']>>[] = [];
    for (let index = 0; index < count; index++) drips.push(await broker.connect());
    for (const { socket } of drips) socket.write(int32(FRAME_BYTES_MAX));
    const isOpen = (): boolean => drips.some(({ socket }) => !socket.destroyed);
    const beganMs = performance.now();
    while (isOpen() && performance.now() - beganMs < 40_000) {
      progress(`${Math.round((performance.now() - beganMs) / 1000)} s`);
      for (const { socket } of drips) if (!socket.destroyed) socket.write('x');
      await pause(1000);
    }
    if (isOpen()) throw new Error('a frame that never ends keeps its connection');
    return `${count} slow frames closed after ${Math.round((performance.now() - beganMs) / 1000)} s`;
  });

const jsonBombs = (): Promise<string> =>
  AttackedBroker.attack({ port: 26030, memoryBytesMax: 256 * MIB }, async (broker) => {
    const deep = '['.repeat(10_000) + ']'.repeat(10_000);
    const keys = Array.from({ length: 200_000 }, (_, index) => `"k${index}":"v"`).join(',');
    const head = '"flag":0,"language":"JAVA","opaque":1,"version":479';
    const headers = [
      `{"code":34,${head},"extFields":${deep}}`,
      `{"code":34,${head},"extFields":{${keys}}}`,
      `{"code":34,"code":35,${head},"extFields":{"a":"1","a":"2"}}`,
      `{"code":34,${head},"extFields":{"__proto__":"x","constructor":"y","@type":"z"}}`,
      `{"code":1e400,${head}}`,
      `{"code":9223372036854775808,${head}}`,
      `{"code":34,${head},"remark":"\ud800"}`,
    ];
    for (const header of headers) {
      const { socket } = await broker.connect();
      socket.write(framed(header));
    }
    await pause(3000);
    return `${headers.length} headers that no client sends`;
  });

const names = (): Promise<string> =>
  AttackedBroker.attack({ port: 26040, memoryBytesMax: 64 * MIB }, async (broker) => {
    const client = await RawClient.connect(broker.port);
    const topics = ['..', '/', '../x', 'a/b', 'a\0b', '\0', 'x'.repeat(256), 'töpic', '漢', ''];
    for (const topic of [...topics, 'SCHEDULE_TOPIC_XXXX', 'RMQ_SYS_TRANS_HALF_TOPIC']) {
      const sent = await client.request(sendRequest({ topic, body: 'x' }));
      if (sent.code === 0) throw new Error(`a send to ${JSON.stringify(topic)} is taken`);
      const fields = { topic, readQueueNums: 1, writeQueueNums: 1, perm: 6 };
      const made = await client.request({ code: 17, fields });
      if (made.code === 0) throw new Error(`a topic ${JSON.stringify(topic)} is made`);
    }
    for (const group of ['..', '../x', 'a/b', '%RETRY%../x', 'x'.repeat(256)])
      await client.request(heartbeatRequest('c', group, 'Healthy'));
    const odd = fs
      .readdirSync(path.join(broker.directory, 'store'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.includes('..') || file.includes('%RETRY%x'));
    const strangers = [...broker.strangers(), ...odd];
    if (strangers.length > 0) throw new Error(`files that are none: ${strangers.join(', ')}`);
    client.close();
    return `${topics.length + 2} topic names and 5 group names refused, no file outside of the store`;
  });

const sizes = (): Promise<string> => {
  // Inflated it is 256 MiB. Made before anybody is timed.
  const bomb = deflateSync(Buffer.alloc(256 * MIB));
  return AttackedBroker.attack({ port: 26050, memoryBytesMax: 256 * MIB }, async (broker) => {
    const client = await RawClient.connect(broker.port);
    const code = async (bytes: number, properties: Record<string, string> = {}): Promise<number> =>
      (await client.request(sendRequest({ topic: 'S', body: Buffer.alloc(bytes, 1), properties })))
        .code;
    if ((await code(4 * MIB)) !== 0) throw new Error('a message of 4 MiB is refused');
    if ((await code(4 * MIB + 1)) !== 13) throw new Error('a message of 4 MiB + 1 is not refused');
    const longest = await code(1, { P: 'x'.repeat(32_000) });
    const longer = await code(1, { P: 'x'.repeat(32_768) });
    if (longest !== 0 || longer !== 13)
      throw new Error(`properties of 32,000 bytes: ${longest}, of 32,768: ${longer}`);
    const sent = sendRequest({ topic: 'S', body: bomb });
    const answer = await client.request({ ...sent, fields: { ...sent.fields, f: 1 } });
    if (answer.code !== 0) throw new Error(`a compressed body is answered ${answer.code}`);
    for (const lie of [-1, 0, 21, 0x7fffffff]) {
      const item = Buffer.concat([int32(lie, 0, 0, 0, 4), Buffer.from('body\0\0')]);
      const batch = sendRequest({ topic: 'S', body: item });
      const fields = { ...batch.fields, m: 'true', i: '' };
      const refused = await client.request({ ...batch, code: 320, fields });
      if (refused.code === 0) throw new Error(`a batch with a length of ${lie} is taken`);
    }
    client.close();
    return 'sizes at their limits, a bomb that is not inflated, batches that lie';
  });
};

const idle = ({ isLong }: CaseContext): Promise<string> =>
  AttackedBroker.attack({ port: 26060, memoryBytesMax: 300 * MIB }, async (broker) => {
    const count = isLong ? 10_000 : 2000;
    await connectIdle(broker, count);
    await pause(2000);
    return `${count} idle connections`;
  });

async function connectIdle(broker: AttackedBroker, count: number): Promise<void> {
  for (let made = 0; made < count; made += 50)
    await Promise.all(Array.from({ length: 50 }, () => broker.connect()));
}

const HEARTBEAT_INTERVAL_MS = 30_000;

/** Pulls small messages again and again; resolves to the longest time that it waited for an answer. */
async function goOnPulling(port: number, isAttacked: () => boolean): Promise<number> {
  const client = await RawClient.connect(port);
  const heartbeat = heartbeatRequest('healthy', 'healthy-readers', 'Healthy');
  let longestMs = 0;
  let heardMs = -Infinity;
  for (let offset = 0; isAttacked();) {
    const beganMs = performance.now();
    if (beganMs > heardMs + HEARTBEAT_INTERVAL_MS) {
      await client.request(heartbeat);
      heardMs = beganMs;
    }
    const answer = await client.request(pullRequest('healthy-readers', 'Healthy', 0, offset));
    longestMs = Math.max(longestMs, performance.now() - beganMs);
    if (answer.code !== 0 && answer.code !== 19)
      throw new Error(`a healthy pull was answered ${answer.code} ${answer.remark}`);
    offset = Number(answer.extFields.get('nextBeginOffset'));
    await pause(10);
  }
  client.close();
  return longestMs;
}

const neverReading = ({ isLong, progress }: CaseContext): Promise<string> => {
  // The kernel may take most of what 150 connections are sent: what is left must be more than is allowed.
  const options: AttackOptions = isLong
    ? { port: 26070, memoryBytesMax: 512 * MIB }
    : { port: 26070, memoryBytesMax: 192 * MIB, settings: ['waitingAnswerBytesMax=4194304'] };
  return AttackedBroker.attack(options, async (broker) => {
    const client = await RawClient.connect(broker.port);
    for (let index = 0; index < 8; index++)
      await client.request(
        sendRequest({ topic: 'Big', body: Buffer.alloc(4 * MIB - 1000, index) }),
      );
    await client.request(heartbeatRequest('c', 'readers', 'Big'));
    const pulls = Array.from({ length: 32 }, (_, index) =>
      client.encode(pullRequest('readers', 'Big', 0, index % 8), index),
    );
    const idleCount = isLong ? 10_000 : 0;
    await connectIdle(broker, idleCount);
    let isAttacked = true;
    const healthy = goOnPulling(broker.port, () => isAttacked);
    const count = isLong ? 1000 : 150;
    const closedFor = (reason: string): Promise<number> =>
      broker.counter('millrace_connections_closed_total', `reason="${reason}"`);
    for (let index = 0; index < count; index++) {
      const { socket } = await broker.connect();
      socket.pause();
      socket.write(Buffer.concat(pulls));
    }
    // What is not closed for its memory is closed 60 s after the last of it went out, which took its turn.
    let [forMemory, forTime] = [0, 0];
    for (let seconds = 0; seconds < (isLong ? 120 : 10) && forMemory + forTime < count; seconds++) {
      await pause(1000);
      forMemory = await closedFor('answer-memory');
      forTime = await closedFor('not-reading');
      progress(`${forMemory + forTime} of ${count} closed after ${seconds} s`);
    }
    isAttacked = false;
    if (forMemory === 0)
      throw new Error(
        `no reader that never reads was closed for its memory; ${Math.round(broker.anonymousBytes() / MIB)} MiB are held`,
      );
    if (isLong && forMemory + forTime < count)
      throw new Error(`${forMemory + forTime} of ${count} readers that never read were closed`);
    const longestMs = await healthy;
    if (longestMs > 5000) throw new Error(`a healthy pull waited ${Math.round(longestMs)} ms`);
    client.close();
    return `${count} readers that never read beside ${idleCount} idle connections, 128 MiB asked for by each; the longest healthy pull took ${Math.round(longestMs)} ms, ${forMemory} closed for their memory and ${forTime} after 60 s`;
  });
};

const filters = (): Promise<string> =>
  AttackedBroker.attack({ port: 26080, memoryBytesMax: 128 * MIB }, async (broker) => {
    const client = await RawClient.connect(broker.port);
    const ors = Array.from({ length: 100_000 }, (_, index) => `a = ${index}`).join(' OR ');
    const nested = `${'('.repeat(8000)}a = 1${')'.repeat(8000)}`;
    const nots = `${'NOT '.repeat(4000)}a = 1`;
    const bombs = [ors, nested, nots, `a IN (${"'x',".repeat(3900)}'y')`];
    let refused = 0;
    for (const subscription of bombs) {
      const pull = pullRequest('G', 'Healthy', 0, 0);
      const fields = { ...pull.fields, sysFlag: 4, subscription, expressionType: 'SQL92' };
      const answer = await client.request({ ...pull, fields });
      if (answer.code !== 0) refused++;
    }
    client.close();
    return `${bombs.length} filters that are bombs, ${refused} refused`;
  });

async function kills({ isLong, progress }: CaseContext): Promise<string> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-kills-'));
  try {
    const rounds = isLong ? 1000 : 8;
    const onRound = (round: number): void => progress(`round ${round} of ${rounds}`);
    return await killRounds({ directory, rounds, port: 26090, flush: 'sync', onRound });
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

export const attackCases: readonly FaultCase[] = [
  { name: 'kill-9', covers: '18', run: kills },
  { name: 'attack-lengths', covers: '1', run: badLengths },
  { name: 'attack-slow-frames', covers: '2', run: slowDrip },
  { name: 'attack-headers', covers: '3 4', run: jsonBombs },
  { name: 'attack-names', covers: '5', run: names },
  { name: 'attack-sizes', covers: '13 14', run: sizes },
  { name: 'attack-filters', covers: '12', run: filters },
  { name: 'attack-idle', covers: '15', run: idle },
  { name: 'attack-no-readers', covers: '16', run: neverReading },
];
