/**
 * A disk that really is full: a tmpfs of 64 MiB, with other files on it. Sends are answered 14 with a
 * reason, pulls and commits go on, nothing that was acknowledged is lost, and sends are taken again
 * once the other files are gone. Mounting needs root.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from '../workers/raw-client.ts';
import { type Millrace, startMillrace } from './millrace-process.ts';

const TOPIC = 'FullDisk';
const GROUP = 'full-disk-reader';
const DISK_MIB = 64;
const SEGMENT_BYTES = 4 * 1024 * 1024;
const BODY_BYTES = 4096;
/** Refusals that must come in a row, each with its answer, while the disk is full. */
const REFUSALS = 200;
const ANSWER_MS = 5000;
const HEAL_MS = 15_000;
const DELAYED_TOPIC = 'FullDiskDelayed';
const DELAYED_GROUP = 'full-disk-delayed-reader';
const STOP_MS_MAX = 5000;
const NOT_AVAILABLE = 14;

/**
 * `by` says what fills it: `messages` until there is no block left for another segment, a ConsumeQueue
 * or a metadata file; `others`, files above RocketMQ's 90 %.
 */
export async function fullDisk(options: {
  directory: string;
  port: number;
  by: 'messages' | 'others';
}): Promise<string> {
  const disk = path.join(options.directory, 'disk');
  fs.mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', disk]);
  let broker: Millrace | null = null;
  try {
    const configuration = path.join(options.directory, 'broker.conf');
    // RocketMQ's rules would act before messages have taken the last block.
    const disabledRules = [
      'diskMaxUsedSpaceRatio=100',
      'diskSpaceCleanForciblyRatio=100',
      'diskSpaceWarningLevelRatio=100',
    ];
    const settings = [
      `mappedFileSizeCommitLog=${SEGMENT_BYTES}`,
      ...(options.by === 'messages' ? disabledRules : []),
    ];
    fs.writeFileSync(configuration, `${settings.join('\n')}\n`);
    const start = (): Promise<Millrace> =>
      startMillrace({
        storeDirectory: path.join(disk, 'store'),
        brokerPort: options.port,
        nameServerPort: options.port + 1,
        // Not on the disk that is full.
        logDirectory: options.directory,
        arguments: ['--config', configuration],
      });
    broker = await start();
    const others = path.join(disk, 'others');
    fs.writeFileSync(others, Buffer.alloc(16 * 1024 * 1024));
    let client = await join(options.port);
    const acknowledged: string[] = [];
    const send = async (): Promise<number> => {
      const body = `${String(acknowledged.length).padStart(8, '0')} `.padEnd(BODY_BYTES, 'x');
      const answer = await within(client.request(sendRequest({ topic: TOPIC, body })));
      if (answer.code === 0) acknowledged.push(body);
      else if (answer.code !== NOT_AVAILABLE || !/disk/.test(answer.remark ?? ''))
        throw new Error(`a send is answered ${answer.code}: ${answer.remark}`);
      return answer.code;
    };

    for (let count = 0; count < 100; count++) await send();
    if (options.by === 'others') fill(others, 0.94);
    const firstRefusal = await until(async () => (await send()) === NOT_AVAILABLE, 60_000);
    if (firstRefusal < 0) throw new Error('the disk is full and sends are still taken');
    // Not a block is left for offsets, queues or anything else.
    if (options.by === 'messages') fill(others, 1);
    const before = acknowledged.length;
    for (let count = 0; count < REFUSALS; count++) await send();
    if (acknowledged.length !== before)
      throw new Error(`${acknowledged.length - before} sends were taken while the disk was full`);
    await checkAll(client, acknowledged);
    const commit = { consumerGroup: GROUP, topic: TOPIC, queueId: 0, commitOffset: 10 };
    const committed = await within(client.request({ code: 15, fields: commit }));
    if (committed.code !== 0) throw new Error(`a commit is answered ${committed.code}`);

    fs.rmSync(others);
    const healedMs = await until(async () => (await send()) === 0, HEAL_MS);
    if (healedMs < 0) throw new Error('sends are refused though there is space again');
    for (let count = 0; count < 100; count++) await send();
    await checkAll(client, acknowledged);
    client.close();
    await broker.kill();
    broker = await start();
    client = await join(options.port);
    await checkAll(client, acknowledged);

    // It also stops in order while it can not write what it would like to write then, and soon, also where what
    // has become due waits for space.
    const delayed = sendRequest({ topic: DELAYED_TOPIC, body: 'due', properties: { DELAY: '1' } });
    if ((await within(client.request(delayed))).code !== 0) throw new Error('no delayed send');
    fill(others, 1);
    for (let count = 0; count < 20; count++) await send();
    await pause(2000);
    client.close();
    const stopStartMs = performance.now();
    await broker.stop();
    const stopMs = performance.now() - stopStartMs;
    if (stopMs > STOP_MS_MAX) throw new Error(`it stops after ${Math.round(stopMs)} ms`);
    fs.rmSync(others);
    broker = await start();
    client = await join(options.port);
    await checkAll(client, acknowledged);
    const due = pullRequest(DELAYED_GROUP, DELAYED_TOPIC, 0, 0);
    const isThere = async (): Promise<boolean> => (await within(client.request(due))).code === 0;
    if ((await until(isThere, HEAL_MS)) < 0) throw new Error('what was due is not delivered');
    client.close();

    // What deletes old messages is the broker: it starts without a block that is free.
    fill(others, 1);
    await broker.kill();
    broker = await start();
    return `${before} sends taken, ${REFUSALS} more while full, taken again after ${Math.round(healedMs)} ms, ${acknowledged.length} found after a kill, and after a stop while full of ${Math.round(stopMs)} ms; started while full`;
  } finally {
    try {
      await broker?.stop();
    } finally {
      execFileSync('umount', ['-l', disk]);
    }
  }
}

async function join(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  await client.request(heartbeatRequest('reader', GROUP, TOPIC));
  await client.request(heartbeatRequest('reader', DELAYED_GROUP, DELAYED_TOPIC));
  return client;
}

/** Writes until so much of the disk is used; 1 is until it takes no more. */
function fill(file: string, usedRatio: number): void {
  const descriptor = fs.openSync(file, 'a');
  const piece = Buffer.alloc(64 * 1024);
  try {
    for (;;) {
      const { blocks, bavail } = fs.statfsSync(file);
      if (1 - bavail / blocks >= usedRatio && usedRatio < 1) return;
      fs.writeSync(descriptor, piece);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Everything acknowledged is there, in order, and nothing else. */
async function checkAll(client: RawClient, acknowledged: readonly string[]): Promise<void> {
  const view = new RecordView();
  let offset = 0;
  for (;;) {
    const answer = await within(client.request(pullRequest(GROUP, TOPIC, 0, offset)));
    if (answer.code !== 0) break;
    for (let at = 0; at < answer.body.length; at += view.totalBytes) {
      if (view.read(answer.body, at, answer.body.length, true) !== RecordKind.MESSAGE)
        throw new Error(`no record at offset ${offset}`);
      const body = answer.body.toString('utf8', view.bodyStart, view.bodyStart + view.bodyBytes);
      if (body !== acknowledged[offset]) throw new Error(`another message at offset ${offset}`);
      offset++;
    }
  }
  if (offset !== acknowledged.length)
    throw new Error(`${offset} of ${acknowledged.length} acknowledged messages are found`);
}

/** Milliseconds until it holds, -1 where it does not in time. */
async function until(holds: () => Promise<boolean>, timeoutMs: number): Promise<number> {
  const startMs = performance.now();
  while (performance.now() - startMs < timeoutMs) {
    if (await holds()) return performance.now() - startMs;
  }
  return -1;
}

async function within<Value>(answer: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${ANSWER_MS} ms`)), ANSWER_MS);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
