/**
 * The command line as a user runs it, against a broker in this process: what it prints, what it says
 * where it fails, and its exit code.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import { RawClient, sendRequest } from '../workers/raw-client.ts';
import { startTestBroker } from '../workers/test-broker.ts';

export const mainFile = path.join(import.meta.dirname, '../../src/cli/main.ts');
/** A command that hangs is a failure with its output, not a test that times out. */
const RUN_TIMEOUT_MS = 60_000;

export interface Ended {
  exitCode: number | null;
  output: string;
  errors: string;
}

export class CommandRun {
  readonly process: ChildProcess;
  output = '';
  errors = '';
  readonly ended: Promise<Ended>;

  constructor(file: string, args: readonly string[], env: Record<string, string>, input?: string) {
    this.process = spawn(file, args, { env: { PATH: process.env['PATH'] ?? '', ...env } });
    this.process.stdin?.on('error', () => {});
    if (input !== undefined) this.process.stdin?.end(input);
    this.process.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.process.stderr?.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    const timer = setTimeout(() => {
      this.errors += '\nkilled: it did not end in time';
      this.process.kill('SIGKILL');
    }, RUN_TIMEOUT_MS);
    this.ended = new Promise((resolve) => {
      this.process.once('close', (exitCode) => {
        clearTimeout(timer);
        resolve({ exitCode, output: this.output, errors: this.errors });
      });
    });
  }

  /** Waits until the output, or what is said beside it, has this. */
  async says(wanted: string | RegExp): Promise<void> {
    const has = (): boolean => {
      const text = this.output + this.errors;
      return typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text);
    };
    let hasEnded = false;
    void this.ended.then(() => (hasEnded = true));
    while (!has()) {
      if (hasEnded)
        throw new Error(`ended without ${String(wanted)}:\n${this.output}${this.errors}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** A broker, and commands that ask it. */
export class CommandBench {
  readonly directory: string;
  readonly broker: BrokerProcess;
  readonly client: RawClient;

  private constructor(directory: string, broker: BrokerProcess, client: RawClient) {
    this.directory = directory;
    this.broker = broker;
    this.client = client;
  }

  static async start(): Promise<CommandBench> {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-commands-'));
    const broker = await startTestBroker(path.join(directory, 'store'), {
      threads: 'inline',
      storeKind: 'plain',
      enablePropertyFilter: true,
    });
    return new CommandBench(directory, broker, await RawClient.connect(broker.ready.brokerPort));
  }

  get servers(): string {
    return `127.0.0.1:${this.broker.ready.nameServerPort}`;
  }

  get environment(): Record<string, string> {
    return { MILLRACE_SERVERS: this.servers };
  }

  /** Words are split at spaces. */
  start(commandLine: string | readonly string[], input?: string): CommandRun {
    const args = typeof commandLine === 'string' ? commandLine.split(' ') : commandLine;
    return new CommandRun(process.execPath, [mainFile, ...args], this.environment, input ?? '');
  }

  run(commandLine: string | readonly string[], input?: string): Promise<Ended> {
    return this.start(commandLine, input).ended;
  }

  /** What it prints; the test fails where the command does. */
  async prints(commandLine: string | readonly string[], input?: string): Promise<string> {
    const { exitCode, output, errors } = await this.run(commandLine, input);
    if (exitCode !== 0 || errors !== '')
      throw new Error(`${String(commandLine)}: ${String(exitCode)}\n${output}${errors}`);
    return output;
  }

  /** Each line of its output as an object. */
  async json(commandLine: string | readonly string[], input?: string): Promise<JsonLine[]> {
    const args = typeof commandLine === 'string' ? commandLine.split(' ') : commandLine;
    return jsonLines(await this.prints([...args, '--json'], input));
  }

  /** On a terminal, with what is typed there. */
  startOnTerminal(commandLine: string): CommandRun {
    // A shell between would end with the signal too.
    const command = `exec "${process.execPath}" "${mainFile}" ${commandLine}`;
    return new CommandRun('script', ['-qec', command, '/dev/null'], {
      ...this.environment,
      TERM: 'xterm',
    });
  }

  async send(
    topic: string,
    body: string | Uint8Array,
    options: { queueId?: number; properties?: Record<string, string> } = {},
  ): Promise<string> {
    const answer = await this.client.request(sendRequest({ topic, body, ...options }));
    if (answer.code !== 0) throw new Error(answer.remark ?? String(answer.code));
    return answer.extFields.get('msgId') ?? '';
  }

  async close(): Promise<void> {
    this.client.close();
    await this.broker.close();
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

export type JsonLine = Record<string, unknown>;

export function jsonLines(output: string): JsonLine[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as JsonLine);
}
