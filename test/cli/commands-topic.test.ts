/**
 * `millrace topic`, and what all client commands have: servers, JSON, watching, questions, exit codes.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { heartbeatRequest } from '../workers/raw-client.ts';
import { CommandBench, CommandRun, jsonLines, mainFile } from './command-run.ts';

// Each command is a process of its own.
vi.setConfig({ testTimeout: 120_000 });

let bench: CommandBench;

beforeAll(async () => {
  bench = await CommandBench.start();
});

afterAll(async () => {
  await bench.close();
});

const noStack = /\n\s+at /;

describe('millrace topic', () => {
  test('makes, shows, changes and deletes a topic', async () => {
    expect(await bench.prints('topic list')).toBe('no topics\n');
    expect(
      await bench.prints('topic create orders --queues 2 --attribute message.type=NORMAL'),
    ).toBe(
      [
        'made topic orders',
        'BROKER       READ  WRITE  PERM  ORDER  ATTRIBUTES',
        'broker-test     2      2  rw    no     message.type=NORMAL',
        '',
      ].join('\n'),
    );
    expect(await bench.prints('topic list')).toBe(
      [
        'TOPIC   KIND    QUEUES  PERM  ORDER  BROKERS',
        'orders  normal       2  rw    no     broker-test',
        '',
      ].join('\n'),
    );
    await bench.send('orders', 'a');
    const status = await bench.prints('topic status orders');
    expect(status.split('\n')).toEqual([
      'BROKER       QUEUE  MIN  MAX  MESSAGES  LAST',
      expect.stringMatching(/^broker-test {6}0 {4}0 {4}1 {9}1 {2}20\S+Z$/),
      'broker-test      1    0    0         0  -',
      expect.stringMatching(/^1 messages in 2 queues, \d+\.\d\/s in the last minute$/),
      '',
    ]);
    const address = `127.0.0.1:${bench.broker.ready.brokerPort}`;
    expect(await bench.prints('topic route orders')).toBe(
      [
        `BROKER       CLUSTER         ${'ADDRESS'.padEnd(address.length)}  READ  WRITE  PERM`,
        `broker-test  DefaultCluster  ${address}     2      2  rw`,
        '',
      ].join('\n'),
    );
    expect(await bench.prints('topic update orders --perm r --read-queues 3')).toContain(
      'broker-test     3      2  r     no     message.type=NORMAL',
    );
    expect(await bench.prints('topic delete orders --yes')).toBe(
      'deleted topic orders on broker-test\n',
    );
    expect(await bench.prints('topic list')).toBe('no topics\n');
  });

  test('says the same as JSON', async () => {
    const onBroker = {
      brokerName: 'broker-test',
      readQueueCount: 1,
      writeQueueCount: 1,
      permission: 'rw',
      isOrdered: true,
      attributes: {},
    };
    const made = { topic: 'ledger', kind: 'normal', brokers: [onBroker] };
    expect(await bench.json('topic create ledger --queues 1 --order')).toEqual([made]);
    expect(await bench.json('topic list')).toEqual([made]);
    await bench.send('ledger', 'a');
    expect(await bench.json('topic status ledger')).toEqual([
      {
        topic: 'ledger',
        messageCount: 1,
        putTps: expect.any(Number) as number,
        queues: [
          {
            brokerName: 'broker-test',
            queueId: 0,
            minOffset: 0,
            maxOffset: 1,
            messageCount: 1,
            lastMessageMs: expect.any(Number) as number,
          },
        ],
      },
    ]);
    expect(await bench.json('topic route ledger')).toMatchObject([
      { topic: 'ledger', brokers: [{ cluster: 'DefaultCluster' }], queues: [{ permission: 'rw' }] },
    ]);
    expect(await bench.json('topic update ledger --no-order')).toMatchObject([
      { topic: 'ledger', brokers: [{ isOrdered: false }] },
    ]);
    expect(await bench.json('topic delete ledger --yes')).toEqual([
      { topic: 'ledger', brokers: ['broker-test'], messageCount: 1 },
    ]);
  });

  test('lists topics of retries and of the system when asked to', async () => {
    await bench.client.request(heartbeatRequest('client', 'listed', 'TBW102'));
    const kinds = async (flags: string): Promise<unknown[]> => [
      ...new Set((await bench.json(`topic list${flags}`)).map(({ kind }) => kind)),
    ];
    expect(await kinds(' --all')).not.toContain('system');
    expect(await kinds(' --all')).toContain('retry');
    expect(await kinds(' --system')).not.toContain('retry');
    expect(await kinds(' --system')).toContain('system');
  });

  test('what went wrong, why, and what to do: 1 where the broker says no', async () => {
    await bench.prints('topic create there');
    expect(await bench.run('topic create there')).toEqual({
      exitCode: 1,
      output: '',
      errors: 'millrace: topic there exists on broker broker-test already\n',
    });
    const missing = await bench.run('topic status nowhere');
    expect(missing.exitCode).toBe(1);
    expect(missing.errors).toMatch(/^millrace: .*nowhere.*\n {2}"millrace topic list" shows/);
    expect(missing.errors).not.toMatch(noStack);
    const inJson = await bench.run('topic status nowhere --json');
    expect(inJson.output).toBe('');
    expect(jsonLines(inJson.errors)).toEqual([
      {
        error: 'TOPIC_NOT_FOUND',
        message: expect.stringContaining('nowhere') as string,
        hint: expect.stringContaining('millrace topic list') as string,
      },
    ]);
  });

  test('2 where it was called wrongly', async () => {
    const says: [string, RegExp][] = [
      ['topic', /Usage: millrace topic/],
      ['topic frobnicate', /unknown command 'frobnicate'/],
      ['topic create', /missing required argument 'topic'/],
      ['topic create x --queues many', /--queues <N>.*whole number from 0 to 65536/],
      ['topic create x --perm rwx', /Allowed choices are rw, r, w, -/],
      ['topic update there', /nothing to change is given: --queues/],
      ['topic list --timeout 5', /duration with its unit/],
      ['topic list --servers nonsense', /"nonsense"/],
      ['topic list --nonsense', /unknown option '--nonsense'/],
      ['frobnicate', /unknown command 'frobnicate'/],
    ];
    const runs = await Promise.all(says.map(([commandLine]) => bench.run(commandLine)));
    for (const [index, { exitCode, errors }] of runs.entries()) {
      const [commandLine, expected] = says[index];
      expect(errors).toMatch(expected);
      expect([commandLine, exitCode]).toEqual([commandLine, 2]);
      expect(errors).not.toMatch(noStack);
    }
  });

  test('nobody there is told with the address that was asked', async () => {
    const { exitCode, errors } = await bench.run('topic list --servers 127.0.0.1:1');
    expect(exitCode).toBe(1);
    expect(errors).toBe(
      'millrace: 127.0.0.1:1 can not be reached: connect ECONNREFUSED 127.0.0.1:1\n' +
        '  Is a broker running there? --servers or MILLRACE_SERVERS says where to ask (now: 127.0.0.1:1)\n',
    );
  });

  test('deletes nothing that nobody said yes to, and names what it would', async () => {
    await bench.prints('topic create kept --queues 2');
    await bench.send('kept', 'a');
    const what =
      'This deletes topic kept on broker-test: 2 queues with 1 messages, and what groups have consumed of them.';
    expect(await bench.run('topic delete kept')).toEqual({
      exitCode: 2,
      output: '',
      errors: `millrace: ${what}\n  Nothing was done: add --yes to do it\n`,
    });
    const no = bench.startOnTerminal('topic delete kept');
    await no.says('[y/N]');
    expect(no.output).toContain(what);
    no.process.stdin?.write('\n');
    expect(await no.ended).toMatchObject({ exitCode: 1 });
    expect(no.output).toContain('nothing was done');
    expect(await bench.prints('topic list')).toContain('kept');
    const yes = bench.startOnTerminal('topic delete kept');
    await yes.says('[y/N]');
    yes.process.stdin?.write('y\n');
    expect(await yes.ended).toMatchObject({ exitCode: 0 });
    expect(await bench.prints('topic list')).not.toContain('kept');
  });

  test('--watch prints JSON lines again and again, until SIGINT', async () => {
    await bench.prints('topic create watched --queues 1');
    const run = bench.start('topic status watched --watch 1');
    await run.says('"messageCount":0');
    await bench.send('watched', 'a');
    await run.says('"messageCount":1');
    run.process.kill('SIGINT');
    const { exitCode, output, errors } = await run.ended;
    expect([exitCode, errors]).toEqual([0, '']);
    const lines = jsonLines(output);
    expect(lines.length).toBeGreaterThanOrEqual(2);
    for (const line of lines) expect(line).toMatchObject({ topic: 'watched' });
    expect(Number(lines.at(-1)?.['timeMs'])).toBeGreaterThan(Number(lines[0]['timeMs']));
  });

  test('--watch draws anew on a terminal', async () => {
    await bench.prints('topic create drawn --queues 1');
    const run = bench.startOnTerminal('topic status drawn --watch 1');
    await run.says('0 messages in 1 queues');
    await bench.send('drawn', 'a');
    await run.says('1 messages in 1 queues');
    run.process.stdin?.write('\x03');
    expect(await run.ended).toMatchObject({ exitCode: 0 });
    expect(run.output.split('\x1b[2J').length).toBeGreaterThanOrEqual(3);
  });

  test('a reader that goes away ends it quietly', async () => {
    await bench.prints('topic create piped --queues 1');
    const run = bench.start('topic status piped --watch 1');
    await run.says('"messageCount":0');
    run.process.stdout?.destroy();
    expect(await run.ended).toMatchObject({ exitCode: 0, errors: '' });
  });

  test('output that can not be written is a failure', async () => {
    await bench.prints('topic create fullDisk --queues 1');
    const command = `exec "${process.execPath}" "${mainFile}" topic list > /dev/full`;
    const run = new CommandRun('sh', ['-c', command], bench.environment, '');
    const { exitCode, errors } = await run.ended;
    expect(exitCode).toBe(1);
    expect(errors).toMatch(/^millrace: the output can not be written: ENOSPC/);
  });

  test('helps with examples', async () => {
    const program = await bench.prints('--help');
    for (const name of ['topic', 'group', 'send', 'consume', 'offset', 'query', 'tail', 'start'])
      expect(program).toContain(`millrace ${name} `);
    expect(program).not.toContain('clock');
    expect(await bench.prints('help topic')).toContain('millrace topic create orders --queues 4');
    expect(await bench.prints('topic create --help')).toContain('--queues <N>');
  });
});
