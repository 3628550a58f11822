/** What tests of clients share: a real broker on a store of its own, and a fake one that is scripted. */
import fs from 'node:fs';
import type net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import { ConnectedCore, type CoreOptions } from '../../src/client/connected-core.ts';
import '../../src/client/index.ts';
import { readRecords, type StoredMessage } from '../../src/client/record-reader.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import {
  type Answer,
  encodeAnswer,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';
import { startTestBroker } from '../workers/test-broker.ts';
import { type FrameServer, startFrameServer } from './frame-server.ts';

/** A broker of this process; returns the address of its name server. */
export async function startRealBroker(
  overrides: Partial<BrokerConfig> = {},
): Promise<{ servers: string; close(): Promise<void> }> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-client-'));
  const broker = await startTestBroker(directory, { threads: 'inline', ...overrides });
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => (closing ??= broker.close());
  onTestFinished(async () => {
    await close();
    fs.rmSync(directory, { recursive: true });
  });
  return { servers: `127.0.0.1:${broker.ready.nameServerPort}`, close };
}

export function openCore(options: CoreOptions): ConnectedCore {
  const core = new ConnectedCore({ timeoutMs: 15_000, ...options });
  onTestFinished(() => core.close());
  return core;
}

/** Every message of a topic, queue by queue, in the order of its queues. */
export async function readTopic(servers: string, topic: string): Promise<StoredMessage[]> {
  const core = openCore({ servers });
  const { readQueues } = await core.route(topic, { fresh: true });
  await core.setConsumer({
    groupName: 'reader',
    consumeType: 'CONSUME_ACTIVELY',
    messageModel: 'CLUSTERING',
    consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    subscriptionDataSet: [],
  });
  const messages: StoredMessage[] = [];
  for (const queue of readQueues) {
    for (let queueOffset = 0; ;) {
      const answer = await core.ask(core.masterAddress(queue.brokerName), {
        code: RequestCode.PULL_MESSAGE,
        fields: {
          consumerGroup: 'reader',
          topic,
          queueId: queue.queueId,
          queueOffset,
          maxMsgNums: 32,
          // The subscription comes with the request.
          sysFlag: 4,
          commitOffset: 0,
          suspendTimeoutMillis: 0,
          subscription: '*',
          subVersion: 0,
          expressionType: 'TAG',
        },
      });
      const found = await readRecords(answer.body, queue);
      if (found.length === 0) break;
      messages.push(...found);
      queueOffset += found.length;
    }
  }
  await core.close();
  return messages;
}

export interface ScriptedBroker {
  readonly server: FrameServer;
  /** Requests of a code so far. */
  received(code: number): RemotingCommand[];
}

type Script = (request: RemotingCommand, socket: net.Socket) => Answer | null;

/** Name server and broker at one address: two queues of any topic; what else it says is the script's. */
export async function startScriptedBroker(
  script: Script,
  options: { brokerName?: string; route?: () => object; port?: number } = {},
): Promise<ScriptedBroker> {
  const server = await startFrameServer(
    (request, socket) => {
      const answer = script(request, socket) ?? standardAnswer(request);
      if (answer !== null && (request.flag & 2) === 0) socket.write(encodeAnswer(request, answer));
    },
    options.port === undefined ? {} : { port: options.port },
  );
  onTestFinished(() => server.close());
  const { brokerName = 'broker-a' } = options;
  const standardAnswer = (request: RemotingCommand): Answer | null => {
    if (request.code === RequestCode.GET_ROUTEINFO_BY_TOPIC) {
      const route = options.route?.() ?? routeOf([[brokerName, server.address]]);
      return { code: 0, body: Buffer.from(JSON.stringify(route)) };
    }
    const isGreeting =
      request.code === RequestCode.HEART_BEAT || request.code === RequestCode.UNREGISTER_CLIENT;
    return isGreeting ? { code: 0 } : null;
  };
  return { server, received: (code) => server.received.filter((one) => one.code === code) };
}

/** TopicRouteData of brokers by name and address, two queues on each. */
export function routeOf(brokers: readonly (readonly [name: string, address: string])[]): object {
  return {
    brokerDatas: brokers.map(([brokerName, address]) => ({
      brokerAddrs: { 0: address },
      brokerName,
      cluster: 'DefaultCluster',
    })),
    filterServerTable: {},
    queueDatas: brokers.map(([brokerName]) => ({
      brokerName,
      perm: 6,
      readQueueNums: 2,
      topicSysFlag: 0,
      writeQueueNums: 2,
    })),
  };
}

/** The answer that a broker gives to a send. */
export function sendAnswer(queueOffset = 0): Answer {
  return {
    code: 0,
    extFields: [
      ['msgId', '7F00000100002A9F000000000000016C'],
      ['queueId', '0'],
      ['queueOffset', String(queueOffset)],
    ],
  };
}
