/**
 * The command `node bench/client/compare.ts`: our Node client beside other clients of RocketMQ, on the
 * same servers in the same hour. README.md beside this file says how to read it.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { type Contender, contenders, millrace, type Mode, runContender } from './contender.ts';
import {
  barsOf,
  formatBars,
  formatLatency,
  formatRuns,
  type LatencyRun,
  STOLEN_SHARE_MAX,
  type Run,
} from './figures.ts';
import { measureLatency } from './latency-run.ts';
import { readStolenUs } from '../load/process-usage.ts';
import { waitForQuiet } from '../load/quiet-machine.ts';
import { type Servers, startApacheServers, startMillraceServers } from './servers.ts';
import type { WindowSpan } from './window.ts';

interface Flags {
  quick?: true;
  rounds?: number;
  servers: string;
  clients?: string;
  latency: boolean;
  outstanding: number;
  bodyBytes: number;
  rate: number;
  port: number;
  directory: string;
  json?: string;
}

interface Durations {
  readonly rounds: number;
  readonly send: WindowSpan;
  readonly consume: WindowSpan;
  /** Messages that wait to be consumed. */
  readonly backlogCount: number;
  readonly latencyWarmMs: number;
  readonly latencySpanMs: number;
  /** Longest wait for a quiet machine, before each run. */
  readonly quietTimeoutMs: number;
}

/** More than any run has. */
const UNBOUNDED = 1_000_000_000;

/** A virtual machine of Java gets faster for seconds: the warm-up lets it. */
const standard: Durations = {
  rounds: 3,
  send: { warmCount: UNBOUNDED, warmMs: 6000, count: UNBOUNDED, spanMs: 8000 },
  consume: { warmCount: 400_000, warmMs: 6000, count: 500_000, spanMs: 8000 },
  backlogCount: 1_000_000,
  latencyWarmMs: 5000,
  latencySpanMs: 20_000,
  quietTimeoutMs: 30_000,
};
const quick: Durations = {
  rounds: 1,
  send: { warmCount: UNBOUNDED, warmMs: 2000, count: UNBOUNDED, spanMs: 3000 },
  consume: { warmCount: 100_000, warmMs: 2000, count: 180_000, spanMs: 3000 },
  backlogCount: 300_000,
  latencyWarmMs: 2000,
  latencySpanMs: 6000,
  quietTimeoutMs: 3000,
};

const log = (line: string): void => console.error(line);

const integer = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('a whole number, at least 1');
  return value;
};

function readFlags(): Flags {
  return new Command('compare')
    .description(
      'Compares our Node client with ali-ons, rocketmq-client-nodejs and the Java client.',
    )
    .option('--quick', 'one round of short runs: a look, not a figure')
    .option(
      '--rounds <N>',
      'rounds, each with every client once (default: 3; with --quick 1)',
      integer,
    )
    .option('--servers <NAMES>', 'apache, millrace, or both', 'apache,millrace')
    .option('--clients <NAMES>', 'parts of names of those beside ours, with "," between them')
    .option('--no-latency', 'without the paced runs')
    .option('--outstanding <N>', 'sends that may wait for their answers', integer, 128)
    .option('--body-bytes <N>', 'bytes of a body', integer, 128)
    .option('--rate <N>', 'messages a second of the paced runs', integer, 2000)
    .option('--port <N>', 'the first of ten free ports in a row', integer, 18_930)
    .option('--directory <DIR>', 'where stores and logs go meanwhile', os.tmpdir())
    .option('--json <FILE>', 'write every run to a file')
    .parse()
    .opts<Flags>();
}

const starters: Readonly<Record<string, typeof startApacheServers>> = {
  apache: startApacheServers,
  millrace: startMillraceServers,
};

async function fillBacklog(
  servers: Servers,
  topic: string,
  flags: Flags,
  count: number,
  directory: string,
): Promise<void> {
  await runContender(millrace, {
    mode: 'send',
    servers,
    topic,
    group: 'bench-filler',
    bodyBytes: flags.bodyBytes,
    outstanding: flags.outstanding,
    span: { warmCount: 1, warmMs: 0, count, spanMs: 300_000 },
    directory,
  });
}

async function measure(
  servers: Servers,
  chosen: readonly Contender[],
  flags: Flags,
  durations: Durations,
  directory: string,
): Promise<Run[]> {
  const runs: Run[] = [];
  const roundCount = flags.rounds ?? durations.rounds;
  await servers.createTopic('BenchBacklog');
  await fillBacklog(servers, 'BenchBacklog', flags, durations.backlogCount, directory);
  for (let round = 0; round < roundCount; round++) {
    // Every other round begins at the other end, so that none is always the one after a rest.
    const order = round % 2 === 0 ? chosen : [...chosen].reverse();
    for (const mode of ['send', 'consume'] as const satisfies Mode[]) {
      for (const contender of order) {
        const name = contender.name.replaceAll(/\W/g, '-');
        // Each its own topic: nobody's sends go to the end of a queue that another one made long.
        const topic = mode === 'send' ? `BenchSend-${name}-${round}` : 'BenchBacklog';
        if (mode === 'send') await servers.createTopic(topic);
        await waitForQuiet({ ...durations, log });
        const result = await runContender(contender, {
          mode,
          servers,
          topic,
          group: `bench-${mode}-${name}-${round}`,
          bodyBytes: flags.bodyBytes,
          outstanding: flags.outstanding,
          span: durations[mode],
          directory: path.join(directory, `${name}-${mode}-${round}`),
        });
        runs.push({ round, servers: servers.name, contender: contender.name, mode, result });
        const rate = Math.round((result.messages * 1000) / result.ms);
        log(
          `${servers.name}, round ${round + 1}, ${mode}, ${contender.name}: ${rate} msg/s, ${((result.cpuMs * 1000) / result.messages).toFixed(2)} us CPU each`,
        );
      }
    }
  }
  return runs;
}

/** Where the hypervisor takes its share of a run, another one is made, up to so many. */
const ATTEMPTS_PER_ROUND = 5;

async function latencies(
  servers: Servers,
  flags: Flags,
  durations: Durations,
): Promise<LatencyRun[]> {
  const runs: LatencyRun[] = [];
  const rounds = flags.rounds ?? durations.rounds;
  for (const processes of [1, 2] as const) {
    let undisturbed = 0;
    for (let round = 0; round < rounds * ATTEMPTS_PER_ROUND && undisturbed < rounds; round++) {
      const topic = `BenchPaced-${processes}-${round}`;
      await servers.createTopic(topic);
      await waitForQuiet({ ...durations, log });
      const stolenUs = readStolenUs();
      const startMs = performance.now();
      const result = await measureLatency({
        nameServer: servers.nameServer,
        topic,
        group: `bench-paced-${processes}-${round}`,
        ratePerSecond: flags.rate,
        warmMs: durations.latencyWarmMs,
        spanMs: durations.latencySpanMs,
        processes,
      });
      const spanUs = (performance.now() - startMs) * 1000 * os.availableParallelism();
      const stolenShare = (readStolenUs() - stolenUs) / spanUs;
      if (stolenShare <= STOLEN_SHARE_MAX) undisturbed++;
      runs.push({ processes, ratePerSecond: flags.rate, stolenShare, result });
    }
  }
  return runs;
}

async function main(): Promise<boolean> {
  const flags = readFlags();
  const durations = flags.quick ? quick : standard;
  const parts = flags.clients?.split(',').map((part) => part.trim());
  const chosen = contenders.filter(
    (one) =>
      one === millrace || parts === undefined || parts.some((part) => one.name.includes(part)),
  );
  for (const contender of chosen) contender.prepare();
  fs.mkdirSync(flags.directory, { recursive: true });
  const directory = fs.mkdtempSync(path.join(flags.directory, 'millrace-bench-client-'));
  const runs: Run[] = [];
  const paced: LatencyRun[] = [];
  for (const name of flags.servers.split(',').map((word) => word.trim())) {
    const start = starters[name];
    if (start === undefined) throw new Error(`there are no servers ${name}: apache or millrace`);
    const place = path.join(directory, name);
    fs.mkdirSync(place, { recursive: true });
    const hasProxy =
      name === 'apache' && chosen.some((one) => one.name === 'rocketmq-client-nodejs');
    const servers = await start({ directory: place, port: flags.port, hasProxy });
    try {
      const fitting = chosen.filter((contender) => contender.fits(servers));
      if (fitting.length > 1)
        runs.push(...(await measure(servers, fitting, flags, durations, place)));
      if (flags.latency && name === 'millrace')
        paced.push(...(await latencies(servers, flags, durations)));
    } finally {
      await servers.stop();
    }
  }
  fs.rmSync(directory, { recursive: true, force: true });
  const bars = barsOf(runs, paced);
  console.log(formatRuns(runs));
  if (paced.length > 0)
    console.log(`\nend to end with our client, Millrace\n${formatLatency(paced)}`);
  console.log(`\nbars\n${formatBars(bars)}`);
  if (flags.json !== undefined)
    fs.writeFileSync(flags.json, JSON.stringify({ runs, paced, bars }, null, 2));
  return bars.every((bar) => bar.holds !== false);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
process.exit((await main()) ? 0 : 1);
