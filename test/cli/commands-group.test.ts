/**
 * `millrace group` and `millrace offset`: groups as they are made, how far they are, and moving them.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { heartbeatRequest, RawClient } from '../workers/raw-client.ts';
import { CommandBench } from './command-run.ts';

// Each command is a process of its own.
vi.setConfig({ testTimeout: 120_000 });

let bench: CommandBench;

beforeAll(async () => {
  bench = await CommandBench.start();
  await bench.prints('topic create orders --queues 2');
  for (const queueId of [0, 0, 0, 1]) await bench.send('orders', 'body', { queueId });
});

afterAll(async () => {
  await bench.close();
});

const place = (queueId: number) => ({ topic: 'orders', brokerName: 'broker-test', queueId });

describe('millrace group', () => {
  test('makes, lists and deletes a group', async () => {
    expect(await bench.prints('group list')).toBe('no consumer groups\n');
    expect(await bench.prints('group create stock --retries 3 --order')).toBe(
      [
        'made group stock',
        'BROKER       RETRIES  RETRY QUEUES  ORDER  BROADCAST',
        'broker-test        3             1  yes    yes',
        '',
      ].join('\n'),
    );
    expect(await bench.prints('group list')).toBe(
      [
        'GROUP  MEMBERS  BEHIND  MODEL  BROKERS',
        'stock        0       0  -      broker-test',
        '',
      ].join('\n'),
    );
    expect(await bench.prints('group progress stock')).toBe('group stock has consumed nothing\n');
    expect(await bench.prints('group members stock')).toBe('nobody of group stock is online\n');
    expect(await bench.run('group create stock')).toMatchObject({
      exitCode: 1,
      errors: 'millrace: group stock exists on broker broker-test already\n',
    });
    expect(await bench.run('group delete stock')).toEqual({
      exitCode: 2,
      output: '',
      errors:
        'millrace: This deletes group stock: no offsets, 0 messages for retries and 0 dead letters.\n' +
        '  Nothing was done: add --yes to do it\n',
    });
    expect(await bench.prints('group delete stock --yes')).toBe(
      'deleted group stock on broker-test\n',
    );
    const gone = await bench.run('group progress stock');
    expect(gone.exitCode).toBe(1);
    expect(gone.errors).toBe(
      'millrace: there is no consumer group stock on broker-test\n' +
        '  "millrace group list" shows which there are, "millrace group create" makes one\n',
    );
  });

  test('tells who is online, how far behind and in which queues', async () => {
    const member = await RawClient.connect(bench.broker.ready.brokerPort);
    await member.request(heartbeatRequest('10.0.0.1@1', 'live', 'orders', 'a || b'));
    await bench.prints('offset reset live orders --to first --yes');
    const members = await bench.prints('group members live');
    expect(members.split('\n')).toEqual([
      expect.stringMatching(/^CLIENT {6}ADDRESS +LANGUAGE  VERSION$/),
      expect.stringMatching(/^10\.0\.0\.1@1 {2}127\.0\.0\.1:\d+ +OTHER +\d+$/),
      '',
      'TOPIC   FILTER  EXPRESSION',
      'orders  TAG     a || b',
      '',
      'clustering, consume_passively, consume_from_first_offset',
      '',
    ]);
    expect(await bench.json('group members live')).toMatchObject([
      {
        group: 'live',
        isOnline: true,
        model: 'CLUSTERING',
        members: [{ clientId: '10.0.0.1@1', language: 'OTHER' }],
        subscriptions: [{ topic: 'orders', expression: 'a || b', type: 'TAG' }],
      },
    ]);
    expect(await bench.json('group list')).toMatchObject([
      { group: 'live', kind: 'normal', memberCount: 1, behind: 4, model: 'CLUSTERING' },
    ]);
    expect(await bench.json('group progress live --topic orders')).toMatchObject([
      {
        group: 'live',
        behind: 4,
        queues: [
          { ...place(0), brokerOffset: 3, consumerOffset: 0, behind: 3, lastConsumedMs: null },
          { ...place(1), brokerOffset: 1, consumerOffset: 0, behind: 1, lastConsumedMs: null },
        ],
      },
    ]);
    const progress = await bench.prints('group progress live --topic orders');
    expect(progress).toContain('orders  broker-test      0         0    3       3  -');
    expect(progress).toContain('4 behind, ');
    const online = await bench.run('group delete live');
    expect(online.errors).toContain('its offsets in orders');
    expect(online.errors).toContain('It has 1 members online');
    member.close();
  });

  test('--watch shows progress as it is made', async () => {
    await bench.prints('group create watched');
    await bench.prints('offset reset watched orders --to first --yes');
    const run = bench.start('group progress watched --watch 1');
    await run.says('"behind":4');
    await bench.prints('offset reset watched orders --to last --yes');
    await run.says('"behind":0');
    run.process.kill('SIGINT');
    expect(await run.ended).toMatchObject({ exitCode: 0, errors: '' });
  });
});

describe('millrace offset', () => {
  test('reads, resets, sets and clones', async () => {
    await bench.prints('group create mover');
    expect(await bench.prints('offset get mover orders')).toBe(
      [
        'BROKER       QUEUE  OFFSET  MIN  MAX',
        'broker-test      0       -    0    3',
        'broker-test      1       -    0    1',
        '',
      ].join('\n'),
    );
    expect(await bench.prints('offset reset mover orders --to last --yes')).toBe(
      [
        'TOPIC   BROKER       QUEUE  BEFORE  AFTER',
        'orders  broker-test      0       -      3',
        'orders  broker-test      1       -      1',
        '',
      ].join('\n'),
    );
    expect(await bench.json('offset set mover orders --queue 0 --to-offset 2 --yes')).toEqual([
      { group: 'mover', topic: 'orders', queues: [{ ...place(0), before: 3, after: 2 }] },
    ]);
    expect(await bench.json('offset reset mover orders --to -1h --queue 1 --yes')).toEqual([
      { group: 'mover', topic: 'orders', queues: [{ ...place(1), before: 1, after: 0 }] },
    ]);
    expect(await bench.json('offset clone mover copy --topic orders --yes')).toEqual([
      {
        from: 'mover',
        group: 'copy',
        queues: [
          { ...place(0), before: null, after: 2 },
          { ...place(1), before: null, after: 0 },
        ],
      },
    ]);
    expect(await bench.json('offset get copy orders')).toEqual([
      {
        group: 'copy',
        topic: 'orders',
        queues: [
          { ...place(0), minOffset: 0, maxOffset: 3, offset: 2 },
          { ...place(1), minOffset: 0, maxOffset: 1, offset: 0 },
        ],
      },
    ]);
  });

  test('says what it would move before it does, and why it can not', async () => {
    await bench.prints('group create careful');
    expect(await bench.run('offset reset careful orders --to first')).toEqual({
      exitCode: 2,
      output: '',
      errors:
        'millrace: This moves group careful in 2 queues of topic orders to the first message.\n' +
        '  Nothing was done: add --yes to do it\n',
    });
    const says: [string, number, RegExp][] = [
      ['offset reset careful orders --yes', 2, /where to go is not given: --to first/],
      ['offset reset careful orders --to never --yes', 2, /It is first, last, or a time/],
      ['offset set careful orders --queue 0 --yes', 2, /required option '--to-offset <N>'/],
      ['offset reset careful orders --to first --to-offset 1 --yes', 2, /cannot be used with/],
      ['offset reset nobody orders --to first --yes', 1, /no consumer group nobody/],
      ['offset reset careful nowhere --to first --yes', 1, /nowhere/],
      ['offset set careful orders --queue 9 --to-offset 1 --yes', 1, /has no queue 9/],
      [
        'offset set careful orders --queue 0 --to-offset 9 --yes',
        2,
        /queue 0 of topic orders .* has no offset 9: it begins at 0 and ends at 3/,
      ],
      ['offset clone careful copy --yes', 1, /group careful has no offsets/],
    ];
    const runs = await Promise.all(says.map(([commandLine]) => bench.run(commandLine)));
    for (const [index, { exitCode, errors }] of runs.entries()) {
      const [commandLine, expectedCode, expected] = says[index];
      expect(errors).toMatch(expected);
      expect([commandLine, exitCode]).toEqual([commandLine, expectedCode]);
    }
  });
});
