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
