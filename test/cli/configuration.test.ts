import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { defaultBrokerConfig } from '../../src/base/broker-config.ts';
import { loadConfiguration, nearest } from '../../src/cli/configuration.ts';
import { environmentName, settingKeys } from '../../src/cli/configuration-keys.ts';

const files: string[] = [];

function brokerConf(text: string): string {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-conf-')), 'broker.conf');
  fs.writeFileSync(file, text);
  files.push(path.dirname(file));
  return file;
}

afterEach(() => {
  for (const file of files.splice(0)) fs.rmSync(file, { recursive: true, force: true });
});

const load = (sources: { flags?: object; environment?: object; file?: string }) =>
  loadConfiguration({
    flags: { ...sources.flags },
    environment: { ...sources.environment },
    file: sources.file,
  });

describe('the configuration', () => {
  test('is the defaults where nothing is said', () => {
    expect(load({}).config).toEqual(defaultBrokerConfig());
  });

  test('flags win over the environment, that over the file, that over defaults', () => {
    const file = brokerConf('listenPort=1111\nbrokerClusterName=FromFile\nbrokerName=from-file\n');
    const { config } = load({
      file,
      environment: {
        MILLRACE_BROKER_PORT: '2222',
        MILLRACE_CLUSTER_NAME: 'FromEnvironment',
        PATH: '/bin',
      },
      flags: { 'broker-port': '3333' },
    });
    expect(config.brokerPort).toBe(3333);
    expect(config.clusterName).toBe('FromEnvironment');
    expect(config.brokerName).toBe('from-file');
    expect(config.nameServerPort).toBe(9876);
  });

  test("reads Apache's broker.conf: comments, spaces, continued lines, escapes, its values", () => {
    const file = brokerConf(
      '# a comment\n! another\n  flushDiskType = SYNC_FLUSH\nnamesrvAddr=10.0.0.1:9876;\\\n   10.0.0.2:9876\nmessageDelayLevel=1s 5s\nmapedFileSizeCommitLog:8388608\nfileReservedTime 48\nserverChannelMaxIdleTimeSeconds=60\nbrokerRole=ASYNC_MASTER\n',
    );
    const { config, ignoredKeys } = load({ file });
    expect(config.flush).toBe('sync');
    expect(config.nameServerAddresses).toEqual(['10.0.0.1:9876', '10.0.0.2:9876']);
    expect(config.messageDelayLevel).toBe('1s 5s');
    expect(config.segmentBytes).toBe(8_388_608);
    expect(config.fileReservedTimeHours).toBe(48);
    expect(config.idleCloseMs).toBe(60_000);
    expect(ignoredKeys).toEqual(['brokerRole']);
  });

  test('reports every mistake at once, with its place and what is allowed', () => {
    const file = brokerConf('listenPort=abc\nflushDisktype=SYNC_FLUSH\ndeleteWhen=25\n');
    const attempt = (): unknown =>
      load({
        file,
        environment: { MILLRACE_FLUSHH: 'x' },
        flags: { threads: 'many', 'broker-port': '70000' },
      });
    expect(attempt).toThrow(/broker\.conf:1: listenPort: "abc" is not a port/);
    expect(attempt).toThrow(
      /broker\.conf:2: flushDisktype is no key of broker\.conf; did you mean flushDiskType\?/,
    );
    expect(attempt).toThrow(/broker\.conf:3: deleteWhen: "25" is not hours/);
    expect(attempt).toThrow(/MILLRACE_FLUSHH is no setting; did you mean MILLRACE_FLUSH\?/);
    expect(attempt).toThrow(/--threads: "many" is not auto, pipelined or inline/);
    expect(attempt).toThrow(/--broker-port: "70000" is not a port/);
  });

  test('refuses what would cost safety if it were passed over: replication, a log elsewhere, access control without users', () => {
    const file = brokerConf(
      'aclEnable=true\nbrokerRole=SLAVE\nenableControllerMode=true\nstorePathCommitLog=/elsewhere/commitlog\n',
    );
    const attempt = (): unknown => load({ file });
    expect(attempt).toThrow(/aclEnable needs plainAclFile/);
    expect(attempt).toThrow(/broker\.conf:2: brokerRole=SLAVE: there is no replication yet/);
    expect(attempt).toThrow(/broker\.conf:3: enableControllerMode=true: there is no replication/);
    expect(attempt).toThrow(/broker\.conf:4: storePathCommitLog=.*: the log is always in /);
  });

  test('takes the lines that stock files carry and that change nothing here', () => {
    const file = brokerConf(
      'aclEnable=false\nbrokerRole=SYNC_MASTER\nstorePathRootDir=/data/store\nstorePathCommitLog=/data/store/commitlog\nstorePathConsumeQueue=/data/store/consumequeue\n',
    );
    expect(load({ file })).toMatchObject({
      config: { storeDirectory: '/data/store' },
      ignoredKeys: ['brokerRole', 'storePathCommitLog', 'storePathConsumeQueue'],
    });
  });

  test('finds ports, limits and kinds that contradict each other', () => {
    const attempt = (environment: object) => (): unknown => load({ environment });
    expect(attempt({ MILLRACE_BROKER_PORT: '9878' })).toThrow(/port 9876 .* VIP port/);
    expect(attempt({ MILLRACE_NAME_SERVER_PORT: '10911' })).toThrow(/port 10911 .* of the broker/);
    expect(attempt({ MILLRACE_WEB_PORT: '10909' })).toThrow(/port 10909 .* VIP port/);
    expect(attempt({ MILLRACE_STORE_KIND: 'plain' })).toThrow(
      /plain works only with threads inline/,
    );
    expect(attempt({ MILLRACE_DISK_SPACE_WARNING_LEVEL_RATIO: '50' })).toThrow(/would be refused/);
  });

  test('a port of 0 or a name server elsewhere contradicts nothing', () => {
    expect(
      load({ environment: { MILLRACE_BROKER_PORT: '0', MILLRACE_NAME_SERVER_PORT: '0' } }).config,
    ).toMatchObject({ brokerPort: 0, nameServerPort: 0 });
    expect(
      load({ environment: { MILLRACE_BROKER_PORT: '9878' }, flags: { 'no-name-server': true } })
        .config.embeddedNameServer,
    ).toBe(false);
  });

  test('a variable that is set to nothing is not set', () => {
    expect(
      load({ environment: { MILLRACE_ADVERTISE: '', MILLRACE_BROKER_PORT: '' } }).config,
    ).toEqual(defaultBrokerConfig());
  });

  test.each([
    ['MILLRACE_SEGMENT_BYTES', '65537'],
    ['MILLRACE_SEGMENT_BYTES', '1073741824.5'],
    ['MILLRACE_SEGMENT_BYTES', '0x10000'],
    ['MILLRACE_BROKER_PORT', '-1'],
    ['MILLRACE_BROKER_PORT', '99999999999999999999'],
    ['MILLRACE_TRACE_ON', 'yes'],
    ['MILLRACE_WEB_PORT', 'none'],
    ['MILLRACE_WEB_ALLOWED_ORIGINS', 'app.example.com'],
    ['MILLRACE_WEB_ALLOWED_ORIGINS', 'https://app.example.com/path'],
    ['MILLRACE_ADVERTISE', 'http://broker'],
    ['MILLRACE_ADVERTISE', 'broker:0'],
    ['MILLRACE_NAME_SERVERS', '10.0.0.1:9876;10.0.0.2'],
    ['MILLRACE_BROKER_NAME', 'a/b'],
    ['MILLRACE_MESSAGE_DELAY_LEVEL', '1s 5'],
    ['MILLRACE_IDLE_CLOSE_SECONDS', '0'],
  ])('%s=%s is refused', (name, text) => {
    expect(() => load({ environment: { [name]: text } })).toThrow(
      `environment variable ${name}: ${JSON.stringify(text)} is not `,
    );
  });

  test('says which file can not be read', () => {
    expect(() => load({ file: '/does/not/exist.conf' })).toThrow(
      '/does/not/exist.conf can not be read',
    );
  });

  test('every setting has a default that its own schema allows, and a name of its own', () => {
    const names = settingKeys.map(environmentName);
    expect(new Set(names).size).toBe(names.length);
    expect(settingKeys.map((setting) => setting.key).toSorted()).toEqual(
      Object.keys(defaultBrokerConfig()).toSorted(),
    );
    for (const setting of settingKeys) {
      const value = defaultBrokerConfig()[setting.key];
      if (typeof value !== 'string' && typeof value !== 'number') continue;
      const text = setting.key === 'idleCloseMs' ? String(Number(value) / 1000) : String(value);
      expect(
        load({ environment: { [environmentName(setting)]: text } }).config[setting.key],
      ).toEqual(value);
    }
  });

  test('suggests the nearest name, and none where nothing is near', () => {
    expect(nearest('brokerNmae', ['brokerName', 'brokerId'])).toBe('did you mean brokerName?');
    expect(nearest('xyz', ['brokerName'])).toContain('--help');
  });
});
