/**
 * A broker process of a comparison: started on a directory of its own, timed from its spawn, ended with
 * this program at the latest.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { Protocol } from './load-options.ts';
import { readProcessUsage } from './process-usage.ts';

export type Flush = 'async' | 'sync';

export interface StartOptions {
  /** Everything that the contender writes stays under it. */
  readonly directory: string;
  readonly brokerPort: number;
  readonly nameServerPort: number;
  readonly flush: Flush;
}

export interface RunningBroker {
  readonly pid: number;
  /** From the spawn of the broker to a port that accepts. */
  readonly acceptMs: number;
  /** From the spawn to the answer of a first send. */
  readonly firstSendMs: number;
  /** Anonymous memory of all its processes. */
  rssAnonBytes(): number;
  stop(): Promise<void>;
  /** Ends it without waiting for what it would store yet: nobody reads that. */
  discard(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  readonly protocol: Protocol;
  start(options: StartOptions): Promise<RunningBroker>;
}

const START_TIMEOUT_MS = 90_000;
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 5;

/** A contender that is one process, which is the broker itself, not a shell around it. */
export function processContender(what: {
  readonly name: string;
  readonly protocol: Protocol;
  /** Program and arguments. */
  readonly command: (options: StartOptions) => readonly string[];
  /** Variables beside those of this program. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Sends a first message; false or an error: not yet. */
  readonly sendFirst: (port: number) => Promise<boolean>;
}): Contender {
  const { name, protocol, environment = {} } = what;
  return {
    name,
    protocol,
    start: async (options) => {
      await requireFreePorts(options);
      const { child, ended, logFile } = spawnLogged(what.command(options), {
        directory: options.directory,
        environment,
      });
      const letBe = killAtExit(() => child.kill('SIGKILL'));
      const givenUp = new AbortController();
      const stopped = ended.then((how): never => {
        throw new Error(
          `${name} ${how}; its log:\n${fs.readFileSync(logFile, 'utf8').slice(-2000)}`,
        );
      });
      try {
        const timed = timeStart(options.brokerPort, givenUp.signal, what.sendFirst);
        const start = await Promise.race([timed, stopped]);
        const pid = child.pid ?? 0;
        const stop = async (): Promise<void> => {
          child.kill('SIGTERM');
          const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
          await ended;
          clearTimeout(timer);
          letBe();
        };
        return {
          ...start,
          pid,
          rssAnonBytes: () => rssAnonOf([pid]),
          stop,
          // Not by SIGKILL: Redis would leave the child that rewrites its file.
          discard: stop,
        };
      } catch (error) {
        givenUp.abort();
        child.kill('SIGKILL');
        letBe();
        throw error;
      }
    },
  };
}

function spawnLogged(
  [program = '', ...words]: readonly string[],
  { directory, environment }: { directory: string; environment: Readonly<Record<string, string>> },
): { child: ReturnType<typeof spawn>; ended: Promise<string>; logFile: string } {
  const logFile = path.join(directory, 'broker.log');
  const log = fs.openSync(logFile, 'a');
  const child = spawn(program === 'node' ? process.execPath : program, words, {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...environment },
  });
  fs.closeSync(log);
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(`ended with ${code ?? signal}`));
    child.once('error', (error) => resolve(`can not be started: ${error.message}`));
  });
  return { child, ended, logFile };
}

/** What listens already would be taken for the broker. */
export async function requireFreePorts(options: StartOptions): Promise<void> {
  for (const port of [options.brokerPort, options.nameServerPort]) {
    if (await accepts(port)) throw new Error(`port ${port} is in use`);
  }
}

/** No broker outlives this program; returns what ends the watch. */
export function killAtExit(kill: () => void): () => void {
  const onExit = (): void => kill();
  process.once('exit', onExit);
  return () => process.removeListener('exit', onExit);
}

export function rssAnonOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readProcessUsage(pid)?.rssAnonBytes ?? 0), 0);
}

/**
 * Times from now: until the port accepts, and until a message is acknowledged. `given` up, it ends with
 * an error that nobody waits for.
 */
export async function timeStart(
  port: number,
  given: AbortSignal,
  sendFirst: (port: number) => Promise<boolean>,
): Promise<{ acceptMs: number; firstSendMs: number }> {
  const startedMs = performance.now();
  const attempt = async (what: () => Promise<boolean>): Promise<number> => {
    for (;;) {
      const isDone = await what().catch(() => false);
      const tookMs = performance.now() - startedMs;
      if (isDone) return tookMs;
      if (given.aborted || tookMs > START_TIMEOUT_MS)
        throw new Error(`port ${port} takes no messages`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  const acceptMs = await attempt(() => accepts(port));
  return { acceptMs, firstSendMs: await attempt(() => sendFirst(port)) };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
