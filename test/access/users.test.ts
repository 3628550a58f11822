/** Users, their secrets in answers, where they come from, and how guesses are slowed down. */
import { describe, expect, test } from 'vitest';
import { AccessTables, type AccessSettings } from '../../src/access/access-tables.ts';
import { AttemptLimiter } from '../../src/access/attempt-limiter.ts';
import { readPlainAcl } from '../../src/access/plain-acl.ts';
import { SecretSeal } from '../../src/access/sealed-secret.ts';
import { UserTable } from '../../src/access/user-table.ts';
import { silentLogger } from '../../src/base/logging.ts';

describe('the table of users', () => {
  test('makes, changes, stores and deletes users', () => {
    const table = new UserTable();
    expect(table.create({ username: 'a', password: 'p', userType: 'Super' })).toBeNull();
    expect(table.create({ username: 'b', password: 'q' })).toBeNull();
    expect(table.create({ username: 'b', password: 'q' })).toBe('The user is existed');
    expect(table.update({ username: 'b', userStatus: 'disable' })).toBeNull();
    expect(table.update({ username: 'c' })).toBe('The user is not exist');
    const loaded = new UserTable();
    expect(loaded.load(JSON.parse(table.store()))).toEqual([]);
    expect(loaded.list()).toEqual([
      { username: 'a', password: 'p', userType: 'Super', userStatus: 'enable' },
      { username: 'b', password: 'q', userType: 'Normal', userStatus: 'disable' },
    ]);
    expect(loaded.list('b')).toHaveLength(1);
    expect(loaded.delete('b')).toBeNull();
    expect(loaded.size).toBe(1);
  });

  test('keeps a super user that is let in', () => {
    const table = new UserTable();
    table.create({ username: 'a', password: 'p', userType: 'Super' });
    expect(table.delete('a')).toMatch(/last super user/);
    expect(table.update({ username: 'a', userStatus: 'disable' })).toMatch(/last super user/);
    expect(table.update({ username: 'a', userType: 'Normal' })).toMatch(/last super user/);
    expect(table.update({ username: 'a', password: 'q' })).toBeNull();
    table.create({ username: 'b', password: 'p', userType: 'Super' });
    expect(table.delete('a')).toBeNull();
  });

  test.each(['', ' ', 'a b', 'a:b', 'a\nb', 'ü', 'x'.repeat(129)])('no name: %j', (username) => {
    expect(new UserTable().create({ username, password: 'p' })).not.toBeNull();
  });

  test.each(['', '  ', '******', 'x'.repeat(513)])('no password: %j', (password) => {
    expect(new UserTable().create({ username: 'a', password })).not.toBeNull();
  });
});

describe('a sealed secret', () => {
  test('opens with the same cluster secret, for the same user alone', () => {
    const sealed = new SecretSeal('cluster').seal('user', 'the secret');
    expect(sealed).not.toContain('the secret');
    expect(new SecretSeal('cluster').open('user', sealed)).toBe('the secret');
    expect(new SecretSeal('cluster').open('other', sealed)).toBeNull();
    expect(new SecretSeal('another').open('user', sealed)).toBeNull();
    expect(new SecretSeal(null).open('user', sealed)).toBeNull();
    expect(new SecretSeal('cluster').open('user', 'sealed:1:AAAA')).toBeNull();
    expect(new SecretSeal('cluster').open('user', 'plain')).toBe('plain');
    expect(new SecretSeal('cluster').seal('user', 'the secret')).not.toBe(sealed);
  });
});

describe('users of a configuration', () => {
  const settings: AccessSettings = {
    authenticationEnabled: true,
    authorizationEnabled: true,
    initAuthenticationUser: { username: 'admin', password: 'p' },
    innerClientAuthenticationCredentials: { accessKey: 'cluster', secretKey: 's' },
    imported: [],
  };

  test('are made once, and what is stored counts', () => {
    const first = new AccessTables(settings, {}, silentLogger);
    expect(first.isNew).toBe(true);
    first.users.update({ username: 'admin', password: 'changed' });
    const stored = { users: first.users.store(), acls: first.policies.store() };
    const warnings: string[] = [];
    const logger = {
      ...silentLogger,
      warn: (_fields: object, text: string) => warnings.push(text),
    };
    const again = new AccessTables(settings, stored, logger);
    expect(again.isNew).toBe(false);
    expect(again.users.get('admin')?.password).toBe('changed');
    expect(warnings).toHaveLength(1);
  });

  test('without a super user nobody could ever come in', () => {
    const none = {
      ...settings,
      initAuthenticationUser: null,
      innerClientAuthenticationCredentials: null,
    };
    expect(() => new AccessTables(none, {}, silentLogger)).toThrow(/needs a super user/);
  });
});

describe('a plain_acl.yml', () => {
  const text = `
# comment
accounts:
- accessKey: RocketMQ
  secretKey: "12345678" # not the real one
  whiteRemoteAddress:
  admin: false
  defaultTopicPerm: DENY
  defaultGroupPerm: SUB
  topicPerms:
  - topicA=DENY
  - topicB=PUB|SUB
  groupPerms:
    - groupA=SUB

- accessKey: rocketmq2
  secretKey: 'a#b'
  admin: true
`;

  test('becomes users and policies', () => {
    expect(readPlainAcl('f', text)).toEqual([
      {
        user: { username: 'RocketMQ', password: '12345678', userType: 'Normal' },
        policies: [
          {
            policyType: 'Custom',
            entries: [
              { resource: 'Topic:topicA', actions: ['All'], decision: 'Deny' },
              { resource: 'Topic:topicB', actions: ['Pub', 'Sub'], decision: 'Allow' },
              { resource: 'Group:groupA', actions: ['Sub'], decision: 'Allow' },
            ],
          },
          {
            policyType: 'Default',
            entries: [
              { resource: 'Topic:*', actions: ['All'], decision: 'Deny' },
              { resource: 'Group:*', actions: ['Sub'], decision: 'Allow' },
            ],
          },
        ],
      },
      { user: { username: 'rocketmq2', password: 'a#b', userType: 'Super' }, policies: [] },
    ]);
  });

  test.each([
    ['globalWhiteRemoteAddresses:\n- 10.*\n', /f:2: addresses that need not sign/],
    ['accounts:\n- accessKey: a\n  secretKey: b\n  whiteRemoteAddress: 10.0.0.1\n', /white/],
    ['accounts:\n- accessKey: a\n', /f:2: an account needs accessKey and secretKey/],
    ['accounts:\n- accessKey: a\n  secretKey: b\n  perms: x\n', /f:4: perms is no key/],
    ['accounts:\n- accessKey: a\n  secretKey: b\n  defaultTopicPerm: ALL\n', /none of DENY/],
    ['users:\n- a\n', /f:1: accounts or/],
    ['accounts: [a]\n', /f:1: accounts must be a list/],
  ])('what it is not sure of is an error: %j', (wrong, why) => {
    expect(() => readPlainAcl('f', wrong)).toThrow(why);
  });
});

describe('who has failed', () => {
  test('gets ten tries a second after five failures, and a clean slate after a minute', () => {
    const limiter = new AttemptLimiter();
    let nowMs = 0;
    let tries = 0;
    for (let attempt = 0; attempt < 10_000; attempt++) {
      nowMs += 1;
      if (!limiter.mayTry('10.0.0.1', nowMs)) continue;
      tries++;
      limiter.failed('10.0.0.1', nowMs);
    }
    expect(tries).toBeGreaterThan(95);
    expect(tries).toBeLessThanOrEqual(5 + 100);
    expect(limiter.mayTry('10.0.0.2', nowMs)).toBe(true);
    nowMs += 60_001;
    for (let attempt = 0; attempt < 5; attempt++)
      expect(limiter.mayTry('10.0.0.1', nowMs)).toBe(true);
  });

  test('shares what there is for all with other addresses that guess, and with nobody else', () => {
    const limiter = new AttemptLimiter();
    const addresses = Array.from({ length: 1000 }, (_, one) => `10.1.${one >> 8}.${one & 255}`);
    for (const address of addresses)
      for (let failure = 0; failure < 5; failure++) limiter.failed(address, 0);
    let tries = 0;
    for (let nowMs = 100; nowMs <= 10_000; nowMs += 100) {
      for (const address of addresses) if (limiter.mayTry(address, nowMs)) tries++;
      expect(limiter.mayTry('10.2.0.1', nowMs)).toBe(true);
    }
    expect(tries).toBeGreaterThan(9500);
    expect(tries).toBeLessThanOrEqual(10_000 + 100);
  });

  test('is its network in IPv6, and no more addresses are kept than there is room for', () => {
    const limiter = new AttemptLimiter();
    for (let failure = 0; failure < 5; failure++) limiter.failed(`2001:db8:1:2::${failure}`, 0);
    expect(limiter.mayTry('2001:db8:1:2:ffff::9', 0)).toBe(false);
    expect(limiter.mayTry('2001:db8:1:3::1', 0)).toBe(true);
    for (let one = 0; one < 100_000; one++)
      limiter.failed(`10.${one >> 16}.${(one >> 8) & 255}.${one & 255}`, 0);
    expect(limiter.addressCount).toBeLessThanOrEqual(20_000);
  });
});
