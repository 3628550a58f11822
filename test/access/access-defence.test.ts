/**
 * What an attacker tries against a broker with users: to guess, to flood, to replay, to register as a
 * broker; and what is left in the log of that, and of what administrators do.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Logger } from '../../src/base/logging.ts';
import { startNameServerProcess } from '../../src/cli/name-server-process.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { type EmbeddedBroker, startBroker } from '../../src/testing/index.ts';
import { RawClient, type RawRequest, sendRequest } from '../workers/raw-client.ts';
import { signed, type TestCredentials } from './signed-raw.ts';

const admin: TestCredentials = { accessKey: 'admin', secretKey: 'canary-admin' };
const inner: TestCredentials = { accessKey: 'cluster', secretKey: 'canary-cluster' };
const NO_PERMISSION = 16;

interface Line {
  level: string;
  message: string;
  [field: string]: unknown;
}

const registration = (fields: Record<string, string> = {}): RawRequest => ({
  code: 103,
  fields: {
    brokerName: 'thief',
    brokerAddr: '10.9.9.9:10911',
    clusterName: 'DefaultCluster',
    haServerAddr: '',
    brokerId: '0',
    ...fields,
  },
  body: Buffer.from(
    JSON.stringify({
      topicConfigSerializeWrapper: {
        dataVersion: { counter: 1, stateVersion: 0, timestamp: 1 },
        topicConfigTable: {},
      },
      filterServerList: [],
    }),
  ),
});

const changes: RawRequest[] = [
  registration(),
  { code: 104, fields: { brokerName: 'b', brokerAddr: 'x:1', clusterName: 'c', brokerId: '0' } },
  { code: 904, fields: { brokerName: 'b', brokerAddr: 'x:1', clusterName: 'c' } },
  { code: 322, fields: { brokerName: 'b', brokerAddr: 'x:1', clusterName: 'c', brokerId: '0' } },
  { code: 100, fields: { namespace: 'n', key: 'k', value: 'v' } },
  { code: 102, fields: { namespace: 'n', key: 'k' } },
  { code: 205, fields: { brokerName: 'b' } },
  { code: 327, fields: { brokerName: 'b' } },
  { code: 216, fields: { topic: 't' } },
  { code: 217, fields: { topic: 't' } },
];

const portOf = (address: string): number => Number(address.split(':').at(-1));

describe('a broker with users', () => {
  let broker: EmbeddedBroker;
  let lines: Line[];

  beforeEach(async () => {
    lines = [];
    const at =
      (level: string) =>
      (fields: object, message: string): void => {
        lines.push({ level, message, ...fields });
      };
    const logger: Logger = {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
    };
    broker = await startBroker({
      logger,
      authenticationEnabled: true,
      authorizationEnabled: true,
      initAuthenticationUser: { username: admin.accessKey, password: admin.secretKey },
      innerClientAuthenticationCredentials: inner,
      // As a broker has it that is no test's.
      waitTimeMillsInSendQueue: 200,
      topics: [],
    });
  });

  afterEach(async () => {
    await broker.close();
    if (JSON.stringify(lines).includes('canary')) throw new Error('a secret is in the log');
  });

  const connect = (): Promise<RawClient> => RawClient.connect(portOf(broker.address));

  test('guesses are taken at ten a second, and whoever was let in is not slowed down by them', async () => {
    const honest = await connect();
    expect((await honest.request(signed({ code: 26 }, admin))).code).toBe(0);
    const beganMs = performance.now();
    const attackers = await Promise.all(Array.from({ length: 20 }, connect));
    let guessed = 0;
    const guess = async (attacker: RawClient, attempt: number): Promise<void> => {
      const wrong = { ...admin, secretKey: `guess-${attempt}` };
      const { code } = await attacker.request(signed({ code: 26 }, wrong));
      if (code === NO_PERMISSION) guessed++;
    };
    for (const attacker of attackers) {
      for (let attempt = 0; attempt < 20; attempt++) {
        void guess(attacker, attempt);
      }
    }
    const startedMs = performance.now();
    let asked = 0;
    while (performance.now() - startedMs < 1500) {
      expect((await honest.request(signed({ code: 26 }, admin))).code).toBe(0);
      asked++;
    }
    const seconds = (performance.now() - startedMs) / 1000;
    expect(guessed).toBeGreaterThanOrEqual(5);
    expect(guessed).toBeLessThanOrEqual(5 + Math.ceil(seconds * 10));
    expect(asked).toBeGreaterThan(guessed * 2);
    // One that comes anew waits for a turn, but gets it.
    for (const attacker of attackers) attacker.close();
    const late = await connect();
    expect((await late.request(signed({ code: 26 }, admin))).code).toBe(0);
    for (const client of [honest, late]) client.close();
    const failures = lines.filter(({ message }) => message === 'authentication failed');
    expect(failures.length).toBeGreaterThan(0);
    const allSeconds = (performance.now() - beganMs) / 1000;
    expect(failures.length).toBeLessThanOrEqual(Math.ceil(allSeconds) + 1);
  });

  test('a trusted connection that guesses has to wait like any other', async () => {
    const client = await connect();
    expect((await client.request(signed({ code: 26 }, admin))).code).toBe(0);
    const startedMs = performance.now();
    for (let guess = 0; guess < 12; guess++)
      await client.request(signed({ code: 26 }, { ...inner, secretKey: `guess-${guess}` }));
    expect(performance.now() - startedMs).toBeGreaterThan(400);
    client.close();
  });

  test('a send that had to wait for its turn is not taken for one of a busy broker', async () => {
    const guesser = await connect();
    for (let guess = 0; guess < 6; guess++)
      await guesser.request(signed({ code: 26 }, { ...admin, secretKey: `guess-${guess}` }));
    guesser.close();
    const startedMs = performance.now();
    const clients = await Promise.all(Array.from({ length: 8 }, connect));
    const answers = await Promise.all(
      clients.flatMap((client) =>
        ['1', '2', '3'].map((body) =>
          client.request(signed(sendRequest({ topic: 't', body }), admin)),
        ),
      ),
    );
    expect(answers.map(({ code }) => code)).toEqual(answers.map(() => 0));
    // Longer than a send may wait for anything else.
    expect(performance.now() - startedMs).toBeGreaterThan(400);
    for (const client of clients) client.close();
  });

  test('a captured request is good for what it says and nothing else', async () => {
    const client = await connect();
    const captured = signed(sendRequest({ topic: 'paid', body: 'x' }), admin);
    expect((await client.request(captured)).code).toBe(0);
    const elsewhere = { ...captured, fields: { ...captured.fields, b: 'refunds' } };
    expect((await client.request(elsewhere)).code).toBe(NO_PERMISSION);
    client.close();
  });

  test('routes are for users, and only the cluster registers', async () => {
    const client = await RawClient.connect(portOf(broker.nameServer));
    for (const request of [...changes, { code: 105, fields: { topic: 'TBW102' } }, { code: 106 }])
      expect([request.code, (await client.request(request)).code]).toEqual([
        request.code,
        NO_PERMISSION,
      ]);
    const route = await client.request(signed({ code: 105, fields: { topic: 'TBW102' } }, admin));
    expect(route.code).toBe(0);
    expect((await client.request(signed(registration(), inner))).code).toBe(0);
    const known = await client.request(signed({ code: 106 }, admin));
    expect(known.body.toString()).toContain('thief');
    client.close();
  });

  test('each change leaves a line: what, by whom, from where, and how it ended', async () => {
    const client = await connect();
    const username = 'shop';
    const body = Buffer.from(JSON.stringify({ username, password: 'canary-shop' }));
    await client.request(signed({ code: 3001, fields: { username }, body }, admin));
    await client.request(signed({ code: 3001, fields: { username }, body }, admin));
    const shop = { accessKey: username, secretKey: 'canary-shop' };
    await client.request(signed({ code: 25, body: Buffer.from('a=b') }, shop));
    const topic = { topic: 'made', readQueueNums: 1, writeQueueNums: 1, perm: 6 };
    const create = { code: 17, fields: { ...topic, topicFilterType: 'SINGLE_TAG' } };
    await client.request(signed(create, admin));
    client.close();
    const audits = lines.filter(({ audit, by }) => audit !== undefined && by === 'admin');
    expect(audits).toMatchObject([
      { audit: 'createUser', username: 'shop', code: 0, message: 'administrative change' },
      { audit: 'createUser', username: 'shop', code: 16, message: 'administrative change refused' },
      { audit: 'updateTopic', topic: 'made', code: 0 },
    ]);
    expect(String(audits[0]['from'])).toMatch(/^127\.0\.0\.1:\d+$/);
    const denied = lines.find(({ message }) => message === 'request denied');
    expect(denied).toMatchObject({ user: 'shop', code: 25, denied: 'Cluster:DefaultCluster' });
  });
});

test('a name server alone takes changes from the cluster, and questions from everybody', async () => {
  const server = await startNameServerProcess(
    { listenAddress: '127.0.0.1', port: 0, credentials: inner },
    silentLogger,
  );
  const client = await RawClient.connect(server.ready.nameServerPort);
  for (const request of changes)
    expect([request.code, (await client.request(request)).code]).toEqual([
      request.code,
      NO_PERMISSION,
    ]);
  expect((await client.request(signed(registration(), inner))).code).toBe(0);
  expect((await client.request({ code: 106 })).body.toString()).toContain('thief');
  await using broker = await startBroker({
    nameServerAddresses: [`127.0.0.1:${server.ready.nameServerPort}`],
    innerClientAuthenticationCredentials: inner,
    brokerName: 'broker-of-the-cluster',
  });
  expect(broker.address).not.toBe('');
  const clusterInfo = async (): Promise<string> =>
    (await client.request({ code: 106 })).body.toString();
  await expect.poll(clusterInfo, { timeout: 10_000 }).toContain('broker-of-the-cluster');
  // Its own name server is protected in the same way, while the broker is open.
  const own = await RawClient.connect(portOf(broker.nameServer));
  expect((await own.request(registration())).code).toBe(NO_PERMISSION);
  expect((await own.request({ code: 106 })).code).toBe(0);
  const open = await RawClient.connect(portOf(broker.address));
  expect((await open.request(sendRequest({ topic: 'open', body: 'x' }))).code).toBe(0);
  for (const one of [client, own, open]) one.close();
  await broker.close();
  await server.close();
});
