/**
 * A registration with name servers that are the real one behind real sockets: what they know after
 * changes, losses and refusals.
 */
import { afterEach, expect, test, vi } from 'vitest';
import { systemMonotonicClock, systemWallClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { BrokerRegistration } from '../../src/client/broker-registration.ts';
import { NameServer } from '../../src/nameserver/name-server.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import { decodeRegisterBody } from '../../src/protocol/register-body.ts';
import { encodeAnswer, type RemotingCommand } from '../../src/protocol/remoting-command.ts';
import type { TopicChanges } from '../../src/protocol/topic-config.ts';
import { topicConfig } from '../nameserver/registration.ts';
import { type FrameServer, startFrameServer } from './frame-server.ts';

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const resource of opened.splice(0).reverse()) await resource.close();
});

async function startNameServer(port = 0): Promise<FrameServer & { topics(): string[] }> {
  const nameServer = new NameServer({
    monotonicClock: systemMonotonicClock,
    wallClock: systemWallClock,
    logger: silentLogger,
  });
  const peer = { id: 0, remoteAddress: '127.0.0.1:1', localAddress: '127.0.0.1' };
  const server = await startFrameServer(
    (request, socket, id) => {
      const answer = nameServer.onRequest(request, { ...peer, id });
      if (answer !== null) socket.write(encodeAnswer(request, answer));
    },
    { port, onClose: (id) => nameServer.onConnectionClosed(id) },
  );
  opened.push(server);
  const list = {
    code: RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
    extFields: new Map(),
    flag: 0,
  } as unknown as RemotingCommand;
  const topics = (): string[] => {
    const body = Buffer.from(nameServer.onRequest(list, peer)?.body ?? []).toString();
    return (JSON.parse(body) as { topicList: string[] }).topicList;
  };
  return { ...server, topics };
}

function register(nameServers: string[], options: object = {}): BrokerRegistration {
  const registration = new BrokerRegistration({
    nameServers,
    identity: {
      clusterName: 'c1',
      brokerName: 'broker-a',
      brokerId: 0,
      address: '10.0.0.2:10911',
      haServerAddress: '10.0.0.2:10912',
    },
    logger: silentLogger,
    retryMs: 20,
    ...options,
  });
  opened.push(registration);
  return registration;
}

function changes(...names: string[]): TopicChanges {
  const topics = names.map((topicName) => topicConfig(topicName));
  return { topics, deleted: [] };
}

const version = (
  counter: number,
): { counter: number; stateVersion: number; timestamp: number } => ({
  counter,
  stateVersion: 0,
  timestamp: 5,
});

function toldTopics(server: FrameServer): string[][] {
  return server.received
    .filter(({ code }) => code === RequestCode.REGISTER_BROKER)
    .map(({ body, version }) =>
      decodeRegisterBody(body, false, version).topics.map(({ topicName }) => topicName),
    );
}

test('every name server knows the topics, though one of them is down', async () => {
  const [first, second] = [await startNameServer(), await startNameServer()];
  const registration = register([first.address, '127.0.0.1:1', second.address]);
  registration.update(changes('a', 'b'), version(1));
  await vi.waitFor(() => {
    expect(first.topics()).toEqual(['a', 'b']);
    expect(second.topics()).toEqual(['a', 'b']);
  });
});

test('a change is told by the changed topic alone', async () => {
  const server = await startNameServer();
  const registration = register([server.address]);
  registration.update(changes('a', 'b'), version(1));
  await vi.waitFor(() => expect(server.topics()).toEqual(['a', 'b']));
  registration.update(changes('c'), version(2));
  await vi.waitFor(() => expect(server.topics()).toEqual(['a', 'b', 'c']));
  expect(toldTopics(server)).toEqual([['a', 'b'], ['c']]);
});

test('changes that come while one is told are told together', async () => {
  const server = await startNameServer();
  const registration = register([server.address]);
  registration.update(changes('t0', 't1'), version(1));
  for (let count = 2; count < 50; count++) {
    registration.update(changes(`t${count}`), version(count));
  }
  await vi.waitFor(() => expect(server.topics()).toHaveLength(50));
  expect(toldTopics(server).length).toBeLessThanOrEqual(2);
});

test('after a deletion all topics that are left are told, and nothing of what is gone', async () => {
  const server = await startNameServer();
  const registration = register([server.address]);
  registration.update(changes('a', 'b'), version(1));
  await vi.waitFor(() => expect(toldTopics(server)).toHaveLength(1));
  registration.update({ topics: [], deleted: ['a'] }, version(2));
  await vi.waitFor(() => expect(toldTopics(server)).toHaveLength(2));
  expect(toldTopics(server)[1]).toEqual(['b']);
});

test('all topics are told again as a sign of life', async () => {
  const server = await startNameServer();
  register([server.address], { intervalMs: 10 }).update(changes('a', 'b'), version(1));
  await vi.waitFor(() => expect(toldTopics(server).length).toBeGreaterThanOrEqual(3));
  expect(toldTopics(server)[2]).toEqual(['a', 'b']);
});

test('a name server that lost the connection, or started anew, knows everything soon', async () => {
  const server = await startNameServer();
  register([server.address]).update(changes('a', 'b'), version(1));
  await vi.waitFor(() => expect(server.topics()).toEqual(['a', 'b']));
  server.disconnectAll();
  await vi.waitFor(() => expect(toldTopics(server)).toHaveLength(2));
  await vi.waitFor(() => expect(server.topics()).toEqual(['a', 'b']));
  await server.close();
  const again = await startNameServer(server.port);
  await vi.waitFor(() => expect(again.topics()).toEqual(['a', 'b']));
});

test('where a part is refused, all is told at once', async () => {
  const server = await startFrameServer((request, socket) => {
    const isPart = toldTopics(server).at(-1)?.length === 1;
    socket.write(encodeAnswer(request, { code: isPart ? 1 : 0 }));
  });
  opened.push(server);
  const registration = register([server.address], { retryMs: 60_000 });
  registration.update(changes('a', 'b'), version(1));
  await vi.waitFor(() => expect(toldTopics(server)).toHaveLength(1));
  // Once more, so that the answer to the first is known to have come.
  registration.update(changes('a', 'b'), version(2));
  await vi.waitFor(() => expect(toldTopics(server)).toHaveLength(2));
  registration.update(changes('c'), version(3));
  await vi.waitFor(() => expect(toldTopics(server).at(-1)).toEqual(['a', 'b', 'c']));
  expect(toldTopics(server).at(-2)).toEqual(['c']);
});

test('close takes the broker out of name servers, and does not wait for one that is silent', async () => {
  const server = await startNameServer();
  const silent = await startFrameServer(() => {});
  opened.push(silent);
  const registration = register([server.address, silent.address]);
  registration.update(changes('a', 'b'), version(1));
  await vi.waitFor(() => expect(server.topics()).toEqual(['a', 'b']));
  await registration.close();
  expect(server.topics()).toEqual([]);
});
