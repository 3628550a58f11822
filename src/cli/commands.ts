/**
 * @agent reactor
 *
 * The commands of `millrace`: flags and help, and what a process does from its start to its end. What
 * only a running broker needs is loaded when one starts.
 */
import fs from 'node:fs';
import module from 'node:module';
import { Command, CommanderError, Option } from 'commander';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import type { SettingValue } from '../base/setting-value.ts';
import { BrokerThreads } from './broker-threads.ts';
import { addClientCommands } from './client-commands.ts';
import { ExitCode } from './command-errors.ts';
import { endQuietlyWithoutReader } from './command-output.ts';
import { hasSecrets, isLoopback } from './access-settings.ts';
import { loadConfiguration, nameServerConfiguration } from './configuration.ts';
import { port as portOnly, portOrOff } from './configuration-keys.ts';
import { packageVersion } from './package-version.ts';
import type { LogOptions } from './pino-logger.ts';
import { placementFor } from './placement.ts';
import { settingsHelp, sourcesOf, withSettings } from './setting-options.ts';

interface Running {
  ready: object;
  close(): Promise<void>;
  reloadCertificate: (() => void) | null;
  failed: Promise<Error>;
}

/** After the first requests, whose functions are compiled by then. */
const COMPILE_CACHE_MS = 1000;

const examples = `
Examples:
  millrace start                                  name server on 9876, broker on 10911
  millrace start --store-dir /var/lib/millrace --flush sync
  millrace start --listen-address 0.0.0.0 --advertise broker.example.com --allow-public
  millrace start --config broker.conf             keys of Apache RocketMQ's broker.conf
  millrace init --secure                          makes one with users and TLS

Flags win over environment variables, those over the file, that over defaults.`;

const programExamples = `
Examples:
  millrace start                                  a broker, with a name server beside it
  millrace topic create orders --queues 4
  millrace send orders '{"id":42}' --key order-42 --tag created
  millrace consume orders --group stock --follow
  millrace tail orders --from -5m                 looks on; no group is touched
  millrace group progress stock --watch
  millrace offset reset stock orders --to first
  millrace query key orders order-42 --json
  millrace doctor --config broker.conf            what is wrong, and what to do
  source <(millrace completion bash)

Client commands ask --servers (MILLRACE_SERVERS), 127.0.0.1:9876 unless said, and take --json.
They exit with 0 when done, 1 when that failed, 2 when they were called wrongly.`;

/** What they write is a log, with rules of its own. */
const servers: ReadonlySet<string> = new Set(['start', 'nameserver']);

/** @throws BrokerError where what was asked for can not be done */
export async function runCommand(): Promise<void> {
  const commandLine = process.argv.slice(2);
  const program = new Command('millrace')
    .description(
      'A message broker that unmodified Apache RocketMQ clients use, in one Node.js process.',
    )
    .version(packageVersion())
    .addHelpText('after', programExamples)
    .showHelpAfterError('(--help tells how it is called)')
    .exitOverride();
  withSettings(withLogOptions(program.command('start')))
    .description('run a broker, with a name server beside it')
    .addHelpText('after', `\n${settingsHelp()}\n${examples}`)
    .action(async (options: Record<string, unknown>) => startBroker(options));
  program
    .command('init')
    .description('make the configuration of a broker with users and TLS')
    .argument('[DIR]', 'folder that is made', 'millrace')
    .requiredOption('--secure', 'with access control: keys, users, a certificate')
    .option('--listen-address <A>', 'address that the ports will be bound to', '127.0.0.1')
    .option('--host <NAME...>', 'names by which clients reach the broker, for its certificate')
    .action(async (directory: string, options: Record<string, unknown>) => {
      const { initSecure } = await import('./init-command.ts');
      const hosts = (options['host'] as string[] | undefined) ?? [];
      const listenAddress = String(options['listenAddress']);
      const lines = initSecure({ directory, listenAddress, hosts, now: new Date() });
      for (const line of lines) console.log(line);
    });
  withLogOptions(program.command('nameserver'))
    .description('run a name server alone')
    .addOption(
      new Option('--listen-address <A>', 'address that the port is bound to')
        .default('127.0.0.1')
        .env('MILLRACE_LISTEN_ADDRESS'),
    )
    .addOption(new Option('--port <N>', 'port').default('9876').env('MILLRACE_NAME_SERVER_PORT'))
    .addOption(
      new Option('--web-port <N|off>', 'port for /healthz, /readyz and /metrics')
        .default('off')
        .env('MILLRACE_NAME_SERVER_WEB_PORT'),
    )
    .option(
      '--kv-config-path <FILE>',
      'keeps what updateKvConfig and updateOrderConf of mqadmin set; absent: until it stops',
    )
    .option(
      '--order-message-enable',
      'routes tell the queues of ordered topics (updateOrderConf of mqadmin)',
    )
    .option('--allow-public', 'let other machines reach a name server that anybody may change')
    .option(
      '--config <FILE>',
      'takes of a broker.conf innerClientAuthenticationCredentials (who may register), tls.server.… and limits (docs/limits.md)',
    )
    .action(async (options: Record<string, unknown>) => startNameServer(options));
  if (!servers.has(commandLine[0])) endQuietlyWithoutReader();
  await addClientCommands(program, commandLine);
  if (commandLine[0] === '__complete') {
    const { printCandidates } = await import('./completion-command.ts');
    await printCandidates(program, commandLine.slice(commandLine[1] === '--' ? 2 : 1));
    return;
  }
  try {
    await program.parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
  }
}

function withLogOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--log-level <LEVEL>', 'least important lines that are written')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info')
        .env('MILLRACE_LOG_LEVEL'),
    )
    .addOption(
      new Option('--log-format <FORMAT>', 'auto: for people on a terminal, else JSON')
        .choices(['auto', 'pretty', 'json'])
        .default('auto')
        .env('MILLRACE_LOG_FORMAT'),
    );
}

async function startBroker(options: Record<string, unknown>): Promise<void> {
  const sources = sourcesOf(options);
  const { config, ignoredKeys } = loadConfiguration(sources);
  // They load on other cores meanwhile.
  const threads = BrokerThreads.boot(placementFor(config.threads));
  const [logger, { startBrokerProcess }] = await Promise.all([
    loggerFor(options),
    import('./broker-process.ts'),
  ]);
  if (ignoredKeys.length > 0)
    logger.warn({ keys: ignoredKeys }, 'these keys of broker.conf have no effect here');
  const { file } = sources;
  if (file !== undefined && hasSecrets(config) && (fs.statSync(file).mode & 0o077) !== 0)
    logger.warn({ file }, 'others can read this file, which may hold secrets: chmod 600');
  await run(logger, await startBrokerProcess(config, logger, {}, threads));
}

async function startNameServer(options: Record<string, unknown>): Promise<void> {
  const port = portOption('--port', portOnly, options['port']);
  const webPort = portOption('--web-port', portOrOff, options['webPort']);
  const listenAddress = String(options['listenAddress']);
  const { credentials, tls, limits } = nameServerConfiguration(
    options['config'] as string | undefined,
    process.env,
  );
  if (credentials === null && options['allowPublic'] !== true && !isLoopback(listenAddress)) {
    throw new BrokerError(
      'CONFIG_INVALID',
      `--listen-address ${listenAddress} can be reached from other machines, where anybody may register brokers: ` +
        'give --config with innerClientAuthenticationCredentials, or say --allow-public',
    );
  }
  const [logger, { startNameServerProcess }] = await Promise.all([
    loggerFor(options),
    import('./name-server-process.ts'),
  ]);
  await run(
    logger,
    await startNameServerProcess(
      {
        listenAddress,
        credentials,
        tls,
        limits,
        port,
        webPort,
        orderMessageEnable: options['orderMessageEnable'] === true,
        kvConfigPath: options['kvConfigPath'] as string | undefined,
      },
      logger,
    ),
  );
}

/** -1 is off. @throws BrokerError CONFIG_INVALID */
function portOption(flag: string, kind: SettingValue, text: unknown): number {
  const value = kind.parse(String(text));
  if (typeof value === 'number') return value;
  throw new BrokerError(
    'CONFIG_INVALID',
    `${flag}: ${JSON.stringify(text)} is not ${kind.allowed}`,
  );
}

async function loggerFor(options: Record<string, unknown>): Promise<Logger> {
  const { createLogger } = await import('./pino-logger.ts');
  return createLogger(options as unknown as LogOptions);
}

/** Runs until a signal or a failure ends the process. */
async function run(logger: Logger, running: Running): Promise<void> {
  let isStopping = false;
  const { reloadCertificate } = running;
  const stopSignals: NodeJS.Signals[] = ['SIGTERM', 'SIGINT'];
  if (reloadCertificate !== null) process.on('SIGHUP', reloadCertificate);
  // Nothing is read again: it is a terminal that was closed.
  else stopSignals.push('SIGHUP');
  for (const signal of stopSignals) {
    process.on(signal, () => {
      // A closed terminal may send its own more than once.
      if (isStopping && signal === 'SIGHUP') return;
      if (isStopping) process.exit(130);
      isStopping = true;
      logger.info({ signal }, 'stopping; a second signal ends the process at once');
      running.close().then(
        () => {
          logger.info({}, 'stopped');
          process.exit(0);
        },
        (error: unknown) => die(logger, error),
      );
    });
  }
  // Whoever reads this line may stop the broker at once, so it comes after the handlers.
  logger.info(running.ready, 'ready');
  // For the next start, also where this process is killed.
  setTimeout(() => module.flushCompileCache?.(), COMPILE_CACHE_MS).unref();
  die(logger, await running.failed);
}

function die(logger: Logger, error: unknown): never {
  const cause = error instanceof Error ? error.cause : undefined;
  const fields = cause instanceof Error ? { cause: cause.stack ?? cause.message } : {};
  logger.error(fields, error instanceof Error ? error.message : String(error));
  process.exit(1);
}
