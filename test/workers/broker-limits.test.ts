/**
 * What a broker does when it is pushed: peers that do not read, frames that never end, a second broker
 * on its store, a part of it that dies, and the way it stops.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BrokerConfig, defaultBrokerConfig } from '../../src/base/broker-config.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { type BrokerProcess, startBrokerProcess } from '../../src/cli/broker-process.ts';
import { startNameServerProcess } from '../../src/cli/name-server-process.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from './raw-client.ts';

let root: string;
const brokers: BrokerProcess[] = [];

const start = async (overrides: Partial<BrokerConfig> = {}): Promise<BrokerProcess> => {
  const config: BrokerConfig = {
    ...defaultBrokerConfig(),
    storeDirectory: root,
    brokerName: 'broker-test',
    brokerPort: 0,
    nameServerPort: 0,
    webPort: -1,
    segmentBytes: 64 * 1024 * 1024,
    ...overrides,
  };
  const broker = await startBrokerProcess(config, silentLogger);
  brokers.push(broker);
  return broker;
};

const metrics = async (broker: BrokerProcess): Promise<string> =>
  (await fetch(`http://127.0.0.1:${broker.ready.webPort}/metrics`)).text();

/** The value of the line of a metric that has these labels; NaN where there is none. */
const valueOf = (text: string, name: string, labels = ''): number => {
  const found = text
    .split('\n')
    .find((line) => line.startsWith(`${name}{`) && line.includes(labels));
  return found === undefined ? NaN : Number(found.slice(found.lastIndexOf(' ')));
};

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-'));
});

afterEach(async () => {
  for (const broker of brokers.splice(0)) await broker.close();
  fs.rmSync(root, { recursive: true, force: true });
  // 12,000 queues have as many folders.
}, 60_000);

describe('a broker under pressure', () => {
  // What the writer has to know of so many queues is longer than its ring.
  test('goes on where each of 12,000 queues was after a start', async () => {
    const topics = Array.from({ length: 12_000 }, (_, index) => `a-topic-of-many-${index}`);
    // All at once, some wait longer than is usual.
    const patience = { waitTimeMillsInSendQueue: 60_000 };
    let broker = await start(patience);
    for (const queueOffset of ['0', '1']) {
      const client = await RawClient.connect(broker.ready.brokerPort);
      const answers = await Promise.all(
        topics.map((topic) => client.request(sendRequest({ topic, body: 'x' }))),
      );
      const found = new Set(answers.map(({ extFields }) => extFields.get('queueOffset')));
      expect([...found]).toEqual([queueOffset]);
      client.close();
      await broker.close();
      brokers.length = 0;
      broker = await start(patience);
    }
  }, 60_000);

  test('a reader that does not read holds up nobody, and gets everything once it reads', async () => {
    const broker = await start();
    const slow = await RawClient.connect(broker.ready.brokerPort);
    await slow.request(heartbeatRequest('slow', 'group-a', 'TopicA'));
    const body = Buffer.alloc(1024 * 1024, 'x');
    await slow.request(sendRequest({ topic: 'TopicA', body }));
    slow.socket.pause();
    const answers = Array.from({ length: 60 }, () =>
      slow.request(pullRequest('group-a', 'TopicA', 0, 0)),
    );
    const other = await RawClient.connect(broker.ready.brokerPort);
    for (let index = 0; index < 20; index++) {
      expect(
        (await other.request(sendRequest({ topic: 'TopicB', body: `body ${index}` }))).code,
      ).toBe(0);
    }
    slow.socket.resume();
    for (const answer of await Promise.all(answers)) {
      expect(answer.code).toBe(0);
      expect(answer.body.length).toBeGreaterThan(body.length);
    }
    slow.close();
    other.close();
  });

  test('readers that never read are closed where their answers take too much memory; others are served', async () => {
    const broker = await start({ waitingAnswerBytesMax: 1024 * 1024, webPort: 0 });
    const client = await RawClient.connect(broker.ready.brokerPort);
    await client.request(heartbeatRequest('c', 'group-a', 'Big'));
    await client.request(heartbeatRequest('c', 'group-b', 'Small'));
    const body = Buffer.alloc(4 * 1024 * 1024 - 1000, 'x');
    await client.request(sendRequest({ topic: 'Big', body }));
    await client.request(sendRequest({ topic: 'Small', body: 'small' }));
    const readers: RawClient[] = [];
    // The system takes most of the first answer of each, how much is up to it; what is left of sixty has no room.
    for (let index = 0; index < 64; index++) {
      const reader = await RawClient.connect(broker.ready.brokerPort);
      reader.socket.pause();
      for (let count = 0; count < 4; count++)
        void reader.request(pullRequest('group-a', 'Big', 0, 0));
      readers.push(reader);
    }
    const isClosedForMemory = async (): Promise<boolean> => {
      const answer = await client.request(pullRequest('group-b', 'Small', 0, 0));
      expect(answer.code).toBe(0);
      const text = await metrics(broker);
      const held = valueOf(text, 'millrace_answers_waiting_bytes');
      // One answer may go that is longer than all that is allowed.
      expect(held).toBeLessThanOrEqual(1024 * 1024 + body.length);
      return valueOf(text, 'millrace_connections_closed_total', 'reason="answer-memory"') >= 10;
    };
    await expect.poll(isClosedForMemory, { timeout: 30_000, interval: 50 }).toBe(true);
    for (const reader of readers) reader.close();
    client.close();
  }, 60_000);

  test('frames that never end are closed where they take too much memory; long ones arrive', async () => {
    const waitingRequestBytesMax = 16 * 1024 * 1024;
    const broker = await start({ waitingRequestBytesMax, webPort: 0 });
    const client = await RawClient.connect(broker.ready.brokerPort);
    const body = Buffer.alloc(3 * 1024 * 1024, 'x');
    const whole = client.encode(sendRequest({ topic: 'TopicA', body }), 1);
    expect((await client.request(sendRequest({ topic: 'TopicA', body }))).code).toBe(0);
    const drips: RawClient[] = [];
    for (let index = 0; index < 16; index++) {
      const drip = await RawClient.connect(broker.ready.brokerPort);
      drip.socket.write(whole.subarray(0, whole.length - 1));
      drips.push(drip);
    }
    // They hold more than all of it; those that come after them get through, and short ones at once.
    await expect
      .poll(async () => valueOf(await metrics(broker), 'millrace_requests_waiting_bytes'))
      .toBeGreaterThan(waitingRequestBytesMax * 0.75);
    expect((await client.request(sendRequest({ topic: 'TopicA', body: 'short' }))).code).toBe(0);
    const long = await RawClient.connect(broker.ready.brokerPort);
    expect((await long.request(sendRequest({ topic: 'TopicA', body }))).code).toBe(0);
    const text = await metrics(broker);
    const closed = 'millrace_connections_closed_total';
    expect(valueOf(text, closed, 'reason="request-memory"')).toBeGreaterThan(0);
    // Four frames need buffers of 4 MiB; one more may have its turn.
    expect(valueOf(text, 'millrace_requests_waiting_bytes')).toBeLessThanOrEqual(
      waitingRequestBytesMax + 16 * 1024 * 1024,
    );
    for (const one of [client, long, ...drips]) one.close();
  }, 60_000);

  test('sends that find no room wait in their connection and are all answered, in order', async () => {
    // On a crowded machine the last of them may wait longer than is usual.
    const broker = await start({ threads: 'pipelined', waitTimeMillsInSendQueue: 60_000 });
    const client = await RawClient.connect(broker.ready.brokerPort);
    await client.request(sendRequest({ topic: 'TopicA', body: 'creates the topic' }));
    const body = Buffer.alloc(20_000, 'y');
    const answers = Array.from({ length: 1000 }, () =>
      client.request(sendRequest({ topic: 'TopicA', body })),
    );
    const offsets = (await Promise.all(answers)).map((answer) =>
      answer.code === 0 ? Number(answer.extFields.get('queueOffset')) : answer.remark,
    );
    expect(offsets).toEqual(Array.from({ length: 1000 }, (_, index) => index + 1));
    client.close();
  });

  test('expressions that cost too much are refused at once, by pull, check and heartbeat', async () => {
    const broker = await start({ enablePropertyFilter: true });
    const client = await RawClient.connect(broker.ready.brokerPort);
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    await client.request(sendRequest({ topic: 'TopicA', body: 'x' }));
    // Of each length: what the parser must see, and what should not come so far.
    const hostile = [16_000, 64_000, 1_000_000].flatMap((length) => [
      `a = 1${' OR a = 1'.repeat(length / 9)}`,
      `${'('.repeat(length / 2)}a = 1${')'.repeat(length / 2)}`,
      `${'NOT '.repeat(length / 4)}a = 1`,
      `a = '${'x'.repeat(length)}`,
      `a = ${'-'.repeat(length)}1`,
      `a IN ('x'${",'x'".repeat(length / 4)}`,
      `a = 1 /*${'*'.repeat(length)}`,
      `a = '${"''".repeat(length / 2)}`,
      `a = '${'\u0001'.repeat(length / 6)}`,
    ]);
    for (const [index, expression] of hostile.entries()) {
      const subscriptionData = {
        topic: 'TopicA',
        subString: expression,
        expressionType: 'SQL92',
        subVersion: index,
      };
      const body = Buffer.from(JSON.stringify({ clientId: 'c', group: 'g', subscriptionData }));
      const beat = {
        clientID: 'c2',
        consumerDataSet: [{ groupName: 'group-b', subscriptionDataSet: [subscriptionData] }],
      };
      // Its parser is the pull's; one that is too long is refused before.
      const heartbeat = { code: 34, body: Buffer.from(JSON.stringify(beat)) };
      const pull = pullRequest('group-a', 'TopicA', 0, 0);
      const fields = { sysFlag: 4, expressionType: 'SQL92', subscription: expression };
      for (const request of [
        { code: 46, body },
        heartbeat,
        { ...pull, fields: { ...pull.fields, ...fields } },
      ]) {
        const timesMs: number[] = [];
        for (let count = 0; count < 5; count++) {
          const startMs = performance.now();
          const answer = await client.request(request);
          timesMs.push(performance.now() - startMs);
          const code = request !== heartbeat ? 23 : expression.length > 16_384 ? 1 : 0;
          expect([answer.code, expression.slice(0, 20)]).toEqual([code, expression.slice(0, 20)]);
          expect((answer.remark ?? '').length).toBeLessThan(1000);
        }
        expect(Math.min(...timesMs)).toBeLessThan(50);
      }
    }
    client.close();
  });

  test('a silent connection is closed, a busy one is not', async () => {
    const broker = await start({ idleCloseMs: 1200 });
    const silent = await RawClient.connect(broker.ready.brokerPort);
    const busy = await RawClient.connect(broker.ready.brokerPort);
    const timer = setInterval(() => busy.oneway({ code: 9999 }), 200);
    await silent.closed;
    expect((await busy.request({ code: 9999 })).code).toBe(3);
    clearInterval(timer);
    busy.close();
  });

  test('connections above the limit are refused', async () => {
    const broker = await start({ connectionCountMax: 2 });
    const [first, second] = [
      await RawClient.connect(broker.ready.brokerPort),
      await RawClient.connect(broker.ready.brokerPort),
    ];
    await first.request({ code: 9999 });
    await second.request({ code: 9999 });
    const third = await RawClient.connect(broker.ready.brokerPort);
    await third.closed;
    first.close();
    await first.closed;
    await expect
      .poll(async () => {
        const again = await RawClient.connect(broker.ready.brokerPort);
        const answer = await Promise.race([again.request({ code: 9999 }), again.closed]);
        again.close();
        return answer === undefined ? 0 : answer.code;
      })
      .toBe(3);
    second.close();
  });
});

describe('the life of a broker', () => {
  test('a second broker on the same store is refused and told why', async () => {
    await start();
    await expect(start()).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  });

  test('a port that is taken is an error that names it, and frees the store', async () => {
    const first = await start();
    const other = `${root}-other`;
    try {
      await expect(
        start({ storeDirectory: other, nameServerPort: first.ready.nameServerPort as number }),
      ).rejects.toThrow(`127.0.0.1:${first.ready.nameServerPort} is taken`);
      await start({ storeDirectory: other });
      await brokers.pop()?.close();
    } finally {
      fs.rmSync(other, { recursive: true, force: true });
    }
  });

  test.each(['auto', 'pipelined'] as const)(
    'the death of one agent ends the broker with its cause (%s)',
    async (threads) => {
      const broker = await start({ threads });
      const client = await RawClient.connect(broker.ready.brokerPort);
      await client.request(sendRequest({ topic: 'TopicA', body: 'x' }));
      // The checkpoint can not be written any more: the flusher, and nobody else, can't go on.
      const checkpoint = path.join(root, 'checkpoint');
      fs.rmSync(checkpoint, { force: true });
      fs.mkdirSync(checkpoint);
      await client.request(sendRequest({ topic: 'TopicA', body: 'y' }));
      const error = await broker.failed;
      expect(error.message).toContain('flusher');
      expect((error.cause as Error).message).toMatch(/EISDIR/);
      brokers.pop();
      await broker.close();
      await client.closed;
    },
  );

  test.each([
    ['', 0],
    [', also after a pause longer than its time for that', 150],
  ])(
    'a stop sends new clients away%s, answers what was sent, and leaves a clean store',
    async (_, pauseMs) => {
      const broker = await start();
      const client = await RawClient.connect(broker.ready.brokerPort);
      const sent = Array.from({ length: 50 }, (_, index) =>
        client.request(sendRequest({ topic: 'TopicA', body: `body ${index}` })),
      );
      await sent[0];
      brokers.pop();
      const closing = broker.close();
      const late = client.request(sendRequest({ topic: 'TopicA', body: 'too late' }));
      // The broker reads on the same thread.
      const pauseEnd = performance.now() + pauseMs;
      while (performance.now() < pauseEnd);
      expect((await late).code).toBe(1500);
      for (const answer of await Promise.all(sent)) expect([0, 1500]).toContain(answer.code);
      await closing;
      expect(fs.existsSync(path.join(root, 'abort'))).toBe(false);
      expect(
        JSON.parse(fs.readFileSync(path.join(root, 'config/topics.json'), 'utf8')),
      ).toHaveProperty(['topicConfigTable', 'TopicA']);
      await client.closed;
    },
  );

  test('registers with other name servers, follows topic changes, and takes leave', async () => {
    const names = await startNameServerProcess(
      { listenAddress: '127.0.0.1', port: 0 },
      silentLogger,
    );
    const asker = await RawClient.connect(names.ready.nameServerPort);
    const routeOf = async (topic: string): Promise<number> =>
      (await asker.request({ code: 105, fields: { topic } })).code;
    const broker = await start({
      embeddedNameServer: false,
      nameServerAddresses: [`127.0.0.1:${names.ready.nameServerPort}`, '127.0.0.1:1'],
    });
    await expect.poll(() => routeOf('TBW102')).toBe(0);
    expect(await routeOf('TopicA')).toBe(17);
    const client = await RawClient.connect(broker.ready.brokerPort);
    await client.request(sendRequest({ topic: 'TopicA', body: 'x' }));
    await expect.poll(() => routeOf('TopicA')).toBe(0);
    brokers.pop();
    client.close();
    await broker.close();
    await expect.poll(() => routeOf('TopicA')).toBe(17);
    asker.close();
    await names.close();
  });
});
