/** The folder that `millrace init --secure` makes, and what a configuration may not leave open. */
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { accessSettingsOf, isLoopback } from '../../src/cli/access-settings.ts';
import { clientSecurity, readCredentials } from '../../src/cli/client-security.ts';
import { loadConfiguration, nameServerConfiguration } from '../../src/cli/configuration.ts';
import { configurationTexts } from '../../src/cli/configuration-keys.ts';
import { initSecure } from '../../src/cli/init-command.ts';
import { selfSignedCertificate } from '../../src/cli/self-signed-certificate.ts';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-init-'));
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

const load = (lines: string, flags: Record<string, unknown> = {}) => {
  const file = path.join(root, 'test.conf');
  fs.writeFileSync(file, lines);
  return loadConfiguration({ flags, environment: {}, file }).config;
};

describe('millrace init --secure', () => {
  const init = (listenAddress = '127.0.0.1'): string[] =>
    initSecure({
      directory: path.join(root, 'secure'),
      listenAddress,
      hosts: ['broker.example.com'],
      now: new Date(),
    });
  const at = (...names: string[]): string => path.join(root, 'secure', ...names);

  test('makes a configuration that can be used as it is', () => {
    const lines = init('0.0.0.0');
    const { config } = loadConfiguration({ flags: {}, environment: {}, file: at('broker.conf') });
    expect(config).toMatchObject({
      authenticationEnabled: true,
      authorizationEnabled: true,
      autoCreateTopicEnable: false,
      listenAddress: '0.0.0.0',
      tlsServerMode: 'enforcing',
      storeDirectory: at('store'),
    });
    const settings = accessSettingsOf(config);
    const admin = readCredentials(at('conf', 'tools.yml'));
    expect(settings?.initAuthenticationUser).toEqual({
      username: admin.accessKey,
      password: admin.secretKey,
    });
    const app = readCredentials(at('conf', 'app.yml'));
    expect(settings?.imported[0].user).toEqual({
      username: 'app',
      password: app.secretKey,
      userType: 'Normal',
    });
    const secrets = [
      admin.secretKey,
      app.secretKey,
      settings?.innerClientAuthenticationCredentials?.secretKey ?? '',
    ];
    expect(new Set(secrets).size).toBe(3);
    for (const secret of secrets) {
      expect(secret).toMatch(/^[\w-]{32}$/);
      // Neither told now, nor by request 26.
      expect(lines.join('\n') + JSON.stringify(configurationTexts(config))).not.toContain(secret);
    }
    const certificate = new X509Certificate(fs.readFileSync(at('tls', 'certificate.pem')));
    expect(certificate.checkHost('broker.example.com')).toBe('broker.example.com');
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
  });

  test('leaves secrets to their owner, and what is there as it is', () => {
    init();
    for (const name of [
      'broker.conf',
      'plain_acl.yml',
      'conf/tools.yml',
      'conf/app.yml',
      'tls/key.pem',
    ])
      expect((fs.statSync(at(name)).mode & 0o777).toString(8)).toBe('600');
    expect(init).toThrow(/is there already/);
  });
});

describe('a configuration', () => {
  test.each(['0.0.0.0', '::', '192.168.1.7', 'example.com', '128.0.0.1'])(
    'that lets in anybody from %s must say so',
    (address) => {
      expect(isLoopback(address)).toBe(false);
      expect(() => load(`bindAddress=${address}\n`)).toThrow(/no access control.*--allow-public/);
      expect(load(`bindAddress=${address}\n`, { 'allow-public': true }).allowPublic).toBe(true);
      const user = 'initAuthenticationUser={"username":"a","password":"b"}\n';
      expect(
        load(`bindAddress=${address}\nauthenticationEnabled=true\n${user}`).listenAddress,
      ).toBe(address);
    },
  );

  test.each(['127.0.0.1', '127.0.0.7', 'localhost', '::1'])('needs no word for %s', (address) => {
    expect(load(`bindAddress=${address}\n`).allowPublic).toBe(false);
  });

  test.each([
    ['authorizationEnabled=true', /needs authenticationEnabled/],
    ['tls.server.mode=enforcing', /needs tls\.server\.certPath/],
    ['tls.server.certPath=/a', /are needed together/],
    ['tls.server.authClient=true', /needs tls\.server\.trustCertPath/],
    ['initAuthenticationUser={"username":"a b","password":"x"}', /is not JSON like/],
  ])('that contradicts itself is refused: %s', (line, why) => {
    expect(() => load(`${line}\n`)).toThrow(why);
  });

  test('does not repeat a secret that is wrong', () => {
    const attempt = (): unknown =>
      load('initAuthenticationUser={"username":"a","password":"canary"\n');
    expect(attempt).toThrow(/what was given is not JSON/);
    expect(attempt).not.toThrow(/canary/);
  });
});

describe('a name server alone', () => {
  const inner = '{"accessKey":"cluster","secretKey":"s"}';

  test('takes who may change it of a file or a variable, and no mistake of a broker beside', () => {
    const file = path.join(root, 'broker.conf');
    fs.writeFileSync(file, `bindAddress=0.0.0.0\ninnerClientAuthenticationCredentials=${inner}\n`);
    const credentials = { accessKey: 'cluster', secretKey: 's' };
    expect(nameServerConfiguration(file, {}).credentials).toEqual(credentials);
    const variables = {
      MILLRACE_INNER_CLIENT_AUTHENTICATION_CREDENTIALS: inner,
      MILLRACE_NAME_SERVER_PORT: '10911',
      MILLRACE_FLUSH: 'never',
    };
    expect(nameServerConfiguration(undefined, variables).credentials).toEqual(credentials);
    expect(nameServerConfiguration(undefined, {})).toMatchObject({
      credentials: null,
      tls: { tlsServerCertPath: null },
      limits: { connectionCountMax: 100_000, routeBytesMax: 256 * 1024 * 1024 },
    });
    fs.writeFileSync(file, 'connectionCountMax=10\nrouteBytesMax=1048576\n');
    expect(nameServerConfiguration(file, {}).limits).toMatchObject({
      connectionCountMax: 10,
      routeBytesMax: 1_048_576,
    });
    fs.writeFileSync(file, 'routeBytesMax=many\n');
    expect(() => nameServerConfiguration(file, {})).toThrow(/routeBytesMax.*is not bytes/);
  });
});

describe('credentials of client commands', () => {
  test('come from a file, or from two variables', () => {
    const file = path.join(root, 'tools.yml');
    fs.writeFileSync(file, "accessKey: a\nsecretKey: 'b c'\n");
    const credentials = { accessKey: 'a', secretKey: 'b c' };
    expect(clientSecurity({ credentials: file }, {})).toEqual({ credentials });
    const both = { MILLRACE_ACCESS_KEY: 'a', MILLRACE_SECRET_KEY: 'b c' };
    expect(clientSecurity({}, both)).toEqual({ credentials });
    expect(clientSecurity({}, {})).toEqual({});
    expect(() => clientSecurity({}, { MILLRACE_ACCESS_KEY: 'a' })).toThrow(/needed together/);
    expect(clientSecurity({ tls: true }, {})).toEqual({ tls: true });
    expect(() => clientSecurity({ tlsCa: file }, {})).toThrow(/holds no certificate in PEM/);
    const { certificate: ca } = selfSignedCertificate({
      commonName: 'one',
      hosts: ['127.0.0.1'],
      notBefore: new Date(),
      days: 1,
    });
    const trusted = path.join(root, 'trusted.pem');
    fs.writeFileSync(trusted, ca);
    expect(clientSecurity({ tlsCa: trusted }, {})).toEqual({ tls: { ca } });
    fs.writeFileSync(trusted, ca + ca.slice(0, 300));
    expect(() => clientSecurity({ tlsCa: trusted }, {})).toThrow(/certificate 2 of/);
    fs.writeFileSync(file, 'accessKey: a\n');
    expect(() => clientSecurity({ credentials: file }, {})).toThrow(/no accessKey and secretKey/);
    expect(() => clientSecurity({ credentials: `${file}.not` }, {})).toThrow(/ENOENT/);
  });
});
