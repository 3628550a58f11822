/**
 * A producer while servers fail: other brokers, other name servers, time limits, aborts, lost
 * connections. Whatever happens, no promise is left unhandled: a hook holds that after each test.
 */
import net from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { clientActivity } from '../../src/client/client-activity.ts';
import { type ClientError, Producer, type ProducerOptions } from '../../src/client/index.ts';
import { RequestCode, ResponseCode } from '../../src/protocol/codes.ts';
import { encodeRequest, FLAG_ONEWAY } from '../../src/protocol/remoting-command.ts';
import { openCore, routeOf, sendAnswer, startScriptedBroker } from './client-harness.ts';
import { startFrameServer } from './frame-server.ts';

const SEND = RequestCode.SEND_MESSAGE_V2;
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): number => unhandled.push(reason);

beforeAll(() => void process.on('unhandledRejection', onUnhandled));
afterAll(() => void process.off('unhandledRejection', onUnhandled));
beforeEach(() => {
  // Comes last: when all clients of the test are closed.
  onTestFinished(async () => {
    await new Promise(setImmediate);
    if (unhandled.length > 0) throw new Error('a promise was left unhandled', { cause: unhandled });
    if (clientActivity.pendingCount !== 0)
      throw new Error(`${clientActivity.pendingCount} pieces of work did not end`);
  });
});

/** Ample: the machine may be busy with other tests. */
const TIMEOUT_MS = 15_000;

function openProducer(servers: string, options: Partial<ProducerOptions> = {}): Producer {
  const producer = new Producer({ servers, group: 'shop', timeoutMs: TIMEOUT_MS, ...options });
  onTestFinished(() => producer.close());
  return producer;
}

/** An address at which nobody listens. */
async function deadAddress(): Promise<string> {
  const server = await startFrameServer(() => {});
  await server.close();
  return server.address;
}

describe('a send is tried again', () => {
  const retried = [
    ResponseCode.SYSTEM_ERROR,
    ResponseCode.SYSTEM_BUSY,
    ResponseCode.SERVICE_NOT_AVAILABLE,
    ResponseCode.NO_PERMISSION,
    ResponseCode.TOPIC_NOT_EXIST,
    ResponseCode.GO_AWAY,
  ];

  test.each(retried)('on another broker after answer %i, with the same id', async (code) => {
    const ids: (string | undefined)[] = [];
    const idOf = (properties = ''): string | undefined => /UNIQ_KEY.(\w+)/s.exec(properties)?.[1];
    const refusing = await startScriptedBroker(({ code: asked, extFields }) => {
      if (asked === SEND) ids.push(idOf(extFields.get('i')));
      return asked === SEND ? { code, remark: 'no' } : null;
    });
    const taking = await startScriptedBroker(({ code: asked, extFields }) => {
      if (asked === SEND) ids.push(idOf(extFields.get('i')));
      return asked === SEND ? sendAnswer() : null;
    });
    const route = routeOf([
      ['broker-a', refusing.server.address],
      ['broker-b', taking.server.address],
    ]);
    const names = await startScriptedBroker(() => null, { route: () => route });
    const producer = openProducer(names.server.address);
    for (let round = 0; round < 4; round++) {
      const result = await producer.send({ topic: 'orders', body: 'x' });
      expect(result.queue.brokerName).toBe('broker-b');
      expect(ids.at(-1)).toBe(result.messageId);
    }
    expect(refusing.received(SEND).length).toBeGreaterThan(0);
  });

  test('on another broker when its own can not be reached, which is left alone then', async () => {
    const taking = await startScriptedBroker(({ code }) => (code === SEND ? sendAnswer() : null));
    const route = routeOf([
      ['broker-a', await deadAddress()],
      ['broker-b', taking.server.address],
    ]);
    const names = await startScriptedBroker(() => null, { route: () => route });
    const errors: ClientError[] = [];
    const producer = openProducer(names.server.address, { onError: (error) => errors.push(error) });
    for (let round = 0; round < 10; round++)
      expect(await producer.send({ topic: 'orders', body: 'x' })).toMatchObject({ status: 'ok' });
    expect(errors.every(({ code }) => code === 'CONNECTION_FAILED')).toBe(true);
  });

  test('on the same broker after a pause, where there is no other', async () => {
    let count = 0;
    const broker = await startScriptedBroker(({ code }, socket) => {
      if (code !== SEND) return null;
      if (++count > 1) return sendAnswer();
      socket.destroy();
      return null;
    });
    const producer = openProducer(broker.server.address);
    expect(await producer.send({ topic: 'orders', body: 'x' })).toMatchObject({ status: 'ok' });
    expect(count).toBe(2);
  });

  test('as often as asked, and then fails with what failed last', async () => {
    const broker = await startScriptedBroker(({ code }) =>
      code === SEND ? { code: ResponseCode.SYSTEM_BUSY, remark: 'too much' } : null,
    );
    const producer = openProducer(broker.server.address);
    await expect(
      producer.send({ topic: 'orders', body: 'x' }, { retryTimes: 1 }),
    ).rejects.toMatchObject({
      code: 'BROKER_BUSY',
      canRetry: true,
      responseCode: 2,
      message: expect.stringMatching(/send to orders \(broker-a, queue \d\): answer 2: too much/),
    });
    expect(broker.received(SEND)).toHaveLength(2);
  });

  test('not after a refusal, nor where its queue is fixed', async () => {
    let code: number = ResponseCode.MESSAGE_ILLEGAL;
    const broker = await startScriptedBroker((request) =>
      request.code === SEND ? { code } : null,
    );
    const producer = openProducer(broker.server.address);
    await expect(producer.send({ topic: 'orders', body: 'x' })).rejects.toMatchObject({
      code: 'MESSAGE_REFUSED',
      canRetry: false,
    });
    expect(broker.received(SEND)).toHaveLength(1);
    code = ResponseCode.SYSTEM_ERROR;
    await expect(
      producer.send({ topic: 'orders', body: 'x', orderKey: 'k' }),
    ).rejects.toMatchObject({ code: 'BROKER_ERROR' });
    expect(broker.received(SEND)).toHaveLength(2);
  });
});

test('answers that say stored but not flushed are results', async () => {
  const codes = [10, 11, 12];
  const broker = await startScriptedBroker(({ code }) =>
    code === SEND ? { ...sendAnswer(), code: codes.shift() ?? 0 } : null,
  );
  const producer = openProducer(broker.server.address);
  const statuses: string[] = [];
  for (let count = 0; count < 3; count++)
    statuses.push((await producer.send({ topic: 'orders', body: 'x' })).status);
  expect(statuses).toEqual(['flush-disk-timeout', 'slave-not-available', 'flush-slave-timeout']);
});

describe('a time limit', () => {
  test('ends a send that nobody answers', async () => {
    const broker = await startScriptedBroker(() => null);
    const producer = openProducer(broker.server.address);
    const startedMs = performance.now();
    const sent = producer.send({ topic: 'orders', body: 'x' }, { timeoutMs: 200 });
    await expect(sent).rejects.toMatchObject({ code: 'TIMEOUT', canRetry: true });
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(199);
  });

  test('ends a send that has no route, all of them in time', async () => {
    // A name server that accepts and says nothing.
    const silent = await startFrameServer(() => {});
    onTestFinished(() => silent.close());
    const producer = openProducer(silent.address);
    const sends = [1, 2, 3].map(() => producer.send({ topic: 'o', body: 'x' }, { timeoutMs: 150 }));
    for (const outcome of await Promise.allSettled(sends))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'TIMEOUT' } });
  });

  test('holds for all retries together', async () => {
    const broker = await startScriptedBroker(({ code }) =>
      code === SEND ? { code: ResponseCode.SYSTEM_BUSY } : null,
    );
    const producer = openProducer(broker.server.address);
    const startedMs = performance.now();
    await expect(
      producer.send({ topic: 'orders', body: 'x' }, { timeoutMs: 400, retryTimes: 100 }),
    ).rejects.toMatchObject({ code: 'BROKER_BUSY' });
    expect(performance.now() - startedMs).toBeLessThan(1500);
  });
});

describe('an abort', () => {
  const reason = new Error('not needed any more');

  test('ends a send that waits for its answer, its route, or its next try', async () => {
    const broker = await startScriptedBroker(({ code, extFields }) => {
      if (code !== SEND || extFields.get('b') === 'silent') return null;
      return { code: ResponseCode.SYSTEM_BUSY };
    });
    const silent = await startFrameServer(() => {});
    onTestFinished(() => silent.close());
    for (const [servers, topic] of [
      [broker.server.address, 'silent'],
      [broker.server.address, 'busy'],
      [silent.address, 'routeless'],
    ]) {
      const controller = new AbortController();
      const producer = openProducer(servers);
      const { signal } = controller;
      const sent = producer.send({ topic, body: 'x' }, { signal, retryTimes: 50 });
      setTimeout(() => controller.abort(reason), 150);
      await expect(sent).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
      await expect(producer.send({ topic, body: 'x' }, { signal })).rejects.toMatchObject({
        code: 'ABORTED',
      });
    }
  });

  test('leaves a send alone that was answered', async () => {
    const broker = await startScriptedBroker(({ code }) => (code === SEND ? sendAnswer() : null));
    const producer = openProducer(broker.server.address);
    const controller = new AbortController();
    await producer.send({ topic: 'orders', body: 'x' }, { signal: controller.signal });
    controller.abort(reason);
    expect(await producer.send({ topic: 'orders', body: 'y' })).toMatchObject({ status: 'ok' });
  });
});

describe('name servers', () => {
  test('are asked one after the other, dead, silent and odd ones first', async () => {
    const good = await startScriptedBroker(({ code }) => (code === SEND ? sendAnswer() : null));
    const silent = await startFrameServer(() => {});
    onTestFinished(() => silent.close());
    const dead = await deadAddress();
    for (let round = 0; round < 3; round++) {
      const servers = `${dead};${silent.address}; ${good.server.address}`;
      const producer = openProducer(servers, { timeoutMs: 900 });
      expect(
        await producer.send({ topic: 'orders', body: 'x' }, { timeoutMs: 3000 }),
      ).toMatchObject({ status: 'ok' });
    }
  });

  test('that are all dead fail the start and the send', async () => {
    const producer = openProducer(`${await deadAddress()};${await deadAddress()}`);
    await expect(producer.start()).rejects.toMatchObject({ code: 'CONNECTION_FAILED' });
    await expect(producer.send({ topic: 'orders', body: 'x' })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
    });
  });

  test('that know neither the topic nor one to make it from', async () => {
    const names = await startScriptedBroker(({ code }) =>
      code === RequestCode.GET_ROUTEINFO_BY_TOPIC ? { code: 17, remark: 'no such topic' } : null,
    );
    const producer = openProducer(names.server.address);
    await producer.start();
    await expect(producer.send({ topic: 'orders', body: 'x' })).rejects.toMatchObject({
      code: 'TOPIC_NOT_FOUND',
      message: expect.stringContaining('orders') as string,
    });
  });

  test('whose route is no JSON', async () => {
    const names = await startScriptedBroker(({ code }) =>
      code === RequestCode.GET_ROUTEINFO_BY_TOPIC ? { code: 0, body: Buffer.from('{') } : null,
    );
    const producer = openProducer(names.server.address);
    await expect(producer.send({ topic: 'orders', body: 'x' })).rejects.toMatchObject({
      code: 'PROTOCOL_ERROR',
    });
  });
});

test('a broker at the address of its name server is greeted, too', async () => {
  const broker = await startScriptedBroker(({ code }) => (code === SEND ? sendAnswer() : null));
  const producer = openProducer(broker.server.address);
  await producer.send({ topic: 'orders', body: 'x' });
  expect(broker.server.connectionCount()).toBe(1);
  expect(broker.received(RequestCode.HEART_BEAT)).toHaveLength(1);
});

test('a broker that comes back is greeted at once, and sends go on', async () => {
  const answer = ({ code }: { code: number }) => (code === SEND ? sendAnswer() : null);
  const route = (): object => routeOf([['broker-a', broker.server.address]]);
  const names = await startScriptedBroker(() => null, { route: () => route() });
  let broker = await startScriptedBroker(answer);
  const { port } = broker.server;
  const errors: string[] = [];
  const producer = openProducer(names.server.address, { onError: ({ code }) => errors.push(code) });
  await producer.send({ topic: 'orders', body: 'x' });
  expect(broker.server.received[0].code).toBe(RequestCode.HEART_BEAT);
  await broker.server.close();
  await expect(
    producer.send({ topic: 'orders', body: 'y' }, { retryTimes: 0 }),
  ).rejects.toMatchObject({ code: 'CONNECTION_FAILED' });
  broker = await startScriptedBroker(answer, { port });
  // Nobody asks for anything: the client comes by itself.
  await expect.poll(() => broker.server.received.length, { timeout: 8000 }).toBeGreaterThan(0);
  const [greeting] = broker.server.received;
  expect(greeting.code).toBe(RequestCode.HEART_BEAT);
  expect(JSON.parse(greeting.body.toString())).toEqual({
    clientID: producer.clientId,
    consumerDataSet: [],
    heartbeatFingerprint: 0,
    producerDataSet: [{ groupName: 'shop' }],
    withoutSub: false,
  });
  expect(await producer.send({ topic: 'orders', body: 'z' })).toMatchObject({ status: 'ok' });
  expect(new Set(errors)).toEqual(new Set(['CONNECTION_FAILED']));
});

test('headers are MessagePack once a broker has said that it takes them', async () => {
  const codecs: [code: number, codec: number][] = [];
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; at += 4 + chunk.readInt32BE(at)) {
        const codec = chunk[at + 4];
        const header = chunk.subarray(at + 8, at + 8 + chunk.readUIntBE(at + 5, 3));
        // Of MessagePack: array mark, 0xd2 and the code, 0xd2 and flag, 0xd2 and opaque.
        const json = codec === 0 ? (JSON.parse(header.toString()) as Record<string, number>) : null;
        const code = json?.['code'] ?? header.readInt32BE(2);
        const opaque = json?.['opaque'] ?? header.readInt32BE(12);
        codecs.push([code, codec]);
        const extFields = { IS_SUPPORT_MSGPACK_HEADER: 'true', msgId: 'x', queueOffset: '5' };
        const text = JSON.stringify({ code: 0, extFields, flag: 1, opaque });
        const head = Buffer.alloc(8);
        head.writeInt32BE(4 + text.length, 0);
        head.writeInt32BE(text.length, 4);
        socket.write(Buffer.concat([head, Buffer.from(text)]));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  const names = await startScriptedBroker(() => null, {
    route: () => routeOf([['broker-a', address]]),
  });
  for (const [headerCodec, expected] of [
    ['auto', 2],
    ['json', 0],
  ] as const) {
    codecs.length = 0;
    const producer = openProducer(names.server.address, { headerCodec });
    await producer.send({ topic: 'orders', body: 'x' });
    await producer.send({ topic: 'orders', body: 'y' });
    expect(codecs[0]).toEqual([RequestCode.HEART_BEAT, 0]);
    expect(codecs.at(-1)).toEqual([SEND, expected]);
    await producer.close();
  }
});

test('a check that fails, or finds nobody to ask, is told in the background', async () => {
  const check = encodeRequest({
    code: 39,
    opaque: 1,
    flag: FLAG_ONEWAY,
    body: Buffer.from('junk'),
  });
  const broker = await startScriptedBroker(({ code }, socket) => {
    if (code !== SEND) return null;
    socket.write(check);
    return sendAnswer();
  });
  const errors: ClientError[] = [];
  const producer = openProducer(broker.server.address, {
    onError: (error) => {
      errors.push(error);
      throw new Error('a listener that throws');
    },
  });
  await producer.send({ topic: 'orders', body: 'x' });
  await expect.poll(() => errors.map(({ code }) => code)).toEqual(['PROTOCOL_ERROR']);
  expect(await producer.send({ topic: 'orders', body: 'y' })).toMatchObject({ status: 'ok' });
});

test('several asks for one route are one question, and a change of it is told', async () => {
  let queueCount = 2;
  const names = await startScriptedBroker(() => null, {
    route: () => {
      const route = routeOf([['broker-a', '127.0.0.1:1']]) as { queueDatas: object[] };
      const queueDatas = route.queueDatas.map((one) => ({ ...one, writeQueueNums: queueCount }));
      return { ...route, queueDatas };
    },
  });
  const core = openCore({ servers: names.server.address });
  const changes: number[] = [];
  core.onRouteChanged((route) => changes.push(route.writeQueues.length));
  const routes = await Promise.all([1, 2, 3].map(() => core.route('orders')));
  expect(names.received(RequestCode.GET_ROUTEINFO_BY_TOPIC)).toHaveLength(1);
  expect(routes[0].writeQueues).toHaveLength(2);
  expect(core.masterAddress('broker-a')).toBe('127.0.0.1:1');
  expect(() => core.masterAddress('broker-z')).toThrow(/broker-z/);
  queueCount = 5;
  await core.route('orders');
  expect(changes).toEqual([]);
  await core.route('orders', { fresh: true });
  await core.route('orders', { fresh: true });
  expect(changes).toEqual([5]);
});
