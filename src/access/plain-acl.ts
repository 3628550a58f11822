/**
 * @agent any
 *
 * Reads a plain_acl.yml of RocketMQ 4.x: its accounts become users with policies, as RocketMQ's own migration
 * to 5.x makes them. Of YAML only what such a file consists of is understood: lists and maps by indentation,
 * and plain or quoted texts. What it is not sure of is an error, never a guess.
 *
 * White lists of addresses are no credentials, and are refused: a user signs, wherever it is. A
 * `whiteRemoteAddress` becomes nothing less, so an account that has one is an error too.
 *
 * Source: AuthMigrator.java, PlainPermissionManager.java of RocketMQ 5.3.3.
 */
import { BrokerError } from '../base/errors.ts';
import type { UserWish } from './user-table.ts';

export interface PlainAccount {
  readonly user: UserWish;
  /** As a request to create policies has them. */
  readonly policies: unknown;
}

interface Entry {
  resource: string;
  actions: string[];
  decision: string;
}

const listKeys = new Set(['topicPerms', 'groupPerms']);
const textKeys = new Set([
  'accessKey',
  'secretKey',
  'admin',
  'defaultTopicPerm',
  'defaultGroupPerm',
  'whiteRemoteAddress',
]);

/** @throws BrokerError CONFIG_INVALID naming the line that can not be read */
export function readPlainAcl(file: string, text: string): PlainAccount[] {
  const fail = (line: number, why: string): never => {
    throw new BrokerError('CONFIG_INVALID', `${file}:${line}: ${why}`);
  };
  const accounts: { line: number; texts: Map<string, string>; lists: Map<string, string[]> }[] = [];
  let section = '';
  let list: string[] | null = null;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = index + 1;
    const content = withoutComment(raw);
    if (content.trim() === '' || content.trim() === '---') continue;
    if (content.includes('\t')) fail(line, 'YAML is not indented with tabs');
    const isTop = !/^[ -]/.test(content);
    if (isTop) {
      const [, name = '', value = ''] = /^([A-Za-z]+):\s*(.*)$/.exec(content) ?? [];
      if (name !== 'accounts' && name !== 'globalWhiteRemoteAddresses')
        fail(line, 'accounts or globalWhiteRemoteAddresses is expected here');
      if (value !== '' && value !== '[]') fail(line, `${name} must be a list on lines of its own`);
      section = name;
      list = null;
      continue;
    }
    if (section === 'globalWhiteRemoteAddresses')
      fail(
        line,
        'addresses that need not sign are not supported: remove them, and let clients sign',
      );
    const [, dash = '', rest = ''] = /^\s*(- *)?(.*)$/.exec(content) ?? [];
    const [, key, value = ''] = /^([A-Za-z]+):(?:\s+(.*))?$/.exec(rest) ?? [];
    if (key === undefined) {
      if (dash === '' || list === null)
        fail(line, 'what stands here is no list entry of an account');
      list?.push(unquoted(rest));
      continue;
    }
    if (dash !== '') accounts.push({ line, texts: new Map(), lists: new Map() });
    const account = accounts.at(-1);
    if (account === undefined) return fail(line, 'an account begins with "- accessKey: …"');
    list = null;
    if (listKeys.has(key)) {
      if (value !== '' && value !== '[]') fail(line, `${key} must be a list on lines of its own`);
      list = [];
      account.lists.set(key, list);
    } else if (textKeys.has(key)) account.texts.set(key, unquoted(value));
    else fail(line, `${key} is no key of an account`);
  }
  return accounts.map(({ line, texts, lists }) => {
    const accessKey = texts.get('accessKey') ?? '';
    const secretKey = texts.get('secretKey') ?? '';
    if (accessKey === '' || secretKey === '')
      fail(line, 'an account needs accessKey and secretKey');
    if ((texts.get('whiteRemoteAddress') ?? '') !== '')
      fail(line, 'whiteRemoteAddress is not supported: clients sign, wherever they are');
    const custom = [
      ...permissions('Topic', lists.get('topicPerms') ?? []),
      ...permissions('Group', lists.get('groupPerms') ?? []),
    ];
    const byDefault = [
      ...defaultOf('Topic', texts.get('defaultTopicPerm') ?? ''),
      ...defaultOf('Group', texts.get('defaultGroupPerm') ?? ''),
    ];
    const userType = texts.get('admin')?.toLowerCase() === 'true' ? 'Super' : 'Normal';
    const policies = [
      { policyType: 'Custom', entries: custom },
      { policyType: 'Default', entries: byDefault },
    ].filter(({ entries }) => entries.length > 0);
    return { user: { username: accessKey, password: secretKey, userType }, policies };
  });

  function permissions(type: string, items: readonly string[]): Entry[] {
    return items.map((item) => {
      const [name = '', permission = '', ...more] = item.split('=').map((part) => part.trim());
      if (name === '' || more.length > 0) fail(0, `${JSON.stringify(item)} is not name=PUB|SUB`);
      return { resource: `${type}:${name}`, ...meaningOf(permission) };
    });
  }

  function defaultOf(type: string, permission: string): Entry[] {
    return permission === '' ? [] : [{ resource: `${type}:*`, ...meaningOf(permission.trim()) }];
  }

  function meaningOf(permission: string): Omit<Entry, 'resource'> {
    if (permission === 'DENY') return { actions: ['All'], decision: 'Deny' };
    const actions = permission.split('|').map((word) => word.trim());
    if (!actions.every((word) => word === 'PUB' || word === 'SUB'))
      fail(0, `${JSON.stringify(permission)} is none of DENY, PUB, SUB, PUB|SUB`);
    return { actions: actions.map((word) => (word === 'PUB' ? 'Pub' : 'Sub')), decision: 'Allow' };
  }
}

/** A # begins a comment where a space stands before it, outside of quotes. */
function withoutComment(line: string): string {
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const char = line[at];
    if (quote !== '') {
      if (char === quote) quote = '';
    } else if (char === '"' || char === "'") quote = char;
    else if (char === '#' && (at === 0 || line[at - 1] === ' ')) return line.slice(0, at);
  }
  return line;
}

function unquoted(text: string): string {
  const trimmed = text.trim();
  const [, , inner] = /^(["'])(.*)\1$/.exec(trimmed) ?? [];
  return inner ?? trimmed;
}
