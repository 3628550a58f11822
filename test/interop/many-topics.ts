/**
 * 10,000 topics of 8 queues and 1,000 groups in one broker, over plain sockets: what it costs to make
 * them, to hold them, to start with them, and what a send waits then. Two brokers run side by side, one
 * with 10 topics, and sends are measured at both in turns, so that the machine's moods hit both.
 */
import { setTimeout as pause } from 'node:timers/promises';
import fs from 'node:fs';
import path from 'node:path';
import { readProcessUsage } from '../../bench/load/process-usage.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from '../workers/raw-client.ts';
import { type Millrace, startMillrace } from './millrace-process.ts';

const TOPICS = 10_000;
const FEW_TOPICS = 10;
const QUEUES = 8;
const GROUPS = 1000;
/** Topics that a group commits offsets of. */
const TOPICS_PER_GROUP = 10;
const CONNECTIONS = 4;
/** Requests of one connection that wait for their answers while something is made. */
const OUTSTANDING = 32;

const SENDS_PER_SECOND = 5000;
const WINDOW_MS = 2500;
/** A stall of the machine is one slice's p99, not that of a whole window. */
const SLICE_MS = 500;
const PAIRS = 5;

const START_MS_MAX = 5000;
const STOP_MS_MAX = 10_000;
const RSS_ANON_MIB_MAX = 600;
/** The descriptor cache holds 256; the rest are sockets, segments, index files, and what Node itself has open. */
const HANDLES_MAX = 400;
/** Sends over all topics against sends over few, by the p99 of slices. */
const P99_RATIO_MAX = 1.5;
/** Where the ratio is too high, more pairs are measured, and all count. */
const ATTEMPTS_MAX = 4;
/** Then a broker with nothing to do has written the queues of which it had put off writing. */
const IDLE_MS = 12_000;
/** Far above what is measured; a cost for each topic that grows with their number is far above this. */
const CREATE_MS_MAX = 15_000;
/** A send while topics are made waits for no more than this. */
const SEND_WHILE_CREATING_P99_MS_MAX = 50;
const SETTLE_MS_MAX = 120_000;
/** A broker with nothing to do wakes up now and then. */
const QUIET_MS = 500;
const QUIET_CPU_US = 20_000;

interface Subject {
  broker: Millrace;
  clients: RawClient[];
  topicCount: number;
}

export async function manyTopics(options: { directory: string; port: number }): Promise<string> {
  const start = (name: string, port: number): Promise<Millrace> =>
    startMillrace({
      storeDirectory: path.join(options.directory, name, 'store'),
      brokerPort: port,
      nameServerPort: port + 1,
      arguments: ['--broker-name', name],
    });
  const running: Millrace[] = [];
  const begin = async (name: string, port: number, topicCount: number): Promise<Subject> => {
    const broker = await start(name, port);
    running.push(broker);
    return { broker, clients: await connect(port), topicCount };
  };
  const startAgain = async (before: Subject): Promise<Subject> => {
    before.clients.forEach((client) => client.close());
    const broker = await start('many', options.port);
    running.push(broker);
    if (broker.readyMs > START_MS_MAX)
      throw new Error(`the start took ${Math.round(broker.readyMs)} ms`);
    return { ...before, broker, clients: await connect(options.port) };
  };
  try {
    const few = await begin('few', options.port + 10, FEW_TOPICS);
    let many = await begin('many', options.port, TOPICS);
    await createTopics(few);
    const created = await createBesideSends(many);
    await sendToAll(few);
    const sentMs = await sendToAll(many);
    const groupsMs = await createGroups(many, options.port);
    const settledMs = await settle(many);
    const before = await pairedP99(few, many);
    const held = checkHeld(many, before.peakHandles);

    await pause(IDLE_MS);
    await settle(many);
    await many.broker.stop();
    many = await startAgain(many);
    await checkKept(many, options.port);
    const restarted = checkHeld(many, before.peakHandles);
    await many.broker.kill();
    const killed = await startAgain(many);
    await checkKept(killed, options.port);
    // Soon after a start that has tens of thousands of queues to look at.
    const stoppedMs = await timed(() => killed.broker.stop());
    if (stoppedMs > STOP_MS_MAX) throw new Error(`the stop took ${stoppedMs} ms`);
    return [
      `${TOPICS} topics in ${created.ms} ms, sends beside p99 ${created.p99Ms} ms, max ${created.maxMs} ms`,
      `a message for each of ${TOPICS * QUEUES} queues in ${sentMs} ms`,
      `${GROUPS} groups in ${groupsMs} ms, on disk after ${settledMs} ms more`,
      `${held}, started again in ${Math.round(many.broker.readyMs)} ms with ${restarted}`,
      `after kill -9 in ${Math.round(killed.broker.readyMs)} ms, and stopped in ${stoppedMs} ms`,
      `p99 ${before.text}`,
    ].join('\n        ');
  } finally {
    for (const broker of running) await broker.stop();
  }
}

async function timed(run: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await run();
  return Math.round(performance.now() - startMs);
}

const topicName = (index: number): string => `Many${String(index).padStart(5, '0')}`;
const groupName = (index: number): string => `many-group-${index}`;

function connect(port: number): Promise<RawClient[]> {
  return Promise.all(Array.from({ length: CONNECTIONS }, () => RawClient.connect(port)));
}

/** Runs `count` requests, so many at a time; `run` throws where an answer is wrong. Milliseconds. */
async function each(
  subject: Subject,
  count: number,
  run: (client: RawClient, index: number) => Promise<void>,
  outstanding = OUTSTANDING,
): Promise<number> {
  const startMs = performance.now();
  let next = 0;
  const loop = async (client: RawClient): Promise<void> => {
    while (next < count) await run(client, next++);
  };
  const loops = subject.clients.flatMap((client) =>
    Array.from({ length: outstanding }, () => loop(client)),
  );
  await Promise.all(loops);
  return Math.round(performance.now() - startMs);
}

async function ask(client: RawClient, request: Parameters<RawClient['request']>[0]): Promise<void> {
  const answer = await client.request(request);
  if (answer.code !== 0)
    throw new Error(`${request.code} is answered ${answer.code}: ${answer.remark}`);
}

function createTopics(subject: Subject, outstanding = OUTSTANDING): Promise<number> {
  const create = (client: RawClient, index: number): Promise<void> =>
    ask(client, {
      code: 17,
      fields: {
        topic: topicName(index),
        defaultTopic: 'TBW102',
        readQueueNums: QUEUES,
        writeQueueNums: QUEUES,
        perm: 6,
        topicFilterType: 'SINGLE_TAG',
        topicSysFlag: 0,
        order: 'false',
      },
    });
  return each(subject, subject.topicCount, create, outstanding);
}

/** Makes the topics while others send to one that is there already. */
async function createBesideSends(
  subject: Subject,
): Promise<{ ms: number; p99Ms: number; maxMs: number }> {
  const port = subject.clients[0].socket.remotePort as number;
  const sender = { ...subject, clients: await connect(port) };
  await ask(sender.clients[0], sendRequest({ topic: 'Beside', body: 'makes the topic' }));
  const sends = pacedSends(sender, 1000, () => ['Beside', 0]);
  // One by one, as a script of an operator does, so that every one is a change of its own.
  const ms = await createTopics({ ...subject, clients: subject.clients.slice(0, 1) }, 1);
  const waits = (await sends.stop()).flat();
  sender.clients.forEach((client) => client.close());
  if (ms > CREATE_MS_MAX) throw new Error(`${TOPICS} topics took ${ms} ms to make`);
  const p99Ms = round(quantile(waits, 0.99));
  if (p99Ms > SEND_WHILE_CREATING_P99_MS_MAX)
    throw new Error(`a send took ${p99Ms} ms (p99) while topics were made`);
  return { ms, p99Ms, maxMs: round(quantile(waits, 1)) };
}

function sendToAll(subject: Subject): Promise<number> {
  return each(subject, subject.topicCount * QUEUES, (client, index) =>
    ask(
      client,
      sendRequest({
        topic: topicName(Math.floor(index / QUEUES)),
        queueId: index % QUEUES,
        body: `body ${index}`,
      }),
    ),
  );
}

/** Each group gets a member by its heartbeat, and commits in some topics. */
async function createGroups(subject: Subject, port: number): Promise<number> {
  const members = { ...subject, clients: await connect(port) };
  const first = await each(members, GROUPS, (client, index) =>
    ask(client, heartbeatRequest(`client-${index}`, groupName(index), topicOf(index, 0))),
  );
  const commits = await each(members, GROUPS * TOPICS_PER_GROUP * QUEUES, (client, index) => {
    const group = Math.floor(index / QUEUES / TOPICS_PER_GROUP);
    const topic = Math.floor(index / QUEUES) % TOPICS_PER_GROUP;
    const fields = {
      consumerGroup: groupName(group),
      topic: topicOf(group, topic),
      queueId: index % QUEUES,
      commitOffset: 1,
    };
    return ask(client, { code: 15, fields });
  });
  return first + commits;
}

const topicOf = (group: number, index: number): string =>
  topicName((group * TOPICS_PER_GROUP + index) % TOPICS);

/** Waits until the broker has nothing left to write: no CPU to speak of for a while. */
async function settle(subject: Subject): Promise<number> {
  const startMs = performance.now();
  const cpuUs = (): number => readProcessUsage(subject.broker.pid)?.cpuUs ?? 0;
  for (let before = cpuUs(); performance.now() - startMs < SETTLE_MS_MAX;) {
    await pause(QUIET_MS);
    const now = cpuUs();
    if (now - before <= QUIET_CPU_US) return Math.round(performance.now() - startMs - QUIET_MS);
    before = now;
  }
  throw new Error(`the broker is still busy ${SETTLE_MS_MAX} ms after the last request`);
}

interface PacedSends {
  /** Stops, and returns what each send waited, in milliseconds, by the SLICE_MS in which it was sent. */
  stop(): Promise<number[][]>;
}

/** Sends at a steady rate, whatever the answers take. */
function pacedSends(
  subject: Subject,
  perSecond: number,
  next: (index: number) => [string, number],
): PacedSends {
  const slices: number[][] = [];
  const open = new Set<Promise<void>>();
  const startMs = performance.now();
  let count = 0;
  let failure: Error | null = null;
  const timer = setInterval(() => {
    const due = ((performance.now() - startMs) / 1000) * perSecond;
    for (; count < due; count++) {
      const [topic, queueId] = next(count);
      const sentMs = performance.now();
      const slice = (slices[Math.floor((sentMs - startMs) / SLICE_MS)] ??= []);
      const one = ask(
        subject.clients[count % subject.clients.length],
        sendRequest({ topic, queueId, body: 'x'.repeat(128) }),
      )
        .then(() => void slice.push(performance.now() - sentMs))
        .catch((error: unknown) => {
          failure = error as Error;
        })
        .finally(() => open.delete(one));
      open.add(one);
    }
  }, 1);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
      if (failure !== null) throw failure;
      return Object.values(slices);
    },
  };
}

/**
 * The two in turns, each round in another order. What counts is the median of the ratios of each slice's
 * p99 with many topics to each slice's with few (Hodges and Lehmann), which uses all of a noisy lot.
 */
async function pairedP99(
  few: Subject,
  many: Subject,
): Promise<{ text: string; peakHandles: number }> {
  let peakHandles = 0;
  const measure = async (subject: Subject): Promise<number[]> => {
    // The other one may still sync what its sends have left.
    await settle(few);
    await settle(many);
    let step = 0;
    const sends = pacedSends(subject, SENDS_PER_SECOND, () => {
      // A stride that visits all queues of all topics, far from each other.
      step = (step + 7919) % (subject.topicCount * QUEUES);
      return [topicName(Math.floor(step / QUEUES)), step % QUEUES];
    });
    await pause(WINDOW_MS);
    peakHandles = Math.max(peakHandles, handlesOf(many.broker.pid));
    // What is sent after the window's last whole slice makes none.
    const slices = (await sends.stop()).slice(0, Math.floor(WINDOW_MS / SLICE_MS));
    return slices.map((waits) => quantile(waits, 0.99));
  };
  await measure(few);
  await measure(many);
  const ofFew: number[] = [];
  const ofMany: number[] = [];
  const ratioOf = (): number =>
    quantile(
      ofMany.flatMap((m) => ofFew.map((f) => m / f)),
      0.5,
    );
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    for (let pair = 0; pair < PAIRS; pair++) {
      if (pair % 2 === 0) ofFew.push(...(await measure(few)));
      ofMany.push(...(await measure(many)));
      if (pair % 2 === 1) ofFew.push(...(await measure(few)));
    }
    if (ratioOf() <= P99_RATIO_MAX) break;
  }
  const ratio = ratioOf();
  const summary = (values: readonly number[]): string => {
    const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => round(quantile(values, share)));
    return `${middle} ms (quartiles ${low} and ${high})`;
  };
  const text = `${summary(ofMany)}, with ${FEW_TOPICS} topics ${summary(ofFew)}: ${round(ratio)} x in ${ofFew.length} slices each`;
  if (ratio > P99_RATIO_MAX) throw new Error(`p99 ${text}, above ${P99_RATIO_MAX} x`);
  return { text, peakHandles };
}

function checkHeld(subject: Subject, peakHandles: number): string {
  const rssAnonMib = Math.round(
    (readProcessUsage(subject.broker.pid)?.rssAnonBytes ?? 0) / 1048576,
  );
  if (rssAnonMib === 0) throw new Error('the memory of the broker is not known');
  if (rssAnonMib > RSS_ANON_MIB_MAX) throw new Error(`the broker takes ${rssAnonMib} MiB`);
  const handles = Math.max(peakHandles, handlesOf(subject.broker.pid));
  if (handles > HANDLES_MAX) throw new Error(`the broker has ${handles} files open`);
  return `${rssAnonMib} MiB, ${handles} handles`;
}

const handlesOf = (pid: number): number => fs.readdirSync(`/proc/${pid}/fd`).length;

/** After the restart every topic has its queues with a message each, and every group its offsets. */
async function checkKept(subject: Subject, port: number): Promise<void> {
  await ask(subject.clients[0], heartbeatRequest('kept', 'kept-reader', topicName(0)));
  await each(subject, TOPICS, async (client, index) => {
    const queueId = index % QUEUES;
    const pull = { ...pullRequest('kept-reader', topicName(index), queueId, 0) };
    const fields = { ...pull.fields, sysFlag: 4, subscription: '*' };
    const answer = await client.request({ ...pull, fields });
    if (answer.code !== 0 || !answer.body.includes(`body ${index * QUEUES + queueId}`))
      throw new Error(`the first message of ${topicName(index)} is answered ${answer.code}`);
    const topic = topicName(index);
    const { extFields: end } = await client.request({ code: 30, fields: { topic, queueId } });
    const { extFields: sent } = await client.request(sendRequest({ topic, body: 'more', queueId }));
    // What queries know comes from the ConsumeQueue, where a message goes from the writer.
    if (Number(end.get('offset')) < 1 || sent.get('queueOffset') !== end.get('offset'))
      throw new Error(
        `${topic} goes on at ${sent.get('queueOffset')}, not at ${end.get('offset')}`,
      );
  });
  await each(subject, GROUPS * TOPICS_PER_GROUP, async (client, index) => {
    const group = Math.floor(index / TOPICS_PER_GROUP);
    const topic = topicOf(group, index % TOPICS_PER_GROUP);
    const fields = { consumerGroup: groupName(group), topic, queueId: index % QUEUES };
    const answer = await client.request({ code: 14, fields });
    if (answer.extFields.get('offset') !== '1')
      throw new Error(
        `${groupName(group)} stands at ${answer.extFields.get('offset')} in ${topic}`,
      );
  });
  const nameServer = { ...subject, clients: await connect(port + 1) };
  await each(nameServer, TOPICS, async (client, index) => {
    const answer = await client.request({ code: 105, fields: { topic: topicName(index) } });
    if (answer.code !== 0) throw new Error(`${topicName(index)} has no route: ${answer.remark}`);
  });
  nameServer.clients.forEach((client) => client.close());
}

function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new Error('nothing was measured');
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

const round = (value: number): number => Math.round(value * 100) / 100;
