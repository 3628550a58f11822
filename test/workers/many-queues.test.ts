/**
 * A broker with so many queues that it stores where they end: it starts from that file, after a stop in
 * order and after a crash, and from the queues' own files where the stored ends do not fit.
 *
 * A crash is a copy of the store beside the running broker: what was handed to the system is in it.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { defaultBrokerConfig } from '../../src/base/broker-config.ts';
import { type BrokerProcess, startBrokerProcess } from '../../src/cli/broker-process.ts';
import { Checkpoint } from '../../src/store/checkpoint.ts';
import { createPlainFiles } from '../../src/store/plain-files.ts';
import { pullRequest, RawClient, sendRequest } from './raw-client.ts';

const TOPICS = 8;
const QUEUES = 128;

let root = '';
let broker: BrokerProcess | null = null;
let client: RawClient;
/** What the start said of its recovery. */
let recovered: Record<string, unknown> = {};
let warnings: string[] = [];

beforeEach(() => {
  warnings = [];
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-queues-'));
});

afterEach(async () => {
  await stop();
  fs.rmSync(root, { recursive: true, force: true });
});

async function start(name: string, threads: 'inline' | 'pipelined' = 'inline'): Promise<void> {
  const logger = {
    debug() {},
    info(fields: object, message: string) {
      if (message === 'store recovered') recovered = fields as Record<string, unknown>;
    },
    warn: (_fields: object, message: string) => void warnings.push(message),
    error() {},
  };
  const config = {
    ...defaultBrokerConfig(),
    storeDirectory: path.join(root, name),
    brokerName: 'broker-test',
    brokerPort: 0,
    nameServerPort: 0,
    waitTimeMillsInSendQueue: 60_000,
    segmentBytes: 16 * 1024 * 1024,
    threads,
  };
  broker = await startBrokerProcess(config, logger);
  client = await RawClient.connect(broker.ready.brokerPort);
}

async function stop(): Promise<void> {
  if (broker === null) return;
  client.close();
  await broker.close();
  broker = null;
}

const topicName = (index: number): string => `topic-${index}`;

async function ask(request: Parameters<RawClient['request']>[0]) {
  const answer = await client.request(request);
  expect(answer).toMatchObject({ code: 0 });
  return answer;
}

async function makeTopic(topic: string): Promise<void> {
  const fields = { topic, readQueueNums: QUEUES, writeQueueNums: QUEUES, perm: 6 };
  const rest = { defaultTopic: 'TBW102', topicFilterType: 'SINGLE_TAG', topicSysFlag: 0 };
  await ask({ code: 17, fields: { ...fields, ...rest, order: 'false' } });
}

/** A message for every queue. */
async function sendToAll(round: number): Promise<void> {
  for (let topic = 0; topic < TOPICS; topic++) {
    const name = topicName(topic);
    await Promise.all(
      Array.from({ length: QUEUES }, (_, queueId) =>
        ask(sendRequest({ topic: name, queueId, body: `${round} of ${name} ${queueId}` })),
      ),
    );
  }
}

/** Every queue holds the messages of so many rounds, and goes on behind them. */
async function checkAll(rounds: number, topics = TOPICS): Promise<void> {
  const check = async (name: string, queueId: number): Promise<void> => {
    const pull = pullRequest('reader', name, queueId, 0);
    const fields = { ...pull.fields, sysFlag: 4, subscription: '*' };
    const { body } = await ask({ ...pull, fields });
    for (let round = 0; round < rounds; round++)
      expect(body.includes(`${round} of ${name} ${queueId}`)).toBe(true);
    const { extFields } = await ask({ code: 30, fields: { topic: name, queueId } });
    expect(extFields.get('offset')).toBe(String(rounds));
  };
  for (let topic = 0; topic < topics; topic++) {
    const queueIds = Array.from({ length: QUEUES }, (_, queueId) => queueId);
    await Promise.all(queueIds.map((queueId) => check(topicName(topic), queueId)));
  }
}

async function makeTopics(): Promise<void> {
  for (let topic = 0; topic < TOPICS; topic++) await makeTopic(topicName(topic));
  await ask({ code: 200, fields: {}, body: groupConfig });
}

/** Until its files are gone, which wait for those who write to them. */
async function deleteTopic(topic: string): Promise<void> {
  await ask({ code: 215, fields: { topic } });
  const directory = path.join(root, 'first', 'consumequeue', topic);
  await expect.poll(() => fs.existsSync(directory), { timeout: 10_000 }).toBe(false);
}

const groupConfig = Buffer.from(JSON.stringify({ groupName: 'reader', consumeEnable: true }));

/** Until the ends are stored, and the checkpoint says of the same records that they are in the queues. */
async function waitForSnapshot(): Promise<void> {
  const store = path.join(root, 'first');
  const files = createPlainFiles();
  const isStored = (): boolean =>
    fs.existsSync(path.join(store, 'millrace.queues')) &&
    Checkpoint.read(files, path.join(store, 'checkpoint')).dispatchedPosition > 0;
  await expect.poll(isStored, { timeout: 30_000 }).toBe(true);
}

/** A thousand files of 6 MB that are nearly all holes: what stands at their beginnings is all there is. */
function copySparse(from: string, to: string): void {
  fs.mkdirSync(to);
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const source = path.join(from, entry.name);
    const target = path.join(to, entry.name);
    if (entry.isDirectory()) copySparse(source, target);
    else if (from.includes('consumequeue')) {
      const descriptor = fs.openSync(source, 'r');
      const head = Buffer.alloc(4096);
      fs.readSync(descriptor, head, 0, head.length, 0);
      fs.closeSync(descriptor);
      fs.writeFileSync(target, head);
      fs.truncateSync(target, fs.statSync(source).size);
    } else fs.copyFileSync(source, target);
  }
}

/** What a crash at this moment leaves. */
function crashInto(name: string): void {
  copySparse(path.join(root, 'first'), path.join(root, name));
  fs.rmSync(path.join(root, name, 'millrace.pid'), { force: true });
}

for (const threads of ['inline', 'pipelined'] as const) {
  it(`starts from the stored ends of its queues after a stop, with ${threads} threads`, async () => {
    await start('first', threads);
    await makeTopics();
    await sendToAll(0);
    await stop();
    await start('first', threads);
    expect(recovered).toMatchObject({ abnormal: false, snapshot: true, records: 0 });
    await checkAll(1);
    await sendToAll(1);
    await stop();
    await start('first', threads);
    expect(recovered).toMatchObject({ snapshot: true });
    await checkAll(2);
  }, 120_000);
}

it('moves the files of a deleted topic away, and removes them by and by, also those of a topic that a crash has left', async () => {
  await start('first');
  await makeTopics();
  await sendToAll(0);
  await waitForSnapshot();
  const deletedIn = (name: string): string[] =>
    createPlainFiles().list(path.join(root, name, 'millrace.deleted'));
  const topic = topicName(TOPICS - 1);
  await deleteTopic(topic);
  await expect.poll(() => deletedIn('first'), { timeout: 10_000 }).toEqual([]);
  crashInto('second');
  await stop();
  const left = path.join(root, 'second', 'millrace.deleted', '7');
  fs.cpSync(path.join(root, 'second', 'consumequeue', topicName(0), '0'), `${left}/0`, {
    recursive: true,
  });
  await start('second');
  await expect.poll(() => deletedIn('second'), { timeout: 10_000 }).toEqual([]);
  await checkAll(1, TOPICS - 1);
  expect(warnings).not.toContainEqual(expect.stringContaining('files of deleted topics'));
}, 120_000);

it('starts from them after a crash, and builds what came since from the log', async () => {
  await start('first');
  await makeTopics();
  await sendToAll(0);
  await waitForSnapshot();
  await sendToAll(1);
  crashInto('second');
  await stop();
  await start('second');
  expect(recovered).toMatchObject({ abnormal: true, snapshot: true });
  await checkAll(2);
  // A queue that is written over where the crash left units of the same records.
  await sendToAll(2);
  await stop();
  fs.rmSync(path.join(root, 'second', 'millrace.queues'));
  await start('second');
  expect(recovered).toMatchObject({ abnormal: false, snapshot: false });
  await checkAll(3);
}, 120_000);

it('reads the files of the queues where a topic was made again since', async () => {
  await start('first');
  await makeTopics();
  await sendToAll(0);
  await sendToAll(1);
  await waitForSnapshot();
  const stored = fs.readFileSync(path.join(root, 'first', 'millrace.queues'));
  const last = topicName(TOPICS - 1);
  await deleteTopic(last);
  await makeTopic(last);
  const body = 'the first of the new topic';
  await ask(sendRequest({ topic: last, queueId: 3, body }));
  await expect
    .poll(() => fs.existsSync(path.join(root, 'first', 'consumequeue', last, '3')), {
      timeout: 20_000,
    })
    .toBe(true);
  crashInto('second');
  await stop();
  fs.writeFileSync(path.join(root, 'second', 'millrace.queues'), stored);
  await start('second');
  expect(recovered).toMatchObject({ abnormal: true, snapshot: false });
  expect(warnings).toContainEqual(expect.stringContaining('stored ends of queues do not fit'));
  await checkAll(2, TOPICS - 1);
  const { extFields } = await ask({ code: 30, fields: { topic: last, queueId: 3 } });
  expect(extFields.get('offset')).toBe('1');
}, 120_000);
