/**
 * Runs contenders in alternating pairs and makes one table of medians. Only one broker runs at a time,
 * each on an empty store, and a workload waits until the machine is quiet.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Contender, Flush, RunningBroker } from './contenders.ts';
import type { LoadOptions } from './load-options.ts';
import type { LoadResult } from './load-result.ts';
import { runLoad } from './load-run.ts';
import { type QuietOptions, waitForQuiet } from './quiet-machine.ts';
import { type Durations, heatOptions, type Workload } from './workloads.ts';

/** Between the first send and the reading of memory. */
const SETTLE_MS = 3000;

export interface ComparisonOptions extends QuietOptions {
  readonly contenders: readonly Contender[];
  readonly workloads: readonly Workload[];
  readonly durations: Durations;
  readonly pairCount: number;
  /** Stores and logs go under it and are removed. */
  readonly directory: string;
  readonly brokerPort: number;
  readonly nameServerPort: number;
}

/** One broker process: how it started, and what its workloads came to. */
export interface Sitting {
  readonly contender: string;
  readonly pair: number;
  readonly flush: Flush;
  /** Null where it did not start. */
  readonly start: {
    readonly acceptMs: number;
    readonly firstSendMs: number;
    /** Memory of all its processes, three seconds after the first send. */
    readonly idleRssAnonBytes: number;
  } | null;
  readonly results: Readonly<Record<string, LoadResult>>;
  /** Workloads that failed, with the reason. */
  readonly failures: Readonly<Record<string, string>>;
}

export async function compare(options: ComparisonOptions): Promise<Sitting[]> {
  const sittings: Sitting[] = [];
  const flushes = [...new Set(options.workloads.map((workload) => workload.flush))];
  for (let pair = 0; pair < options.pairCount; pair++) {
    // Who goes first alternates, so that a drift of the machine falls on both.
    const order = pair % 2 === 0 ? options.contenders : [...options.contenders].reverse();
    for (const contender of order) {
      for (const flush of flushes) sittings.push(await sit(options, contender, pair, flush));
    }
  }
  return sittings;
}

/** Starts one broker, runs its workloads, and leaves nothing behind. */
async function sit(
  options: ComparisonOptions,
  contender: Contender,
  pair: number,
  flush: Flush,
): Promise<Sitting> {
  const title = `${pair + 1}/${options.pairCount} ${contender.name}, ${flush} flush`;
  const say = (line: string): void => options.log(`${title}: ${line}`);
  const own = options.workloads.filter((workload) => workload.flush === flush);
  const directory = fs.mkdtempSync(path.join(options.directory, 'compare-'));
  const removeDirectory = (): void => fs.rmSync(directory, { recursive: true, force: true });
  process.once('exit', removeDirectory);
  const facts = { contender: contender.name, pair, flush };
  try {
    await waitForQuiet(options);
    const broker = await contender.start({
      directory,
      brokerPort: options.brokerPort,
      nameServerPort: options.nameServerPort,
      flush,
    });
    const { acceptMs, firstSendMs } = broker;
    say(`first send after ${Math.round(firstSendMs)} ms`);
    try {
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      const start = { acceptMs, firstSendMs, idleRssAnonBytes: broker.rssAnonBytes() };
      return { ...facts, start, ...(await runWorkloads(options, broker, own, say)) };
    } finally {
      await broker.stop();
    }
  } catch (error) {
    say(`FAILED: ${reasonOf(error)}`);
    const failures = Object.fromEntries(own.map(({ name }) => [name, reasonOf(error)]));
    return { ...facts, start: null, results: {}, failures };
  } finally {
    removeDirectory();
    process.removeListener('exit', removeDirectory);
  }
}

async function runWorkloads(
  options: ComparisonOptions,
  broker: RunningBroker,
  own: readonly Workload[],
  say: (line: string) => void,
): Promise<Pick<Sitting, 'results' | 'failures'>> {
  const results: Record<string, LoadResult> = {};
  const failures: Record<string, string> = {};
  try {
    await runOn(options, broker, heatOptions(options.durations));
  } catch (error) {
    say(`heating FAILED: ${reasonOf(error)}`);
  }
  for (const { name, options: load } of own) {
    await waitForQuiet(options);
    try {
      const result = await runOn(options, broker, load);
      results[name] = result;
      const marks = result.marks.map((mark) => ` [${mark}]`).join('');
      say(`${name}: ${Math.round(result.ratePerSecond)} msg/s${marks}`);
    } catch (error) {
      failures[name] = reasonOf(error);
      say(`${name} FAILED: ${reasonOf(error)}`);
    }
  }
  return { results, failures };
}

function runOn(
  options: ComparisonOptions,
  broker: RunningBroker,
  load: LoadOptions,
): Promise<LoadResult> {
  return runLoad({
    ...load,
    address: `127.0.0.1:${options.brokerPort}`,
    nameServer: `127.0.0.1:${options.nameServerPort}`,
    brokerPid: broker.pid,
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
