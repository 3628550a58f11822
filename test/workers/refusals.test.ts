/**
 * Every cause for which a broker refuses something is a line of /metrics, and what should be counted as one
 * is. Causes that need a full or slow disk, or a stop at the right moment, are named with the test that
 * brings them about.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import { refusalCauses, type RefusalCause } from '../../src/base/refusals.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import { selfSignedCertificate } from '../../src/cli/self-signed-certificate.ts';
import { closeReasons } from '../../src/reactor/peer.ts';
import { signed } from '../access/signed-raw.ts';
import {
  heartbeatRequest,
  pullRequest,
  RawClient,
  type RawRequest,
  sendRequest,
} from './raw-client.ts';
import { startTestBroker } from './test-broker.ts';

let root: string;
beforeAll(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-refusals-'));
});
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

const metricsOf = async (broker: BrokerProcess): Promise<Map<string, number>> => {
  const address = `http://127.0.0.1:${broker.ready.webPort}/metrics`;
  const text = await (await fetch(address)).text();
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    const match =
      /^millrace_(?:refusals|connections_closed)_total\{.*(?:cause|reason)="([^"]+)"\} (\d+)$/.exec(
        line,
      );
    if (match !== null) found.set(match[1], Number(match[2]));
  }
  return found;
};

async function withBroker(
  overrides: Partial<BrokerConfig>,
  body: (broker: BrokerProcess, client: RawClient) => Promise<void>,
): Promise<void> {
  const store = fs.mkdtempSync(path.join(root, 'store-'));
  const broker = await startTestBroker(store, { webPort: 0, webLibrary: 'ws', ...overrides });
  const client = await RawClient.connect(broker.ready.brokerPort);
  try {
    await body(broker, client);
  } finally {
    client.close();
    await broker.close();
  }
}

/** Brought about by other tests. */
const elsewhere: readonly RefusalCause[] = [
  // test/interop/full-disk.ts, test/faults failing-calls and full-disk.
  'send-disk-full',
  'send-flush-timeout',
  'store-busy',
  'send-busy',
  // Stops: broker-limits.test.ts.
  'connection-stopping',
  'go-away',
  // access-defence.test.ts, tls.test.ts.
  'guessing',
  'tls-client-certificate',
];

const seen = new Set<RefusalCause>();

/** Does what should be counted as `cause`, and sees that it is. */
async function counts(
  broker: BrokerProcess,
  cause: RefusalCause,
  act: () => unknown,
): Promise<void> {
  const before = (await metricsOf(broker)).get(cause) ?? NaN;
  await act();
  await expect
    .poll(async () => [cause, (await metricsOf(broker)).get(cause)], { timeout: 5000 })
    .toEqual([cause, before + 1]);
  seen.add(cause);
}

const beat = (clientId: string, groups: string[], producers: string[] = []): RawRequest => ({
  code: 34,
  body: Buffer.from(
    JSON.stringify({
      clientID: clientId,
      consumerDataSet: groups.map((groupName) => ({ groupName, subscriptionDataSet: [] })),
      producerDataSet: producers.map((groupName) => ({ groupName })),
    }),
  ),
});

describe('what a broker refuses', () => {
  test('has a line for every cause and every reason, also while nothing was refused', () =>
    withBroker({}, async (broker) => {
      const metrics = await metricsOf(broker);
      expect([...metrics.keys()].sort()).toEqual(
        [...Object.keys(refusalCauses), ...closeReasons].sort(),
      );
      expect([...metrics.values()].every((count) => count === 0)).toBe(true);
    }));

  test('of a filter that would look at too much text is counted, and the message does not come', () =>
    withBroker({ enablePropertyFilter: true }, async (broker, client) => {
      const properties = { a: 'a'.repeat(30_000) };
      await client.request(sendRequest({ topic: 'TopicA', body: 'x', properties }));
      await client.request(heartbeatRequest('c', 'group-a', 'TopicA'));
      const pull = pullRequest('group-a', 'TopicA', 0, 0);
      const subscription = "a CONTAINS 'x' OR a CONTAINS 'y' OR a CONTAINS 'aaa'";
      const fields = { ...pull.fields, sysFlag: 4, subscription, expressionType: 'SQL92' };
      await counts(broker, 'filter-text', async () => {
        expect((await client.request({ ...pull, fields })).code).toBe(20);
      });
    }));

  test('of sends and pulls is counted by cause', () =>
    withBroker({ heldPullCountMax: 1, maxMessageBytes: 2048 }, async (broker, client) => {
      const answers = async (request: RawRequest, code: number): Promise<void> => {
        expect((await client.request(request)).code).toBe(code);
      };
      await answers(sendRequest({ topic: 'TopicA', body: 'x' }), 0);
      await answers(heartbeatRequest('c', 'group-a', 'TopicA'), 0);
      const send = sendRequest({ topic: 'TopicA', body: 'x' });
      await counts(broker, 'send-illegal', () =>
        answers(sendRequest({ topic: 'TopicA', body: Buffer.alloc(2049) }), 13),
      );
      await counts(broker, 'send-forbidden', () =>
        answers(sendRequest({ topic: 'SCHEDULE_TOPIC_XXXX', body: 'x' }), 16),
      );
      await counts(broker, 'send-no-topic', () =>
        answers({ ...send, fields: { ...send.fields, b: 'TopicB', c: 'no-model' } }, 17),
      );
      await counts(broker, 'send-invalid', () =>
        answers({ ...send, fields: { ...send.fields, e: 'x' } }, 1),
      );
      const pull = pullRequest('group-a', 'TopicA', 0, 1);
      await counts(broker, 'pull-no-group', () =>
        answers(pullRequest('group-b', 'TopicA', 0, 1), 26),
      );
      await counts(broker, 'pull-no-topic', () =>
        answers(pullRequest('group-a', 'TopicC', 0, 1), 17),
      );
      await counts(broker, 'pull-filter', () =>
        answers(pullRequest('group-a', 'BenchmarkTest', 0, 0), 24),
      );
      await counts(broker, 'pull-invalid', () =>
        answers({ ...pull, fields: { ...pull.fields, queueOffset: 'x' } }, 1),
      );
      const group = { groupName: 'group-a', consumeEnable: false };
      await answers({ code: 200, body: Buffer.from(JSON.stringify(group)) }, 0);
      await counts(broker, 'pull-forbidden', () => answers(pull, 16));
      await answers(
        { code: 200, body: Buffer.from(JSON.stringify({ ...group, consumeEnable: true })) },
        0,
      );
      void client.request(pullRequest('group-a', 'TopicA', 0, 1, 30_000));
      await counts(broker, 'pull-not-held', () =>
        answers(pullRequest('group-a', 'TopicA', 0, 1, 30_000), 19),
      );
      await counts(broker, 'request-unknown', () => answers({ code: 9999 }, 3));
      await counts(broker, 'request-invalid', () =>
        answers({ code: 34, body: Buffer.from('x') }, 1),
      );
    }));

  test('of topics, queues, groups and clients says which setting, and is counted', async () => {
    const limits: Partial<BrokerConfig> = {
      topicCountMax: 3,
      subscriptionGroupCountMax: 20,
      clientCountMax: 4,
      membershipCountMax: 3,
      subscriptionBytesMax: 1000,
    };
    const refuses = async (
      broker: BrokerProcess,
      client: RawClient,
      cause: RefusalCause,
      request: RawRequest,
      key: string,
      code = 1,
    ): Promise<void> =>
      counts(broker, cause, async () => {
        const answer = await client.request(request);
        expect([answer.code, answer.remark]).toEqual([code, expect.stringContaining(key)]);
      });
    await withBroker(limits, async (broker, client) => {
      for (const topic of ['a', 'b', 'c'])
        expect((await client.request(sendRequest({ topic, body: 'x' }))).code).toBe(0);
      const fourth = sendRequest({ topic: 'd', body: 'x' });
      await refuses(broker, client, 'topic-limit', fourth, 'topicCountMax');
      const many = beat('c1', ['x', 'y', 'z', 'w']);
      await refuses(broker, client, 'membership-limit', many, 'membershipCountMax');
      expect((await client.request(beat('c1', [], ['p1', 'p2', 'p3']))).code).toBe(0);
      const other = await RawClient.connect(broker.ready.brokerPort);
      const two = beat('c2', [], ['p1', 'p2']);
      await refuses(broker, other, 'client-limit', two, 'clientCountMax');
      // Those that are there go on.
      expect((await client.request(beat('c1', [], ['p1', 'p2', 'p3']))).code).toBe(0);
      const long = heartbeatRequest('c2', 'TOOLS_CONSUMER', 'a', 'x'.repeat(1001));
      await refuses(broker, other, 'subscription-memory', long, 'subscriptionBytesMax');
      client.close();
      await expect.poll(async () => (await other.request(two)).code, { timeout: 5000 }).toBe(0);
      other.close();
    });
    await withBroker({ subscriptionGroupCountMax: 1 }, async (broker, client) => {
      const heartbeat = heartbeatRequest('c', 'group-z', 'TopicA');
      await refuses(broker, client, 'group-limit', heartbeat, 'subscriptionGroupCountMax', 0);
    });
    // Those of the system are more: none is made by a send.
    await withBroker({ queueCountMax: 1 }, async (broker, client) => {
      const first = sendRequest({ topic: 'a', body: 'x' });
      await refuses(broker, client, 'queue-limit', first, 'queueCountMax');
    });
  });

  test('of its name server is counted', async () => {
    await withBroker({ routeBytesMax: 1024 * 1024 }, async (broker) => {
      const names = await RawClient.connect(Number(broker.ready.nameServerPort));
      const fields = {
        brokerName: 'stranger'.repeat(100_000),
        brokerAddr: 'h:1',
        clusterName: 'c',
        haServerAddr: '',
        brokerId: '0',
      };
      await counts(broker, 'route-memory', async () => {
        const { code, remark } = await names.request({ code: 103, fields });
        expect([code, remark]).toEqual([1, expect.stringContaining('routeBytesMax')]);
      });
      names.close();
    });
  });

  test('of connections and pages is counted', async () => {
    await withBroker({ connectionCountMax: 2 }, async (broker, client) => {
      await client.request({ code: 9999 });
      const second = await RawClient.connect(broker.ready.brokerPort);
      await second.request({ code: 9999 });
      await counts(broker, 'connection-limit', async () => {
        const third = await RawClient.connect(broker.ready.brokerPort);
        await third.closed;
      });
      second.close();
    });
    await withBroker({}, (broker) =>
      counts(broker, 'web-origin', async () => {
        const page = new WebSocket(`ws://127.0.0.1:${broker.ready.webPort}/`, {
          origin: 'https://elsewhere.example',
        });
        await new Promise((resolve) => page.once('error', resolve));
      }),
    );
    await withBroker({ acceptRateMax: 1 }, (broker) =>
      counts(broker, 'connection-rate', async () => {
        const late = await RawClient.connect(broker.ready.brokerPort);
        expect((await late.request({ code: 9999 })).code).toBe(3);
        late.close();
      }),
    );
  });

  test('of access control and TLS is counted', async () => {
    const certificate = selfSignedCertificate({
      commonName: 'localhost',
      hosts: ['localhost'],
      notBefore: new Date(Date.now() - 60_000),
      days: 10,
    });
    const [certPath, keyPath] = [path.join(root, 'cert.pem'), path.join(root, 'key.pem')];
    fs.writeFileSync(certPath, certificate.certificate);
    fs.writeFileSync(keyPath, certificate.privateKey);
    await withBroker(
      {
        authenticationEnabled: true,
        authorizationEnabled: true,
        initAuthenticationUser: { username: 'admin', password: 'admin-secret' },
        tlsServerCertPath: certPath,
        tlsServerKeyPath: keyPath,
      },
      async (broker, client) => {
        const admin = { accessKey: 'admin', secretKey: 'admin-secret' };
        const user = { accessKey: 'user', secretKey: 'user-secret' };
        const body = { username: 'user', password: 'user-secret', userType: 'Normal' };
        const make = {
          code: 3001,
          fields: { username: 'user' },
          body: Buffer.from(JSON.stringify(body)),
        };
        expect((await client.request(signed(make, admin))).code).toBe(0);
        await counts(broker, 'unsigned', () =>
          client.request({ code: 105, fields: { topic: 'a' } }),
        );
        await counts(broker, 'stray-answer', () =>
          client.socket.write(client.encode({ code: 0, flag: 1 }, 1)),
        );
        const wrong = { accessKey: 'admin', secretKey: 'no' };
        await counts(broker, 'signature', () =>
          client.request(signed(sendRequest({ topic: 'a', body: 'x' }), wrong)),
        );
        await counts(broker, 'permission', () =>
          client.request(signed(sendRequest({ topic: 'a', body: 'x' }), user)),
        );
        const silent: RawClient[] = [];
        for (let count = 0; count <= 1000; count++)
          silent.push(await RawClient.connect(broker.ready.brokerPort));
        await silent[0].closed;
        expect((await metricsOf(broker)).get('handshake-limit')).toBeGreaterThan(0);
        seen.add('handshake-limit');
        for (const one of silent) one.close();
        await counts(broker, 'tls-handshake', async () => {
          const socket = tls.connect({
            port: broker.ready.brokerPort,
            host: '127.0.0.1',
            rejectUnauthorized: false,
            maxVersion: 'TLSv1.1',
            minVersion: 'TLSv1.1',
            ciphers: 'DEFAULT@SECLEVEL=0',
          });
          await new Promise((resolve) => socket.once('error', resolve));
        });
      },
    );
  });

  test('is tried for every cause, here or elsewhere', () => {
    expect([...seen, ...elsewhere].sort()).toEqual(Object.keys(refusalCauses).sort());
  });
});
