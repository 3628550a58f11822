/**
 * @agent any
 *
 * Looks at the ports that a start would open: free, this store's own broker, or somebody else, and who.
 */
import dns from 'node:dns/promises';
import net from 'node:net';
import type { BrokerConfig } from '../base/broker-config.ts';
import {
  type Access,
  addressText,
  identifyPeer,
  type Peer,
  readPage,
  unsigned,
} from './doctor-peer.ts';
import {
  type ListeningPort,
  listeningPorts,
  processText,
  unprivilegedPortStart,
} from './doctor-processes.ts';
import { codeOf, messageOf, type Report } from './doctor-report.ts';

interface WantedPort {
  readonly check: string;
  readonly name: string;
  readonly port: number;
  readonly flag: string;
}

function wantedPorts(config: BrokerConfig): WantedPort[] {
  const { brokerPort, nameServerPort, webPort } = config;
  const wanted: WantedPort[] = [
    { check: 'ports.broker', name: 'broker', port: brokerPort, flag: '--broker-port' },
  ];
  if (brokerPort > 2)
    wanted.push({ check: 'ports.vip', name: 'VIP', port: brokerPort - 2, flag: '--broker-port' });
  if (config.embeddedNameServer)
    wanted.push({
      check: 'ports.name-server',
      name: 'name server',
      port: nameServerPort,
      flag: '--name-server-port',
    });
  if (webPort >= 0)
    wanted.push({ check: 'ports.web', name: 'web', port: webPort, flag: '--web-port' });
  return wanted;
}

/** Where a connection reaches what listens on an address. */
export function reachable(listenAddress: string): string {
  if (listenAddress === '0.0.0.0') return '127.0.0.1';
  return listenAddress === '::' ? '::1' : listenAddress;
}

/** Where this store's broker really listens: ports of a running one may differ from those that are wanted. */
export interface RunningPorts {
  /** Null where none was found. */
  readonly broker: Peer | null;
  /** Null where there is no web port, or it could not be found. */
  readonly web: { readonly host: string; readonly port: number; readonly isSecure: boolean } | null;
}

/** `brokerPid`: of the broker that has the store open; null for none. */
export async function checkPorts(
  report: Report,
  config: BrokerConfig,
  brokerPid: number | null,
): Promise<void> {
  const listeners = listeningPorts();
  const wanted = wantedPorts(config);
  const address = await addressOf(report, config.listenAddress);
  if (address === null) return;
  for (const one of wanted) {
    if (one.port === 0) {
      report.ok(one.check, `the ${one.name} port is any that is free`);
      continue;
    }
    const holder = listeners?.find(
      (listener) => listener.port === one.port && overlaps(listener.address, address),
    );
    if (holder !== undefined && holder.pid !== null && holder.pid === brokerPid)
      report.ok(one.check, `${one.name} port ${one.port}: the broker of this store listens`);
    else if (holder !== undefined) await tellHolder(report, config, one, holder);
    else await tryPort(report, config, one, address);
  }
  if (config.brokerPort > 0 && config.brokerPort <= 2)
    report.warning(
      'ports.vip',
      `broker port ${config.brokerPort} leaves no VIP port two below it`,
      'clients with vipChannelEnabled (the default of 3.x and early 4.x) would not send: choose a port above 2',
    );
  if (brokerPid !== null) tellOtherPorts(report, wanted, listeners, brokerPid);
}

/** The IP address that a listener would have; null where a name has none, which is told. */
async function addressOf(report: Report, listenAddress: string): Promise<string | null> {
  if (net.isIP(listenAddress) !== 0) return listenAddress;
  try {
    return (await dns.lookup(listenAddress)).address;
  } catch (error) {
    report.problem(
      'ports.listen-address',
      `the listen address ${listenAddress} has no IP address here: ${messageOf(error)}`,
      'give an address of this machine, or 0.0.0.0 for all (--listen-address), or add the name to /etc/hosts',
    );
    return null;
  }
}

function overlaps(one: string, other: string): boolean {
  const all = new Set(['0.0.0.0', '::']);
  return one === other || all.has(one) || all.has(other);
}

async function tryPort(
  report: Report,
  config: BrokerConfig,
  wanted: WantedPort,
  address: string,
): Promise<void> {
  const { check, name, port, flag } = wanted;
  const error = await bindError(address, port);
  switch (error === null ? '' : codeOf(error)) {
    case '':
      report.ok(check, `${name} port ${port} is free`);
      return;
    case 'EADDRINUSE':
      // Nobody tells who, as in another container with the same network.
      await tellHolder(report, config, wanted, { address, port, pid: null });
      return;
    case 'EACCES': {
      const start = unprivilegedPortStart();
      report.problem(
        check,
        `${name} port ${port} can not be opened: ports below ${start} need a right that this user has not got`,
        `choose a port from ${start} on with ${flag}, or give the right (CAP_NET_BIND_SERVICE, net.ipv4.ip_unprivileged_port_start)`,
      );
      return;
    }
    case 'EADDRNOTAVAIL':
      report.problem(
        check,
        `${name} port ${port} can not be opened: ${config.listenAddress} is no address of this machine`,
        'choose one of this machine with --listen-address (0.0.0.0 for all), and say what clients are told with --advertise',
      );
      return;
    default:
      report.problem(
        check,
        `${name} port ${port} can not be opened: ${messageOf(error)}`,
        `choose another with ${flag}`,
      );
  }
}

/** Null where the port could be opened; it is closed again. */
function bindError(host: string, port: number): Promise<Error | null> {
  const server = net.createServer();
  return new Promise((resolve) => {
    server.once('error', resolve);
    server.listen({ host, port }, () => server.close(() => resolve(null)));
  });
}

async function tellHolder(
  report: Report,
  config: BrokerConfig,
  wanted: WantedPort,
  holder: ListeningPort,
): Promise<void> {
  const { check, name, port, flag } = wanted;
  const host = reachable(holder.address);
  const who = holder.pid === null ? '' : `, ${processText(holder.pid)}`;
  const what = await describe(host, port, config.tlsServerMode === 'enforcing');
  const advice =
    wanted.name === 'VIP'
      ? `the VIP port is always two below the broker port: stop what listens, or choose another broker port with ${flag}`
      : `stop it, or choose another port with ${flag}`;
  report.problem(check, `${name} port ${port} is held by ${what}${who}`, advice);
}

/** Asked without a signature: whoever has taken a port could use one elsewhere. */
async function describe(host: string, port: number, speaksTls: boolean): Promise<string> {
  const [peer, page] = await Promise.all([
    identifyPeer(addressText(host, port), unsigned, speaksTls),
    readPage({ host, port, isSecure: false }, '/'),
  ]);
  if (peer === null) return 'something that takes no connections';
  const { kind, settings } = peer;
  const store = settings.get('storePathRootDir');
  const named = settings.get('brokerName');
  switch (kind) {
    case 'Millrace broker':
      return `another Millrace, broker ${named ?? '?'} with the store ${store ?? '?'}`;
    case 'Apache broker':
      return `Apache RocketMQ, broker ${named ?? '?'} with the store ${store ?? '?'}`;
    case 'Millrace name server':
      return 'a name server of Millrace';
    case 'Apache name server':
      return 'a name server of Apache RocketMQ';
    case 'secured':
      return 'a broker or name server that wants signed requests';
    default: {
      if (page === null) return 'something that does not speak remoting';
      return page.text.startsWith('Millrace ')
        ? 'the web port of another Millrace'
        : 'a web server or the like';
    }
  }
}

/** A broker that runs with other ports than those that were asked about. */
function tellOtherPorts(
  report: Report,
  wanted: readonly WantedPort[],
  listeners: readonly ListeningPort[] | null,
  brokerPid: number,
): void {
  const own = (listeners ?? []).filter(({ pid }) => pid === brokerPid);
  if (own.length === 0 || own.some(({ port }) => port === wanted[0].port)) return;
  const ports = [...new Set(own.map(({ port }) => port))].sort((one, other) => one - other);
  report.warning(
    'ports.running',
    `the broker of this store, ${processText(brokerPid)}, listens on ${ports.join(', ')}, not on ${wanted[0].port}`,
    'give this command the configuration and flags that it was started with',
  );
}

/** Finds out by which ports a running broker can be asked. */
export async function findRunning(
  config: BrokerConfig,
  access: Access,
  brokerPid: number | null,
): Promise<RunningPorts> {
  const own = (listeningPorts() ?? []).filter(
    ({ pid, port }) => pid === brokerPid && brokerPid !== null && port !== config.brokerPort - 2,
  );
  const isSecure = config.tlsServerCertPath !== null && config.tlsServerMode !== 'disabled';
  const host = reachable(config.listenAddress);
  const candidates = own
    // A VIP port, which answers as a broker does.
    .filter(({ port }) => !own.some((other) => other.port === port + 2))
    .map(({ address, port }) => ({ host: reachable(address), port }));
  // The wanted port first; a running one with other ports by what it listens on.
  candidates.sort((one, other) => rank(one.port, config) - rank(other.port, config));
  if (candidates.length === 0 && config.brokerPort > 0)
    candidates.push({ host, port: config.brokerPort });
  let broker: Peer | null = null;
  let web: RunningPorts['web'] = null;
  for (const candidate of candidates) {
    if (candidate.port === config.webPort) {
      web = { ...candidate, isSecure };
      continue;
    }
    if (broker !== null && own.length === 0) break;
    const peer = await identifyPeer(
      addressText(candidate.host, candidate.port),
      access,
      config.tlsServerMode === 'enforcing',
    );
    const isBroker = peer?.kind === 'Millrace broker' || peer?.kind === 'secured';
    if (broker === null && isBroker) broker = peer;
    else if (web === null && peer?.kind === 'other') web = { ...candidate, isSecure };
  }
  if (web === null && own.length === 0 && config.webPort > 0)
    web = { host, port: config.webPort, isSecure };
  return { broker, web };
}

function rank(port: number, config: BrokerConfig): number {
  if (port === config.brokerPort) return 0;
  return port === config.webPort ? 2 : 1;
}
