/**
 * @agent any
 *
 * A real broker inside a test: the same agents, sockets and files as ever, all on the caller's thread, on
 * ports that were free, in a temporary directory that goes with it. Loads no native code.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type BrokerConfig, defaultBrokerConfig } from '../base/broker-config.ts';
import { type Logger, silentLogger } from '../base/logging.ts';
import {
  type BrokerProcess,
  startBrokerProcess,
  type Surroundings,
} from '../cli/broker-process.ts';
import { RemotingClient } from '../client/remoting-client.ts';
import { Perm } from '../protocol/perm.ts';
import { RequestCode } from '../protocol/codes.ts';
import { seededRandom } from './seeded-random.ts';
import type { VirtualWallClock } from './virtual-clock.ts';

export interface StartBrokerOptions extends Partial<Omit<BrokerConfig, 'threads' | 'storeKind'>> {
  /** Decides what time it is; without one it is the machine's. One clock may serve several brokers. */
  clock?: VirtualWallClock;
  /** With it, whatever the broker leaves to chance is the same in each run. */
  seed?: number;
  /** Topics that are there from the start: what subscribes to a topic before anybody sends finds it. */
  topics?: readonly string[];
  /** Silent unless given. */
  logger?: Logger;
}

/** Two of them are made at a start; a message of 4 MiB fits. */
const SEGMENT_BYTES = 8 * 1024 * 1024;
/** Nothing waits for a disk, so what only counts once it is flushed need not wait either. */
const FLUSH_INTERVAL_MS = 5;

/** The program's own work may hold up the thread that they share: no reason to refuse its sends. */
const SEND_WAIT_MS = 30_000;

/** Directories that are still there if the program ends first. */
const temporaryDirectories = new Set<string>();
const removeAll = (): void => {
  for (const directory of temporaryDirectories) removeDirectory(directory);
};

export class EmbeddedBroker implements AsyncDisposable {
  /** host:port of the broker itself. */
  readonly address: string;
  /** What clients are given: host:port of its name server. */
  readonly nameServer: string;
  /** For clients that speak WebSocket, where a `webPort` was asked for (0: any that is free); else null. */
  readonly webUrl: string | null;
  /** Resolves with the cause if the broker can't go on. */
  readonly failed: Promise<Error>;
  readonly #close: () => Promise<void>;
  #closing: Promise<void> | null = null;

  constructor(process: BrokerProcess, host: string, close: () => Promise<void>) {
    const { brokerPort, nameServerPort, webPort } = process.ready;
    this.address = `${host}:${brokerPort}`;
    this.nameServer = nameServerPort === null ? '' : `${host}:${nameServerPort}`;
    this.webUrl = webPort === null ? null : `ws://${host}:${webPort}`;
    this.failed = process.failed;
    this.#close = close;
  }

  /** Stops the broker in order and removes its store. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Starts a broker and its name server for a test. Any setting of a broker may be given; a `storeDirectory`
 * that is given stays when the broker is closed.
 */
export async function startBroker(options: StartBrokerOptions = {}): Promise<EmbeddedBroker> {
  const { clock, seed, topics = [], logger = silentLogger, ...overrides } = options;
  const storeDirectory = overrides.storeDirectory ?? makeDirectory();
  const isOurs = overrides.storeDirectory === undefined;
  const config: BrokerConfig = {
    ...defaultBrokerConfig(),
    brokerName: 'broker-test',
    brokerPort: 0,
    nameServerPort: 0,
    // None: it takes time to load. The library that is no native code, where one is asked for.
    webPort: -1,
    webLibrary: 'ws',
    segmentBytes: SEGMENT_BYTES,
    flushIntervalMs: FLUSH_INTERVAL_MS,
    waitTimeMillsInSendQueue: SEND_WAIT_MS,
    ...overrides,
    storeDirectory,
    storeKind: 'plain',
    threads: 'inline',
  };
  const surroundings: Partial<Surroundings> = { isStoreTemporary: true };
  if (clock !== undefined) {
    surroundings.wallClock = clock;
    surroundings.advanceClock = (millis) => clock.advance(millis);
  }
  if (seed !== undefined) surroundings.random = seededRandom(seed);
  try {
    const process = await startBrokerProcess(config, logger, surroundings);
    if (topics.length > 0) {
      await createTopics(process.ready.brokerPort, config, topics).catch(async (error: unknown) => {
        await process.close();
        throw error;
      });
    }
    const leave = clock?.join(process.timekeeping);
    return new EmbeddedBroker(process, config.listenAddress, async () => {
      leave?.();
      await process.close();
      if (isOurs) removeDirectory(storeDirectory);
    });
  } catch (error) {
    if (isOurs) removeDirectory(storeDirectory);
    throw error;
  }
}

async function createTopics(
  port: number,
  config: BrokerConfig,
  topics: readonly string[],
): Promise<void> {
  const client = new RemotingClient({ address: `${config.listenAddress}:${port}` });
  try {
    for (const topic of topics) {
      const queues = String(config.defaultTopicQueueNums);
      const answer = await client.request({
        code: RequestCode.UPDATE_AND_CREATE_TOPIC,
        extFields: [
          ['topic', topic],
          ['readQueueNums', queues],
          ['writeQueueNums', queues],
          ['perm', String(Perm.READ | Perm.WRITE)],
          ['topicFilterType', 'SINGLE_TAG'],
        ],
      });
      if (answer.code !== 0) throw new Error(`topic ${topic}: ${answer.remark}`);
    }
  } finally {
    client.close();
  }
}

function makeDirectory(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), `millrace-embedded-${process.pid}-`));
  if (temporaryDirectories.size === 0) process.on('exit', removeAll);
  temporaryDirectories.add(directory);
  return directory;
}

function removeDirectory(directory: string): void {
  fs.rmSync(directory, { recursive: true, force: true });
  temporaryDirectories.delete(directory);
  if (temporaryDirectories.size === 0) process.off('exit', removeAll);
}
