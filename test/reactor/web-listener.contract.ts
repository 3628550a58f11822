/**
 * What the web port does, whichever library carries it: run by uws-listener.test.ts and
 * ws-listener.test.ts against real brokers, over real sockets.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import { encodeRegisterBody } from '../../src/protocol/register-body.ts';
import { topicConfig } from '../nameserver/registration.ts';
import { MESSAGE_BYTES_MAX, type WebLibrary } from '../../src/reactor/web-listener.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from '../workers/raw-client.ts';
import { readRecords, startTestBroker } from '../workers/test-broker.ts';
import { get, WebClient } from './web-client.ts';

export function webListenerContract(library: WebLibrary): void {
  let root: string;
  let broker: BrokerProcess;
  let port: number;
  let clients: { close(): void }[] = [];

  const start = async (overrides: Partial<BrokerConfig> = {}): Promise<void> => {
    broker = await startTestBroker(root, {
      threads: 'inline',
      webPort: 0,
      webLibrary: library,
      // Other tests share the machine: what matters here is not how long a send waits.
      waitTimeMillsInSendQueue: 60_000,
      ...overrides,
    });
    port = broker.ready.webPort as number;
  };

  const restart = async (overrides: Partial<BrokerConfig>): Promise<void> => {
    await broker.close();
    await start(overrides);
  };

  const connect = async (
    options: Parameters<typeof WebClient.connect>[1] = {},
  ): Promise<WebClient> => {
    const client = await WebClient.connect(port, options);
    clients.push(client);
    return client;
  };

  const metric = async (name: string): Promise<number> => {
    const { text } = await get(port, '/metrics');
    const lines = text.split('\n').filter((line) => line.startsWith(name));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };

  beforeEach(async () => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-web-'));
    await start();
  });

  afterEach(async () => {
    for (const client of clients) client.close();
    clients = [];
    await broker.close();
    fs.rmSync(root, { recursive: true, force: true });
  });

  describe('a WebSocket', () => {
    test('carries sends, heartbeats and pulls on one connection', async () => {
      const client = await connect();
      await client.request(heartbeatRequest('c1', 'web-group', 'WebTopic'));
      const sent = await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          client.request(sendRequest({ topic: 'WebTopic', body: `body ${index}` })),
        ),
      );
      expect(sent.map(({ code }) => code)).toEqual(sent.map(() => 0));
      const bodies: string[] = [];
      while (bodies.length < 50) {
        const pulled = await client.request(
          pullRequest('web-group', 'WebTopic', 0, bodies.length, 5000),
        );
        expect(pulled.code).toBe(0);
        bodies.push(...readRecords(pulled.body).map(({ body }) => body));
      }
      expect(bodies).toEqual(Array.from({ length: 50 }, (_, index) => `body ${index}`));
    });

    test('takes frames however they are spread over messages', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 8 }),
          fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 40 }),
          async (bodyBytes, cuts) => {
            const client = await connect();
            const prepared = bodyBytes.map((bytes) =>
              client.prepare(sendRequest({ topic: 'Spread', body: Buffer.alloc(bytes, 'x') })),
            );
            let rest = Buffer.concat(prepared.map(({ frame }) => frame));
            for (let index = 0; rest.length > 0; index++) {
              const cut = cuts[index % cuts.length];
              // An empty message is allowed, and says nothing; but not for ever.
              const bytes = index < 100 ? cut : rest.length;
              client.socket.send(rest.subarray(0, bytes));
              rest = rest.subarray(bytes);
            }
            const answers = await Promise.all(prepared.map(({ answer }) => answer));
            expect(answers.map(({ code }) => code)).toEqual(answers.map(() => 0));
            client.close();
          },
        ),
        { seed: 20_261_128, numRuns: 25 },
      );
    });

    test('ends on bytes that are no frame, and only that one', async () => {
      const other = await connect();
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ minLength: 16, maxLength: 2000 }), async (garbage) => {
          const client = await connect();
          // A length that may be, with a header that is none, or a length that can not be.
          const bytes = Buffer.from(garbage);
          if (bytes[0] % 2 === 0) bytes.writeInt32BE(bytes.length - 4, 0);
          else bytes.writeInt32BE(bytes[1] % 2 === 0 ? -1 : 0x7fff_ffff, 0);
          bytes.writeInt32BE(0x0000_ffff, 4);
          client.socket.send(bytes);
          const { code } = await client.closed;
          expect(code).toBe(1002);
        }),
        { seed: 20_261_128, numRuns: 25 },
      );
      const answer = await other.request(sendRequest({ topic: 'Alive', body: 'still' }));
      expect(answer.code).toBe(0);
      expect(await metric('millrace_connections_closed_total')).toBeGreaterThanOrEqual(25);
    });

    test('ends on a text message (1003)', async () => {
      const client = await connect();
      client.socket.send('hello');
      expect(await client.closed).toEqual({
        code: 1003,
        reason: 'only binary messages are understood',
      });
    });

    test('ends on a message that is too long, without its being kept', async () => {
      const client = await connect();
      client.socket.send(Buffer.alloc(MESSAGE_BYTES_MAX + 1));
      const { code } = await client.closed;
      expect([1006, 1009]).toContain(code);
      expect((await get(port, '/healthz')).status).toBe(200);
    });

    test('takes the longest frame in one message, and in many', async () => {
      await restart({ maxMessageBytes: 15 * 1024 * 1024 });
      const client = await connect();
      const body = Buffer.alloc(14 * 1024 * 1024, 'y');
      const whole = await client.request(sendRequest({ topic: 'Large', body }));
      expect(whole.code).toBe(0);
      const { frame, answer } = client.prepare(sendRequest({ topic: 'Large', body }));
      for (let at = 0; at < frame.length; at += 100_000)
        client.socket.send(frame.subarray(at, at + 100_000));
      expect((await answer).code).toBe(0);
    });

    test('keeps answers for a client that reads late: none is lost, and others are served', async () => {
      const slow = await connect();
      const topics = await slow.request({ code: 105, fields: { topic: 'TBW102' } });
      expect(topics.code).toBe(0);
      // Some 40 MB of answers, which no socket buffer holds.
      const count = 100_000;
      const { frame } = slow.prepare({ code: 105, fields: { topic: 'TBW102' } });
      slow.socket.pause();
      const many = Buffer.concat(Array.from({ length: 1000 }, () => frame));
      for (let sent = 0; sent < count; sent += 1000) slow.socket.send(many);
      await sleep(300);
      const other = await connect();
      const answer = await other.request(sendRequest({ topic: 'Others', body: 'served' }));
      expect(answer.code).toBe(0);
      slow.socket.resume();
      while (slow.answers.length < count + 1 && slow.socket.readyState === slow.socket.OPEN)
        await sleep(20);
      expect(slow.answers).toHaveLength(count + 1);
    }, 60_000);

    test('is refused beyond the limit of connections, and served again below it', async () => {
      await restart({ connectionCountMax: 2 });
      const first = await connect();
      await connect();
      await first.request({ code: 105, fields: { topic: 'TBW102' } });
      const third = await connect().catch(() => null);
      // Turned away by the port itself, or by the reactor.
      if (third !== null) expect([1013, 1006]).toContain((await third.closed).code);
      first.close();
      await expect
        .poll(
          async () => {
            const next = await connect().catch(() => null);
            if (next === null) return null;
            const answer = next.request({ code: 105, fields: { topic: 'TBW102' } });
            return Promise.race([answer.then(({ code }) => code), next.closed.then(() => null)]);
          },
          { timeout: 10_000 },
        )
        .toBe(0);
    });

    test('comes in at the rate that is allowed, and waits for its turn', async () => {
      await restart({ acceptRateMax: 2 });
      let count = 0;
      const coming = Array.from({ length: 5 }, async () => {
        const client = await connect();
        count++;
        return client;
      });
      // One that does not wait for its turn is nobody's trouble.
      const leaving = net.connect(port, '127.0.0.1');
      leaving.write(
        `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
      );
      await expect.poll(() => metric('millrace_connections_waiting')).toBeGreaterThan(0);
      leaving.destroy();
      expect(count).toBeLessThan(5);
      for (const client of await Promise.all(coming)) {
        const answer = await client.request({ code: 105, fields: { topic: 'TBW102' } });
        expect(answer.code).toBe(0);
      }
      await expect.poll(() => metric('millrace_connections_waiting')).toBe(0);
    });

    test('hears that the broker goes (1001), after the answers that it owes', async () => {
      const client = await connect();
      const requests = Array.from({ length: 200 }, (_, index) =>
        client.request(sendRequest({ topic: 'Leaving', body: `${index}` })),
      );
      const answers = Promise.all(requests);
      await requests[0];
      const closing = broker.close();
      const codes = (await answers).map(({ code }) => code);
      // Stored, or told to go elsewhere.
      expect(codes).toContain(0);
      expect(codes.filter((code) => code !== 0 && code !== 1500)).toEqual([]);
      expect(await client.closed).toEqual({ code: 1001, reason: 'the broker stops' });
      await closing;
      await start();
    });

    test('that does not say goodbye does not hold up the end', async () => {
      const client = await connect();
      client.socket.pause();
      const beganMs = performance.now();
      await broker.close();
      expect(performance.now() - beganMs).toBeLessThan(5000);
      await start();
    });

    test('that is silent is closed, as by TCP', async () => {
      await restart({ idleCloseMs: 1000 });
      const client = await connect();
      expect((await client.closed).code).toBe(1001);
    });
  });

  describe('names by WebSocket', () => {
    const routeOf = async (
      client: WebClient,
      topic: string,
    ): Promise<{ brokerDatas: { brokerName: string; brokerAddrs: Record<string, string> }[] }> => {
      const answer = await client.request({ code: 105, fields: { topic } });
      expect(answer.code).toBe(0);
      return JSON.parse(answer.body.toString()) as Awaited<ReturnType<typeof routeOf>>;
    };

    test('are those of this broker also where the name server has no port', async () => {
      await restart({ embeddedNameServer: false });
      const client = await connect();
      await client.request(sendRequest({ topic: 'Alone', body: 'x' }));
      const route = await routeOf(client, 'Alone');
      expect(route.brokerDatas.map(({ brokerName }) => brokerName)).toEqual(['broker-test']);
      const missing = await client.request({ code: 105, fields: { topic: 'Nowhere' } });
      expect(missing.code).toBe(17);
    });

    test('leave out other brokers of the name server, which TCP clients are told', async () => {
      const tcp = await RawClient.connect(broker.ready.nameServerPort as number);
      clients.push(tcp);
      const web = await connect();
      await web.request(sendRequest({ topic: 'Shared', body: 'x' }));
      const registered = await tcp.request({
        code: 103,
        fields: {
          brokerName: 'broker-other',
          brokerAddr: '10.9.9.9:10911',
          clusterName: 'DefaultCluster',
          haServerAddr: '10.9.9.9:10912',
          brokerId: 0,
          compressed: 'false',
        },
        body: encodeRegisterBody(
          { counter: 1, stateVersion: 0, timestamp: 1 },
          ['Shared', 'OnlyOther'].map((name) => topicConfig(name)),
        ),
      });
      expect(registered.code).toBe(0);
      const told = await tcp.request({ code: 105, fields: { topic: 'Shared' } });
      expect(told.body.toString()).toContain('broker-other');
      const route = await routeOf(web, 'Shared');
      expect(route.brokerDatas.map(({ brokerName }) => brokerName)).toEqual(['broker-test']);
      expect((await web.request({ code: 105, fields: { topic: 'OnlyOther' } })).code).toBe(17);
      const cluster = (await web.request({ code: 106 })).body.toString();
      expect(cluster).toContain('broker-test');
      expect(cluster).not.toContain('broker-other');
      const topics = (await web.request({ code: 206 })).body.toString();
      expect(topics).toContain('Shared');
      expect(topics).not.toContain('OnlyOther');
    });

    test('are not for brokers to register', async () => {
      const client = await connect();
      const answer = await client.request({ code: 103, fields: { brokerName: 'intruder' } });
      expect(answer.code).toBe(16);
    });
  });

  describe('a page of another origin', () => {
    test('is refused with the reason, and counted', async () => {
      await expect(connect({ origin: 'https://evil.example' })).rejects.toThrow(
        /^403 pages of "https:\/\/evil\.example" may not connect: .*webAllowedOrigins/,
      );
      // A name that points here for the moment is no reason to trust its page.
      await expect(
        connect({ origin: `http://evil.example:${port}`, host: `evil.example:${port}` }),
      ).rejects.toThrow(/^403 /);
      await expect(connect({ origin: 'null' })).rejects.toThrow(/^403 /);
      expect(await metric('millrace_web_refused_total')).toBe(3);
    });

    test('connects where it is of this machine', async () => {
      for (const origin of ['http://localhost:5173', `http://127.0.0.1:${port}`, 'http://[::1]'])
        expect((await connect({ origin })).socket.readyState).toBe(1);
    });

    test('connects where it is listed, and every one with *', async () => {
      await restart({ webAllowedOrigins: ['https://app.example.com'] });
      expect((await connect({ origin: 'https://app.example.com' })).socket.readyState).toBe(1);
      await expect(connect({ origin: 'https://app.example.com.evil.net' })).rejects.toThrow(
        /^403 /,
      );
      await expect(connect({ origin: 'http://app.example.com' })).rejects.toThrow(/^403 /);
      await restart({ webAllowedOrigins: ['*'] });
      expect((await connect({ origin: 'https://evil.example' })).socket.readyState).toBe(1);
    });
  });

  describe('over HTTP', () => {
    test('there are four pages, and no files', async () => {
      expect(await get(port, '/')).toMatchObject({
        status: 200,
        text: expect.stringMatching(/^Millrace \d.*\n$/) as string,
      });
      expect(await get(port, '/healthz')).toMatchObject({ status: 200, text: 'serving\n' });
      expect(await get(port, '/readyz?verbose')).toMatchObject({ status: 200, text: 'ready\n' });
      for (const missing of ['/etc/passwd', '/../package.json', '/metrics/x', '//', '/%2e%2e/x'])
        expect((await get(port, missing)).status).toBe(404);
      await expect(connect({ path: '/elsewhere' })).rejects.toThrow(/^404 /);
    });

    test('other methods are refused, and HEAD has no body', async () => {
      expect(await get(port, '/metrics', 'POST')).toMatchObject({
        status: 405,
        headers: { allow: 'GET, HEAD' },
      });
      expect(await get(port, '/healthz', 'DELETE')).toMatchObject({ status: 405 });
      expect(await get(port, '/healthz', 'HEAD')).toMatchObject({
        status: 200,
        text: '',
        headers: { 'content-length': '8' },
      });
    });

    test('it is not ready while it stops, or while the disk is full', async () => {
      const closing = broker.close();
      expect(await get(port, '/readyz')).toMatchObject({ status: 503, text: 'stopping\n' });
      expect((await get(port, '/healthz')).status).toBe(200);
      await closing;
      await start({ nameServerAddresses: ['127.0.0.1:1'] });
      expect(await get(port, '/readyz')).toMatchObject({
        status: 503,
        text: 'not registered with any name server yet\n',
      });
    });

    test('metrics say what was sent, read and is left to read', async () => {
      const client = await connect();
      await client.request(heartbeatRequest('c1', 'metric-group', 'Metered'));
      for (let index = 0; index < 10; index++)
        await client.request(sendRequest({ topic: 'Metered', body: `body ${index}`, queueId: 1 }));
      await client.request(pullRequest('metric-group', 'Metered', 1, 0, 1000));
      await client.request({
        code: 15,
        fields: { consumerGroup: 'metric-group', topic: 'Metered', queueId: 1, commitOffset: 4 },
      });
      const page = await get(port, '/metrics');
      expect(page.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
      const { text } = page;
      const value = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? NaN);
      expect(value(/^rocketmq_messages_in_total\{.*topic="Metered".*\} (\d+)$/m)).toBe(10);
      expect(
        value(
          /^rocketmq_messages_out_total\{.*topic="Metered",consumer_group="metric-group".*\} (\d+)$/m,
        ),
      ).toBe(10);
      expect(
        value(
          /^rocketmq_consumer_lag_messages\{.*topic="Metered",consumer_group="metric-group",is_retry="false",is_system="false"\} (\d+)$/m,
        ),
      ).toBe(6);
      expect(
        value(/^millrace_consumer_queue_lag_messages\{.*topic="Metered",queue_id="1"\} (\d+)$/m),
      ).toBe(6);
      expect(value(/^rocketmq_rpc_latency_count\{.*"send_message".*\} (\d+)$/m)).toBe(10);
      expect(value(/^rocketmq_message_size_bucket\{.*le="1024"\} (\d+)$/m)).toBe(10);
      expect(value(/^rocketmq_consumer_connections\{.*"metric-group".*\} (\d+)$/m)).toBe(1);
      expect(value(/^millrace_connections\{.*listener="web"\} (\d+)$/m)).toBe(1);
      // The format: each family once, its lines together.
      const families = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name);
      expect(new Set(families).size).toBe(families.length);
      let family = '';
      for (const line of text.trimEnd().split('\n')) {
        if (line.startsWith('# TYPE ')) family = line.split(' ')[2];
        else if (!line.startsWith('#')) {
          expect(line).toMatch(/^[a-z_]+(\{([a-z_]+="[^"]*",?)*\})? [0-9.e+-]+$/);
          expect(line.startsWith(family)).toBe(true);
        }
      }
    });

    test('metrics of many queues come in bounded steps between which sends are answered', async () => {
      await restart({ metricsLineCountMax: 5000 });
      const client = await connect();
      const topicCount = 40;
      for (let topic = 0; topic < topicCount; topic++) {
        await client.request(sendRequest({ topic: `Many${topic}`, body: 'x' }));
        for (let group = 0; group < 40; group++) {
          const name = `many-${group}`;
          if (topic === 0) await client.request(heartbeatRequest(`c${group}`, name, 'Many0'));
          for (let queueId = 0; queueId < 4; queueId++) {
            client.socket.send(
              client.prepare({
                code: 15,
                fields: { consumerGroup: name, topic: `Many${topic}`, queueId, commitOffset: 1 },
              }).frame,
            );
          }
        }
      }
      let answeredCount = 0;
      const scrape = { isDone: false };
      const sending = (async () => {
        while (!scrape.isDone) {
          await client.request(sendRequest({ topic: 'Many0', body: 'meanwhile' }));
          answeredCount++;
        }
      })();
      const pages = await Promise.all([get(port, '/metrics'), get(port, '/metrics')]);
      scrape.isDone = true;
      await sending;
      const [{ text }] = pages;
      expect(
        text.split('\n').filter((line) => line.startsWith('millrace_consumer_queue')).length,
      ).toBeGreaterThan(3000);
      const leftOut = Number(/^millrace_metrics_left_out\{.*\} (\d+)$/m.exec(text)?.[1]);
      expect(leftOut).toBeGreaterThan(2000);
      expect(answeredCount).toBeGreaterThan(3);
    }, 60_000);
  });

  test('a port that is taken is an error that names the flag', async () => {
    const taken = net.createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port: takenPort } = taken.address() as net.AddressInfo;
    const other = path.join(root, 'other');
    await expect(
      startTestBroker(other, { threads: 'inline', webPort: takenPort, webLibrary: library }),
    ).rejects.toThrow(new RegExp(`127\\.0\\.0\\.1:${takenPort} is taken;.*--web-port$`));
    taken.close();
    // And the port of another broker, though that library could share it.
    await expect(
      startTestBroker(other, { threads: 'inline', webPort: port, webLibrary: library }),
    ).rejects.toThrow(/is taken;.*--web-port$/);
    const free = await startTestBroker(other, {
      threads: 'inline',
      webPort: 0,
      webLibrary: library,
    });
    await free.close();
  });
}
