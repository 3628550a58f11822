/**
 * The command as a user runs it: a process, its output, its signals and its exit code. Stores are
 * plain and small, so that a start costs little; the contract suite covers the other kinds.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const main = path.join(import.meta.dirname, '../../src/cli/main.ts');

class Run {
  readonly process: ChildProcess;
  output = '';
  errors = '';
  hasEnded = false;
  /** Once it has ended and all of its output was read. */
  readonly exitCode: Promise<number | null>;

  constructor(args: readonly string[], cwd: string, nodeArgs: readonly string[] = [], to?: number) {
    this.process = spawn(process.execPath, [...nodeArgs, main, ...args], {
      cwd,
      env: {
        PATH: process.env['PATH'],
        MILLRACE_STORE_KIND: 'plain',
        MILLRACE_SEGMENT_BYTES: '65536',
        MILLRACE_WEB_PORT: 'off',
      },
      stdio: ['ignore', to ?? 'pipe', 'pipe'],
    });
    this.process.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.process.stderr?.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    this.exitCode = new Promise((resolve) => {
      this.process.once('close', (code) => {
        this.hasEnded = true;
        resolve(code);
      });
    });
  }

  /** The log line with this message; fails when the process ends without one. */
  async line(message: string): Promise<Record<string, unknown>> {
    for (;;) {
      const found = this.output
        .split('\n')
        .filter((line) => line.startsWith('{') && line.endsWith('}'))
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .find((line) => line['msg'] === message);
      if (found !== undefined) return found;
      if (this.hasEnded)
        throw new Error(`ended without "${message}": ${this.output}${this.errors}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

let directory: string;
const runs: Run[] = [];

const run = (args: string, nodeArgs?: string[], to?: number): Run => {
  const started = new Run(args.split(' '), directory, nodeArgs, to);
  runs.push(started);
  return started;
};

const START = 'start --threads inline --broker-port 0 --name-server-port 0';

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-main-'));
});

afterEach(async () => {
  for (const { process: child, exitCode } of runs.splice(0)) {
    child.kill('SIGKILL');
    await exitCode;
  }
  fs.rmSync(directory, { recursive: true, force: true });
});

/** Opens a port of its own, for as long as the test runs. */
async function takenPort(): Promise<{ port: number; free: () => Promise<void> }> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  return { port, free: () => new Promise((resolve) => server.close(() => resolve())) };
}

describe('millrace', () => {
  test('says its version', async () => {
    const { version } = JSON.parse(
      fs.readFileSync(path.join(import.meta.dirname, '../../package.json'), 'utf8'),
    ) as { version: string };
    const asked = run('--version');
    expect(await asked.exitCode).toBe(0);
    expect(asked.output).toBe(`${version}\n`);
  });

  test('helps with every setting', async () => {
    const asked = run('start --help');
    expect(await asked.exitCode).toBe(0);
    expect(asked.output).toContain('--name-servers');
    expect(asked.output).toMatch(/MILLRACE_FILE_RESERVED_TIME_HOURS +fileReservedTime /);
  });

  test('an old Node gets one sentence', async () => {
    const pretend =
      'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"18.19.0"}})';
    const started = run('start', ['--import', pretend]);
    expect(await started.exitCode).toBe(1);
    expect(started.errors).toBe('millrace needs Node 20.15 or newer; this is 18.19.0\n');
  });

  test('a mistake in the configuration is told without a stack, and nothing is made', async () => {
    const started = run('start --threads inline --broker-port 70000 --flush maybe');
    expect(await started.exitCode).toBe(1);
    expect(started.output).toBe('');
    expect(started.errors.split('\n')).toEqual([
      'millrace: the configuration can not be used:',
      '  --broker-port: "70000" is not a port, 0 to 65535',
      '  --flush: "maybe" is not async or sync (ASYNC_FLUSH or SYNC_FLUSH in a broker.conf)',
      '',
    ]);
    expect(fs.readdirSync(directory)).toEqual([]);
  });
});

describe('millrace start', () => {
  test.each(['SIGTERM', 'SIGHUP'] as const)(
    'says where it serves, stops on %s, and finds its store clean again',
    async (signal) => {
      const first = run(START);
      const ready = await first.line('ready');
      expect(ready).toMatchObject({
        brokerPort: expect.any(Number) as number,
        nameServerPort: expect.any(Number) as number,
        storeDirectory: path.join(fs.realpathSync(directory), 'store'),
      });
      first.process.kill(signal);
      await first.line('stopping; a second signal ends the process at once');
      first.process.kill('SIGHUP');
      expect(await first.exitCode).toBe(0);
      await first.line('stopped');
      expect(first.errors).toBe('');

      const second = run(START);
      expect(await second.line('store recovered')).toMatchObject({ abnormal: false });
    },
  );

  test('after kill -9 it starts again and says that it was not stopped', async () => {
    const first = run(START);
    await first.line('ready');
    first.process.kill('SIGKILL');
    await first.exitCode;
    const second = run(START);
    expect(await second.line('store recovered')).toMatchObject({ abnormal: true });
    await second.line('ready');
  });

  test('a port that is taken ends the start with the flag that helps', async () => {
    const { port, free } = await takenPort();
    const started = run(`start --threads inline --name-server-port 0 --broker-port ${port}`);
    expect(await started.exitCode).toBe(1);
    expect(started.errors).toMatch(/^millrace: 127\.0\.0\.1:\d+ is taken;.*--broker-port\n$/);
    await free();
  });

  test('a web port that is taken ends the start with the flag that helps, and off is no port', async () => {
    const { port, free } = await takenPort();
    const started = run(`${START} --web-port ${port}`);
    expect(await started.exitCode).toBe(1);
    expect(started.errors).toMatch(/^millrace: 127\.0\.0\.1:\d+ is taken;.*--web-port\n$/);
    await free();
    expect(await run(`${START} --web-port off`).line('ready')).toMatchObject({ webPort: null });
  });

  test('says which library carries the web port, and serves it', async () => {
    const started = run(`${START} --web-port 0`);
    const { webPort } = await started.line('ready');
    expect(started.output).toMatch(/"library":"(uws|ws)"/);
    const answer = await fetch(`http://127.0.0.1:${String(webPort)}/readyz`);
    expect([answer.status, await answer.text()]).toEqual([200, 'ready\n']);
    started.process.kill('SIGTERM');
    expect(await started.exitCode).toBe(0);
  });

  test.runIf(process.platform === 'linux')(
    'a store where no directory can be made is an error, at once',
    async () => {
      const started = run(`${START} --store-dir /proc/millrace`);
      expect(await started.exitCode).toBe(1);
      expect(started.errors).toMatch(/^millrace: make directory \/proc\/millrace: ENOENT;.*\n$/);
    },
  );

  test('a store that another broker has open is left alone', async () => {
    const first = run(START);
    await first.line('ready');
    const second = run(START);
    expect(await second.exitCode).toBe(1);
    expect(second.errors).toMatch(/^millrace: .*store.*\n$/);
    expect(second.errors).not.toContain('    at ');
    first.process.kill('SIGTERM');
    expect(await first.exitCode).toBe(0);
  });

  test('names the keys of a broker.conf that have no effect', async () => {
    fs.writeFileSync(
      path.join(directory, 'broker.conf'),
      'brokerRole=ASYNC_MASTER\nbrokerIP1=localhost\n',
    );
    const started = run(`${START} --config broker.conf`);
    expect(await started.line('these keys of broker.conf have no effect here')).toMatchObject({
      keys: ['brokerRole'],
    });
    expect((await started.line('ready'))['clientAddress']).toMatch(/^localhost:\d+$/);
  });

  test.runIf(fs.existsSync('/dev/full'))('serves on while its log can not be written', async () => {
    const { port, free } = await takenPort();
    await free();
    const full = fs.openSync('/dev/full', 'w');
    const started = run(
      `start --threads inline --broker-port 0 --name-server-port ${port}`,
      [],
      full,
    );
    fs.closeSync(full);
    const connects = (): Promise<boolean> =>
      new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.once('connect', () => {
          socket.destroy();
          resolve(true);
        });
        socket.once('error', () => resolve(false));
      });
    while (started.process.exitCode === null && !(await connects()))
      await new Promise((wait) => setTimeout(wait, 10));
    // The listener opens before the store is recovered: only a clean end shows that all of it ran.
    await new Promise((wait) => setTimeout(wait, 500));
    started.process.kill('SIGTERM');
    expect(await started.exitCode).toBe(0);
    expect(started.errors).toBe('');
  });
});

describe('millrace nameserver', () => {
  test('serves alone and stops on SIGINT', async () => {
    const started = run('nameserver --port 0 --web-port 0');
    const { nameServerPort, webPort } = await started.line('ready');
    const page = await fetch(`http://127.0.0.1:${Number(webPort)}/metrics`);
    expect(await page.text()).toContain('millrace_route_bytes{node_type="nameserver"} 0\n');
    const socket = net.connect(Number(nameServerPort), '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    socket.destroy();
    started.process.kill('SIGINT');
    expect(await started.exitCode).toBe(0);
  });

  test('refuses what is no port', async () => {
    const started = run('nameserver --port many');
    expect(await started.exitCode).toBe(1);
    expect(started.errors).toBe('millrace: --port: "many" is not a port, 0 to 65535\n');
    const pages = run('nameserver --port 0 --web-port none');
    expect(await pages.exitCode).toBe(1);
    expect(pages.errors).toBe('millrace: --web-port: "none" is not a port, 0 to 65535, or off\n');
    const off = run('nameserver --port off');
    expect(await off.exitCode).toBe(1);
    expect(off.errors).toBe('millrace: --port: "off" is not a port, 0 to 65535\n');
  });
});
