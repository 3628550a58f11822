/**
 * The command `node bench/load/compare.ts`: Millrace beside stock Apache RocketMQ, or beside another
 * Millrace, on the same machine in the same hour. README.md beside this file says how to read it.
 */
import fs from 'node:fs';
import os from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { compare } from './comparison.ts';
import { formatTable, tableOf } from './comparison-table.ts';
import { apache, commandContender, type Contender, MILLRACE_COMMAND } from './contenders.ts';
import { quickDurations, standardDurations, workloads } from './workloads.ts';

const examples = `
Examples:
  node bench/load/compare.ts --quick
  node bench/load/compare.ts --json figures.json
  node bench/load/compare.ts --only apache --workloads send,sync
  node bench/load/compare.ts --baseline "node ../before/src/cli/main.ts start --store-dir {store}
    --broker-port {brokerPort} --name-server-port {nameServerPort} --web-port 0 --flush {flush}"`;

interface Flags {
  quick?: true;
  pairs?: number;
  baseline: string;
  millrace: string;
  only?: 'baseline' | 'millrace' | 'apache';
  workloads?: string;
  directory: string;
  brokerPort: number;
  nameServerPort: number;
  threads: number;
  json?: string;
}

const integer = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('a whole number, at least 1');
  return value;
};

function readFlags(): Flags {
  return new Command('compare')
    .description('Compares Millrace with Apache RocketMQ 5.3.3, in alternating pairs of runs.')
    .option('--quick', 'one pair of short runs: a look, not a figure')
    .option('--pairs <N>', 'pairs of runs (default: 3; with --quick 1)', integer)
    .option('--baseline <COMMAND>', '"apache", or a command that starts another Millrace', 'apache')
    .option('--millrace <COMMAND>', 'starts the Millrace that is compared', MILLRACE_COMMAND)
    .option('--only <SIDE>', 'run one side alone: baseline (or apache), millrace')
    .option('--workloads <NAMES>', 'beginnings of names, with "," between them')
    .option('--directory <DIR>', 'where stores and logs go meanwhile', os.tmpdir())
    .option('--broker-port <N>', 'port of the broker', integer, 18_911)
    .option('--name-server-port <N>', 'port of the name server', integer, 18_876)
    .option('--threads <N>', 'threads of the generator', integer, 1)
    .option('--json <FILE>', 'write every run and the table to a file')
    .addHelpText('after', examples)
    .parse()
    .opts<Flags>();
}

function contendersOf(flags: Flags): Contender[] {
  const baseline =
    flags.baseline === 'apache' ? apache : commandContender('baseline', flags.baseline);
  const millrace = commandContender('Millrace', flags.millrace);
  if (flags.only === undefined) return [baseline, millrace];
  return [flags.only === 'millrace' ? millrace : baseline];
}

/** Type of a tmpfs in statfs(2). */
const TMPFS_MAGIC = 0x01021994;

async function main(): Promise<void> {
  const flags = readFlags();
  const durations = flags.quick ? quickDurations : standardDurations;
  const wanted = flags.workloads?.split(',').map((name) => name.trim());
  const chosen = workloads(durations, flags.threads).filter(
    ({ name }) => wanted === undefined || wanted.some((start) => name.startsWith(start)),
  );
  if (chosen.length === 0) throw new Error(`no workload begins with ${flags.workloads}`);
  fs.mkdirSync(flags.directory, { recursive: true });
  if (fs.statfsSync(flags.directory).type === TMPFS_MAGIC)
    console.error(`${flags.directory} is memory, not a disk: sync flush will look far too good`);
  const contenders = contendersOf(flags);
  const sittings = await compare({
    contenders,
    workloads: chosen,
    durations,
    pairCount: flags.pairs ?? (flags.quick ? 1 : 3),
    directory: flags.directory,
    brokerPort: flags.brokerPort,
    nameServerPort: flags.nameServerPort,
    quietTimeoutMs: flags.quick ? 20_000 : 60_000,
    log: (line) => console.error(line),
  });
  const names = contenders.map((contender) => contender.name);
  const table = tableOf(
    sittings,
    names,
    chosen.map((workload) => workload.name),
  );
  console.log(formatTable(table, names));
  const failures = sittings.flatMap((sitting) =>
    Object.entries(sitting.failures).map(
      ([workload, reason]) => `${sitting.contender}, ${workload}: ${reason}`,
    ),
  );
  for (const failure of failures) console.log(`FAILED ${failure}`);
  if (flags.json !== undefined) {
    const machine = { cores: os.cpus().length, cpu: os.cpus()[0]?.model, release: os.release() };
    fs.writeFileSync(flags.json, `${JSON.stringify({ machine, table, sittings }, null, 2)}\n`);
  }
  process.exitCode = failures.length === 0 ? 0 : 1;
}

// What is still running is ended by the watches of process exit.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
try {
  await main();
} catch (error) {
  console.error(`compare: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
