/**
 * The brokers that a comparison runs: stock Apache RocketMQ, and Millrace as any command that starts
 * it. Each start is a process of its own on an empty store, timed from its spawn.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { RemotingClient } from '../../src/client/remoting-client.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import {
  prepareJava,
  startApacheBroker,
  startApacheNameServer,
} from '../../test/interop/apache-rocketmq.ts';
import { readProcessUsage } from './process-usage.ts';

export type Flush = 'async' | 'sync';

export interface StartOptions {
  /** Everything that the contender writes stays under it. */
  readonly directory: string;
  readonly brokerPort: number;
  readonly nameServerPort: number;
  readonly flush: Flush;
}

export interface RunningBroker {
  readonly pid: number;
  /** From the spawn of the broker to a port that accepts. */
  readonly acceptMs: number;
  /** From the spawn to the answer of a first send. */
  readonly firstSendMs: number;
  /** Anonymous memory of all its processes. */
  rssAnonBytes(): number;
  stop(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  start(options: StartOptions): Promise<RunningBroker>;
}

const START_TIMEOUT_MS = 90_000;
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 5;
const APACHE_HEAP_MB = 2048;
/**
 * Direct memory beyond the harness's small default, and the collector of Apache's own runbroker.sh. Its
 * AlwaysPreTouch is left out: it would only make the memory figures larger.
 */
const apacheJvmArguments = [
  '-XX:MaxDirectMemorySize=4g',
  '-XX:+UseG1GC',
  '-XX:G1HeapRegionSize=16m',
  '-XX:G1ReservePercent=25',
  '-XX:InitiatingHeapOccupancyPercent=30',
];

export const apache: Contender = {
  name: 'Apache RocketMQ 5.3.3',
  start: async (options) => {
    await requireFreePorts(options);
    // Maven, where it has to run, is no part of a start.
    prepareJava();
    const nameServer = await startApacheNameServer({
      port: options.nameServerPort,
      directory: path.join(options.directory, 'namesrv'),
      heapMb: 256,
    });
    const watches = [killAtExit(() => nameServer.kill())];
    const givenUp = new AbortController();
    const timed = timeStart(options.brokerPort, givenUp.signal);
    const started = startApacheBroker({
      brokerPort: options.brokerPort,
      nameServerAddress: `127.0.0.1:${options.nameServerPort}`,
      storeDirectory: path.join(options.directory, 'store'),
      directory: path.join(options.directory, 'broker'),
      brokerName: 'broker-a',
      flushDiskType: options.flush === 'sync' ? 'SYNC_FLUSH' : 'ASYNC_FLUSH',
      heapMb: APACHE_HEAP_MB,
      jvmArguments: apacheJvmArguments,
    });
    try {
      const [broker, start] = await Promise.all([started, timed]);
      watches.push(killAtExit(() => broker.kill()));
      return {
        ...start,
        pid: broker.pid,
        rssAnonBytes: () => rssAnonOf([broker.pid, nameServer.pid]),
        stop: async () => {
          await broker.stop();
          await nameServer.stop();
          for (const letBe of watches) letBe();
        },
      };
    } catch (error) {
      givenUp.abort();
      await started.then(
        (broker) => broker.kill(),
        () => {},
      );
      nameServer.kill();
      for (const letBe of watches) letBe();
      throw error;
    }
  },
};

/**
 * A command that starts a Millrace: the words in it are separated by spaces, and {store}, {brokerPort},
 * {nameServerPort} and {flush} are filled in. It must be the broker itself, not a shell around it:
 * CPU and memory are those of its process.
 */
export function commandContender(name: string, command: string): Contender {
  return {
    name,
    start: async (options) => {
      await requireFreePorts(options);
      const { child, ended, logFile } = spawnCommand(command, options);
      const letBe = killAtExit(() => child.kill('SIGKILL'));
      const givenUp = new AbortController();
      const stopped = ended.then((how): never => {
        throw new Error(
          `${name} ${how}; its log:\n${fs.readFileSync(logFile, 'utf8').slice(-2000)}`,
        );
      });
      try {
        const start = await Promise.race([timeStart(options.brokerPort, givenUp.signal), stopped]);
        const pid = child.pid ?? 0;
        return {
          ...start,
          pid,
          rssAnonBytes: () => rssAnonOf([pid]),
          stop: async () => {
            child.kill('SIGTERM');
            const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
            await ended;
            clearTimeout(timer);
            letBe();
          },
        };
      } catch (error) {
        givenUp.abort();
        child.kill('SIGKILL');
        letBe();
        throw error;
      }
    },
  };
}

function spawnCommand(
  command: string,
  options: StartOptions,
): { child: ChildProcess; ended: Promise<string>; logFile: string } {
  const values: Record<string, string> = {
    store: path.join(options.directory, 'store'),
    brokerPort: String(options.brokerPort),
    nameServerPort: String(options.nameServerPort),
    flush: options.flush,
  };
  const [program = '', ...words] = command
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => word.replaceAll(/\{(\w+)\}/g, (mark, key: string) => values[key] ?? mark));
  const logFile = path.join(options.directory, 'broker.log');
  const log = fs.openSync(logFile, 'w');
  const child = spawn(program === 'node' ? process.execPath : program, words, {
    stdio: ['ignore', log, log],
  });
  fs.closeSync(log);
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(`ended with ${code ?? signal}`));
    child.once('error', (error) => resolve(`can not be started: ${error.message}`));
  });
  return { child, ended, logFile };
}

/** What listens already would be taken for the broker. */
async function requireFreePorts(options: StartOptions): Promise<void> {
  for (const port of [options.brokerPort, options.nameServerPort]) {
    if (await accepts(port)) throw new Error(`port ${port} is in use`);
  }
}

/** No broker outlives this program; returns what ends the watch. */
function killAtExit(kill: () => void): () => void {
  const onExit = (): void => kill();
  process.once('exit', onExit);
  return () => process.removeListener('exit', onExit);
}

function rssAnonOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readProcessUsage(pid)?.rssAnonBytes ?? 0), 0);
}

/**
 * Times from now: until the port accepts, and until a message is acknowledged. `given` up, it ends with
 * an error that nobody waits for.
 */
async function timeStart(
  port: number,
  given: AbortSignal,
): Promise<{ acceptMs: number; firstSendMs: number }> {
  const startedMs = performance.now();
  const attempt = async (what: () => Promise<boolean>): Promise<number> => {
    for (;;) {
      const isDone = await what().catch(() => false);
      const tookMs = performance.now() - startedMs;
      if (isDone) return tookMs;
      if (given.aborted || tookMs > START_TIMEOUT_MS)
        throw new Error(`port ${port} takes no messages`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  const acceptMs = await attempt(() => accepts(port));
  const client = new RemotingClient({ address: `127.0.0.1:${port}` });
  try {
    return { acceptMs, firstSendMs: await attempt(() => createTopicAndSend(client)) };
  } finally {
    client.close();
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

const START_TOPIC = 'StartTopic';

async function createTopicAndSend(client: RemotingClient): Promise<boolean> {
  const created = await client.request({
    code: RequestCode.UPDATE_AND_CREATE_TOPIC,
    extFields: Object.entries({
      topic: START_TOPIC,
      defaultTopic: 'TBW102',
      readQueueNums: '1',
      writeQueueNums: '1',
      perm: '6',
      topicFilterType: 'SINGLE_TAG',
      topicSysFlag: '0',
      order: 'false',
    }),
  });
  if (created.code !== 0) return false;
  const sent = await client.request({
    code: RequestCode.SEND_MESSAGE_V2,
    extFields: Object.entries({
      a: 'load-producer',
      b: START_TOPIC,
      c: 'TBW102',
      d: '4',
      e: '0',
      f: '0',
      g: String(Date.now()),
      h: '0',
      i: 'WAIT\x01true\x02',
      j: '0',
      k: 'false',
      m: 'false',
    }),
    body: Buffer.from('first'),
  });
  return sent.code === 0;
}
