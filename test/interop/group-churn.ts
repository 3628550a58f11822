/**
 * 20 consumers of the stock Java client over 64 queues, half in order and half concurrent, which join,
 * leave and are killed at random under 5,000 messages a second. Nothing may be lost, no queue may have
 * two lock holders, a holder's queue never steps back, and what comes twice comes from where the group
 * had committed: see `churn-check.ts`. Clients reach the broker through a witness at 127.0.0.2.
 */
import { setTimeout as pause } from 'node:timers/promises';
import fs from 'node:fs';
import path from 'node:path';
import { RawClient, sendRequest } from '../workers/raw-client.ts';
import {
  type JavaProcess,
  startApacheBroker,
  startApacheNameServer,
  startJava,
} from './apache-rocketmq.ts';
import { checkChurn, readBatches } from './churn-check.ts';
import { LockWitness } from './lock-witness.ts';
import { startMillrace } from './millrace-process.ts';

const TOPIC = 'Churn';
const QUEUES = 64;
const PROCESSES = 5;
/** Of each group in each process. */
const CONSUMERS = 2;
const HEAP_MB = 48;
const WITNESS_HOST = '127.0.0.2';

const SENDS_PER_SECOND = 5000;
const SEND_CONNECTIONS = 4;
/** Of what was asked for: the machine is full of virtual machines. */
const SEND_RATE_SHARE_MIN = 0.95;
/** Between two kills: each is followed by the start of another process, which costs seconds of CPU. */
const KILL_PAUSE_MS = [4000, 9000] as const;
/** The locks of a consumer that was killed are given on after a minute; it is not waited for twice. */
const LAST_KILL_BEFORE_END_MS = 20_000;
/** Refused, and not stored, since it waited for 200 ms: a machine that is busy elsewhere. */
const BUSY = 2;
const BUSY_PAUSE_MS = 50;
const DRAIN_TIMEOUT_MS = 180_000;
const FINISH_TIMEOUT_MS = 40_000;

export interface GroupChurnOptions {
  directory: string;
  port: number;
  nameServerPort: number;
  seconds: number;
  against: 'millrace' | 'apache';
  seed?: number;
}

export async function groupChurn(options: GroupChurnOptions): Promise<string> {
  const servers = await startServers(options);
  const witness = await LockWitness.listen(WITNESS_HOST, options.port);
  const seed = options.seed ?? Date.now() % 1_000_000;
  const consumers = new Consumers(options, seed);
  try {
    const producer = await startProducer(options.port);
    for (let index = 0; index < PROCESSES; index++) consumers.start();
    await consumers.churn(options.seconds * 1000);
    const acknowledged = await producer.stop();
    consumers.tell('settle');
    const drainMs = await drained(options.port, acknowledged);
    await consumers.finish();
    const batches = readBatches(consumers.logFiles, acknowledged);
    const report = checkChurn(batches, acknowledged, witness);
    const sentCount = acknowledged.reduce((sum, queue) => sum + queue.length, 0);
    const wantedCount = SENDS_PER_SECOND * options.seconds * SEND_RATE_SHARE_MIN;
    if (sentCount < wantedCount)
      throw new Error(`only ${sentCount} messages were sent: the test did not test what it says`);
    if (consumers.killCount === 0 || report.stintCount <= QUEUES)
      throw new Error('nobody came and went: the test tested nothing');
    return [
      `${sentCount} messages to each of 2 groups in ${options.seconds} s, drained ${drainMs} ms later, seed ${seed}`,
      `${report.instanceCount} consumers came and went, ${consumers.killCount} processes killed`,
      `${witness.grantCount} locks granted, ${report.stintCount} times a queue changed hands, none had two holders`,
      `delivered again: orderly ${report.duplicateCount.orderly}, concurrent ${report.duplicateCount.concurrent}, all from a committed offset on`,
    ].join('\n        ');
  } catch (error) {
    if (error instanceof Error) error.message += ` (seed ${seed})`;
    throw error;
  } finally {
    consumers.killAll();
    witness.close();
    for (const server of servers.reverse()) await server.stop();
  }
}

async function startServers(options: GroupChurnOptions): Promise<{ stop(): Promise<void> }[]> {
  const { directory, port, nameServerPort } = options;
  const storeDirectory = path.join(directory, 'store');
  if (options.against === 'millrace') {
    const advertised = ['--advertise', `${WITNESS_HOST}:${port}`];
    return [
      await startMillrace({
        storeDirectory,
        brokerPort: port,
        nameServerPort,
        arguments: advertised,
      }),
    ];
  }
  const nameServer = await startApacheNameServer({
    port: nameServerPort,
    directory: path.join(directory, 'ns'),
  });
  const broker = await startApacheBroker({
    brokerPort: port,
    nameServerAddress: `127.0.0.1:${nameServerPort}`,
    storeDirectory,
    directory: path.join(directory, 'broker'),
    brokerName: 'apache-a',
    properties: { brokerIP1: WITNESS_HOST },
  });
  return [nameServer, broker];
}

/** The processes that consume. */
class Consumers {
  readonly logFiles: string[] = [];
  killCount = 0;
  readonly #options: GroupChurnOptions;
  readonly #random: () => number;
  readonly #running: JavaProcess[] = [];

  constructor(options: GroupChurnOptions, seed: number) {
    this.#options = options;
    this.#random = randomFrom(seed);
  }

  start(): void {
    const { directory, nameServerPort } = this.#options;
    const name = `consumers-${this.logFiles.length}`;
    const seed = Math.floor(this.#random() * 1e9);
    const process = startJava({
      main: 'millrace.ChurnConsumers',
      arguments: [
        `127.0.0.1:${nameServerPort}`,
        TOPIC,
        name,
        String(CONSUMERS),
        String(seed),
        directory,
      ],
      directory,
      heapMb: HEAP_MB,
      // Most of them live for seconds.
      jvmArguments: ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xss256k'],
      name,
    });
    this.#running.push(process);
    this.logFiles.push(process.logFile);
  }

  /** Kills one after the other and starts another in its place. */
  async churn(durationMs: number): Promise<void> {
    const [pauseMinMs, pauseMaxMs] = KILL_PAUSE_MS;
    const endMs = performance.now() + durationMs;
    for (;;) {
      await pause(pauseMinMs + this.#random() * (pauseMaxMs - pauseMinMs));
      if (performance.now() > endMs - LAST_KILL_BEFORE_END_MS) break;
      const [victim] = this.#running.splice(Math.floor(this.#random() * PROCESSES), 1);
      victim.kill();
      await victim.ended;
      this.killCount++;
      this.start();
    }
    await pause(Math.max(0, endMs - performance.now()));
  }

  tell(what: 'settle' | 'finish'): void {
    fs.writeFileSync(path.join(this.#options.directory, what), '');
  }

  async finish(): Promise<void> {
    this.tell('finish');
    const timer = setTimeout(() => this.killAll(), FINISH_TIMEOUT_MS);
    const codes = await Promise.all(this.#running.map((process) => process.ended));
    clearTimeout(timer);
    if (codes.some((code) => code !== 0))
      throw new Error(`consumers ended with ${codes.join(', ')}: ${this.logFiles.join(' ')}`);
  }

  killAll(): void {
    for (const process of this.#running) process.kill();
  }
}

interface Producer {
  /** By queue: the number of the message at each offset. */
  stop(): Promise<number[][]>;
}

/** Sends numbered messages to all queues in turn, at a steady rate. */
async function startProducer(port: number): Promise<Producer> {
  const clients = await Promise.all(
    Array.from({ length: SEND_CONNECTIONS }, () => RawClient.connect(port)),
  );
  const created = await clients[0].request({
    code: 17,
    fields: {
      topic: TOPIC,
      defaultTopic: 'TBW102',
      readQueueNums: QUEUES,
      writeQueueNums: QUEUES,
      perm: 6,
      topicFilterType: 'SINGLE_TAG',
      topicSysFlag: 0,
      order: 'false',
    },
  });
  if (created.code !== 0) throw new Error(`the topic is refused: ${created.remark}`);
  const acknowledged = Array.from({ length: QUEUES }, (): number[] => []);
  const open = new Set<Promise<void>>();
  let failure: Error | null = null;
  const send = async (number: number): Promise<void> => {
    const queueId = number % QUEUES;
    const request = sendRequest({ topic: TOPIC, queueId, body: String(number) });
    let answer = await clients[number % SEND_CONNECTIONS].request(request);
    while (answer.code === BUSY) {
      await pause(BUSY_PAUSE_MS);
      answer = await clients[number % SEND_CONNECTIONS].request(request);
    }
    const offset = Number(answer.extFields.get('queueOffset'));
    if (answer.code !== 0)
      failure ??= new Error(`a send is answered ${answer.code}: ${answer.remark}`);
    else if (acknowledged[queueId][offset] !== undefined)
      failure ??= new Error(`offset ${offset} of queue ${queueId} was given to two messages`);
    else acknowledged[queueId][offset] = number;
  };
  const startMs = performance.now();
  let count = 0;
  const timer = setInterval(() => {
    const due = ((performance.now() - startMs) / 1000) * SENDS_PER_SECOND;
    while (count < due) {
      const one = send(count++).finally(() => open.delete(one));
      open.add(one);
    }
  }, 5);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
      clients.forEach((client) => client.close());
      if (failure !== null) throw failure;
      return acknowledged.map((queue) => Array.from(queue, (number) => number ?? -1));
    },
  };
}

/** Waits until both groups have committed all that was acknowledged; milliseconds. */
async function drained(port: number, acknowledged: readonly number[][]): Promise<number> {
  const client = await RawClient.connect(port);
  const startMs = performance.now();
  let missing = '';
  while (performance.now() - startMs < DRAIN_TIMEOUT_MS) {
    missing = await firstNotCommitted(client, acknowledged);
    if (missing === '') {
      client.close();
      return Math.round(performance.now() - startMs);
    }
    await pause(500);
  }
  throw new Error(`not consumed after ${DRAIN_TIMEOUT_MS} ms: ${missing}`);
}

async function firstNotCommitted(
  client: RawClient,
  acknowledged: readonly number[][],
): Promise<string> {
  for (const group of ['orderly', 'concurrent']) {
    for (let queueId = 0; queueId < QUEUES; queueId++) {
      const fields = { consumerGroup: group, topic: TOPIC, queueId };
      const answer = await client.request({ code: 14, fields });
      const offset = Number(answer.extFields.get('offset') ?? 0);
      if (offset < acknowledged[queueId].length)
        return `group ${group} stands at ${offset} of ${acknowledged[queueId].length} in queue ${queueId}`;
    }
  }
  return '';
}

/** mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
