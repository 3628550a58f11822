/** Runs stock Apache RocketMQ 5.3.3 and other clients against Millrace, as real processes. */
import { parseArgs } from 'node:util';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { accessScenarios, checkLog, foreignCertificate, makeHome, trusting } from './access.ts';
import { aliOnsClient } from './ali-ons-client.ts';
import { accessSetups, clientAccess } from './client-access.ts';
import {
  type JavaProcess,
  prepareJava,
  startApacheBroker,
  startApacheNameServer,
  startJava,
} from './apache-rocketmq.ts';
import {
  apacheSettings,
  clientEnvironment,
  configurationText,
  timerTolerance,
  transactionSettings,
} from './broker-settings.ts';
import type { ClientProgram } from './client-program.ts';
import { browserPage } from './browser-page.ts';
import { doctorBesideApache } from './doctor.ts';
import { fullDisk } from './full-disk.ts';
import { goClient } from './go-client.ts';
import { java49Client } from './java-client-4.9.ts';
import { killRounds } from './kill-rounds.ts';
import { compareConversations } from './both-conversations.ts';
import { commandOutputs, compareCommands } from './cli-commands.ts';
import { adminOutputs, compareOutputs } from './admin-tools.ts';
import { groupChurn } from './group-churn.ts';
import { manyTopics } from './many-topics.ts';
import { millraceClient } from './millrace-client.ts';
import { orderSystem } from './order-system.ts';
import { compareSql } from './sql-oracle.ts';
import { type Millrace, startMillrace } from './millrace-process.ts';
import { waitingKillRounds, waitingSettings } from './waiting-kill-rounds.ts';
import { transactionHeir } from './transaction-heir.ts';

const HELP = `Stock Apache RocketMQ 5.3.3 and other clients against Millrace, as real processes. Builds the Java
side, runs every scenario, ends with one line "N passed, N failed".

  npm run test:interop
  npm run test:interop -- --only NAME      scenarios whose names have this in them; may be repeated
  npm run test:interop -- --against apache
        client scenarios against the stock servers: one that fails there is itself wrong
  npm run test:interop -- --million COUNT --rounds N --churn-seconds N
        messages of the longest scenario (200000), rounds of kills (5), seconds of a group that changes (60)`;

const { values: options } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h', default: false },
    only: { type: 'string', multiple: true },
    against: { type: 'string', default: 'millrace' },
    million: { type: 'string', default: '200000' },
    rounds: { type: 'string', default: '5' },
    'churn-seconds': { type: 'string', default: '60' },
  },
});

if (options.help) {
  console.log(HELP);
  process.exit();
}

const subject = options.against === 'apache' ? 'apache' : 'millrace';
Object.assign(process.env, clientEnvironment(subject));

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-interop-'));
const running: { stop(): Promise<void>; kill(): unknown }[] = [];
const passed: string[] = [];
const failed: string[] = [];

const BROKER_PORT = 21911;
const NAME_SERVER_PORT = 21876;
const NAME_SERVER = `127.0.0.1:${NAME_SERVER_PORT}`;
const BROKER = `127.0.0.1:${BROKER_PORT}`;
const OTHER_BROKER_PORT = 22911;
const OTHER_NAME_SERVER_PORT = 22876;
const KILL_PORT = 23911;
const BROWSER_PORT = 24911;
const RIDE_OVER_LOAD_MS = 2000;
const RIDE_OVER_TIMEOUT_MS = 240_000;

function record(name: string, error: Error | string | undefined, tookMs: number): void {
  if (error === undefined) {
    passed.push(name);
    console.log(`ok      ${name} (${(tookMs / 1000).toFixed(1)} s)`);
  } else {
    failed.push(name);
    console.log(`FAILED  ${name}: ${error instanceof Error ? error.message : error}`);
  }
}

function wanted(name: string): boolean {
  return options.only === undefined || options.only.some((part) => name.includes(part));
}

/** Runs a scenario of several processes, which are stopped whatever happens. */
async function scenario(name: string, body: (directory: string) => Promise<void>): Promise<void> {
  if (!wanted(name)) return;
  // Apache takes a comma in a store path for several paths.
  const directory = path.join(root, name.replaceAll(/[^A-Za-z0-9]+/g, '-'));
  fs.mkdirSync(directory, { recursive: true });
  const startedMs = performance.now();
  let failure: Error | undefined;
  try {
    await body(directory);
  } catch (error) {
    failure = error instanceof Error ? error : new Error('failed', { cause: error });
  }
  try {
    await stopAll();
  } catch (error) {
    failure ??= error instanceof Error ? error : new Error('not stopped', { cause: error });
  }
  record(name, failure, performance.now() - startedMs);
  // All stores together fill a disk so far that brokers refuse messages.
  if (failure === undefined) fs.rmSync(directory, { recursive: true, force: true });
}

async function stopAll(): Promise<void> {
  const failures: unknown[] = [];
  for (const server of running.splice(0).reverse()) {
    await server.stop().catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}

async function killAll(): Promise<void> {
  for (const server of running) await server.kill();
  await stopAll();
}

function own<Process extends (typeof running)[number]>(process: Process): Process {
  running.push(process);
  return process;
}

let javaCount = 0;

/** Runs client scenarios in one JVM; each counts for itself. */
async function runJava(
  directory: string,
  nameServer: string,
  scenarios: string[],
  properties: Record<string, string> = {},
  timeoutMs = 600_000,
): Promise<string> {
  const client: JavaProcess = startJava({
    main: 'millrace.Scenarios',
    arguments: [nameServer, ...scenarios],
    directory,
    heapMb: 768,
    properties,
    name: `client-${++javaCount}`,
  });
  const timer = setTimeout(() => client.kill(), timeoutMs);
  await client.ended;
  clearTimeout(timer);
  return client.output();
}

/** Runs client scenarios, in one JVM, as a step of a larger one. */
async function step(directory: string, nameServer: string, ...scenarios: string[]): Promise<void> {
  const output = await runJava(directory, nameServer, scenarios);
  const passes = output.match(/^PASS /gm)?.length ?? 0;
  if (passes !== scenarios.length)
    throw new Error(/^FAIL .*/m.exec(output)?.[0] ?? output.slice(-1000));
}

function recordJava(output: string, scenarios: readonly string[], prefix: string): void {
  for (const argument of scenarios) {
    const name = argument.split(':')[0] ?? '';
    const info = new RegExp(`^INFO ${name}.*$`, 'm').exec(output)?.[0];
    if (info !== undefined) console.log(`        ${info.slice(5)}`);
    const failure = new RegExp(`^FAIL ${name}: .*$`, 'm').exec(output)?.[0];
    const tookMs = new RegExp(`^PASS ${name} (\\d+) ms`, 'm').exec(output)?.[1];
    const error = tookMs === undefined ? (failure ?? `no result; log under ${root}`) : undefined;
    record(`${prefix}${name}`, error, Number(tookMs));
  }
}

const clientScenarios = [
  'sync-send',
  'async-send',
  'oneway',
  'batch',
  'large-body',
  'compressed-body',
  'chinese',
  'orderly',
  'lite-pull',
  'lite-pull-assign',
  'tags',
  'sql-filter',
  'rebalance',
  'resume',
  'from-last',
  'retry',
  'dead-letter',
  'delay',
  'broadcast',
  'query',
  'admin',
  'vip',
  'late-topic',
  'request-reply',
  'trace',
  'reset',
  'orderly-retry',
  'transaction-commit',
  'transaction-rollback',
  'transaction-check',
  'timed',
  'timed-limit',
  'recall',
];
const binaryScenarios = ['sync-send', 'async-send', 'batch', 'chinese', 'lite-pull', 'large-body'];

/** Each prints what the Java program prints; its name stands before those of its scenarios. */
const otherClients: ClientProgram[] = [millraceClient, goClient, aliOnsClient, java49Client];

async function startServer(directory: string, extra: string[] = []): Promise<Millrace> {
  return own(
    await startMillrace({
      storeDirectory: path.join(directory, 'store'),
      brokerPort: BROKER_PORT,
      nameServerPort: NAME_SERVER_PORT,
      arguments: ['--broker-name', 'millrace-a', ...extra],
    }),
  );
}

/** The broker under test, whichever it is. Settings go before those of all scenarios. */
async function startSubject(
  directory: string,
  more: Record<string, string | number> = {},
): Promise<void> {
  if (subject === 'millrace') {
    const file = path.join(directory, 'subject.conf');
    fs.mkdirSync(directory, { recursive: true });
    const common = { enablePropertyFilter: true, ...transactionSettings };
    fs.writeFileSync(file, configurationText({ ...common, ...more }));
    await startServer(directory, ['--config', file]);
    return;
  }
  await startStock(directory, more);
}

/** Stock broker and name server, set up for the scenarios. */
async function startStock(
  directory: string,
  more: Record<string, string | number> = {},
): Promise<void> {
  own(
    await startApacheNameServer({ port: NAME_SERVER_PORT, directory: path.join(directory, 'ns') }),
  );
  const settings = {
    brokerPort: BROKER_PORT,
    nameServerAddress: NAME_SERVER,
    brokerName: 'apache-a',
    // With several threads the stock broker itself reorders what one producer sends to one queue.
    // One thread that is not warm yet leaves sends waiting; they would be refused after 200 ms.
    properties: {
      sendMessageThreadPoolNums: 1,
      waitTimeMillsInSendQueue: 3000,
      enablePropertyFilter: true,
      ...transactionSettings,
      ...apacheSettings,
      ...more,
    },
  };
  own(
    await startApacheBroker({
      ...settings,
      directory: path.join(directory, 'broker'),
      storeDirectory: path.join(directory, 'store'),
    }),
  );
}

async function clientSuites(): Promise<void> {
  const chosen = clientScenarios.filter(wanted);
  const binary = binaryScenarios.filter((name) => wanted(`binary ${name}`));
  const million = wanted('million') ? [`million:${options.million}`] : [];
  const others = otherClients
    .map((client) => ({
      client,
      scenarios: client.scenarios.filter((name) => wanted(`${client.name} ${name}`)),
    }))
    .filter(({ scenarios }) => scenarios.length > 0);
  const directory = path.join(root, 'client');
  if (chosen.length + binary.length + million.length + others.length === 0) return;
  try {
    await startSubject(directory);
    if (chosen.length > 0) recordJava(await runJava(directory, NAME_SERVER, chosen), chosen, '');
    if (binary.length > 0) {
      const properties = { 'rocketmq.serialize.type': 'ROCKETMQ' };
      recordJava(await runJava(directory, NAME_SERVER, binary, properties), binary, 'binary ');
    }
    for (const { client, scenarios } of others) {
      const place = path.join(directory, client.name);
      const output = await client.run({ nameServer: NAME_SERVER, scenarios, directory: place });
      recordJava(output, scenarios, `${client.name} `);
    }
    if (million.length > 0) recordJava(await runJava(directory, NAME_SERVER, million), million, '');
    await stopAll();
  } catch (error) {
    record('client suite', error instanceof Error ? error : 'failed', 0);
    await stopAll().catch(() => {});
  }
}

/** Our own client works on the stock servers too. */
async function ourClientOnApache(): Promise<void> {
  const prefix = `${millraceClient.name} on Apache: `;
  const scenarios = millraceClient.scenarios.filter((name) => wanted(`${prefix}${name}`));
  if (scenarios.length === 0) return;
  const directory = path.join(root, 'ours-on-apache');
  try {
    await startStock(directory);
    const environment = clientEnvironment('apache');
    const place = path.join(directory, 'client');
    const run = { nameServer: NAME_SERVER, scenarios, directory: place, environment };
    recordJava(await millraceClient.run(run), scenarios, prefix);
    await stopAll();
  } catch (error) {
    record(`${prefix}suite`, error instanceof Error ? error : 'failed', 0);
    await stopAll().catch(() => {});
  }
}

/** Small segments, so that a store has several. */
const SEGMENT_BYTES = 4 * 1024 * 1024;
const STORED_COUNT = 2000;
const firstBrokerSteps = [
  `fill:Stored:${STORED_COUNT}`,
  `consume-on:Stored:carried:0:${STORED_COUNT}`,
];
/** What was stored is there, a group goes on where it was, and new messages come behind the old ones. */
const secondBrokerSteps = [
  `verify:Stored:${STORED_COUNT}`,
  `fill:Stored:100:${STORED_COUNT}`,
  `consume-on:Stored:carried:${STORED_COUNT}:100`,
  `verify:Stored:${STORED_COUNT + 100}`,
];

async function apachePair(
  directory: string,
  storeDirectory: string,
  properties: Record<string, boolean> = {},
): Promise<void> {
  own(
    await startApacheNameServer({ port: NAME_SERVER_PORT, directory: path.join(directory, 'ns') }),
  );
  own(
    await startApacheBroker({
      brokerPort: BROKER_PORT,
      nameServerAddress: NAME_SERVER,
      storeDirectory,
      directory: path.join(directory, 'broker'),
      brokerName: 'millrace-a',
      properties: { mappedFileSizeCommitLog: SEGMENT_BYTES, ...properties },
    }),
  );
}

function smallSegments(directory: string, properties: Record<string, boolean> = {}): string[] {
  const file = path.join(directory, 'broker.conf');
  const settings = { mappedFileSizeCommitLog: SEGMENT_BYTES, ...properties };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${String(value)}\n`);
  fs.writeFileSync(file, lines.join(''));
  return ['--config', file];
}

/** Both brokers end each record in a checksum, and refuse at their start one that has none or a wrong one. */
const checksums = { enabledAppendPropCRC: true, forceVerifyPropCRC: true };

/** One producer and one consumer stay while the broker is stopped, then killed, and started again. */
async function rideOver(directory: string): Promise<void> {
  const over = path.join(directory, 'over');
  await startSubject(directory);
  const client = startJava({
    main: 'millrace.Scenarios',
    arguments: [NAME_SERVER, `ride-over:RideOver:${over}`],
    directory,
    heapMb: 256,
    name: `client-${++javaCount}`,
  });
  const timer = setTimeout(() => client.kill(), RIDE_OVER_TIMEOUT_MS);
  try {
    const begun = until(() => client.output().includes('INFO ride-over: sending'));
    await Promise.race([begun, client.ended]);
    for (const end of [stopAll, killAll]) {
      await pause(RIDE_OVER_LOAD_MS);
      await end();
      await startSubject(directory);
    }
    await pause(RIDE_OVER_LOAD_MS);
    fs.writeFileSync(over, '');
    await client.ended;
  } finally {
    clearTimeout(timer);
    client.kill();
  }
  const output = client.output();
  const info = /INFO (ride-over: \d.*)/.exec(output)?.[1];
  if (info !== undefined) console.log(`        ${info}`);
  if (!output.includes('PASS ride-over'))
    throw new Error(/FAIL .*/.exec(output)?.[0] ?? output.slice(-1000));
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + RIDE_OVER_TIMEOUT_MS;
  while (!holds() && Date.now() < deadline) await pause(50);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** A store of one segment would not show that the others are found. */
function checkSegments(directory: string): void {
  const segments = fs.readdirSync(path.join(directory, 'store', 'commitlog'));
  if (segments.length < 3) throw new Error(`the log has only ${segments.length} segments`);
}

async function main(): Promise<void> {
  prepareJava();
  await clientSuites();

  await scenario('redelivery over a restart', async (directory) => {
    await startSubject(directory);
    await step(directory, NAME_SERVER, 'throw-first:RetriedLater');
    await stopAll();
    await startSubject(directory);
    await step(directory, NAME_SERVER, 'receive-retried:RetriedLater');
  });

  await scenario('clients that stay while the broker restarts', rideOver);

  await scenario('group churn: consumers come, go and are killed', async (directory) => {
    const ports = { port: BROKER_PORT, nameServerPort: NAME_SERVER_PORT };
    const seconds = Number(options['churn-seconds']);
    console.log(`        ${await groupChurn({ directory, ...ports, seconds, against: subject })}`);
  });

  await scenario('check-back after the producer was killed', async (directory) => {
    await startSubject(directory);
    await transactionHeir({ directory, nameServer: NAME_SERVER });
  });

  await scenario('order system: transactions, times and kills', async (directory) => {
    const { transactionTimeOut, transactionCheckInterval } = transactionSettings;
    const report = await orderSystem({
      directory,
      nameServer: NAME_SERVER,
      startBroker: () => startSubject(directory),
      killBroker: killAll,
      earlyMs: timerTolerance(subject).earlyMs,
      isApache: subject === 'apache',
      askedAgainMs: transactionTimeOut + 2 * transactionCheckInterval,
    });
    console.log(`        ${report}`);
  });

  await scenario('kill -9, timed messages and transactions', async (directory) => {
    const report = await waitingKillRounds({
      port: BROKER_PORT,
      rounds: Number(options.rounds),
      start: async (flush) => {
        const flushDiskType = flush === 'sync' ? 'SYNC_FLUSH' : 'ASYNC_FLUSH';
        await startSubject(directory, { ...waitingSettings, flushDiskType });
        return { kill: killAll, stop: stopAll };
      },
      earlyMs: timerTolerance(subject).earlyMs,
      isExact: subject === 'millrace',
    });
    console.log(`        ${report}`);
  });

  if (subject === 'apache') return;

  await ourClientOnApache();

  for (const flush of ['sync', 'async'] as const) {
    await scenario(`kill -9, ${flush} flush`, async (directory) => {
      const rounds = Number(options.rounds);
      console.log(`        ${await killRounds({ directory, rounds, port: KILL_PORT, flush })}`);
    });
  }

  await scenario('many topics and groups', async (directory) => {
    console.log(`        ${await manyTopics({ directory, port: KILL_PORT })}`);
  });

  await scenario('a page in Chromium, over a killed broker', async (directory) => {
    console.log(`        ${await browserPage({ directory, port: BROWSER_PORT })}`);
  });

  await scenario('SQL92 expressions, beside the stock filter', async (directory) => {
    console.log(`        ${await compareSql(directory)}`);
  });

  await scenario('recording proxy: what is said to Apache and to Millrace', async (directory) => {
    console.log(`        ${await compareConversations(directory)}`);
  });

  for (const by of ['messages', 'others'] as const) {
    await scenario(`full disk, by ${by}`, async (directory) => {
      console.log(`        ${await fullDisk({ directory, port: KILL_PORT, by })}`);
    });
  }

  await scenario('doctor beside Apache', async (directory) => {
    const ports = { brokerPort: BROKER_PORT, nameServerPort: NAME_SERVER_PORT };
    console.log(`        ${await doctorBesideApache({ directory, ...ports })}`);
  });

  await scenario('store written by Millrace, served by Apache', async (directory) => {
    await startServer(directory, smallSegments(directory));
    await step(directory, NAME_SERVER, ...firstBrokerSteps);
    checkSegments(directory);
    await stopAll();
    await apachePair(directory, path.join(directory, 'store'));
    await step(directory, NAME_SERVER, ...secondBrokerSteps);
  });

  await scenario('record checksums of Millrace, checked by Apache, and back', async (directory) => {
    await startServer(directory, smallSegments(directory, checksums));
    await step(directory, NAME_SERVER, ...firstBrokerSteps);
    await stopAll();
    await apachePair(directory, path.join(directory, 'store'), checksums);
    await step(directory, NAME_SERVER, ...secondBrokerSteps);
    await killAll();
    await startServer(directory, smallSegments(directory, checksums));
    await step(directory, NAME_SERVER, `verify:Stored:${STORED_COUNT + 100}`);
  });

  await scenario('store written by Apache, served by Millrace', async (directory) => {
    await apachePair(directory, path.join(directory, 'store'));
    await step(directory, NAME_SERVER, ...firstBrokerSteps);
    checkSegments(directory);
    await stopAll();
    await startServer(directory, smallSegments(directory));
    await step(directory, NAME_SERVER, ...secondBrokerSteps);
  });

  await scenario('command line of millrace, beside the stock broker', async (directory) => {
    const state = { nameServer: NAME_SERVER, brokerName: 'broker-t' };
    own(
      await startApacheNameServer({
        port: NAME_SERVER_PORT,
        directory: path.join(directory, 'ns'),
      }),
    );
    own(
      await startApacheBroker({
        brokerPort: BROKER_PORT,
        nameServerAddress: NAME_SERVER,
        storeDirectory: path.join(directory, 'apache-store'),
        directory: path.join(directory, 'broker'),
        brokerName: state.brokerName,
        properties: { enablePropertyFilter: true },
      }),
    );
    const theirs = await commandOutputs(state);
    await stopAll();
    const file = path.join(directory, 'broker.conf');
    fs.writeFileSync(file, 'enablePropertyFilter=true\n');
    await startServer(directory, ['--broker-name', state.brokerName, '--config', file]);
    const ours = await commandOutputs(state);
    console.log(`        ${compareCommands(theirs, ours)}`);
  });

  await scenario('mqadmin, beside the stock broker', async (directory) => {
    const state = { nameServer: NAME_SERVER, broker: BROKER, brokerName: 'broker-t' };
    own(
      await startApacheNameServer({
        port: NAME_SERVER_PORT,
        directory: path.join(directory, 'ns'),
      }),
    );
    own(
      await startApacheBroker({
        brokerPort: BROKER_PORT,
        nameServerAddress: NAME_SERVER,
        storeDirectory: path.join(directory, 'apache-store'),
        directory: path.join(directory, 'broker'),
        brokerName: state.brokerName,
        // A registration between wipeWritePerm and topicRoute would give the permission back: the
        // second comes 70 s after the start, when both have long been asked.
        properties: { traceTopicEnable: true, registerNameServerPeriod: 60_000 },
      }),
    );
    const theirs = await adminOutputs({ ...state, directory: path.join(directory, 'apache') });
    await stopAll();
    const file = path.join(directory, 'broker.conf');
    fs.writeFileSync(file, 'traceTopicEnable=true\n');
    await startServer(directory, ['--broker-name', state.brokerName, '--config', file]);
    const ours = await adminOutputs({ ...state, directory: path.join(directory, 'millrace') });
    console.log(`        ${compareOutputs(theirs, ours)}`);
  });

  for (const tlsMode of ['permissive', 'enforcing'] as const) {
    await scenario(`access: users, policies, TLS ${tlsMode}`, async (directory) => {
      const home = path.join(directory, 'home');
      makeHome(home, tlsMode);
      const otherBroker = `127.0.0.1:${OTHER_BROKER_PORT}`;
      const config = ['--config', path.join(home, 'broker.conf')];
      const server = await startServer(directory, config);
      const other = { brokerPort: OTHER_BROKER_PORT, nameServerPort: OTHER_NAME_SERVER_PORT };
      const storeDirectory = path.join(directory, 'other', 'store');
      own(await startMillrace({ ...other, storeDirectory, arguments: config }));
      const servers = { nameServer: NAME_SERVER, broker: BROKER, otherBroker, home };
      const trusted = trusting(path.join(home, 'tls', 'certificate.pem'));
      const java = path.join(directory, 'java');
      // Without TLS where that is allowed: else the same a second time.
      const properties = tlsMode === 'permissive' ? {} : trusted;
      for (const line of await accessScenarios(servers, java, properties))
        console.log(`        ${line}`);
      const refusals: Record<string, string>[] = [trusting(foreignCertificate(directory))];
      if (tlsMode === 'enforcing') refusals.push({});
      await accessScenarios(servers, java, trusted, 'reachable');
      for (const refusal of refusals) {
        const attempt = accessScenarios(servers, java, refusal, 'reachable');
        const failure = await attempt.then(() => '', String);
        if (!/connect|closed|No route info|Exception/.test(failure))
          throw new Error(`a client came in with ${JSON.stringify(refusal)}: ${failure}`);
      }
      console.log(`        ${checkLog(server.logFile, home)}`);
    });
  }

  for (const setup of accessSetups)
    for (const client of setup.clients)
      await scenario(`access: ${client.name}, ${setup.name}`, async (directory) => {
        const broker = setup.make(directory);
        const config = ['--config', broker.config];
        let nameServer = NAME_SERVER;
        if (setup.hasOpenNameServer) {
          const port = OTHER_NAME_SERVER_PORT;
          nameServer = `127.0.0.1:${port}`;
          own(await startApacheNameServer({ port, directory: path.join(directory, 'ns') }));
          config.push('--name-servers', nameServer, '--no-name-server');
        }
        const { logFile } = await startServer(directory, config);
        for (const line of await clientAccess({
          client,
          setup,
          broker,
          nameServer,
          directory,
          logFile,
        }))
          console.log(`        ${line}`);
      });

  await scenario(
    'access: an Apache broker registers with the secret of the cluster',
    async (directory) => {
      const credentials = { accessKey: 'cluster', secretKey: 'secret-of-the-cluster' };
      const innerClientAuthenticationCredentials = JSON.stringify(credentials);
      const file = path.join(directory, 'broker.conf');
      fs.writeFileSync(
        file,
        `innerClientAuthenticationCredentials=${innerClientAuthenticationCredentials}\n`,
      );
      await startServer(directory, ['--config', file]);
      const apache = (brokerName: string, properties: Record<string, string | boolean>) =>
        startApacheBroker({
          brokerPort: OTHER_BROKER_PORT,
          nameServerAddress: NAME_SERVER,
          storeDirectory: path.join(directory, `${brokerName}-store`),
          directory: path.join(directory, brokerName),
          brokerName,
          properties,
        });
      const member = own(
        await apache('member', {
          innerClientAuthenticationCredentials,
          // It makes a user of them, and so wants a place for users.
          authenticationMetadataProvider:
            'org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider',
        }),
      );
      await member.stop();
      const outsider = await apache('outsider', {}).then(
        (server) => own(server),
        (error: unknown) => String(error),
      );
      if (typeof outsider !== 'string' || !outsider.includes('has not registered'))
        throw new Error('a broker without the secret has registered');
    },
  );

  await scenario('cluster: an Apache broker at our name server', async (directory) => {
    await startServer(directory);
    own(
      await startApacheBroker({
        brokerPort: OTHER_BROKER_PORT,
        nameServerAddress: NAME_SERVER,
        storeDirectory: path.join(directory, 'apache-store'),
        directory: path.join(directory, 'broker'),
        brokerName: 'apache-b',
      }),
    );
    // Every broker has a topic named like the cluster; clients may send to it.
    await step(directory, NAME_SERVER, 'spread:DefaultCluster:200:2');
  });

  await scenario('cluster: our broker at an Apache name server', async (directory) => {
    const nameServer = `127.0.0.1:${OTHER_NAME_SERVER_PORT}`;
    own(
      await startApacheNameServer({
        port: OTHER_NAME_SERVER_PORT,
        directory: path.join(directory, 'ns'),
      }),
    );
    await startServer(directory, ['--name-servers', nameServer, '--no-name-server']);
    own(
      await startApacheBroker({
        brokerPort: OTHER_BROKER_PORT,
        nameServerAddress: nameServer,
        storeDirectory: path.join(directory, 'apache-store'),
        directory: path.join(directory, 'broker'),
        brokerName: 'apache-b',
      }),
    );
    await step(directory, nameServer, 'spread:DefaultCluster:200:2');
  });
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
await main();
if (failed.length === 0) fs.rmSync(root, { recursive: true, force: true });
else console.log(`logs: ${root}`);
console.log(`${passed.length} passed, ${failed.length} failed`);
process.exit(failed.length === 0 ? 0 : 1);
