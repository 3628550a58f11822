/**
 * `millrace doctor` on ports, addresses, secrets and running brokers, with real causes.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import { initSecure } from '../../src/cli/init-command.ts';
import { startNameServerProcess } from '../../src/cli/name-server-process.ts';
import { selfSignedCertificate } from '../../src/cli/self-signed-certificate.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import { encodeAnswer, SERIALIZE_JSON } from '../../src/protocol/remoting-command.ts';
import { startFrameServer } from '../client/frame-server.ts';
import { CommandRun, mainFile } from './command-run.ts';
import { NO_PORTS, Surgery } from './doctor-harness.ts';

// Each finding is a process or two.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let surgery: Surgery;
beforeEach(() => {
  surgery = new Surgery();
});
afterEach(() => surgery.end());

const at = (...names: string[]): string => path.join(surgery.directory, ...names);
const isRoot = process.geteuid?.() === 0;
const OTHER_PORTS = '--name-server-port 0 --web-port off';

/** Something that listens, and says nothing. */
async function silentPort(): Promise<number> {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => sockets.push(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  surgery.after(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  return (server.address() as net.AddressInfo).port;
}

describe('how it is called', () => {
  test('helps with examples, and refuses what it does not know', async () => {
    const help = await new CommandRun(process.execPath, [mainFile, 'doctor', '--help'], {}, '')
      .ended;
    expect(help.exitCode).toBe(0);
    expect(help.output).toContain('millrace doctor --store-dir /var/lib/millrace --json');
    const wrong = await new CommandRun(process.execPath, [mainFile, 'doctor', '--advert'], {}, '')
      .ended;
    expect(wrong.exitCode).toBe(2);
    const file = await new CommandRun(
      process.execPath,
      [mainFile, 'doctor', '--credentials', '/nowhere'],
      {},
      '',
    ).ended;
    expect(file).toMatchObject({ exitCode: 2, output: '' });
  });

  test('prints lines with what to do for people, and only what is wrong where it is asked for that', async () => {
    const port = await silentPort();
    const args = `doctor --store-dir ${surgery.store} --broker-port ${port} ${OTHER_PORTS}`;
    const run = (more: string[]): Promise<{ output: string }> =>
      new CommandRun(process.execPath, [mainFile, ...args.split(' '), ...more], {}, '').ended;
    const { output } = await run([]);
    expect(output).toMatch(
      new RegExp(`^PROBLEM +ports.broker +broker port ${port} is held by`, 'm'),
    );
    expect(output).toMatch(/^ +-> stop it, or choose another port with --broker-port$/m);
    expect(output).toMatch(/^1 problem, \d+ warnings?, \d+ ok\n$/m);
    const { output: short } = await run(['--problems']);
    expect(short).toContain('PROBLEM  ports.broker');
    expect(short).not.toMatch(/^ok /m);
  });

  test('tells mistakes of the configuration, and goes on', async () => {
    fs.writeFileSync(
      at('broker.conf'),
      'brokerPort=1\nflushDiskType=NEVER\nbrokerRole=ASYNC_MASTER\n',
    );
    const found = await surgery.doctor(`--config ${at('broker.conf')} ${NO_PORTS}`);
    expect(found.problems).toEqual(['configuration.setting', 'configuration.setting']);
    expect(found.find('configuration.ignored', 'warning').text).toContain('brokerRole');
    found.find('disk.sync', 'ok');
    const none = await surgery.doctor(`--config ${at('no.conf')} ${NO_PORTS}`);
    expect(none.problems).toEqual(['configuration.file']);
    expect(none.exitCode).toBe(1);
  });
});

describe('a port', () => {
  test('that something else holds, with its process', async () => {
    const port = await silentPort();
    const found = await surgery.doctor(`--broker-port ${port} ${OTHER_PORTS}`);
    const { text } = found.find('ports.broker', 'problem');
    expect(text).toContain('something that does not speak remoting');
    expect(text).toContain(`process ${process.pid} (`);
    found.find('ports.vip', 'ok');
    const vip = await surgery.doctor(`--broker-port ${port + 2} ${OTHER_PORTS}`);
    expect(vip.find('ports.vip', 'problem').advice).toContain('always two below the broker port');
  });

  test('that another Millrace holds, with its store; its name server and web port', async () => {
    const other = await surgery.broker({ storeDirectory: at('other'), webPort: 0 });
    const { brokerPort, nameServerPort, webPort } = other.ready;
    const found = await surgery.doctor(
      `--broker-port ${brokerPort} --name-server-port ${nameServerPort} --web-port ${webPort}`,
    );
    expect(found.find('ports.broker', 'problem').text).toContain(
      `another Millrace, broker broker-test with the store ${at('other')}`,
    );
    expect(found.find('ports.name-server', 'problem').text).toContain('a name server of Millrace');
    expect(found.find('ports.web', 'problem').text).toContain('the web port of another Millrace');
  });

  test('that Apache RocketMQ holds', async () => {
    // Its answers, as far as they are read.
    const apache = await startFrameServer((request, socket) => {
      const isConfig = request.code === RequestCode.GET_BROKER_CONFIG;
      const body = Buffer.from(
        'brokerName=broker-a\nrocketmqHome=/opt/rocketmq\nstorePathRootDir=/data\n',
      );
      const { opaque } = request;
      const answer = isConfig ? { code: 0, body } : { code: 3 };
      socket.write(encodeAnswer({ opaque, serializeType: SERIALIZE_JSON }, answer));
    });
    surgery.after(() => apache.close());
    const found = await surgery.doctor(`--broker-port ${apache.port} ${OTHER_PORTS}`);
    expect(found.find('ports.broker', 'problem').text).toContain(
      'Apache RocketMQ, broker broker-a with the store /data',
    );
  });

  test.skipIf(!isRoot)('that needs rights', async () => {
    fs.chmodSync(surgery.directory, 0o777);
    const unprivileged = `exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$0" "$@";`;
    const start = fs.readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8').trim();
    const found = await surgery.doctor(`--broker-port 82 ${OTHER_PORTS}`, { prefix: unprivileged });
    if (start === '0') found.find('ports.broker', 'ok');
    else
      expect(found.find('ports.broker', 'problem').text).toContain(
        `ports below ${start} need a right`,
      );
  });

  test('on an address of another machine, or a name without one', async () => {
    const away = await surgery.doctor(
      `--listen-address 203.0.113.7 --allow-public --broker-port 27150 ${OTHER_PORTS}`,
    );
    expect(away.find('ports.broker', 'problem').text).toContain(
      '203.0.113.7 is no address of this machine',
    );
    const nameless = await surgery.doctor(
      `--listen-address no.such.invalid --allow-public ${NO_PORTS}`,
    );
    nameless.find('ports.listen-address', 'problem');
  });
});

describe('addresses', () => {
  test('of this machine alone, for clients of others', async () => {
    const found = await surgery.doctor(
      `--listen-address 0.0.0.0 --allow-public --advertise 127.0.0.1 ${NO_PORTS}`,
    );
    expect(found.find('addresses.reach', 'problem').advice).toContain('--advertise');
    expect(found.find('addresses.public', 'warning').advice).toContain('init --secure');
    const unallowed = await surgery.doctor(`--listen-address 0.0.0.0 ${NO_PORTS}`);
    expect(unallowed.find('configuration.setting', 'problem').text).toContain('--allow-public');
  });

  test('that do not resolve, or belong to others', async () => {
    const nameless = await surgery.doctor(`--advertise no.such.invalid ${NO_PORTS}`);
    nameless.find('addresses.given', 'problem');
    const away = await surgery.doctor(
      `--listen-address 0.0.0.0 --allow-public --advertise 203.0.113.7 ${NO_PORTS}`,
    );
    expect(away.find('addresses.reach', 'warning').text).toContain('is no address of this machine');
    const closed = await surgery.doctor(`--advertise 203.0.113.7 ${NO_PORTS}`);
    expect(closed.find('addresses.reach', 'warning').text).toContain('bound to 127.0.0.1 alone');
  });

  test('that lead to another broker, to nobody, or to this one', async () => {
    const own = await surgery.broker();
    const other = await surgery.broker({ storeDirectory: at('other'), brokerName: 'other' });
    const ports = `--broker-port ${own.ready.brokerPort} ${OTHER_PORTS}`;
    const wrong = await surgery.doctor(`--advertise 127.0.0.1:${other.ready.brokerPort} ${ports}`);
    expect(wrong.find('addresses.connection', 'problem').text).toContain('leads to another one');
    const nobody = await surgery.doctor(`--advertise 127.0.0.1:9 ${ports}`);
    expect(nobody.find('addresses.connection', 'problem').text).toContain(
      'no connection to 127.0.0.1:9',
    );
    const right = await surgery.doctor(ports);
    expect(right.find('addresses.connection', 'ok').text).toContain('leads to this broker');
  });
});

describe('secrets and certificates', () => {
  const tls = (validFrom: Date, days: number, hosts: string[]): string => {
    const { certificate, privateKey } = selfSignedCertificate({
      commonName: 'millrace',
      hosts,
      notBefore: validFrom,
      days,
    });
    fs.writeFileSync(at('certificate.pem'), certificate);
    fs.writeFileSync(at('key.pem'), privateKey, { mode: 0o600 });
    fs.writeFileSync(
      at('broker.conf'),
      `tls.server.certPath=${at('certificate.pem')}\ntls.server.keyPath=${at('key.pem')}\n`,
    );
    return `--config ${at('broker.conf')} ${NO_PORTS}`;
  };
  const days = (count: number): Date => new Date(Date.now() + count * 86_400_000);

  test('of a new secure configuration are all right; one that others read is not', async () => {
    initSecure({ directory: at('secure'), listenAddress: '127.0.0.1', hosts: [], now: new Date() });
    const flags = `--config ${at('secure', 'broker.conf')} --store-dir ${at('secure', 'store')} ${NO_PORTS}`;
    const good = await surgery.doctor(flags);
    expect(good.problems).toEqual([]);
    good.find('tls.key', 'ok');
    good.find('tls.validity', 'ok');
    fs.chmodSync(at('secure', 'broker.conf'), 0o644);
    const open = await surgery.doctor(flags);
    expect(open.find('secrets.mode', 'warning').advice).toContain(
      `chmod 600 ${at('secure', 'broker.conf')}`,
    );
  });

  test('a certificate that has expired, soon will, or does not hold yet', async () => {
    const expired = await surgery.doctor(tls(days(-40), 30, ['localhost']));
    expect(expired.find('tls.validity', 'problem').text).toContain('has expired 10 days ago');
    const soon = await surgery.doctor(tls(days(-20), 30, ['localhost']));
    expect(soon.find('tls.validity', 'warning').text).toMatch(/expires in (9|10) days/);
    const early = await surgery.doctor(tls(days(5), 30, ['localhost']));
    expect(early.find('tls.validity', 'problem').text).toContain('holds only from');
  });

  test('a key of another certificate, one that can not be read, and a name that is missing', async () => {
    const flags = tls(days(-1), 30, ['localhost']);
    const other = selfSignedCertificate({
      commonName: 'x',
      hosts: [],
      notBefore: days(-1),
      days: 30,
    });
    fs.writeFileSync(at('key.pem'), other.privateKey);
    const foreign = await surgery.doctor(`${flags} --advertise 203.0.113.7`);
    expect(foreign.find('tls.key', 'problem').text).toContain('does not belong to the certificate');
    expect(foreign.find('tls.names', 'warning').text).toContain('not for 203.0.113.7');
    fs.writeFileSync(at('key.pem'), 'no key');
    expect((await surgery.doctor(flags)).find('tls.key', 'problem').text).toContain(
      'can not be used',
    );
    fs.rmSync(at('certificate.pem'));
    (await surgery.doctor(flags)).find('tls.certificate', 'problem');
  });

  test('trusted certificates: all of a file, and one that is broken among them', async () => {
    const flags = tls(days(-1), 30, ['localhost']);
    const trusted = at('trusted.pem');
    const one = fs.readFileSync(at('certificate.pem'), 'utf8');
    fs.writeFileSync(trusted, `${one}${one.replace(/^/, '# again\n')}`);
    fs.appendFileSync(
      at('broker.conf'),
      `tls.server.authClient=true\ntls.server.trustCertPath=${trusted}\n` +
        `tls.enable=true\ntls.client.trustCertPath=${trusted}\nnamesrvAddr=127.0.0.1:9\n`,
    );
    const whole = await surgery.doctor(flags);
    expect(whole.find('tls.trusted', 'ok').text).toContain('trusts CN=millrace; CN=millrace');
    fs.appendFileSync(trusted, one.slice(0, 200));
    const broken = await surgery.doctor(flags);
    expect(broken.find('tls.trusted', 'problem').text).toContain(
      `certificate 3 of ${trusted} can not be read`,
    );
  });
});

describe('a running broker', () => {
  test('that serves, by its figures, its pages and its route', async () => {
    const broker = await surgery.broker({ webPort: 0 });
    await surgery.send(broker, 3);
    const { brokerPort, nameServerPort, webPort } = broker.ready;
    const ports = `--broker-port ${brokerPort} --name-server-port ${nameServerPort} --web-port ${webPort}`;
    const found = await surgery.doctor(ports);
    expect(found.problems).toEqual([]);
    expect(found.find('store.lock', 'ok').text).toContain(`process ${process.pid} (node)`);
    found.find('ports.web', 'ok');
    found.find('broker.ready', 'ok');
    found.find('broker.behind', 'ok');
    expect(found.find('broker.sends', 'ok').text).toContain('messages stored since the start');
    expect(found.find('name-server.route', 'ok').text).toContain(`at 127.0.0.1:${brokerPort}`);
  });

  test('that runs with other ports is found all the same', async () => {
    const broker = await surgery.broker();
    const found = await surgery.doctor(`--broker-port 27160 ${OTHER_PORTS}`);
    expect(found.find('ports.running', 'warning').text).toContain(String(broker.ready.brokerPort));
  });

  test('that refuses sends because the disk is too full', async () => {
    const limits = {
      diskMaxUsedSpaceRatio: 1,
      diskSpaceCleanForciblyRatio: 1,
      diskSpaceWarningLevelRatio: 1,
    };
    const broker = await surgery.broker({ ...limits, webPort: 0 });
    fs.writeFileSync(
      at('broker.conf'),
      'diskSpaceWarningLevelRatio=1\ndiskSpaceCleanForciblyRatio=1\ndiskMaxUsedSpaceRatio=1\n',
    );
    const flags = `--config ${at('broker.conf')} --broker-port ${broker.ready.brokerPort} --name-server-port 0 --web-port ${broker.ready.webPort}`;
    await expect
      .poll(async () => (await surgery.doctor(flags)).problems, { timeout: 20_000 })
      .toContain('broker.ready');
    const found = await surgery.doctor(flags);
    expect(found.find('broker.ready', 'problem').text).toContain(
      'the disk is fuller than its limit',
    );
    found.find('disk.space', 'problem');
  });

  test('is registered where it should be, or not, or there is nobody', async () => {
    const names = await startNameServerProcess(
      { listenAddress: '127.0.0.1', port: 0 },
      silentLogger,
    );
    surgery.after(() => names.close());
    const address = `127.0.0.1:${names.ready.nameServerPort}`;
    const broker = await surgery.broker({
      nameServerAddresses: [address],
      embeddedNameServer: false,
    });
    await surgery.send(broker);
    const flags = `--broker-port ${broker.ready.brokerPort} --no-name-server --web-port off --name-servers ${address}`;
    const named = `${flags};127.0.0.1:9`;
    const env = { MILLRACE_BROKER_NAME: 'broker-test' };
    await expect
      .poll(async () => (await surgery.doctor(named, { env })).problems, { timeout: 20_000 })
      .toEqual(['name-server.registration']);
    const found = await surgery.doctor(named, { env });
    expect(found.find('name-server.registration', 'ok').text).toContain(
      `as 127.0.0.1:${broker.ready.brokerPort}`,
    );
    expect(found.find('name-server.registration', 'problem').text).toContain(
      '127.0.0.1:9 does not answer',
    );
    found.find('name-server.route', 'ok');
    const other = await surgery.doctor(
      `${flags} --advertise 127.0.0.1:${broker.ready.brokerPort + 1}`,
      { env },
    );
    expect(other.find('name-server.registration', 'problem').advice).toContain(
      'another --advertise',
    );
    const unknown = await surgery.doctor(flags, { env: { MILLRACE_BROKER_NAME: 'nobody' } });
    expect(unknown.find('name-server.registration', 'problem').text).toContain('not registered at');
  });

  test('with access control is asked as the first user of its configuration', async () => {
    initSecure({ directory: at('secure'), listenAddress: '127.0.0.1', hosts: [], now: new Date() });
    const { loadConfiguration } = await import('../../src/cli/configuration.ts');
    const conf = at('secure', 'broker.conf');
    const { config } = loadConfiguration({ flags: {}, environment: {}, file: conf });
    const broker = await surgery.broker({
      ...config,
      brokerPort: 0,
      nameServerPort: 0,
      webPort: 0,
      threads: 'inline',
      storeKind: 'plain',
    });
    const { brokerPort, nameServerPort, webPort } = broker.ready;
    const flags = `--config ${conf} --store-dir ${at('secure', 'store')} --broker-port ${brokerPort} --name-server-port ${nameServerPort} --web-port ${webPort}`;
    const found = await surgery.doctor(flags);
    expect(found.problems).toEqual([]);
    found.find('broker.sends', 'ok');
    found.find('broker.ready', 'ok');
    expect(found.find('addresses.connection', 'ok').text).toContain('leads to this broker');
    fs.writeFileSync(at('other.yml'), 'accessKey: nobody\nsecretKey: wrong-secret\n');
    const stranger = await surgery.doctor(`${flags} --credentials ${at('other.yml')}`);
    expect(stranger.find('broker.figures', 'warning').advice).toContain('--credentials');
  });
});
