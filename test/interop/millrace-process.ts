/**
 * Millrace as a user starts it: a process of its own, ready when its log says so.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { endWithThisProcess } from './child-process.ts';

export interface Millrace {
  readonly pid: number;
  /** From the start of the process to the line `ready`. */
  readonly readyMs: number;
  readonly logFile: string;
  /** SIGTERM; rejects when the process does not end in time, or not with code 0. */
  stop(): Promise<void>;
  /** kill -9 */
  kill(): Promise<void>;
}

export interface MillraceOptions {
  storeDirectory: string;
  brokerPort: number;
  nameServerPort: number;
  arguments?: string[];
  /** Where its log goes; beside the store unless given. */
  logDirectory?: string;
  /** A command that runs what it is given, in front of the process, and is replaced by it. */
  wrapper?: string[];
}

const main = path.join(import.meta.dirname, '../../src/cli/main.ts');
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

export async function startMillrace(options: MillraceOptions): Promise<Millrace> {
  fs.mkdirSync(options.storeDirectory, { recursive: true });
  const logDirectory = options.logDirectory ?? path.dirname(options.storeDirectory);
  const logFile = path.join(logDirectory, `millrace-${options.brokerPort}.log`);
  const log = fs.openSync(logFile, 'a');
  const startedMs = performance.now();
  const [command, ...wrapped] = [...(options.wrapper ?? []), process.execPath];
  const child = spawn(
    command,
    [
      ...wrapped,
      // As npm start does.
      '--max-semi-space-size=2',
      main,
      'start',
      '--store-dir',
      options.storeDirectory,
      '--broker-port',
      String(options.brokerPort),
      '--name-server-port',
      String(options.nameServerPort),
      // Several run at once; whoever wants the port says so.
      '--web-port',
      'off',
      ...(options.arguments ?? []),
    ],
    { stdio: ['ignore', 'pipe', log] },
  );
  fs.closeSync(log);
  endWithThisProcess(child);
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const readyMs = await new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`not ready in time; log: ${logFile}`));
    }, READY_TIMEOUT_MS);
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      fs.appendFileSync(logFile, chunk);
      if (text.includes('"ready"')) return;
      text += chunk.toString();
      if (!text.includes('"msg":"ready"')) return;
      clearTimeout(timer);
      resolve(performance.now() - startedMs);
    });
    child.once('exit', () => {
      clearTimeout(timer);
      reject(new Error(`Millrace ended before it was ready:\n${endOf(logFile)}`));
    });
  });
  let wasKilled = false;
  return {
    pid: child.pid ?? 0,
    readyMs,
    logFile,
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      const code = await ended;
      clearTimeout(timer);
      if (!wasKilled && code !== 0)
        throw new Error(`Millrace stopped with ${code ?? 'SIGKILL'}:\n${endOf(logFile)}`);
    },
    kill: async () => {
      wasKilled = true;
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Whoever reads of a failure has the log no more. */
const endOf = (logFile: string): string => fs.readFileSync(logFile, 'utf8').slice(-2000);
