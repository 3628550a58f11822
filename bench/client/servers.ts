/**
 * The servers that clients are measured against: stock Apache RocketMQ 5.3.3 with its proxy, or this
 * Millrace. Stores lie under a directory of the run's own.
 */
import fs from 'node:fs';
import path from 'node:path';
import { RemotingClient } from '../../src/client/remoting-client.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import {
  accepting,
  type JavaProcess,
  prepareMaven,
  startApacheBroker,
  startApacheNameServer,
  startJava,
} from '../../test/interop/apache-rocketmq.ts';
import { startMillrace } from '../../test/interop/millrace-process.ts';

export interface Servers {
  readonly name: string;
  /** `host:port` of the name server. */
  readonly nameServer: string;
  /** Of the proxy that speaks gRPC; null where there is none. */
  readonly proxy: string | null;
  createTopic(topic: string): Promise<void>;
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly directory: string;
  /** The first of some free ports in a row. */
  readonly port: number;
  readonly hasProxy: boolean;
}

const QUEUE_COUNT = 8;
const java = path.join(import.meta.dirname, 'java');

/** Class path of the Java client, its program, and the proxy. */
export function prepareBenchJava(): string {
  return prepareMaven({ project: java, pom: 'pom.xml', sources: 'src', target: 'target' });
}

export async function startMillraceServers({ directory, port }: ServerOptions): Promise<Servers> {
  const ports = { brokerPort: port, nameServerPort: port + 1 };
  const broker = await startMillrace({ storeDirectory: path.join(directory, 'store'), ...ports });
  return {
    name: 'Millrace',
    nameServer: `127.0.0.1:${port + 1}`,
    proxy: null,
    createTopic: (topic) => createTopic(`127.0.0.1:${port}`, topic),
    stop: () => broker.stop(),
  };
}

export async function startApacheServers(options: ServerOptions): Promise<Servers> {
  const { directory, port } = options;
  const nameServer = `127.0.0.1:${port + 1}`;
  const started: JavaProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const server of started.splice(0).reverse()) await server.stop();
  };
  try {
    started.push(
      await startApacheNameServer({ port: port + 1, directory: path.join(directory, 'namesrv') }),
    );
    started.push(
      await startApacheBroker({
        // Its VIP port is two below, that of its slaves one above.
        brokerPort: port + 5,
        nameServerAddress: nameServer,
        storeDirectory: path.join(directory, 'store'),
        directory: path.join(directory, 'broker'),
        brokerName: 'broker-a',
        heapMb: 1024,
        // A send that waits longer than 200 ms for its turn would be refused; here clients wait.
        properties: { waitTimeMillsInSendQueue: 5000 },
      }),
    );
    if (options.hasProxy) started.push(await startProxy(options, nameServer));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: 'Apache RocketMQ 5.3.3',
    nameServer,
    proxy: options.hasProxy ? `127.0.0.1:${port + 8}` : null,
    createTopic: (topic) => createTopic(`127.0.0.1:${port + 5}`, topic),
    stop,
  };
}

/** In cluster mode: a process of its own in front of the broker. */
async function startProxy(
  { directory, port }: ServerOptions,
  nameServer: string,
): Promise<JavaProcess> {
  const home = path.join(directory, 'proxy');
  const file = path.join(home, 'rmq-proxy.json');
  const settings = {
    rocketMQClusterName: 'DefaultCluster',
    proxyMode: 'CLUSTER',
    namesrvAddr: nameServer,
    localServeAddr: '127.0.0.1',
    grpcServerPort: port + 8,
    remotingListenPort: port + 9,
  };
  fs.mkdirSync(home, { recursive: true });
  fs.writeFileSync(file, JSON.stringify(settings));
  const proxy = startJava({
    main: 'org.apache.rocketmq.proxy.ProxyStartup',
    arguments: ['-pc', file],
    classPath: prepareBenchJava(),
    directory: home,
    heapMb: 512,
    name: 'proxy',
  });
  try {
    await accepting(port + 8, proxy);
  } catch (error) {
    proxy.kill();
    throw error;
  }
  return proxy;
}

async function createTopic(broker: string, topic: string): Promise<void> {
  const client = new RemotingClient({ address: broker });
  try {
    const { code, remark } = await client.request({
      code: RequestCode.UPDATE_AND_CREATE_TOPIC,
      extFields: Object.entries({
        topic,
        defaultTopic: 'TBW102',
        readQueueNums: String(QUEUE_COUNT),
        writeQueueNums: String(QUEUE_COUNT),
        perm: '6',
        topicFilterType: 'SINGLE_TAG',
        topicSysFlag: '0',
        order: 'false',
      }),
    });
    if (code !== 0) throw new Error(`${topic} was not created: ${code} ${remark ?? ''}`);
  } finally {
    client.close();
  }
}
