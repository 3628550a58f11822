/**
 * TLS beside plain connections on the same ports, alone, and not at all; certificates that are made, checked
 * and renewed; the port for browsers.
 */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import { startNameServerProcess } from '../../src/cli/name-server-process.ts';
import {
  type CertificateAndKey,
  selfSignedCertificate,
} from '../../src/cli/self-signed-certificate.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import { ClientError } from '../../src/client/client-error.ts';
import { RemotingClient } from '../../src/client/remoting-client.ts';
import { Consumer, Producer } from '../../src/client/index.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { RawClient, sendRequest } from '../workers/raw-client.ts';
import { startTestBroker } from '../workers/test-broker.ts';

let root: string;
let first: CertificateAndKey;
let other: CertificateAndKey;
let certPath: string;
let keyPath: string;

const certificateFor = (commonName: string): CertificateAndKey =>
  selfSignedCertificate({
    commonName,
    hosts: ['localhost', '127.0.0.1'],
    notBefore: new Date(Date.now() - 60_000),
    days: 100,
  });

beforeAll(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-tls-'));
  first = certificateFor('first');
  other = certificateFor('other');
  certPath = path.join(root, 'cert.pem');
  keyPath = path.join(root, 'key.pem');
  use(first);
});
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

function use({ certificate, privateKey }: CertificateAndKey): void {
  fs.writeFileSync(certPath, certificate);
  fs.writeFileSync(keyPath, privateKey);
}

async function withBroker(
  overrides: Partial<BrokerConfig>,
  body: (broker: BrokerProcess) => Promise<void>,
): Promise<void> {
  const store = fs.mkdtempSync(path.join(root, 'store-'));
  const files = { tlsServerCertPath: certPath, tlsServerKeyPath: keyPath };
  const broker = await startTestBroker(store, { ...files, ...overrides });
  try {
    await body(broker);
  } finally {
    await broker.close();
  }
}

/** What becomes of a connection that shows nothing but these bytes. */
async function outcome(port: number, bytes: Buffer | string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes);
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve('closed')));
  const open = new Promise<string>((resolve) => setTimeout(() => resolve('open'), 500));
  const result = await Promise.race([closed, open]);
  socket.destroy();
  return result;
}

async function commonNameAt(port: number): Promise<string> {
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

describe('a certificate that signs itself', () => {
  test('is one to Node and to OpenSSL, for its names alone', () => {
    const certificate = new X509Certificate(first.certificate);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.checkHost('localhost')).toBe('localhost');
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(certificate.checkHost('example.com')).toBeUndefined();
    const text = execFileSync('openssl', ['x509', '-noout', '-text', '-in', certPath]).toString();
    expect(text).toContain('ecdsa-with-SHA256');
    const verified = execFileSync('openssl', [
      'verify',
      '-x509_strict',
      '-CAfile',
      certPath,
      certPath,
    ]);
    expect(verified.toString()).toMatch(/OK/);
  });
});

describe('the ports of a broker', () => {
  test('permissive: both at once, with large messages and consumers', () =>
    withBroker({ tlsServerMode: 'permissive' }, async (broker) => {
      const { brokerPort, nameServerPort } = broker.ready;
      const plain = await RawClient.connect(brokerPort);
      expect((await plain.request(sendRequest({ topic: 'both', body: 'plain' }))).code).toBe(0);
      plain.close();
      const servers = `127.0.0.1:${nameServerPort ?? 0}`;
      const secure = { ca: first.certificate };
      await using producer = new Producer({
        servers,
        group: 'p',
        tls: secure,
        compressAboveBytes: Infinity,
      });
      await using consumer = new Consumer({ servers, group: 'g', tls: secure, from: 'first' });
      const body = 'x'.repeat(3_000_000);
      consumer.subscribe('both');
      const lengths: number[] = [];
      await producer.send({ topic: 'both', body });
      await Promise.all(
        Array.from({ length: 300 }, () => producer.send({ topic: 'both', body: 'small' })),
      );
      await consumer.run((message) => {
        lengths.push(message.text().length);
      });
      await expect.poll(() => lengths.length, { timeout: 20_000 }).toBe(302);
      expect(Math.max(...lengths)).toBe(3_000_000);
      expect(await outcome(brokerPort, Buffer.from([0x16, 9, 9, 0, 2, 1, 1]))).toBe('closed');
      // Nobody is kept from asking late.
      expect(await outcome(brokerPort, '')).toBe('open');
    }));

  test('a certificate is checked: by who signed it, and whose it is', () =>
    withBroker({ tlsServerMode: 'permissive' }, async (broker) => {
      const { nameServerPort } = broker.ready;
      const codeOf = async (servers: string, options: object | true): Promise<string> => {
        await using producer = new Producer({ servers, group: 'p', tls: options, retryTimes: 0 });
        const sent = producer.send({ topic: 't', body: 'x' }).then(() => 'sent');
        return await sent.catch((error: unknown) =>
          ClientError.is(error) ? error.code : String(error),
        );
      };
      const address = `127.0.0.1:${nameServerPort ?? 0}`;
      expect(await codeOf(address, { ca: first.certificate })).toBe('sent');
      expect(await codeOf(address, true)).toBe('CONNECTION_FAILED');
      expect(await codeOf(address, { ca: other.certificate })).toBe('CONNECTION_FAILED');
      const misnamed = { ca: first.certificate, serverName: 'example.com' };
      expect(await codeOf(address, misnamed)).toBe('CONNECTION_FAILED');
      expect(await codeOf(address, { rejectUnauthorized: false })).toBe('sent');
    }));

  test('enforcing: plain connections are closed', () =>
    withBroker({ tlsServerMode: 'enforcing', webPort: 0, webLibrary: 'ws' }, async (broker) => {
      const { brokerPort, nameServerPort, webPort } = broker.ready;
      const frame = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0]);
      for (const port of [brokerPort, brokerPort - 2, nameServerPort ?? 0, webPort ?? 0].filter(
        (one) => one > 0,
      ))
        if (port !== brokerPort - 2) expect(await outcome(port, frame)).toBe('closed');
      expect(await outcome(webPort ?? 0, 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n')).toBe(
        'closed',
      );
      expect(await commonNameAt(brokerPort)).toBe('first');
      expect(await commonNameAt(webPort ?? 0)).toBe('first');
    }));

  test('disabled: TLS is closed, as it is without a certificate', async () => {
    const hello = Buffer.from([0x16, 3, 1, 0, 200]);
    await withBroker({ tlsServerMode: 'disabled' }, async ({ ready }) => {
      expect(await outcome(ready.brokerPort, hello)).toBe('closed');
    });
    await withBroker({ tlsServerCertPath: null, tlsServerKeyPath: null }, async ({ ready }) => {
      expect(await outcome(ready.brokerPort, hello)).toBe('closed');
    });
  });

  test('a renewed certificate is taken, and one that can not be used is not', () =>
    withBroker({ tlsServerMode: 'permissive', webPort: 0 }, async (broker) => {
      const { brokerPort, webPort } = broker.ready;
      const socket = tls.connect({ port: brokerPort, host: '127.0.0.1', ca: first.certificate });
      await new Promise((resolve) => socket.once('secureConnect', resolve));
      try {
        use(other);
        await expect.poll(() => commonNameAt(brokerPort), { timeout: 10_000 }).toBe('other');
        expect(await commonNameAt(webPort ?? 0)).toBe('other');
        fs.writeFileSync(keyPath, first.privateKey);
        broker.reloadCertificate?.();
        expect(await commonNameAt(brokerPort)).toBe('other');
        // What was open stays so.
        expect(socket.readyState).toBe('open');
      } finally {
        use(first);
        socket.destroy();
      }
    }));

  test('clients may have to show a certificate of their own', () =>
    withBroker(
      {
        tlsServerMode: 'enforcing',
        tlsServerNeedClientAuth: 'require',
        tlsServerAuthClient: true,
        tlsServerTrustCertPath: certPath,
      },
      async ({ ready }) => {
        const asked = async (options: tls.ConnectionOptions): Promise<number> => {
          const socket = tls.connect({
            port: ready.brokerPort,
            host: '127.0.0.1',
            ca: first.certificate,
            ...options,
          });
          socket.on('error', () => {});
          const client = new Promise<number>((resolve) => {
            socket.once('data', (data: Buffer) => resolve(data.length));
            socket.once('close', () => resolve(0));
          });
          const { frame } = frameOf();
          socket.write(frame);
          const result = await client;
          socket.destroy();
          return result;
        };
        const own = { cert: first.certificate, key: first.privateKey };
        const foreign = { cert: other.certificate, key: other.privateKey };
        expect(await asked(own)).toBeGreaterThan(0);
        expect(await asked({})).toBe(0);
        expect(await asked(foreign)).toBe(0);
      },
    ));

  test('wss, https and their plain kin on the port for browsers', () =>
    withBroker({ tlsServerMode: 'permissive', webPort: 0 }, async (broker) => {
      const port = broker.ready.webPort ?? 0;
      const status = await new Promise<number>((resolve, reject) => {
        const request = https.get({
          port,
          host: '127.0.0.1',
          path: '/healthz',
          ca: first.certificate,
        });
        request.once('response', (response) => resolve(response.statusCode ?? 0));
        request.once('error', reject);
      });
      expect(status).toBe(200);
      expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
      const servers = `wss://127.0.0.1:${port}`;
      await using producer = new Producer({ servers, group: 'p', tls: { ca: first.certificate } });
      await producer.send({ topic: 'by-wss', body: 'x' });
      await using stranger = new Producer({ servers, group: 'p', tls: true, retryTimes: 0 });
      const failure: unknown = await stranger
        .send({ topic: 'by-wss', body: 'x' })
        .catch((e: unknown) => e);
      expect(ClientError.is(failure) && failure.code).toBe('CONNECTION_FAILED');
      const { frame } = frameOf();
      for (const scheme of ['ws', 'wss']) {
        const socket = new WebSocket(`${scheme}://127.0.0.1:${port}/`, { ca: first.certificate });
        await new Promise((resolve, reject) => {
          socket.once('open', resolve);
          socket.once('error', reject);
        });
        const answer = new Promise<Buffer>((resolve) => socket.once('message', resolve as never));
        socket.send(frame);
        expect((await answer).toString()).toContain('"code":0');
        socket.close();
      }
    }));
});

/** A send as bytes. */
function frameOf(): { frame: Buffer } {
  const encoder = RawClient.prototype.encode.bind({} as RawClient);
  return { frame: encoder(sendRequest({ topic: 'raw', body: 'x' }), 1) };
}

test('a broker registers by TLS with a name server that shows the right certificate', async () => {
  const server = await startNameServerProcess(
    {
      listenAddress: '127.0.0.1',
      port: 0,
      tls: {
        tlsServerMode: 'enforcing',
        tlsServerCertPath: certPath,
        tlsServerKeyPath: keyPath,
        tlsServerKeyPassword: null,
        tlsServerNeedClientAuth: 'none',
        tlsServerAuthClient: false,
        tlsServerTrustCertPath: null,
      },
    },
    silentLogger,
  );
  const nameServer = `127.0.0.1:${server.ready.nameServerPort}`;
  const outgoing = {
    tlsServerCertPath: null,
    tlsServerKeyPath: null,
    embeddedNameServer: false,
    nameServerAddresses: [nameServer],
    tlsEnable: true,
    tlsClientTrustCertPath: certPath,
  } as const;
  await withBroker(outgoing, async () => {
    const ask = async (ca: string): Promise<string> => {
      const client = new RemotingClient({ address: nameServer, tls: { ca } });
      try {
        return (await client.request({ code: 106 })).body.toString();
      } finally {
        client.close();
      }
    };
    await expect.poll(() => ask(first.certificate), { timeout: 10_000 }).toContain('broker-test');
    await expect(ask(other.certificate)).rejects.toThrow(/can not be reached/);
  });
  await server.close();
});
