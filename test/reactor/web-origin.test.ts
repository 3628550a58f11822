import { describe, expect, test } from 'vitest';
import { isOriginPattern, originRefusal } from '../../src/reactor/web-origin.ts';

const rules = { allowed: ['https://App.example.com/'], names: ['broker.example.com'] };
const may = (origin: string | undefined, host?: string): boolean =>
  originRefusal(origin, host, rules) === null;

describe('the origin of a page', () => {
  test.each([
    ['none at all', undefined, undefined],
    ['listed, whatever its case', 'https://app.EXAMPLE.com', undefined],
    ['of this machine', 'http://localhost:3000', 'x'],
    ['of this machine, by a name below localhost', 'http://shop.localhost', 'x'],
    ['of this machine, by IPv6', 'http://[::1]:8080', 'x'],
    ['the address that was asked for', 'http://10.0.0.7:8088', '10.0.0.7:8088'],
    ['the IPv6 address that was asked for', 'http://[fe80::1]:8088', '[fe80::1]:8088'],
    ['the advertised name that was asked for', 'http://broker.example.com', 'broker.example.com'],
  ])('may be %s', (_what, origin, host) => {
    expect(may(origin, host)).toBe(true);
  });

  test.each([
    ['another site', 'https://evil.example', 'localhost:8088'],
    ['a name that begins like this machine', 'http://localhost.evil.example', 'x'],
    ['a name that begins like an address of this machine', 'http://127.0.0.1.evil.example', 'x'],
    ['a name that points here for now', 'http://evil.example:8088', 'evil.example:8088'],
    ['a file or a sandbox', 'null', 'x'],
    ['another port of the same host', 'http://10.0.0.7:80', '10.0.0.7:8088'],
    ['with somebody in front', 'http://localhost@evil.example', 'x'],
    ['a browser extension', 'chrome-extension://abcdef', 'x'],
  ])('may not be %s', (_what, origin, host) => {
    expect(may(origin, host)).toBe(false);
  });

  test('may be any where * is listed', () => {
    expect(originRefusal('https://evil.example', 'x', { allowed: ['*'], names: [] })).toBeNull();
  });

  test('is listed as scheme and host, null or *', () => {
    expect(['*', 'null', 'https://a.b', 'http://a:1/'].every(isOriginPattern)).toBe(true);
    expect(['a.b', 'https://a/b', 'ws://a', ''].filter(isOriginPattern)).toEqual([]);
  });
});
