/**
 * A broker with users and policies, asked over its sockets as an outsider, a normal and a super user would,
 * in each placement of threads.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BrokerControl } from '../../src/broker/broker-control.ts';
import { requestHandlers } from '../../src/broker/request-handlers.ts';
import { hasRule } from '../../src/access/request-access.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import { Admin, Consumer, Producer } from '../../src/client/index.ts';
import { ClientError } from '../../src/client/client-error.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import {
  heartbeatRequest,
  pullRequest,
  RawClient,
  type RawRequest,
  sendRequest,
} from '../workers/raw-client.ts';
import { readRecords, startTestBroker } from '../workers/test-broker.ts';
import { signed, type TestCredentials } from './signed-raw.ts';

const admin: TestCredentials = { accessKey: 'admin', secretKey: 'canary-admin-secret' };
const inner: TestCredentials = { accessKey: 'cluster', secretKey: 'canary-cluster-secret' };
const shop: TestCredentials = { accessKey: 'shop', secretKey: 'canary-shop-secret' };
const canary = 'canary';
const NO_PERMISSION = 16;

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
});

function directory(): string {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-access-'));
  directories.push(made);
  return made;
}

const settings = {
  authenticationEnabled: true,
  authorizationEnabled: true,
  initAuthenticationUser: { username: admin.accessKey, password: admin.secretKey },
  innerClientAuthenticationCredentials: inner,
} as const;

const entry = (resource: string, ...actions: string[]) => ({
  resource,
  actions,
  decision: 'Allow',
});

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function createUser(credentials: TestCredentials, userType = 'Normal'): RawRequest {
  const { accessKey: username, secretKey: password } = credentials;
  return { code: 3001, fields: { username }, body: json({ username, password, userType }) };
}

function createAcl(username: string, entries: object[]): RawRequest {
  const subject = `User:${username}`;
  return { code: 3006, fields: { subject }, body: json({ subject, policies: [{ entries }] }) };
}

test('every code that is served has a rule, or is closed on purpose', () => {
  expect(BrokerControl).toBeDefined();
  expect(requestHandlers.size).toBeGreaterThan(40);
  expect([...requestHandlers.keys()].filter((code) => !hasRule(code))).toEqual([]);
});

describe.each(['auto', 'pipelined', 'inline'] as const)('a broker with threads %s', (threads) => {
  let broker: BrokerProcess;
  let client: RawClient;
  let storeDirectory: string;

  /** As an administrator, before the tests. */
  const done = async (request: RawRequest): Promise<void> => {
    const { code, remark } = await client.request(signed(request, admin));
    if (code !== 0) throw new Error(`${request.code}: ${code} ${remark ?? ''}`);
  };

  beforeAll(async () => {
    storeDirectory = directory();
    broker = await startTestBroker(storeDirectory, { ...settings, threads });
    client = await RawClient.connect(broker.ready.brokerPort);
    await done(createUser(shop));
    const entries = [
      entry('Topic:shop-*', 'Pub', 'Sub'),
      entry('Group:shop', 'Sub'),
      entry('Group:shop-new', 'Sub'),
      entry('Topic:made', 'Create'),
    ];
    await done(createAcl('shop', entries));
    for (const topic of ['shop-orders', 'books']) {
      const fields = { topic, readQueueNums: 1, writeQueueNums: 1, perm: 6 };
      const request = { code: 17, fields: { ...fields, topicFilterType: 'SINGLE_TAG' } };
      await done(request);
    }
    await client.request(
      signed({ code: 200, body: json({ groupName: 'shop', retryQueueNums: 1 }) }, admin),
    );
  });

  afterAll(async () => {
    client.close();
    await broker.close();
  });

  test.each([0, 1, 2] as const)('takes a signed send with header codec %i', async (codec) => {
    const request = sendRequest({
      topic: 'shop-orders',
      body: 'ünï"code\\',
      serializeType: codec,
      properties: { text: 'a "quoted" \\ line\nbeside ü and \u{1f600}' },
    });
    const answer = await client.request(signed(request, shop));
    expect([answer.code, answer.remark]).toEqual([0, null]);
  });

  test('refuses a send that was changed after it was signed', async () => {
    const request = signed(sendRequest({ topic: 'shop-orders', body: 'ten' }), shop);
    const changes: RawRequest[] = [
      { ...request, body: Buffer.from('hundred') },
      { ...request, fields: { ...request.fields, b: 'shop-other' } },
      { ...request, fields: { ...request.fields, e: 1 } },
      { ...request, fields: { ...request.fields, more: 'x' } },
      { ...request, fields: { ...request.fields, AccessKey: 'admin' } },
      { ...request, fields: { ...request.fields, Signature: '' } },
    ];
    for (const changed of changes) expect((await client.request(changed)).code).toBe(NO_PERMISSION);
    expect((await client.request(request)).code).toBe(0);
  });

  test('goes by policies for topics and groups', async () => {
    const ask = async (request: RawRequest): Promise<number> =>
      (await client.request(signed(request, shop))).code;
    expect(await ask(sendRequest({ topic: 'books', body: 'x' }))).toBe(NO_PERMISSION);
    expect(await ask(heartbeatRequest('c', 'shop', 'shop-orders'))).toBe(0);
    expect(await ask(heartbeatRequest('c', 'shop', 'books'))).toBe(NO_PERMISSION);
    expect(await ask(heartbeatRequest('c', 'other', 'shop-orders'))).toBe(NO_PERMISSION);
    expect(await ask(pullRequest('shop', 'shop-orders', 0, 0))).toBe(0);
    expect(await ask(pullRequest('shop', 'books', 0, 0))).toBe(NO_PERMISSION);
    expect(await ask(pullRequest('other', 'shop-orders', 0, 0))).toBe(NO_PERMISSION);
    // Retries of another group are that group's.
    expect(await ask(pullRequest('shop', '%RETRY%other', 0, 0))).toBe(NO_PERMISSION);
    expect(await ask({ code: 38, fields: { consumerGroup: 'shop' } })).toBe(0);
    const create = {
      readQueueNums: 1,
      writeQueueNums: 1,
      perm: 6,
      defaultTopic: 'TBW102',
      topicFilterType: 'SINGLE_TAG',
    };
    expect(await ask({ code: 17, fields: { topic: 'made', ...create } })).toBe(0);
    expect(await ask({ code: 17, fields: { topic: 'unmade', ...create } })).toBe(NO_PERMISSION);
    for (const code of [25, 26, 28, 21, 43, 201, 3001, 3004, 3005, 3006, 3010, 99_999])
      expect([code, await ask({ code, fields: { username: 'shop' } })]).toEqual([
        code,
        NO_PERMISSION,
      ]);
  });

  test('a message is read by its place only through its own topic', async () => {
    const sent = await client.request(
      signed(sendRequest({ topic: 'books', body: 'not for the shop' }), admin),
    );
    const offset = Number.parseInt(sent.extFields.get('msgId')?.slice(-16) ?? '', 16);
    const view = (topic: string | null, user: TestCredentials): Promise<RemotingCommand> =>
      client.request(
        signed({ code: 33, fields: { offset, ...(topic === null ? {} : { topic }) } }, user),
      );
    await expect.poll(async () => (await view('books', admin)).code).toBe(0);
    expect(readRecords((await view(null, admin)).body)[0].body).toBe('not for the shop');
    expect((await view('books', shop)).code).toBe(NO_PERMISSION);
    expect((await view(null, shop)).code).toBe(NO_PERMISSION);
    expect((await view('shop-orders', shop)).body).toHaveLength(0);
    const back = { group: 'shop', offset, delayLevel: 0, originTopic: 'shop-orders' };
    expect((await client.request(signed({ code: 36, fields: back }, shop))).code).toBe(1);
  });

  test('refuses every code to an outsider, signed or not, and says no secret', async () => {
    const codes = [
      ...requestHandlers.keys(),
      10,
      11,
      12,
      29,
      33,
      37,
      310,
      361,
      9,
      100,
      103,
      65_535,
    ];
    const outsider: TestCredentials = { accessKey: 'nobody', secretKey: 'guess' };
    const wrong: TestCredentials = { accessKey: 'admin', secretKey: 'guess' };
    const stranger = await RawClient.connect(broker.ready.brokerPort);
    for (const code of codes) {
      const answer = await stranger.request({ code });
      expect([code, answer.code]).toEqual([code, NO_PERMISSION]);
      expect(JSON.stringify([...answer.extFields]) + answer.body.toString()).not.toContain(canary);
    }
    const unknown = await stranger.request(signed({ code: 26 }, outsider));
    const known = await stranger.request(signed({ code: 26 }, wrong));
    expect([unknown.code, unknown.remark]).toEqual([NO_PERMISSION, known.remark]);
    expect(known.code).toBe(NO_PERMISSION);
    stranger.close();
  });

  test('an answer to nobody is no way in', async () => {
    const stranger = await RawClient.connect(broker.ready.brokerPort);
    const before = await client.request(
      signed({ code: 30, fields: { topic: 'shop-orders', queueId: 0 } }, admin),
    );
    const unsigned = { ...sendRequest({ topic: 'shop-orders', body: 'x' }), flag: 1 };
    stranger.socket.write(stranger.encode(unsigned, 900_001));
    // Also over a connection that was let in before.
    client.socket.write(client.encode(unsigned, 900_002));
    expect((await stranger.request({ code: 30 })).code).toBe(NO_PERMISSION);
    const after = await client.request(
      signed({ code: 30, fields: { topic: 'shop-orders', queueId: 0 } }, admin),
    );
    expect(after.extFields.get('offset')).toBe(before.extFields.get('offset'));
    stranger.close();
  });

  test('no header is read in two ways', async () => {
    const { fields: named } = signed({ code: 310, fields: { b: 'shop-x' } }, shop);
    const fields = JSON.stringify(named);
    const rest = '"flag":0,"opaque":1,"version":479}';
    const headers = [
      `{"code":25,"cafe":310,"extFields":${fields},${rest}`,
      `{"code":310,"cafe":25,"extFields":${fields},${rest}`,
      `{"code":310,"extFields":${fields},"extFields":{"b":"books"},${rest}`,
      `{"code":310,"extFields":{"AccessKey":"shop","b":"x","b":"y"},${rest}`,
      String.raw`{"code":310,"extFields":{"AccessKey":"shop","\u0062":"y"},` + rest,
    ];
    const outcomes: string[] = [];
    for (const header of headers) {
      const stranger = await RawClient.connect(broker.ready.brokerPort);
      const frame = Buffer.alloc(8);
      frame.writeInt32BE(4 + header.length, 0);
      frame.writeInt32BE(header.length, 4);
      stranger.socket.write(Buffer.concat([frame, Buffer.from(header)]));
      const closed = stranger.closed.then(() => 'closed');
      const answered = stranger.answerTo(1).then(({ code }) => String(code));
      outcomes.push(await Promise.race([closed, answered]));
      stranger.close();
    }
    // The first is a request 25 to who reads JSON, which is what it is judged as.
    expect(outcomes).toEqual(['16', 'closed', 'closed', 'closed', 'closed']);
  });

  test('a secret comes sealed, opens only for its user, and is stored privately', async () => {
    const answer = await client.request(
      signed({ code: 3004, fields: { username: 'shop' } }, admin),
    );
    const user = JSON.parse(answer.body.toString()) as Record<string, string>;
    expect(user).toMatchObject({ username: 'shop', userType: 'Normal', userStatus: 'enable' });
    expect(user['password']).toMatch(/^sealed:1:/);
    const copy = (username: string): RawRequest => ({
      code: 3001,
      fields: { username },
      body: json({ ...user, username }),
    });
    expect((await client.request(signed(copy('thief'), admin))).code).toBe(29);
    expect((await client.request(signed(copy('shop'), admin))).remark).toBe('The user is existed');
    const update = { code: 3002, fields: { username: 'shop' }, body: json(user) };
    expect((await client.request(signed(update, admin))).code).toBe(0);
    expect(
      (await client.request(signed(sendRequest({ topic: 'shop-a', body: 'x' }), shop))).code,
    ).toBe(0);
    const file = path.join(storeDirectory, 'config', 'users.json');
    await expect.poll(() => fs.existsSync(file)).toBe(true);
    for (const name of [file, `${file}.bak`].filter((one) => fs.existsSync(one)))
      expect((fs.statSync(name).mode & 0o777).toString(8)).toBe('600');
  });

  test('no answer to a super user holds a secret, either', async () => {
    const fields = { username: 'shop', subject: 'User:shop', topic: 'shop-orders', group: 'shop' };
    const codes = [...requestHandlers.keys()].filter(
      (code) => ![3003, 3008, 215, 207].includes(code),
    );
    for (const code of codes) {
      // Those that get no answer ask a client, or nobody.
      const answer = await Promise.race([
        client.request(signed({ code, fields }, admin)),
        new Promise<null>((resolve) => setTimeout(() => resolve(null), 150)),
      ]);
      const text = JSON.stringify([answer?.remark, [...(answer?.extFields ?? [])]]);
      expect(`code ${code}: ${text}${answer?.body.toString() ?? ''}`).not.toContain(canary);
    }
  });

  test('what changes holds before its answer', async () => {
    const temporary: TestCredentials = { accessKey: 'temporary', secretKey: 'secret-1' };
    expect((await client.request(signed(createUser(temporary, 'Super'), admin))).code).toBe(0);
    const look = (credentials: TestCredentials): Promise<number> =>
      client.request(signed({ code: 26 }, credentials)).then(({ code }) => code);
    expect(await look(temporary)).toBe(0);
    const disable = { username: 'temporary', userStatus: 'disable' };
    await client.request(
      signed({ code: 3002, fields: { username: 'temporary' }, body: json(disable) }, admin),
    );
    expect(await look(temporary)).toBe(NO_PERMISSION);
    await client.request(signed({ code: 3003, fields: { username: 'temporary' } }, admin));
    expect(await look(temporary)).toBe(NO_PERMISSION);
    expect(await look(admin)).toBe(0);
  });

  test('its own clients sign, over TCP and at the name server', async () => {
    const servers = `127.0.0.1:${broker.ready.nameServerPort ?? 0}`;
    await using producer = new Producer({ servers, group: 'p', credentials: shop });
    await using consumer = new Consumer({
      servers,
      group: 'shop-new',
      credentials: shop,
      from: 'first',
    });
    const bodies: string[] = [];
    consumer.subscribe('shop-new');
    await producer.send({ topic: 'shop-new', body: 'ünicode', tag: 'a', keys: 'k-1' });
    await producer.send({ topic: 'shop-new', body: 'second', properties: { p: '"quoted"' } });
    await producer.send({ topic: 'shop-new', body: 'third', delayMs: 10 });
    await consumer.run((message) => {
      bodies.push(message.text());
    });
    await expect
      .poll(() => bodies.toSorted(), { timeout: 10_000 })
      .toEqual(['second', 'third', 'ünicode']);
    await using outsider = new Producer({
      servers,
      group: 'p',
      retryTimes: 0,
      credentials: { ...shop, secretKey: 'wrong' },
    });
    const failure = await outsider
      .send({ topic: 'shop-new', body: 'x' })
      .catch((error: unknown) => error);
    expect(ClientError.is(failure) && failure.code).toBe('NO_PERMISSION');
    await using operator = new Admin({ servers, credentials: admin });
    expect((await operator.topics()).map(({ topic }) => topic)).toContain('shop-new');
  });
});
