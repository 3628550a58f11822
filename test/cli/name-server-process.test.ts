/**
 * A name server alone over real sockets: its limits, the metric of each, and its pages. Goal: what a broker has,
 * but for WebSockets, which lead to brokers.
 */
import net from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import { defaultBrokerConfig } from '../../src/base/broker-config.ts';
import {
  type NameServerProcess,
  startNameServerProcess,
} from '../../src/cli/name-server-process.ts';
import { registrationOf } from '../nameserver/registration.ts';
import { RawClient, type RawRequest } from '../workers/raw-client.ts';

const MIB = 1024 * 1024;
let server: NameServerProcess | null = null;
afterEach(async () => {
  await server?.close();
  server = null;
});

async function start(
  limits: Partial<ReturnType<typeof defaultBrokerConfig>> = {},
): Promise<NameServerProcess> {
  server = await startNameServerProcess(
    {
      listenAddress: '127.0.0.1',
      port: 0,
      webPort: 0,
      limits: { ...defaultBrokerConfig(), ...limits },
    },
    silentLogger,
  );
  return server;
}

async function page(
  path: string,
  init: RequestInit = {},
): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${server?.ready.webPort}${path}`, init);
  return { status: response.status, text: await response.text() };
}

/** The value of a line of /metrics whose labels hold `labels`. */
async function metric(family: string, labels = ''): Promise<number> {
  const { text } = await page('/metrics');
  const line = text.split('\n').find((one) => one.startsWith(`${family}{`) && one.includes(labels));
  return Number(line?.split(' ').at(-1));
}

const registration = (brokerName: string, topicCount: number): RawRequest =>
  registrationOf(
    brokerName,
    Array.from({ length: topicCount }, (_, index) => `topic-${index}`),
  );

test('has the pages that a broker has, and no WebSockets', async () => {
  await start();
  expect(await page('/')).toEqual({
    status: 200,
    text: expect.stringMatching(/^Millrace .*: a name server\.\n$/) as string,
  });
  expect(await page('/healthz')).toEqual({ status: 200, text: 'serving\n' });
  expect(await page('/readyz')).toEqual({ status: 200, text: 'ready\n' });
  expect((await page('/etc/passwd')).status).toBe(404);
  expect((await page('/metrics', { method: 'POST' })).status).toBe(405);
  const socket = net.connect(server?.ready.webPort as number, '127.0.0.1');
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  socket.write(
    `GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
  );
  const [head] = (await new Promise<Buffer>((resolve) => socket.once('data', resolve)))
    .toString()
    .split('\r\n');
  expect(head).toContain('503');
  socket.destroy();
});

test('refuses registrations without room, counts them, and knows who is there', async () => {
  const { ready } = await start({ routeBytesMax: MIB });
  const client = await RawClient.connect(ready.nameServerPort);
  expect((await client.request(registration('a', 100))).code).toBe(0);
  const weighed = await metric('millrace_route_bytes');
  expect(weighed).toBeGreaterThan(20_000);
  const refused = await client.request(registration('b', 10_000));
  expect([refused.code, refused.remark]).toEqual([1, expect.stringContaining('routeBytesMax')]);
  expect(await metric('millrace_refusals_total', 'cause="route-memory"')).toBe(1);
  expect(await metric('millrace_registered_brokers')).toBe(1);
  expect(await metric('millrace_connections', 'listener="name-server"')).toBe(1);
  client.close();
  await expect.poll(() => metric('millrace_route_bytes')).toBe(0);
});

test('a long send, which comes in parts, is refused, and the connection goes on', async () => {
  const { ready } = await start();
  const client = await RawClient.connect(ready.nameServerPort);
  const sent = client.encode({ code: 310, fields: { b: 'T' }, body: Buffer.alloc(60_000) }, 7);
  const answer = client.answerTo(7);
  client.socket.write(sent.subarray(0, 20_000));
  while ((await metric('millrace_network_received_bytes_total')) < 20_000);
  client.socket.write(sent.subarray(20_000));
  expect(await answer).toMatchObject({ code: 3, remark: expect.stringContaining('310') as string });
  expect((await client.request({ code: 106 })).code).toBe(0);
  client.close();
});

test('takes so many connections, and so many a second', async () => {
  const { ready } = await start({ connectionCountMax: 5, acceptRateMax: 2 });
  const sockets = Array.from({ length: 8 }, () => net.connect(ready.nameServerPort, '127.0.0.1'));
  for (const socket of sockets) socket.on('error', () => {});
  await expect.poll(() => metric('millrace_refusals_total', 'cause="connection-rate"')).toBe(6);
  await expect
    .poll(() => metric('millrace_connections_refused_total'), { timeout: 10_000 })
    .toBe(3);
  expect(await metric('millrace_connections', 'listener="name-server"')).toBe(5);
  for (const socket of sockets) socket.destroy();
});

test('a port for pages that is taken is said, and nothing stays open', async () => {
  const taken = net.createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as net.AddressInfo;
  const attempt = startNameServerProcess(
    { listenAddress: '127.0.0.1', port: 0, webPort: port },
    silentLogger,
  );
  await expect(attempt).rejects.toThrow(/--web-port/);
  await new Promise((resolve) => taken.close(resolve));
});
