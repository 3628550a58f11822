/**
 * @agent any
 *
 * `millrace doctor`: says in words what is wrong with a broker that does not start, is not reached, refuses sends or
 * is slow, and what to do. It reads what `millrace start` would read, changes nothing in a store, and works beside a
 * running broker as well as without one.
 *
 * ```
 * configuration ─▶ machine ─▶ who has the store ─▶ disk ─▶ store, clock ─▶ memory ─▶ secrets, TLS
 *   ─▶ ports ─▶ the running broker ─▶ addresses ─▶ name servers
 * ```
 */
import path from 'node:path';
import type { Command } from 'commander';
import type { BrokerConfig } from '../base/broker-config.ts';
import { BrokerError } from '../base/errors.ts';
import { clientSecurity, withSecurity } from './client-security.ts';
import { ExitCode, UsageError } from './command-errors.ts';
import { plainText, printJson, printLine } from './command-output.ts';
import { type Configuration, examineConfiguration } from './configuration.ts';
import { checkAddresses } from './doctor-addresses.ts';
import { checkNameServers, checkServing } from './doctor-broker.ts';
import { checkFileSystem, checkPlace, checkSpace, checkWrites } from './doctor-disk.ts';
import { checkMachine, checkMemory, checkOpenFiles, countQueues } from './doctor-machine.ts';
import { checkClock, newestStoreTimestampMs } from './doctor-newest-record.ts';
import type { Access } from './doctor-peer.ts';
import { checkPorts, findRunning } from './doctor-ports.ts';
import { type Finding, messageOf, Report } from './doctor-report.ts';
import { checkCertificate, checkSecrets } from './doctor-secrets.ts';
import { checkHolder, checkLayout, type StoreHolder, storeHolder } from './doctor-store.ts';
import { sourcesOf, withSettings } from './setting-options.ts';

const examples = `
Give it the configuration and flags that the broker is started with, and run it as the same user.

Examples:
  millrace doctor
  millrace doctor --config broker.conf --advertise broker.example.com
  millrace doctor --store-dir /var/lib/millrace --json
  millrace doctor --config broker.conf --problems  only what is not as it should be

It exits with 0 where there is no problem (warnings may be), 1 where there are, 2 where it can not run.`;

export function addDoctorCommand(program: Command, description: string): void {
  withSecurity(withSettings(program.command('doctor')))
    .description(description)
    .option('--problems', 'print problems and warnings alone')
    .option('--json', 'print JSON: one object')
    .addHelpText('after', examples)
    .action(async (options: Record<string, unknown>) => {
      process.exitCode = await run(options);
    });
}

async function run(options: Record<string, unknown>): Promise<number> {
  const isJson = options['json'] === true;
  const report = new Report();
  try {
    await examine(report, options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(
      isJson
        ? `${JSON.stringify({ error: 'USAGE', message: error.message })}\n`
        : `millrace: ${error.message}\n`,
    );
    return ExitCode.USAGE;
  }
  await print(report, isJson, options['problems'] === true);
  return report.hasProblems ? ExitCode.FAILED : ExitCode.OK;
}

/** @throws UsageError */
async function examine(report: Report, options: Record<string, unknown>): Promise<void> {
  const sources = sourcesOf(options);
  const configuration = readConfiguration(report, sources);
  if (configuration === null) return;
  const { config } = configuration;
  const { credentials } = clientSecurity(options);
  const access: Access = { credentials: credentials ?? firstUserOf(config) };
  checkMachine(report, config);
  const root = path.resolve(config.storeDirectory);
  const holder = storeHolder(root);
  const pid = holder.kind === 'nobody' ? null : holder.pid;
  const brokerPid = holder.kind === 'millrace' ? pid : null;
  checkOpenFiles(report, config, brokerPid);
  const isDiskAnswering = await checkDisk(report, config, holder);
  checkMemory(report, { queueCount: countQueues(path.join(root, 'consumequeue')) }, brokerPid);
  checkSecrets(report, config, sources.file);
  await checkPorts(report, config, brokerPid);
  const running =
    holder.kind === 'millrace'
      ? await findRunning(config, access, brokerPid)
      : { broker: null, web: null };
  if (holder.kind === 'millrace') await checkServing(report, running, access, brokerPid);
  const given = await checkAddresses(report, config, access, running.broker);
  checkCertificate(report, config, given, Date.now());
  await checkNameServers(report, config, given, access, running.broker);
  // A call that hangs in the kernel would keep this process.
  if (!isDiskAnswering) setTimeout(() => process.exit(), 1000).unref();
}

/** Null where nothing more can be looked at. */
function readConfiguration(
  report: Report,
  sources: Parameters<typeof examineConfiguration>[0],
): Configuration | null {
  const where = sources.file ?? 'flags, environment and defaults';
  try {
    const { problems, ...configuration } = examineConfiguration(sources);
    for (const problem of problems)
      report.problem('configuration.setting', problem, 'correct it: a start ends with this line');
    const { ignoredKeys } = configuration;
    if (ignoredKeys.length > 0)
      report.warning(
        'configuration.ignored',
        `keys of RocketMQ's that have no effect here: ${ignoredKeys.join(', ')}`,
        'remove them, or see docs/compatibility.md for what they did',
      );
    if (problems.length === 0)
      report.ok('configuration.settings', `settings of ${where} can be used`);
    return configuration;
  } catch (error) {
    if (!BrokerError.is(error)) throw error;
    report.problem(
      'configuration.file',
      messageOf(error),
      'give the path of a broker.conf that this user may read (--config, MILLRACE_CONFIG); nothing else was looked at',
    );
    return null;
  }
}

/** Who runs this reads the configuration, and so may ask as the user that it makes. */
function firstUserOf(config: BrokerConfig): Access['credentials'] {
  const first = config.initAuthenticationUser;
  return first === null ? null : { accessKey: first.username, secretKey: first.password };
}

/** Resolves to whether the disk answered at all. */
async function checkDisk(
  report: Report,
  config: BrokerConfig,
  holder: StoreHolder,
): Promise<boolean> {
  const place = checkPlace(report, config);
  if (place === null) return true;
  const isRunning = holder.kind !== 'nobody';
  let layout = { segmentBytes: null as number | null, bases: [] as readonly number[] };
  if (place.exists) {
    checkHolder(report, place.root, holder);
    layout = await checkLayout(report, place.root, isRunning);
    checkClock(report, newestStoreTimestampMs(place.root, layout), Date.now());
  }
  checkSpace(report, config, place, layout);
  checkFileSystem(report, place);
  return checkWrites(report, config, place);
}

const titles: Readonly<Record<Finding['state'], string>> = {
  ok: 'ok',
  warning: 'warning',
  problem: 'PROBLEM',
};

async function print(report: Report, isJson: boolean, isShort: boolean): Promise<void> {
  const [problems, warnings, ok] = (['problem', 'warning', 'ok'] as const).map((state) =>
    report.count(state),
  );
  const findings = report.findings.filter(({ state }) => !isShort || state !== 'ok');
  if (isJson) {
    await printJson({ problems, warnings, ok, findings });
    return;
  }
  const width = Math.max(0, ...findings.map(({ check }) => check.length));
  for (const { check, state, text, advice } of findings) {
    await printLine(`${titles[state].padEnd(7)}  ${check.padEnd(width)}  ${plainText(text)}`);
    if (advice !== null) await printLine(`${' '.repeat(11 + width)}-> ${plainText(advice)}`);
  }
  const counted = (count: number, what: string): string =>
    `${count} ${what}${count === 1 ? '' : 's'}`;
  await printLine(`${counted(problems, 'problem')}, ${counted(warnings, 'warning')}, ${ok} ok`);
}
