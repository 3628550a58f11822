/**
 * The command `npm run bench`: Millrace beside Apache RocketMQ, NATS JetStream and Redis Streams, each in
 * its own protocol, by one generator. README.md beside this file says how to read what it prints.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { BUILT_MILLRACE_COMMAND } from '../load/contenders.ts';
import { formatVerdicts, judge } from './bars.ts';
import { FigureTable } from './figures.ts';
import { machineOf } from './machine.ts';
import { type Durations, matrixOf, quickDurations, standardDurations } from './matrix.ts';
import { pageOf } from './page.ts';
import { ProgressBar } from './progress-bar.ts';
import { runRounds } from './rounds.ts';
import { soak } from './soak.ts';
import { type System, systemsOf } from './systems.ts';
import { formatTable, tableOf } from './table.ts';

const examples = `
Examples:
  npm run bench
  npm run bench -- --quick
  npm run bench -- --systems millrace,nats --workloads sends sync
  npm run bench -- --soak

Exit code 1: a bar was missed, or nothing could be measured.`;

const OUTPUT_NAME = 'bench-result';

interface Flags {
  readonly quick?: true;
  readonly soak?: true;
  readonly rounds?: number;
  readonly seconds?: number;
  readonly heat?: number;
  readonly minutes?: number;
  readonly messages: number;
  readonly systems?: string;
  readonly workloads?: string[];
  readonly millrace: string;
  readonly directory: string;
  readonly output: string;
  readonly brokerPort: number;
  readonly nameServerPort: number;
  readonly threads: number;
}

const number =
  (minimum: number, isWhole: boolean) =>
  (text: string): number => {
    const value = Number(text);
    if (!(value >= minimum) || (isWhole && !Number.isInteger(value)))
      throw new InvalidArgumentError(`a ${isWhole ? 'whole ' : ''}number, at least ${minimum}`);
    return value;
  };
const integer = number(1, true);

/** A directory is where the files go, by their usual name. */
function namesBeginning(output: string): string {
  const isDirectory =
    /[/\\]$/.test(output) || fs.statSync(output, { throwIfNoEntry: false })?.isDirectory();
  return isDirectory === true ? path.join(output, OUTPUT_NAME) : output;
}

function readFlags(): Flags {
  return new Command('bench')
    .description('Compares Millrace with other brokers in alternating rounds.')
    .option('--quick', 'one round of the workloads that bars are about: a look, not a figure')
    .option('--soak', 'Millrace alone, for long: stalls, memory, cost by messages stored')
    .option('--rounds <N>', 'rounds (default: 3; with --quick 1)', integer)
    .option('--seconds <N>', 'length of a measurement', number(0.5, false))
    .option(
      '--heat <N>',
      'seconds of sends before the first row of a broker process',
      number(0.5, false),
    )
    .option(
      '--minutes <N>',
      'no round is begun that would last longer (default: 40)',
      number(0.1, false),
    )
    .option('--messages <N>', '--soak: most messages to store', integer, 100_000_000)
    .option('--systems <NAMES>', 'of millrace, pipelined, apache, nats, redis')
    .option('--workloads <NAMES...>', 'groups, or names of rows')
    .option('--millrace <COMMAND>', 'starts the Millrace that is measured', BUILT_MILLRACE_COMMAND)
    .option('--directory <DIR>', 'where stores and logs go meanwhile', os.tmpdir())
    .option(
      '--output <PATH>',
      'a directory for the JSON and HTML files, or the beginning of their names',
      namesBeginning,
      OUTPUT_NAME,
    )
    .option('--broker-port <N>', 'port of the broker', integer, 18_911)
    .option('--name-server-port <N>', 'port of the name server', integer, 18_876)
    .option('--threads <N>', 'threads of the generator', integer, 1)
    .addHelpText('after', examples)
    .parse()
    .opts<Flags>();
}

/** Makes systems ready; what can not be had here is left out, and said. */
function prepared(systems: readonly System[], log: (line: string) => void): System[] {
  return systems.filter((system) => {
    try {
      system.prepare(log);
      return true;
    } catch (error) {
      const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
      log(`${system.contender.name} is LEFT OUT, it can not be made ready here: ${reason}`);
      return false;
    }
  });
}

function durationsOf(flags: Flags): Durations {
  const durations = flags.quick ? quickDurations : standardDurations;
  return {
    ...durations,
    seconds: flags.seconds ?? durations.seconds,
    heatSeconds: flags.heat ?? durations.heatSeconds,
  };
}

/** Type of a tmpfs in statfs(2). */
const TMPFS_MAGIC = 0x01021994;

async function main(): Promise<void> {
  const flags = readFlags();
  const bar = new ProgressBar();
  const log = (line: string): void => bar.log(line);
  fs.mkdirSync(flags.directory, { recursive: true });
  fs.mkdirSync(path.dirname(path.resolve(flags.output)), { recursive: true });
  if (fs.statfsSync(flags.directory).type === TMPFS_MAGIC)
    log(`${flags.directory} is memory, not a disk: sync flush will look far too good`);
  const machine = machineOf();
  if (flags.soak) {
    process.exitCode = await soak({
      ...flags,
      machine,
      seconds: 60 * (flags.minutes ?? 10),
      messageCountMax: flags.messages,
      bar,
    });
    return;
  }
  const wantedSystems = flags.systems?.split(/[,;]/);
  const all = systemsOf(flags.millrace).filter(
    ({ key }) => wantedSystems === undefined || wantedSystems.includes(key),
  );
  const systems = prepared(all, log);
  const durations = durationsOf(flags);
  const wanted = flags.workloads;
  const workloads = matrixOf(durations).filter(({ name, group, isQuick }) =>
    wanted === undefined
      ? isQuick || !flags.quick
      : wanted.some((text) => text === group || text === name),
  );
  if (systems.length === 0 || workloads.length === 0)
    throw new Error('nothing is left to measure: see --workloads and --systems in --help');
  const rounds = await runRounds({
    systems,
    workloads,
    durations,
    roundCount: flags.rounds ?? (flags.quick ? 1 : 3),
    timeLimitMs: 60_000 * (flags.minutes ?? 40),
    directory: flags.directory,
    brokerPort: flags.brokerPort,
    nameServerPort: flags.nameServerPort,
    threadCount: flags.threads,
    quietTimeoutMs: flags.quick ? 5000 : 30_000,
    repeatMsMax: flags.quick ? 3000 : 20_000,
    log,
    onProgress: (done, count, what) => bar.show(done, count, what),
  });
  bar.end();
  const table = new FigureTable(rounds);
  const columns = systems.map(({ key, contender }) => ({ key, name: contender.name }));
  const names = workloads.map(({ name }) => name);
  const rows = tableOf(table, names, columns);
  const marksOf = (workload: string): string[] =>
    columns.flatMap(({ key, name }) =>
      table.marks(key, workload).map((mark) => `${name}: ${mark}`),
    );
  const verdicts = judge(table);
  console.log(formatTable(rows, columns, marksOf));
  console.log(`\nRounds: ${rounds.roundCount}. Bars:`);
  console.log(formatVerdicts(verdicts));
  const result = { machine, columns, rounds, rows, verdicts };
  fs.writeFileSync(`${flags.output}.json`, `${JSON.stringify(result)}\n`);
  fs.writeFileSync(`${flags.output}.html`, pageOf({ ...result, table, marksOf }));
  console.log(`\n${flags.output}.json and ${flags.output}.html have it all.`);
  const isMissed = verdicts.some(({ verdict }) => verdict === 'missed');
  process.exitCode = isMissed || rounds.runs.every(({ result }) => result === null) ? 1 : 0;
}

// What is still running is ended by the watches of process exit.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
try {
  await main();
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
