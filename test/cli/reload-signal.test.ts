/**
 * SIGHUP at processes that serve TLS: what they read again, for whom it holds, and what they do with files
 * that can not be used. The processes look at their files every two seconds as well, so a signal without any
 * change shows that the signal itself is heard.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type CertificateAndKey,
  selfSignedCertificate,
} from '../../src/cli/self-signed-certificate.ts';
import { RemotingClient } from '../../src/client/remoting-client.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import { CommandRun, mainFile } from './command-run.ts';

// Processes start, under whatever else the machine does.
vi.setConfig({ testTimeout: 60_000 });

let directory: string;
const runs: CommandRun[] = [];
const at = (name: string): string => path.join(directory, name);

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-reload-'));
});

afterEach(async () => {
  for (const { process: child, ended } of runs.splice(0)) {
    child.kill('SIGKILL');
    await ended;
  }
  fs.rmSync(directory, { recursive: true, force: true });
});

const certificateFor = (commonName: string): CertificateAndKey =>
  selfSignedCertificate({
    commonName,
    hosts: ['127.0.0.1'],
    notBefore: new Date(Date.now() - 60_000),
    days: 100,
  });

const first = certificateFor('first');
const second = certificateFor('second');
const stranger = certificateFor('stranger');

function serve({ certificate, privateKey }: CertificateAndKey): void {
  fs.writeFileSync(at('certificate.pem'), certificate);
  fs.writeFileSync(at('key.pem'), privateKey);
}

/** What a process that is ready says of its ports. */
interface Ports {
  readonly run: CommandRun;
  readonly brokerPort: number;
  readonly nameServerPort: number;
  readonly webPort: number;
}

async function start(command: string, more = ''): Promise<Ports> {
  fs.writeFileSync(
    at('broker.conf'),
    `tls.server.mode=enforcing
tls.server.certPath=${at('certificate.pem')}
tls.server.keyPath=${at('key.pem')}
${more}`,
  );
  const args = [mainFile, ...command.split(' '), '--config', at('broker.conf')];
  const run = new CommandRun(process.execPath, args, { MILLRACE_STORE_KIND: 'plain' });
  runs.push(run);
  await run.says('"msg":"ready"');
  const ready = run.output.split('\n').find((line) => line.includes('"msg":"ready"')) ?? '';
  return { run, ...(JSON.parse(ready) as Omit<Ports, 'run'>) };
}

const startBroker = (more = ''): Promise<Ports> =>
  start(
    `start --threads inline --broker-port 0 --name-server-port 0 --web-port 0 --store-dir ${at('store')}`,
    more,
  );

/** Sends the signal, and waits until the process has read its files once more, with success or without. */
async function reload({ run }: Ports): Promise<void> {
  const before = readings(run);
  run.process.kill('SIGHUP');
  await expect.poll(() => readings(run), { timeout: 30_000 }).toBeGreaterThan(before);
}

const IN_USE = '"msg":"TLS certificate is in use"';
const REFUSED = '"msg":"new TLS certificate can not be used; the one before stays"';

function readings({ output }: CommandRun): number {
  return output.split('\n').filter((line) => line.includes(IN_USE) || line.includes(REFUSED))
    .length;
}

async function connectTo(
  port: number,
  options: tls.ConnectionOptions = {},
): Promise<tls.TLSSocket> {
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** Whose certificate is shown to one who comes now. */
async function shownAt(port: number, options?: tls.ConnectionOptions): Promise<string> {
  const socket = await connectTo(port, options);
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

/** A question that every port of remoting answers; whether it was answered. */
async function answers(client: RemotingClient): Promise<boolean> {
  const extFields: [string, string][] = [['topic', 'TBW102']];
  const asked = client.request({ code: RequestCode.GET_ROUTEINFO_BY_TOPIC, extFields });
  return asked.then(
    () => true,
    () => false,
  );
}

describe('SIGHUP', () => {
  test('gives a new certificate to whoever comes then; a connection from before goes on', async () => {
    serve(first);
    const broker = await startBroker();
    const ports = [broker.brokerPort, broker.nameServerPort, broker.webPort];
    for (const port of ports) expect(await shownAt(port)).toBe('first');
    const address = `127.0.0.1:${broker.brokerPort}`;
    const old = new RemotingClient({ address, tls: { ca: first.certificate } });
    const late = new RemotingClient({ address, tls: { ca: first.certificate } });
    const next = new RemotingClient({ address, tls: { ca: second.certificate } });
    try {
      expect(await answers(old)).toBe(true);
      expect(await answers(next)).toBe(false);
      serve(second);
      await reload(broker);
      for (const port of ports) expect(await shownAt(port)).toBe('second');
      expect(await answers(next)).toBe(true);
      // One that trusts the first alone can not come any more, so the old connection was never cut.
      expect(await answers(late)).toBe(false);
      expect(await answers(old)).toBe(true);
    } finally {
      for (const client of [old, late, next]) client.close();
    }
    broker.run.process.kill('SIGTERM');
    expect((await broker.run.ended).exitCode).toBe(0);
  });

  test('is heard though no file has changed, as often as it comes', async () => {
    serve(first);
    const broker = await startBroker();
    expect(readings(broker.run)).toBe(1);
    await reload(broker);
    await reload(broker);
    expect(readings(broker.run)).toBe(3);
    expect(await shownAt(broker.brokerPort)).toBe('first');
  });

  test.each([
    ['a certificate that is none', (): void => fs.writeFileSync(at('certificate.pem'), 'not PEM')],
    ['a key of another', (): void => fs.writeFileSync(at('key.pem'), second.privateKey)],
    ['half of a key', (): void => fs.truncateSync(at('key.pem'), 100)],
    ['no file at all', (): void => fs.rmSync(at('certificate.pem'))],
    ['nothing in what is trusted', (): void => fs.truncateSync(at('trusted.pem'))],
    [
      'a broken one among what is trusted',
      (): void => fs.appendFileSync(at('trusted.pem'), second.certificate.slice(0, 300)),
    ],
  ])('leaves everything as it was where there is %s, and says so', async (_, spoil) => {
    serve(first);
    fs.writeFileSync(at('trusted.pem'), first.certificate);
    const broker = await startBroker(`tls.server.need.client.auth=optional
tls.server.authClient=true
tls.server.trustCertPath=${at('trusted.pem')}
`);
    const address = `127.0.0.1:${broker.brokerPort}`;
    const known = { cert: first.certificate, key: first.privateKey };
    const old = new RemotingClient({ address, tls: { ca: first.certificate, ...known } });
    try {
      expect(await answers(old)).toBe(true);
      spoil();
      await reload(broker);
      await broker.run.says(REFUSED);
      const line = broker.run.output.split('\n').find((one) => one.includes(REFUSED)) ?? '';
      const { level, why } = JSON.parse(line) as { level: number; why: string };
      expect(level).toBe(50);
      expect(why).not.toBe('');
      expect(line).not.toContain('PRIVATE KEY');
      for (const port of [broker.brokerPort, broker.nameServerPort, broker.webPort])
        expect(await shownAt(port, known)).toBe('first');
      expect(await isLetIn(broker.brokerPort, known)).not.toBeNull();
      expect(await answers(old)).toBe(true);
    } finally {
      old.close();
    }
    // Nothing has been broken for good.
    fs.writeFileSync(at('trusted.pem'), first.certificate);
    serve(second);
    await reload(broker);
    await expect.poll(() => shownAt(broker.brokerPort, known), { timeout: 30_000 }).toBe('second');
  });

  test('lets in whose certificates are trusted from then on, and nobody else, nor by an old session', async () => {
    serve(first);
    fs.writeFileSync(at('trusted.pem'), second.certificate);
    const broker = await startBroker(`tls.server.need.client.auth=require
tls.server.authClient=true
tls.server.trustCertPath=${at('trusted.pem')}
`);
    const { brokerPort: port } = broker;
    const own = (one: CertificateAndKey): tls.ConnectionOptions => ({
      cert: one.certificate,
      key: one.privateKey,
    });
    expect(await isLetIn(port, own(second))).not.toBeNull();
    expect(await isLetIn(port, own(stranger))).toBeNull();
    // Also the last of several, behind words that are none of it.
    fs.writeFileSync(
      at('trusted.pem'),
      `# ours\n${first.certificate}# theirs\r\n${stranger.certificate.replaceAll('\n', '\r\n')}`,
    );
    await reload(broker);
    await expect.poll(() => isLetIn(port, own(stranger)), { timeout: 30_000 }).not.toBeNull();
    expect(await isLetIn(port, own(second))).toBeNull();
    for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
      fs.writeFileSync(at('trusted.pem'), second.certificate);
      await reload(broker);
      await expect
        .poll(() => isLetIn(port, { ...own(second), maxVersion }), { timeout: 30_000 })
        .not.toBeNull();
      const session = (await isLetIn(port, { ...own(second), maxVersion })) ?? undefined;
      expect(await isLetIn(port, { ...own(second), maxVersion, session }, true)).not.toBeNull();
      fs.writeFileSync(at('trusted.pem'), stranger.certificate);
      await reload(broker);
      await expect
        .poll(() => isLetIn(port, { ...own(stranger), maxVersion }), { timeout: 30_000 })
        .not.toBeNull();
      expect(await isLetIn(port, { ...own(second), maxVersion })).toBeNull();
      expect(await isLetIn(port, { ...own(second), maxVersion, session })).toBeNull();
    }
  });

  test('nor does a start take such a file, towards clients or name servers', async () => {
    serve(first);
    fs.writeFileSync(at('trusted.pem'), `${first.certificate}${second.certificate.slice(0, 300)}`);
    const server = `tls.server.authClient=true\ntls.server.trustCertPath=${at('trusted.pem')}\n`;
    const client = `namesrvAddr=127.0.0.1:9\ntls.enable=true\ntls.client.trustCertPath=${at('trusted.pem')}\n`;
    for (const settings of [server, client])
      await expect(startBroker(settings)).rejects.toThrow(
        /certificate 2 of .*trusted.pem can not be read/,
      );
    fs.writeFileSync(at('trusted.pem'), 'nothing');
    for (const settings of [server, client])
      await expect(startBroker(settings)).rejects.toThrow(
        /trusted.pem holds no certificate in PEM/,
      );
  });

  test('is heard by a name server of its own, too', async () => {
    serve(first);
    const server = await start('nameserver --port 0');
    expect(await shownAt(server.nameServerPort)).toBe('first');
    serve(second);
    await reload(server);
    expect(await shownAt(server.nameServerPort)).toBe('second');
    fs.writeFileSync(at('key.pem'), 'no key');
    await reload(server);
    await server.run.says(REFUSED);
    expect(await shownAt(server.nameServerPort)).toBe('second');
  });
});

/** The session of one who got an answer; null of one who was closed without. */
async function isLetIn(
  port: number,
  options: tls.ConnectionOptions,
  mustResume = false,
): Promise<Buffer | null> {
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  let session: Buffer | null = null;
  socket.on('session', (one) => (session = one));
  socket.on('error', () => {});
  const header = Buffer.from(
    '{"code":105,"flag":0,"language":"JAVA","opaque":1,"version":0,"extFields":{"topic":"TBW102"}}',
  );
  const lengths = Buffer.alloc(8);
  lengths.writeInt32BE(4 + header.length, 0);
  lengths.writeInt32BE(header.length, 4);
  socket.write(Buffer.concat([lengths, header]));
  const isAnswered = await new Promise<boolean>((resolve) => {
    socket.once('data', () => resolve(true));
    socket.once('close', () => resolve(false));
  });
  session ??= socket.getSession() ?? null;
  if (mustResume) expect(socket.isSessionReused()).toBe(true);
  socket.destroy();
  return isAnswered ? session : null;
}
