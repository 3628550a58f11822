import { describe, expect, test } from 'vitest';
import {
  isAllowed,
  isSourceRange,
  type Policies,
  parseResource,
  type PolicyEntry,
  resourceText,
} from '../../src/access/policy.ts';
import { PolicyTable } from '../../src/access/policy-table.ts';

const entry = (text: string, decision: 'Allow' | 'Deny', ...actions: string[]): PolicyEntry => {
  const resource = parseResource(text);
  if (resource === null) throw new Error(text);
  return {
    resource,
    decision,
    actions: actions as PolicyEntry['actions'],
    sourceIps: [],
  };
};

const may = (
  entries: PolicyEntry[],
  name: string,
  action: 'Pub' | 'Sub' | 'Get',
  byDefault: PolicyEntry[] = [],
): boolean => {
  const policies: Policies = { Custom: entries, Default: byDefault };
  return isAllowed(policies, { type: 'Topic', name, actions: [action] }, '10.0.0.1');
};

describe('resources', () => {
  test.each(['*', 'Topic:*', 'Topic:abc*', 'Topic:abc', 'Group:g', 'Cluster:c'])(
    '%s is written as it is read',
    (text) => expect(resourceText(parseResource(text) as never)).toBe(text),
  );

  test.each(['', 'abc', 'Topic:', 'Queue:a', 'Topic:a*b', ':x', 'Topic'])('%s is none', (text) =>
    expect(parseResource(text)).toBeNull(),
  );

  test('types are read in any case', () => {
    expect(parseResource('TOPIC:a')).toEqual({ type: 'Topic', name: 'a', pattern: 'LITERAL' });
  });
});

describe('a policy', () => {
  test('denies what no entry speaks of', () => {
    expect(may([], 'a', 'Pub')).toBe(false);
    expect(isAllowed(undefined, { type: 'Topic', name: 'a', actions: ['Pub'] }, '::1')).toBe(false);
    expect(may([entry('Topic:a', 'Allow', 'Sub')], 'a', 'Pub')).toBe(false);
    expect(may([entry('Group:a', 'Allow', 'All')], 'a', 'Pub')).toBe(false);
  });

  test('goes by the closest entry, whatever the order', () => {
    const entries = [
      entry('*', 'Deny', 'All'),
      entry('Topic:*', 'Allow', 'All'),
      entry('Topic:shop-*', 'Deny', 'All'),
      entry('Topic:shop-open-*', 'Allow', 'All'),
      entry('Topic:shop-open-not', 'Deny', 'Pub'),
    ];
    for (const list of [entries, entries.toReversed()]) {
      expect(may(list, 'books', 'Pub')).toBe(true);
      expect(may(list, 'shop-a', 'Pub')).toBe(false);
      expect(may(list, 'shop-open-a', 'Pub')).toBe(true);
      expect(may(list, 'shop-open-not', 'Pub')).toBe(false);
      // The literal one does not speak of Sub.
      expect(may(list, 'shop-open-not', 'Sub')).toBe(true);
    }
  });

  test('Default speaks only where Custom is silent', () => {
    const byDefault = [entry('Topic:*', 'Allow', 'All')];
    expect(may([entry('Topic:a', 'Deny', 'Pub')], 'a', 'Pub', byDefault)).toBe(false);
    expect(may([entry('Topic:a', 'Deny', 'Pub')], 'b', 'Pub', byDefault)).toBe(true);
  });

  test('may be bound to addresses', () => {
    const bound = { ...entry('Topic:a', 'Allow', 'All'), sourceIps: ['10.1.0.0/16', 'fd00::/8'] };
    const policies = { Custom: [bound], Default: [] };
    const from = (address: string): boolean =>
      isAllowed(policies, { type: 'Topic', name: 'a', actions: ['Pub'] }, address);
    expect(['10.1.2.3', 'fd00::7', '10.2.0.1', '::1'].map(from)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(
      ['10.0.0.1', '10.0.0.0/8', '::/0', '10.0.0.0/33', 'x', '1.2.3'].map(isSourceRange),
    ).toEqual([true, true, true, false, false, false]);
  });
});

describe('the table of policies', () => {
  const policies = (...resources: string[]) => [
    {
      entries: resources.map((resource) => ({ resource, actions: ['Pub'], decision: 'Allow' })),
    },
  ];

  test('adds entries, replaces those of the same resource, and deletes', () => {
    const table = new PolicyTable();
    expect(table.put('u', policies('Topic:a', 'Topic:b'))).toBeNull();
    const deny = { resource: 'Topic:a', actions: ['Sub'], decision: 'Deny' };
    expect(table.put('u', [{ policyType: 'Custom', entries: [deny] }])).toBeNull();
    const stored = new PolicyTable();
    expect(stored.load(JSON.parse(table.store()))).toEqual([]);
    expect(stored.get('u')).toEqual({
      subject: 'User:u',
      policies: [
        {
          policyType: 'Custom',
          entries: [deny, { ...deny, resource: 'Topic:b', actions: ['Pub'], decision: 'Allow' }],
        },
      ],
    });
    expect(stored.list('User:u', 'Topic:b')[0].policies[0].entries).toHaveLength(1);
    expect(stored.list('v', '')).toEqual([]);
    expect(stored.delete('u', 'Custom', 'Topic:a')).toBe(true);
    expect(stored.delete('u', 'Custom', 'Topic:b')).toBe(true);
    expect(stored.get('u')).toBeNull();
    expect(stored.delete('u', 'Custom', null)).toBe(false);
  });

  test.each([
    [undefined, /policies is empty/],
    [[{ entries: [] }], /entries is empty/],
    [[{ policyType: 'Odd', entries: [{}] }], /policy type/],
    [[{ entries: [{ resource: 'a', actions: ['Pub'], decision: 'Allow' }] }], /resource/],
    [[{ entries: [{ resource: '*', actions: ['Any'], decision: 'Allow' }] }], /action Any/],
    [[{ entries: [{ resource: '*', actions: [], decision: 'Allow' }] }], /actions is empty/],
    [[{ entries: [{ resource: '*', actions: ['Pub'], decision: 'Maybe' }] }], /decision/],
    [
      [{ entries: [{ resource: '*', actions: ['Pub'], decision: 'Allow', sourceIps: ['x'] }] }],
      /source ip/,
    ],
  ])('refuses %j', (value, why) => {
    expect(new PolicyTable().put('u', value)).toMatch(why);
  });
});
