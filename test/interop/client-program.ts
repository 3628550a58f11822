/**
 * A program on some client of RocketMQ that runs scenarios one after another, in a process of its own:
 * what it is called with, and what it prints, is the same as of the Java one (`Scenarios`).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { endWithThisProcess } from './child-process.ts';

export interface ClientProgram {
  /** Stands before the names of its scenarios. */
  readonly name: string;
  readonly scenarios: readonly string[];
  /** Builds it where that is needed, runs scenarios of it, and answers what it printed. */
  run(options: ClientRun): Promise<string>;
}

export interface ClientRun {
  nameServer: string;
  scenarios: readonly string[];
  /** Takes its log, and whatever it stores. */
  directory: string;
  /** Instead of what the suite has set for its subject. */
  environment?: Record<string, string>;
}

export const RUN_TIMEOUT_MS = 300_000;

/** Runs a command with the name server and the scenarios behind its own arguments. */
export async function runProgram(
  command: readonly [string, ...string[]],
  { nameServer, scenarios, directory, environment: settings = {} }: ClientRun,
  environment: Record<string, string> = {},
): Promise<string> {
  const [file, ...own] = command;
  fs.mkdirSync(directory, { recursive: true });
  const logFile = path.join(directory, `${path.basename(directory)}.log`);
  const log = fs.openSync(logFile, 'w');
  const child = spawn(file, [...own, nameServer, ...scenarios], {
    cwd: directory,
    stdio: ['ignore', log, log],
    env: { ...process.env, HOME: directory, ...settings, ...environment },
  });
  fs.closeSync(log);
  endWithThisProcess(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_TIMEOUT_MS);
  try {
    await once(child, 'exit');
  } finally {
    clearTimeout(timer);
  }
  return fs.readFileSync(logFile, 'utf8');
}
