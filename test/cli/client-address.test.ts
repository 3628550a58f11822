import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import { parseHostAndPort, resolveClientAddress } from '../../src/cli/client-address.ts';

describe('a host with or without a port', () => {
  test.each([
    ['broker.example.com', 'broker.example.com', null],
    ['broker_1.example.com:10911', 'broker_1.example.com', 10911],
    ['10.1.2.3', '10.1.2.3', null],
    ['10.1.2.3:1', '10.1.2.3', 1],
    ['::1', '::1', null],
    ['fe80::1', 'fe80::1', null],
    ['[::1]', '::1', null],
    ['[2001:db8::7]:65535', '2001:db8::7', 65535],
  ])('%s', (text, host, port) => {
    expect(parseHostAndPort(text)).toEqual({ host, port });
  });

  test.each([
    '',
    ':10911',
    'host:',
    'host:0',
    'host:65536',
    'a b',
    'http://host',
    '[host]:1',
    '[::1',
  ])('%j is none', (text) => {
    expect(parseHostAndPort(text)).toBeNull();
  });
});

describe('the address of a broker', () => {
  const resolve = (advertise: string | null, listenAddress = '127.0.0.1') =>
    resolveClientAddress({ advertise, listenAddress }, 10911, silentLogger);

  test('is where it listens, and no client is told anything else', async () => {
    const address = await resolve(null);
    expect(address).toMatchObject({ advertised: null, host: '127.0.0.1', port: 10911 });
    expect(address.storeHost.toString('hex')).toBe('7f00000100002a9f');
  });

  test('is the advertised one in routes and in records, with its port', async () => {
    const address = await resolve('10.1.2.3:4660');
    expect(address).toMatchObject({ advertised: '10.1.2.3:4660', host: '10.1.2.3', port: 4660 });
    expect(address.storeHost.toString('hex')).toBe('0a01020300001234');
  });

  test('a name stays a name in routes and is looked up for records', async () => {
    const address = await resolve('localhost');
    expect(address.advertised).toBe('localhost:10911');
    expect([8, 20]).toContain(address.storeHost.length);
  });

  test('a name that has no address here is still told to clients, with a warning', async () => {
    const warnings: object[] = [];
    const address = await resolveClientAddress(
      { advertise: 'broker.invalid:4660', listenAddress: '127.0.0.1' },
      10911,
      { ...silentLogger, warn: (fields) => warnings.push(fields) },
    );
    expect(address.advertised).toBe('broker.invalid:4660');
    expect(address.storeHost.length).toBe(8);
    expect(warnings).toMatchObject([{ host: 'broker.invalid' }]);
  });

  test('IPv6 takes twenty bytes in records', async () => {
    const address = await resolve('[::1]:4660');
    expect(address.advertised).toBe('::1:4660');
    expect(address.storeHost.length).toBe(20);
  });

  test('a broker that listens everywhere has one address for records', async () => {
    const address = await resolve(null, '0.0.0.0');
    expect(address.host).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(address.host).not.toBe('0.0.0.0');
  });
});
