/**
 * The clients that are compared, and how each is started for one run: a process of its own with the same
 * arguments, whose last line tells what it measured.
 */
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { endWithThisProcess } from '../../test/interop/child-process.ts';
import { prepareBenchJava, type Servers } from './servers.ts';
import type { WindowResult, WindowSpan } from './window.ts';

export type Mode = 'send' | 'consume';

export interface RunOptions {
  readonly mode: Mode;
  readonly servers: Servers;
  readonly topic: string;
  readonly group: string;
  readonly bodyBytes: number;
  readonly outstanding: number;
  readonly span: WindowSpan;
  /** Takes what the client writes. */
  readonly directory: string;
}

export interface Contender {
  readonly name: string;
  /** Whether it can speak to these servers. */
  fits(servers: Servers): boolean;
  /** Installs and builds what it needs; quick where that is done. */
  prepare(): void;
  command(options: RunOptions): [string, ...string[]];
}

const RUN_TIMEOUT_MS = 400_000;
const here = import.meta.dirname;
const otherClients = path.join(here, 'other-clients');

export const millrace: Contender = nodeClient('millrace/client', './millrace-adapter.ts');
export const aliOns: Contender = nodeClient('ali-ons', './other-clients/ali-ons-adapter.ts');
export const rocketmqNode: Contender = {
  ...nodeClient('rocketmq-client-nodejs', './other-clients/rocketmq-nodejs-adapter.ts'),
  fits: (servers) => servers.proxy !== null,
};
export const java: Contender = {
  name: 'Java client',
  fits: () => true,
  prepare: () => void prepareBenchJava(),
  command: (options) => [
    'java',
    '-Xms512m',
    '-Xmx512m',
    `-Duser.home=${options.directory}`,
    `-Drocketmq.client.logRoot=${options.directory}`,
    '-Drocketmq.client.logLevel=WARN',
    '-cp',
    prepareBenchJava(),
    'millrace.ClientProgram',
    ...argumentsOf(options),
  ],
};
export const contenders: readonly Contender[] = [millrace, aliOns, rocketmqNode, java];

function nodeClient(name: string, adapter: string): Contender {
  return {
    name,
    fits: () => true,
    prepare: () => {
      if (adapter.includes('other-clients')) installOtherClients();
    },
    command: (options) => [
      process.execPath,
      path.join(here, 'client-program.ts'),
      adapter,
      ...argumentsOf({
        ...options,
        servers:
          name === rocketmqNode.name
            ? { ...options.servers, nameServer: options.servers.proxy ?? '' }
            : options.servers,
      }),
    ],
  };
}

function argumentsOf({ mode, servers, topic, group, span, ...numbers }: RunOptions): string[] {
  const { bodyBytes, outstanding } = numbers;
  const all = [bodyBytes, outstanding, span.warmCount, span.warmMs, span.count, span.spanMs];
  return [mode, servers.nameServer, topic, group, ...all.map(String)];
}

/** npm writes `.package-lock.json` when an installation is complete. */
function installOtherClients(): void {
  const wanted = path.join(otherClients, 'package-lock.json');
  const installed = path.join(otherClients, 'node_modules', '.package-lock.json');
  const isCurrent =
    fs.existsSync(installed) && fs.statSync(installed).mtimeMs >= fs.statSync(wanted).mtimeMs;
  if (isCurrent) return;
  execFileSync('npm', ['ci', '--ignore-scripts'], {
    cwd: otherClients,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

/** @throws when the client fails, with the end of what it wrote */
export async function runContender(
  contender: Contender,
  options: RunOptions,
): Promise<WindowResult> {
  fs.mkdirSync(options.directory, { recursive: true });
  const [file, ...words] = contender.command(options);
  const child = spawn(file, words, {
    cwd: here,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HOME: options.directory },
  });
  endWithThisProcess(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_TIMEOUT_MS);
  // Not at `exit`: what it wrote may still be on its way.
  await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  const result = /^RESULT (.*)$/m.exec(output)?.[1];
  if (result === undefined)
    throw new Error(`${contender.name} (${options.mode}) failed:\n${output.slice(-2000)}`);
  return JSON.parse(result) as WindowResult;
}
