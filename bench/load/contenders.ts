/**
 * The brokers that a comparison runs: stock Apache RocketMQ, and Millrace as any command that starts
 * it. Each start is a process of its own on an empty store, timed from its spawn.
 */
import path from 'node:path';
import { RemotingClient } from '../../src/client/remoting-client.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import {
  prepareJava,
  startApacheBroker,
  startApacheNameServer,
} from '../../test/interop/apache-rocketmq.ts';
import {
  type Contender,
  killAtExit,
  processContender,
  requireFreePorts,
  rssAnonOf,
  timeStart,
} from './contender-process.ts';

export type { Contender, Flush, RunningBroker, StartOptions } from './contender-process.ts';

const millraceCommand = (main: string): string =>
  `node --max-semi-space-size=2 ${new URL(`../../${main}`, import.meta.url).pathname} start --store-dir {store} --broker-port {brokerPort} --name-server-port {nameServerPort} --web-port 0 --flush {flush}`;

/** Millrace of this checkout as `npm start` starts it; {…} is filled in for each start. */
export const MILLRACE_COMMAND = millraceCommand('src/cli/main.ts');

/** As it is when it is installed; `npm run build` must have made it. */
export const BUILT_MILLRACE_COMMAND = millraceCommand('dist/cli/main.js');

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
  protocol: 'rocketmq',
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
    const timed = timeStart(options.brokerPort, givenUp.signal, sendFirst);
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
        // With 50,000 queues it takes 40 s to stop.
        discard: async () => {
          for (const server of [broker, nameServer]) {
            server.kill();
            await server.ended;
          }
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
 * CPU and memory are those of its process. `environment` comes beside the variables of this program.
 */
export function commandContender(
  name: string,
  command: string,
  environment: Readonly<Record<string, string>> = {},
): Contender {
  return processContender({
    name,
    protocol: 'rocketmq',
    environment,
    command: (options) => {
      const values: Record<string, string> = {
        store: path.join(options.directory, 'store'),
        brokerPort: String(options.brokerPort),
        nameServerPort: String(options.nameServerPort),
        flush: options.flush,
      };
      return command
        .split(/\s+/)
        .filter((word) => word !== '')
        .map((word) => word.replaceAll(/\{(\w+)\}/g, (mark, key: string) => values[key] ?? mark));
    },
    sendFirst,
  });
}

async function sendFirst(port: number): Promise<boolean> {
  const client = new RemotingClient({ address: `127.0.0.1:${port}` });
  try {
    return await createTopicAndSend(client);
  } finally {
    client.close();
  }
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
