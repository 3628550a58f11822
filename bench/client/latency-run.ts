/**
 * End-to-end latency at a fixed rate, with producer and consumer in one process and in two.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { endWithThisProcess } from '../../test/interop/child-process.ts';
import type { LatencySummary } from '../load/latency.ts';

export interface LatencyOptions {
  readonly nameServer: string;
  readonly topic: string;
  readonly group: string;
  readonly ratePerSecond: number;
  readonly warmMs: number;
  readonly spanMs: number;
  readonly processes: 1 | 2;
}

export interface LatencyResult {
  readonly latency: LatencySummary | null;
  readonly lost: number;
  readonly unsent: number;
}

const program = path.join(import.meta.dirname, 'latency-program.ts');

interface Part {
  readonly ended: Promise<string>;
  /** Once it has printed this line. */
  printed(line: string): Promise<void>;
  go(): void;
  kill(): void;
}

export async function measureLatency(options: LatencyOptions): Promise<LatencyResult> {
  const limitMs = options.warmMs + options.spanMs + 60_000;
  const parts =
    options.processes === 1
      ? [start('both', options)]
      : [start('consume', options), start('produce', options)];
  const timer = setTimeout(() => {
    for (const part of parts) part.kill();
  }, limitMs);
  try {
    const [consumer, producer] = parts;
    if (producer !== undefined) {
      await Promise.race([consumer.printed('READY'), consumer.ended]);
      producer.go();
    }
    const outputs = await Promise.all(parts.map((part) => part.ended));
    const result = /^RESULT (.*)$/m.exec(outputs[0])?.[1];
    if (result === undefined) throw new Error(`no latencies:\n${outputs.join('\n').slice(-2000)}`);
    return JSON.parse(result) as LatencyResult;
  } finally {
    clearTimeout(timer);
    for (const part of parts) part.kill();
  }
}

function start(role: 'both' | 'produce' | 'consume', options: LatencyOptions): Part {
  const { nameServer, topic, group, ratePerSecond, warmMs, spanMs } = options;
  const numbers = [ratePerSecond, warmMs, spanMs].map(String);
  const child = spawn(process.execPath, [program, role, nameServer, topic, group, ...numbers], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  endWithThisProcess(child);
  child.stdin.on('error', () => {});
  let output = '';
  const waiting: (() => void)[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      for (const look of waiting) look();
    });
  return {
    ended: new Promise((resolve) => child.once('close', () => resolve(output))),
    printed: (line) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (output.includes(line)) resolve();
        };
        waiting.push(look);
        look();
      }),
    go: () => void child.stdin.write('go\n'),
    kill: () => void child.kill('SIGKILL'),
  };
}
