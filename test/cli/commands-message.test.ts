/**
 * `millrace send`, `consume`, `tail`, `query` and `clock`: what is sent is what is consumed, seen and
 * found.
 */
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startBroker, VirtualWallClock } from '../../src/testing/index.ts';
import { CommandBench, jsonLines } from './command-run.ts';

// Each command is a process of its own.
vi.setConfig({ testTimeout: 120_000 });

let bench: CommandBench;

beforeAll(async () => {
  bench = await CommandBench.start();
});

afterAll(async () => {
  await bench.close();
});

const bodies = (lines: readonly Record<string, unknown>[]): string[] =>
  lines.map(({ body }) => String(body)).sort();

describe('millrace send', () => {
  test('sends one with all that it can carry, and it is found by each of its names', async () => {
    await bench.prints('topic create orders --queues 1');
    const flags = '--key order-42 --key two --tag created --property customer=7'.split(' ');
    const printed = await bench.prints(['send', 'orders', '{"id":42}', ...flags]);
    const [, messageId = ''] = /^sent ([0-9A-F]{32}) to broker-test\/0@0\n$/.exec(printed) ?? [];
    const expected = {
      topic: 'orders',
      brokerName: 'broker-test',
      queueId: 0,
      queueOffset: 0,
      messageId,
      tag: 'created',
      keys: ['order-42', 'two'],
      deliveryAttempt: 1,
      body: '{"id":42}',
    };
    const [found] = await bench.json(`query unique-key orders ${messageId}`);
    expect(found).toMatchObject(expected);
    expect(found['properties']).toMatchObject({ customer: '7' });
    expect(await bench.json('query key orders two')).toEqual([found]);
    expect(await bench.json(`query id ${String(found['offsetMessageId'])}`)).toEqual([found]);
    expect(await bench.json('query offset orders --queue 0 --offset 0')).toEqual([found]);
    expect(await bench.json('query time orders --from -1h')).toEqual([found]);
    const told = await bench.prints('query key orders order-42');
    expect(told).toMatch(/^message id {4}[0-9A-F]{32}$/m);
    expect(told).toMatch(/^ {2}customer {4}7$/m);
    expect(told).toMatch(/^keys {10}order-42 two$/m);
    expect(told.endsWith('body          9 bytes\n{"id":42}\n')).toBe(true);
  });

  test('sends a message for each line, in order, and what is in a file', async () => {
    await bench.prints('topic create lines --queues 1');
    const sent = await bench.json('send lines', 'a\nb\nc\n');
    expect(sent.map(({ queueOffset }) => queueOffset)).toEqual([0, 1, 2]);
    expect(sent[0]).toMatchObject({ status: 'ok', topic: 'lines', brokerName: 'broker-test' });
    await bench.prints('send lines --batch 2', 'd\ne\nf');
    const file = path.join(bench.directory, 'body');
    fs.writeFileSync(file, Buffer.from([0xff, 0x00, 0x1b]));
    await bench.prints(['send', 'lines', '--file', file]);
    await bench.prints('send lines --file -', 'all\nof it');
    const found = await bench.json('query time lines --from -1h');
    expect(found.slice(0, 6).map(({ body }) => body)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(found[6]).toMatchObject({ bodyBase64: '/wAb' });
    expect(found[7]).toMatchObject({ body: 'all\nof it' });
    const lines = (await bench.prints('query time lines --from -1h')).trimEnd().split('\n');
    expect(lines).toHaveLength(8);
    expect(lines[6]).toContain('(3 bytes, no text)');
    expect(lines[7]).toContain('all\\nof it');
  });

  test('sends a load at a rate, tells how far it is, and counts', async () => {
    await bench.prints('topic create load --queues 2');
    const { exitCode, output, errors } = await bench.run(
      'send load --count 600 --rate 300 --size 1k --progress --json',
    );
    expect(exitCode).toBe(0);
    const [summary] = jsonLines(output);
    expect(summary).toMatchObject({ topic: 'load', sent: 600, failed: 0, bodyBytes: 614_400 });
    expect(summary['rate']).toBeLessThan(330);
    expect(errors).toMatch(/^\d+ of 600 sent, \d+\/s$/m);
    expect(await bench.json('topic status load')).toMatchObject([{ messageCount: 600 }]);
    const told = await bench.prints('send load again --count 50 --batch 10 --concurrency 2');
    expect(told).toMatch(
      /^50 messages sent, 0 failed, in \d+\.\d\d s: [\d,]+\/s, p50 \S+ ms, p99 \S+ ms, max \S+ ms\n$/,
    );
  });

  test('a load that is interrupted sums up what was sent', async () => {
    await bench.prints('topic create cut --queues 1');
    const run = bench.start('send cut --count 100000 --rate 50 --json --progress');
    await run.says('sent,');
    run.process.kill('SIGINT');
    const { exitCode, output } = await run.ended;
    expect(exitCode).toBe(130);
    const [summary] = jsonLines(output);
    expect(summary['sent']).toBeGreaterThan(0);
    const [status] = await bench.json('topic status cut');
    expect(status['messageCount']).toBe(summary['sent']);
  });

  test('delivers later when asked to', async () => {
    await bench.prints('topic create later --queues 1');
    const [sent] = await bench.json('send later pay --delay 1500ms');
    expect(sent['recallHandle']).toMatch(/^\S+$/);
    const [timed] = await bench.json('tail later --from first --count 1');
    expect(timed).toMatchObject({ body: 'pay', messageId: sent['messageId'] });
    const waitedMs = Number(timed['storeTimestampMs']) - Number(timed['bornTimestampMs']);
    expect(waitedMs).toBeGreaterThanOrEqual(1400);
  });

  test('what can not be sent says why', async () => {
    await bench.prints('topic create full --queues 1 --perm r');
    const says: [string, number, RegExp][] = [
      ['send full x --timeout 1s', 1, /full/],
      ['send orders x --file y', 2, /a body and --file are two messages/],
      ['send orders --file /does/not/exist', 1, /\/does\/not\/exist can not be read: ENOENT/],
      ['send orders x --delay 5', 2, /duration with its unit/],
      ['send orders x --delay 5s --deliver-at now', 2, /cannot be used with/],
      ['send orders x --delay 5s --batch 2', 2, /a batch can not be timed/],
      ['send orders x --property name', 2, /name=value/],
      ['send orders --size 10', 2, /--size is of the bodies that --count makes/],
      ['send a.b x', 2, /a\.b/],
    ];
    const runs = await Promise.all(says.map(([commandLine]) => bench.run(commandLine)));
    for (const [index, { exitCode, errors }] of runs.entries()) {
      const [commandLine, expectedCode, expected] = says[index];
      expect(errors).toMatch(expected);
      expect([commandLine, exitCode]).toEqual([commandLine, expectedCode]);
      expect(errors).not.toMatch(/\n\s+at /);
    }
  });
});

describe('millrace consume', () => {
  test('gets what waits, acknowledges it, and ends', async () => {
    await bench.prints('topic create work --queues 2');
    for (const [index, body] of ['a', 'b', 'c', 'd'].entries())
      await bench.send('work', body, { queueId: index % 2 });
    const first = await bench.json('consume work --group workers --from first --idle 2s');
    expect(bodies(first)).toEqual(['a', 'b', 'c', 'd']);
    expect(await bench.json('group progress workers --topic work')).toMatchObject([{ behind: 0 }]);
    await bench.send('work', 'e');
    expect(await bench.prints('consume work --group workers --count 1 --body-only')).toBe('e\n');
    expect(await bench.json('group progress workers --topic work')).toMatchObject([{ behind: 0 }]);
  });

  test('ends after so many and leaves the others to the group', async () => {
    await bench.prints('topic create some --queues 1');
    for (const body of ['a', 'b', 'c']) await bench.send('some', body);
    expect(bodies(await bench.json('consume some --group few --from first --count 2'))).toEqual([
      'a',
      'b',
    ]);
    expect(bodies(await bench.json('consume some --group few --count 1'))).toEqual(['c']);
  });

  test('follows until SIGINT, through a filter', async () => {
    await bench.prints('topic create followed --queues 1');
    const run = bench.start(
      'consume followed --group followers --from first --tags yes --follow --json',
    );
    await bench.send('followed', 'no', { properties: { TAGS: 'no' } });
    await bench.send('followed', 'yes', { properties: { TAGS: 'yes' } });
    await run.says('"body":"yes"');
    run.process.kill('SIGINT');
    const { exitCode, output, errors } = await run.ended;
    expect([exitCode, errors]).toEqual([0, '']);
    expect(bodies(jsonLines(output))).toEqual(['yes']);
  });

  test('says what is missing', async () => {
    const { exitCode, errors } = await bench.run('consume orders');
    expect(exitCode).toBe(2);
    expect(errors).toContain("required option '--group <GROUP>' not specified");
  });
});

describe('millrace tail', () => {
  test('shows what comes from now on, and no group knows', async () => {
    await bench.prints('topic create live --queues 2');
    await bench.send('live', 'old');
    const run = bench.start('tail live --json');
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await bench.send('live', 'new', { queueId: 1 });
    await run.says('"body":"new"');
    run.process.kill('SIGINT');
    const { exitCode, output, errors } = await run.ended;
    expect([exitCode, errors]).toEqual([0, '']);
    expect(bodies(jsonLines(output))).toEqual(['new']);
    const groups = await bench.json('group list');
    expect(groups.map(({ group }) => group)).not.toContain('live');
  });

  test('begins where it is told to, filters, and is safe for a terminal', async () => {
    await bench.prints('topic create filtered --queues 1');
    await bench.send('filtered', 'small', { properties: { amount: '1' } });
    await bench.send('filtered', '\x1b[2Jlarge', { properties: { amount: '50' } });
    const lines = await bench.prints([
      ...'tail filtered --from first --count 1 --sql'.split(' '),
      'amount > 10',
    ]);
    expect(lines).toMatch(/^20\S+Z {2}broker-test\/0@1 {2}\\u001b\[2Jlarge\n$/);
  });

  test('a reader that has seen enough ends it quietly', async () => {
    await bench.prints('topic create headed --queues 1');
    for (let index = 0; index < 3; index++) await bench.send('headed', 'x');
    const run = bench.start('tail headed --from first');
    await run.says('x\n');
    run.process.stdout?.destroy();
    await bench.send('headed', 'y');
    expect(await run.ended).toMatchObject({ exitCode: 0, errors: '' });
  });

  test('a topic or filter that can not be says why', async () => {
    const nowhere = await bench.run('tail nowhere');
    expect([nowhere.exitCode, nowhere.output]).toEqual([1, '']);
    expect(nowhere.errors).toContain('nowhere');
    const broken = await bench.run(['tail', 'orders', '--sql', 'a >']);
    expect(broken.exitCode).toBe(1);
    expect(broken.errors).toContain('SQL92');
    expect((await bench.run('tail orders --tags a --sql b')).exitCode).toBe(2);
  });
});

describe('millrace query', () => {
  test('what is not there is an error, and so is what can not be an id', async () => {
    const says: [string, number, RegExp][] = [
      ['query key orders nothing', 1, /topic orders has no message with the key nothing/],
      ['query unique-key orders FF', 1, /topic orders has no message with the id FF/],
      ['query id FF', 2, /"FF" is no id of a broker/],
      ['query offset orders --queue 0 --offset 99', 1, /begins at 0 and ends at/],
      ['query time orders', 2, /no time is given/],
      ['query time orders --to 2001-01-01', 1, /no message that was stored in this time/],
    ];
    const runs = await Promise.all(says.map(([commandLine]) => bench.run(commandLine)));
    for (const [index, { exitCode, output, errors }] of runs.entries()) {
      const [commandLine, expectedCode, expected] = says[index];
      expect(errors).toMatch(expected);
      expect([commandLine, exitCode, output]).toEqual([commandLine, expectedCode, '']);
    }
  });
});

test('a broker is asked over WebSocket, and its clock is moved where it stands', async () => {
  const clock = new VirtualWallClock();
  await using broker = await startBroker({ clock, webPort: 0, topics: ['reminders'] });
  const flags = ['--servers', broker.webUrl ?? ''];
  await bench.prints(['send', 'reminders', 'pay', '--delay', '30m', ...flags]);
  const startMs = clock.nowMs();
  expect(await bench.json(['clock', 'advance', '30m', ...flags])).toEqual([
    { advancedMs: 1_800_000, wallMs: startMs + 1_800_000 },
  ]);
  const seen = await bench.json(['tail', 'reminders', '--from', 'first', '--count', '1', ...flags]);
  expect(bodies(seen)).toEqual(['pay']);
  const consume = ['consume', 'reminders', '--group', 'web', '--from', 'first', '--count', '1'];
  expect(bodies(await bench.json([...consume, ...flags]))).toEqual(['pay']);
});

test('a clock that is real can not be moved', async () => {
  const { exitCode, errors } = await bench.run('clock advance 30m');
  expect(exitCode).toBe(1);
  expect(errors).toContain('it runs on real time');
  expect((await bench.run('clock advance 30')).exitCode).toBe(2);
});
