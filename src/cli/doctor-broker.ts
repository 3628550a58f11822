/**
 * @agent any
 *
 * Asks a running broker whether it serves, what it refuses and why, whether it falls behind; and name servers what
 * they tell of it.
 */
import type { BrokerConfig } from '../base/broker-config.ts';
import type { TlsClientOptions } from '../client/platform.ts';
import { RemotingClient } from '../client/remoting-client.ts';
import type { ClientCredentials } from '../client/request-signer.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import { Perm } from '../protocol/perm.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';
import { isSystemTopic } from '../broker/resource-name.ts';
import type { ClientAddress } from './client-address.ts';
import { parseHostAndPort } from './client-address.ts';
import { canConnect } from './doctor-addresses.ts';
import { type Access, addressText, type Peer, readPage } from './doctor-peer.ts';
import type { RunningPorts } from './doctor-ports.ts';
import { processText } from './doctor-processes.ts';
import { bytesText, messageOf, type Report } from './doctor-report.ts';
import { outgoingTls } from './tls-settings.ts';

const ASK_TIMEOUT_MS = 5000;

/** A broker holds the store; `running`: where it was found. */
export async function checkServing(
  report: Report,
  running: RunningPorts,
  access: Access,
  pid: number | null,
): Promise<void> {
  const { broker, web } = running;
  if (broker === null) {
    report.problem(
      'broker.answers',
      `a broker has the store open (${processText(pid)}), and answers on none of its ports`,
      'it may still be starting: see its log. If it stays so, it hangs: kill -QUIT does nothing here, kill -9 ends it, and the next start recovers',
    );
    return;
  }
  report.ok('broker.answers', `a broker answers at ${broker.address}`);
  if (web !== null) await checkPages(report, web);
  if (broker.kind === 'secured') {
    report.warning(
      'broker.figures',
      'the broker wants signed requests: its figures were not looked at',
      'give --credentials FILE of a user that may ask (Get on the cluster), such as conf/tools.yml',
    );
    return;
  }
  await checkFigures(report, broker, access);
}

/** What readyz says, and what to do then. */
const unready: readonly (readonly [RegExp, string])[] = [
  [
    /read-only/,
    'see why in the log of the kernel, mend the file system, and start the broker again: sends are answered 14 until then, pulls go on',
  ],
  [
    /disk is fuller/,
    'free space on the disk of the store: sends are answered 14 until then, pulls go on',
  ],
  [/no room for/, 'free space on the disk of the store: the broker goes on by itself then'],
  [/not registered/, 'see that the name servers of namesrvAddr run and can be reached from here'],
  [
    /starting/,
    'wait: after a crash it looks through the log first, and its log tells how far it is',
  ],
  [/stopping/, 'it stops in order; start it again when it has ended'],
];

async function checkPages(report: Report, web: NonNullable<RunningPorts['web']>): Promise<void> {
  const ready = await readPage(web, '/readyz');
  const where = addressText(web.host, web.port);
  if (ready === null) {
    report.warning(
      'broker.web',
      `nothing answers by HTTP at ${where}`,
      'give the --web-port that the broker was started with, or off',
    );
    return;
  }
  const why = ready.text.trim();
  if (ready.status === 200) report.ok('broker.ready', 'it takes messages (/readyz)');
  else
    report.problem(
      'broker.ready',
      `it does not take messages: ${why}`,
      unready.find(([pattern]) => pattern.test(why))?.[1] ?? 'see its log',
    );
  const metrics = await readPage(web, '/metrics');
  if (metrics !== null) checkMetrics(report, metrics.text);
}

/** Figures of single lines: `name{labels} value`. */
function sumOf(text: string, name: string, label = ''): number {
  let sum = 0;
  for (const line of text.matchAll(new RegExp(`^${name}(\\{[^}]*\\})? (\\S+)$`, 'gm'))) {
    const [, labels = '', value] = line;
    if (labels.includes(label)) sum += Number(value);
  }
  return sum;
}

const BEHIND_BYTES_MAX = 64 * 1024 * 1024;
const LATE_MS_MAX = 5000;

function checkMetrics(report: Report, text: string): void {
  const refused = sumOf(text, 'millrace_connections_refused_total');
  const connections = sumOf(text, 'millrace_connections');
  if (refused > 0)
    report.warning(
      'broker.connections',
      `${connections} connections; ${refused} were refused since the start`,
      'raise connectionCountMax and the limit of open files, or find out who makes so many (ss -tn)',
    );
  else report.ok('broker.connections', `${connections} connections, none refused since the start`);
  const unread = sumOf(text, 'millrace_connections_closed_total', 'reason="not-reading"');
  if (unread > 0)
    report.warning(
      'broker.slow-clients',
      `${unread} connections were closed since the start because their clients did not read answers`,
      'look at clients that are out of memory or stand still; smaller pulls (pullBatchSize) help slow ones',
    );
  const dispatch = sumOf(text, 'rocketmq_storage_dispatch_behind_bytes');
  const flush = sumOf(text, 'rocketmq_storage_flush_behind_bytes');
  const behind = `${bytesText(dispatch)} not yet seen by consumers, ${bytesText(flush)} not yet on disk`;
  if (dispatch > BEHIND_BYTES_MAX || flush > BEHIND_BYTES_MAX)
    report.warning(
      'broker.behind',
      behind,
      'the disk or the processors do not keep up: see what "disk.sync" and "machine.processors" say, and who else uses them',
    );
  else report.ok('broker.behind', behind);
  const lateMs = sumOf(text, 'rocketmq_timer_dequeue_latency');
  if (lateMs > LATE_MS_MAX)
    report.warning(
      'broker.timers',
      `timed messages come ${Math.round(lateMs / 1000)} s late`,
      'too many are due at once, or the disk is full: they come when it can be written again',
    );
}

async function ask(
  client: RemotingClient,
  code: number,
  extFields: [string, string][] = [],
): Promise<RemotingCommand> {
  return client.request({ code, extFields, timeoutMs: ASK_TIMEOUT_MS });
}

const SLOW_APPEND_MS = 200;

async function checkFigures(report: Report, broker: Peer, access: Access): Promise<void> {
  const check = 'broker.sends';
  const { address, tls } = broker;
  const client = new RemotingClient({ address, credentials: access.credentials, tls });
  try {
    const answer = await ask(client, RequestCode.GET_BROKER_RUNTIME_INFO);
    if (answer.code !== ResponseCode.SUCCESS) throw new Error(answer.remark ?? `${answer.code}`);
    const { table = {} } = JSON.parse(answer.body.toString()) as { table?: Record<string, string> };
    const failed = Number(table['putMessageFailedTimes'] ?? 0);
    const p99 = Number(table['putLatency99'] ?? 0);
    const text = `${table['putMessageTimesTotal'] ?? '?'} messages stored since the start, p99 ${p99.toFixed(1)} ms`;
    if (failed > 0)
      report.warning(
        check,
        `${text}; ${failed} sends failed`,
        'the log of the broker says why: a full disk (14), busy (2), a flush that took too long (10)',
      );
    else if (p99 > SLOW_APPEND_MS)
      report.warning(
        check,
        text,
        'sends wait that long: see "disk.sync", and whether several brokers share the disk or the processors',
      );
    else report.ok(check, text);
  } catch (error) {
    report.problem(
      check,
      `it does not tell how it is: ${messageOf(error)}`,
      'it may be overloaded: ask again, and see its log',
    );
  } finally {
    client.close();
  }
}

interface ClusterAnswer {
  brokerAddrTable?: Record<string, { brokerAddrs?: Record<string, string> }>;
}

interface RouteAnswer {
  brokerDatas?: { brokerName: string; brokerAddrs?: Record<string, string> }[];
  queueDatas?: { brokerName: string; perm: number }[];
}

/** What name servers elsewhere say of this broker; without any, what the one beside it says. */
export async function checkNameServers(
  report: Report,
  config: BrokerConfig,
  given: ClientAddress,
  access: Access,
  running: Peer | null,
): Promise<void> {
  const others = config.nameServerAddresses;
  const { innerClientAuthenticationCredentials: credentials } = config;
  const tls = others.length === 0 ? null : tlsTowards(config);
  if (tls !== 'unusable')
    for (const address of others)
      await checkNameServer(report, config, given, running !== null, {
        address,
        credentials: credentials ?? access.credentials,
        tls,
      });
  const embedded =
    running !== null && running.kind !== 'secured' ? embeddedOf(config, running) : null;
  if (others.length === 0 && embedded !== null && running !== null)
    await checkRoute(report, config, {
      address: embedded,
      credentials: access.credentials,
      tls: running.tls,
    });
}

/** What is wrong with the certificates that are trusted is told where certificates are looked at. */
function tlsTowards(config: BrokerConfig): ReturnType<typeof outgoingTls> | 'unusable' {
  try {
    return outgoingTls(config);
  } catch {
    return 'unusable';
  }
}

function embeddedOf(config: BrokerConfig, running: Peer): string | null {
  if (!config.embeddedNameServer || config.nameServerPort === 0) return null;
  const host = parseHostAndPort(running.address)?.host;
  return host === undefined ? null : addressText(host, config.nameServerPort);
}

interface NameServerAccess {
  readonly address: string;
  readonly credentials: ClientCredentials | null;
  readonly tls: TlsClientOptions | null;
}

async function checkNameServer(
  report: Report,
  config: BrokerConfig,
  given: ClientAddress,
  isRunning: boolean,
  where: NameServerAccess,
): Promise<void> {
  const check = 'name-server.registration';
  const { address } = where;
  const { brokerName, brokerId } = config;
  const client = new RemotingClient(where);
  let isRegistered = false;
  try {
    const answer = await ask(client, RequestCode.GET_BROKER_CLUSTER_INFO);
    if (answer.code !== ResponseCode.SUCCESS)
      throw new Error(`${answer.code} ${answer.remark ?? 'without a reason'}`);
    const cluster = parseFastjson(answer.body.toString()) as ClusterAnswer;
    const registered = cluster.brokerAddrTable?.[brokerName]?.brokerAddrs?.[String(brokerId)];
    const wanted = addressText(given.host, given.port);
    isRegistered = registered !== undefined;
    if (!isRunning)
      report.ok(
        check,
        registered === undefined
          ? `name server ${address} answers; ${brokerName} is not registered, and does not run here`
          : `name server ${address} answers; it knows a ${brokerName} at ${registered}`,
      );
    if (!isRunning && registered !== undefined && registered !== wanted)
      report.warning(
        check,
        `a broker ${brokerName} is registered at ${address} already, with the address ${registered}`,
        "two brokers of one name take each other's clients: choose another brokerName, unless that one has ended",
      );
    else if (isRunning && registered === wanted)
      report.ok(check, `registered at ${address} as ${registered}`);
    else if (isRunning && registered === undefined)
      report.problem(
        check,
        `not registered at ${address}: clients that ask there do not find this broker`,
        'its log says why; the same innerClientAuthenticationCredentials and TLS settings are needed on both sides',
      );
    else if (isRunning)
      report.problem(
        check,
        `registered at ${address} as ${registered ?? ''}, not as ${wanted}`,
        'another broker has the same brokerName and brokerId, or this one runs with another --advertise',
      );
  } catch (error) {
    report.problem(
      check,
      `name server ${address} does not answer: ${messageOf(error)}`,
      'see that it runs, that the firewall lets port and address through, and that tls.enable is as it wants it',
    );
  } finally {
    client.close();
  }
  if (isRunning && isRegistered) await checkRoute(report, config, where);
}

/** Whether a route leads somewhere, for some topic of this broker. */
async function checkRoute(
  report: Report,
  config: BrokerConfig,
  where: NameServerAccess,
): Promise<void> {
  const check = 'name-server.route';
  const client = new RemotingClient(where);
  try {
    const list = await ask(client, RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER);
    const { topicList = [] } = parseFastjson(list.body.toString() || '{}') as {
      topicList?: string[];
    };
    // One of the system's where there is no other yet: it has a route as well.
    const topic =
      topicList.find((name) => !isSystemTopic(name) && !name.startsWith('%')) ??
      topicList.find((name) => name === 'TBW102' || name === 'SELF_TEST_TOPIC');
    if (topic === undefined) {
      report.warning(
        check,
        `name server ${where.address} knows no topic`,
        'make one (millrace topic create), or let first sends make theirs (autoCreateTopicEnable)',
      );
      return;
    }
    const answer = await ask(client, RequestCode.GET_ROUTEINFO_BY_TOPIC, [['topic', topic]]);
    if (answer.code !== ResponseCode.SUCCESS) throw new Error(answer.remark ?? `${answer.code}`);
    await tellRoute(
      report,
      config,
      where.address,
      topic,
      parseFastjson(answer.body.toString()) as RouteAnswer,
    );
  } catch (error) {
    report.problem(
      check,
      `name server ${where.address} gives no route: ${messageOf(error)}`,
      'clients would not find any broker: see the logs of both',
    );
  } finally {
    client.close();
  }
}

async function tellRoute(
  report: Report,
  config: BrokerConfig,
  nameServer: string,
  topic: string,
  route: RouteAnswer,
): Promise<void> {
  const check = 'name-server.route';
  for (const { brokerName, brokerAddrs = {} } of route.brokerDatas ?? []) {
    for (const address of Object.values(brokerAddrs)) {
      const target = parseHostAndPort(address);
      const port = target?.port ?? null;
      if (target !== null && port !== null && (await canConnect(target.host, port)))
        report.ok(
          check,
          `the route of ${topic} (from ${nameServer}) leads to ${brokerName} at ${address}`,
        );
      else
        report.problem(
          check,
          `the route of ${topic} (from ${nameServer}) names ${brokerName} at ${address}, which can not be reached from here`,
          'start that broker, or correct its --advertise (brokerIP1); clients try others first',
        );
    }
  }
  const own = route.queueDatas?.find(({ brokerName }) => brokerName === config.brokerName);
  if (own !== undefined && (own.perm & Perm.WRITE) === 0)
    report.problem(
      'name-server.permission',
      `name server ${nameServer} tells producers not to send ${topic} to ${config.brokerName}`,
      'somebody has wiped its write permission: mqadmin addWritePerm, or addWritePermission of Admin, gives it back; or the topic itself may not be written (millrace topic status)',
    );
}
