/**
 * The same clients, doing the same, with the stock servers and with Millrace: what is said is recorded and
 * compared. Every difference must stand in known-differences.ts, and what stands there must be met.
 *
 * Both run at the same time, each behind proxies at an address of its own.
 */
import fs from 'node:fs';
import path from 'node:path';
import { startApacheBroker, startApacheNameServer, startJava } from './apache-rocketmq.ts';
import { complaintsAbout, Conversation, differences } from './conversation.ts';
import { knownDifferences } from './known-differences.ts';
import { startMillrace } from './millrace-process.ts';
import { startRecordingProxy } from './recording-proxy.ts';
import { brokerRequests, nameServerRequests, sendSingly } from './single-requests.ts';

/** Where a pair of servers listens, and what it advertises: there the proxies listen. */
interface Place {
  directory: string;
  serverHost: string;
  proxyHost: string;
  nameServerPort: number;
  brokerPort: number;
}

interface Stoppable {
  stop(): Promise<unknown>;
}

const NAME_SERVER_PORT = 21876;
const BROKER_PORT = 21911;
const BROKER_NAME = 'broker-a';
const VIP_PORT_BELOW = 2;
const CLIENT_TIMEOUT_MS = 120_000;
/** A JVM that starts takes a core for about so long; several at once would time out at their first request. */
const CLIENT_START_MS = 2500;

/** Each in a JVM of its own; shared out so that they end at about the same time. */
const javaScenarios: readonly { codec: 'JSON' | 'ROCKETMQ'; names: readonly string[] }[] = [
  {
    codec: 'JSON',
    names: [
      'sync-send',
      'async-send',
      'oneway',
      'batch',
      'large-body',
      'compressed-body',
      'tags',
      'sql-filter',
      'lite-pull',
      'lite-pull-assign',
      'query',
      'admin',
      'vip',
      'request-reply',
    ],
  },
  {
    codec: 'ROCKETMQ',
    names: ['watched-consumer', 'batch', 'orderly', 'lite-pull', 'query', 'retry'],
  },
  {
    codec: 'JSON',
    names: [
      'rebalance',
      'orderly',
      'from-last',
      'dead-letter',
      'delay',
      'broadcast',
      'late-topic',
      'transaction',
    ],
  },
];

/**
 * What each said is left in `directory`, one fact a line.
 * @throws Error naming the differences that are not known, and the known ones that were not met.
 */
export async function compareConversations(directory: string): Promise<string> {
  const ports = { nameServerPort: NAME_SERVER_PORT, brokerPort: BROKER_PORT };
  const theirs: Place = {
    directory: path.join(directory, 'apache'),
    serverHost: '127.0.0.1',
    proxyHost: '127.0.0.2',
    ...ports,
  };
  const ours: Place = {
    directory: path.join(directory, 'millrace'),
    serverHost: '127.0.0.3',
    proxyHost: '127.0.0.4',
    ...ports,
  };
  const running: Stoppable[] = [];
  try {
    running.push(...(await startApache(theirs)), await startOurs(ours));
    const [apache, millrace] = await Promise.all([
      record(theirs, running),
      // Apache takes longer for the same.
      pause(CLIENT_START_MS * javaScenarios.length).then(() => record(ours, running)),
    ]);
    writeFacts(path.join(directory, 'apache-facts.txt'), apache);
    writeFacts(path.join(directory, 'millrace-facts.txt'), millrace);
    const found = differences(apache, millrace);
    const complaints = complaintsAbout(found, knownDifferences);
    if (complaints.length > 0)
      throw new Error(`${complaints.length} differences\n${complaints.join('\n')}`);
    return `${apache.exchangeCount} and ${millrace.exchangeCount} exchanges, ${apache.factCount} facts, ${found.length} differences for ${knownDifferences.length} known reasons`;
  } finally {
    for (const server of running.reverse()) await server.stop();
  }
}

function writeFacts(file: string, conversation: Conversation): void {
  const lines: string[] = [];
  for (const [subject, facts] of conversation.facts())
    for (const fact of [...facts].toSorted()) lines.push(`${subject} | ${fact}\n`);
  fs.writeFileSync(file, lines.join(''));
}

/** All that is said to the servers of one place. */
async function record(place: Place, running: Stoppable[]): Promise<Conversation> {
  const conversation = new Conversation();
  const { nameServerPort, brokerPort, serverHost, proxyHost } = place;
  const single = async (server: 'broker' | 'name server'): Promise<void> => {
    const isBroker = server === 'broker';
    const address = { host: serverHost, port: isBroker ? brokerPort : nameServerPort };
    const requests = isBroker ? brokerRequests : nameServerRequests;
    await sendSingly(address, requests, ({ code, what }, answer) =>
      conversation.addAnswer(`${server} ${code}, ${what}`, answer),
    );
  };
  await single('broker');
  for (const port of [nameServerPort, brokerPort, brokerPort - VIP_PORT_BELOW]) {
    const proxy = await startRecordingProxy({
      host: proxyHost,
      serverHost,
      port,
      server: port === nameServerPort ? 'name server' : 'broker',
      onExchange: (exchange) => conversation.add(exchange),
    });
    running.push(proxy);
  }
  const clients = javaScenarios.map(async (scenarios, index) => {
    await pause(index * CLIENT_START_MS);
    const name = `client-${index + 1}`;
    const failed = await runClient(place, running, { ...scenarios, name });
    if (failed.length === 0) return;
    // What matters here is that everything was said once: the stock broker on a busy machine fails a
    // scenario now and then, which the client suite itself does not let pass.
    const again = { codec: scenarios.codec, names: failed, name: `${name}-again` };
    const failedTwice = await runClient(place, running, again);
    if (failedTwice.length > 0)
      throw new Error(`failed twice: ${failedTwice.join(', ')}; logs: ${place.directory}`);
  });
  await Promise.all(clients);
  // Last, since some of them register brokers that no client should find.
  await single('name server');
  return conversation;
}

/** Runs scenarios in a JVM; returns those that did not pass. */
async function runClient(
  place: Place,
  running: Stoppable[],
  scenarios: { codec: string; names: readonly string[]; name: string },
): Promise<string[]> {
  const client = startJava({
    main: 'millrace.Scenarios',
    arguments: [`${place.proxyHost}:${place.nameServerPort}`, ...scenarios.names],
    directory: place.directory,
    heapMb: 256,
    properties: {
      'rocketmq.serialize.type': scenarios.codec,
      // What a consumer or the stock broker missed at first comes a second later, not half a minute.
      'rocketmq.client.rebalance.waitInterval': '1000',
      'millrace.heartbeatMs': '2000',
    },
    name: scenarios.name,
  });
  running.push(client);
  const timer = setTimeout(() => client.kill(), CLIENT_TIMEOUT_MS);
  await client.ended;
  clearTimeout(timer);
  const output = client.output();
  return scenarios.names.filter((name) => !output.includes(`PASS ${name} `));
}

async function startApache(place: Place): Promise<Stoppable[]> {
  const nameServer = await startApacheNameServer({
    port: place.nameServerPort,
    directory: path.join(place.directory, 'ns'),
  });
  const broker = await startApacheBroker({
    brokerPort: place.brokerPort,
    nameServerAddress: `${place.serverHost}:${place.nameServerPort}`,
    brokerName: BROKER_NAME,
    directory: path.join(place.directory, 'broker'),
    storeDirectory: path.join(place.directory, 'store'),
    properties: {
      brokerIP1: place.proxyHost,
      enablePropertyFilter: true,
      transactionTimeOut: 1000,
      transactionCheckInterval: 1000,
    },
  });
  // Nobody reads this store again, and an orderly stop takes ten seconds.
  return [nameServer, broker].map((server) => ({
    stop: async () => {
      server.kill();
      await server.ended;
    },
  }));
}

async function startOurs(place: Place): Promise<Stoppable> {
  const file = path.join(place.directory, 'broker.conf');
  fs.mkdirSync(place.directory, { recursive: true });
  fs.writeFileSync(file, 'enablePropertyFilter=true\n');
  const addresses = ['--listen-address', place.serverHost, '--advertise', place.proxyHost];
  return startMillrace({
    storeDirectory: path.join(place.directory, 'store'),
    brokerPort: place.brokerPort,
    nameServerPort: place.nameServerPort,
    arguments: ['--broker-name', BROKER_NAME, '--config', file, ...addresses],
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
