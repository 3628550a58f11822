/**
 * @agent any
 *
 * Looks at the addresses that clients are given: whether they lead here from where clients are.
 */
import dns from 'node:dns/promises';
import net from 'node:net';
import os from 'node:os';
import type { BrokerConfig } from '../base/broker-config.ts';
import { silentLogger } from '../base/logging.ts';
import { isControlled, isLoopback } from './access-settings.ts';
import { type ClientAddress, parseHostAndPort, resolveClientAddress } from './client-address.ts';
import { type Access, addressText, identifyPeer, type Peer, unsigned } from './doctor-peer.ts';
import { messageOf, type Report } from './doctor-report.ts';

/** What clients and other name servers are told; looks at it, too. */
export async function checkAddresses(
  report: Report,
  config: BrokerConfig,
  access: Access,
  running: Peer | null,
): Promise<ClientAddress> {
  const runningPort = Number(/:(\d+)$/.exec(running?.address ?? '')?.[1] ?? 0);
  // Clients of a running broker are told where it really is.
  const port = runningPort > 0 ? runningPort : config.brokerPort;
  const given = await resolveClientAddress(config, port, silentLogger);
  checkPublic(report, config);
  const ips = await checkHost(report, config, given);
  checkReach(report, config, given, ips);
  if (running !== null) {
    const own = ownAddresses();
    // What goes elsewhere is not signed: who answers there is what is to be found out.
    const isHere = ips.length > 0 && ips.every((ip) => own.has(ip));
    await checkConnections(report, config, isHere ? access : unsigned, given, running);
  }
  return given;
}

function checkPublic(report: Report, config: BrokerConfig): void {
  if (isLoopback(config.listenAddress)) {
    report.ok('addresses.public', `${config.listenAddress}: only programs of this machine connect`);
    return;
  }
  const isSecured = isControlled(config);
  const hasTls = config.tlsServerCertPath !== null && config.tlsServerMode !== 'disabled';
  if (!isSecured)
    report.warning(
      'addresses.public',
      `other machines reach ${config.listenAddress}, and nobody is asked who it is: whoever connects may read, send and delete`,
      '"millrace init --secure" makes a configuration with users and TLS; or keep others away with --listen-address or a firewall',
    );
  else if (!hasTls)
    report.warning(
      'addresses.public',
      `other machines reach ${config.listenAddress}; requests are signed, but go without TLS: who listens on the way reads messages, and can repeat requests`,
      'set tls.server.certPath and tls.server.keyPath ("millrace init --secure" makes a certificate)',
    );
  else
    report.ok(
      'addresses.public',
      `other machines reach ${config.listenAddress}; users and TLS are set up`,
    );
}

/** The IP addresses of what clients are told; empty where it has none, which is told. */
async function checkHost(
  report: Report,
  config: BrokerConfig,
  given: ClientAddress,
): Promise<string[]> {
  const { host, port } = given;
  const check = 'addresses.given';
  const what =
    given.advertised === null
      ? config.nameServerAddresses.length === 0
        ? 'each client is told the address by which it reached the name server here'
        : `other name servers tell clients ${addressText(host, port)}`
      : `clients are told ${given.advertised}`;
  if (net.isIP(host) !== 0) {
    report.ok(check, what);
    return [host];
  }
  try {
    const found = await dns.lookup(host, { all: true });
    const ips = found.map(({ address }) => address);
    report.ok(check, `${what}, here ${ips.join(', ')}`);
    return ips;
  } catch (error) {
    report.problem(
      check,
      `${what}, and that name has no address here: ${messageOf(error)}`,
      'mend the name in DNS or /etc/hosts, or give an IP address with --advertise; a name that only clients can resolve does no harm',
    );
    return [];
  }
}

function checkReach(
  report: Report,
  config: BrokerConfig,
  given: ClientAddress,
  ips: readonly string[],
): void {
  const check = 'addresses.reach';
  const isPublic = !isLoopback(config.listenAddress);
  const isTold = given.advertised !== null || config.nameServerAddresses.length > 0;
  if (!isTold || ips.length === 0) return;
  const isLocal = ips.every(isLoopback);
  const remoteNames = config.nameServerAddresses.filter((address) => {
    const host = parseHostAndPort(address)?.host;
    return host !== undefined && !isLoopback(host);
  });
  if (isLocal && (isPublic || remoteNames.length > 0))
    report.problem(
      check,
      `clients of other machines are told ${given.host}, which is their own machine for them`,
      isPublic
        ? 'give an address of this machine that they reach with --advertise (brokerIP1)'
        : 'listen on an address that they reach (--listen-address), or say it with --advertise (brokerIP1)',
    );
  else if (!isLocal && !isPublic)
    report.warning(
      check,
      `clients are told ${given.host}, and the ports are bound to ${config.listenAddress} alone`,
      'set --listen-address to that address or 0.0.0.0, unless something on this machine passes connections on',
    );
  else {
    const own = ownAddresses();
    const isOwn = ips.some((ip) => own.has(ip));
    if (isOwn || isLocal) report.ok(check, `${given.host} is an address of this machine`);
    else
      report.warning(
        check,
        `${given.host} is no address of this machine (which has ${[...own].filter((ip) => !isLoopback(ip)).join(', ') || 'none but loopback'})`,
        `fine where NAT or a load balancer passes ${given.port} and ${given.port - 2} on to this machine; else correct --advertise (brokerIP1)`,
      );
  }
}

function ownAddresses(): Set<string> {
  return new Set(
    Object.values(os.networkInterfaces()).flatMap((addresses) =>
      (addresses ?? []).map(({ address }) => address),
    ),
  );
}

/** Whether what clients are told leads to the broker that runs here. */
async function checkConnections(
  report: Report,
  config: BrokerConfig,
  access: Access,
  given: ClientAddress,
  running: Peer,
): Promise<void> {
  const check = 'addresses.connection';
  const address = addressText(given.host, given.port);
  const there = await identifyPeer(address, access, running.tls !== null);
  if (there === null) {
    report.problem(
      check,
      `no connection to ${address}, which clients are told, is possible from here`,
      'let it through the firewall, or correct --advertise. Some routers do not lead back to the own network: try from where a client is, too',
    );
    return;
  }
  if (there.kind === 'secured')
    report.ok(
      check,
      `${address} answers, and wants signed requests, so that nobody knows which it is`,
    );
  else if (there.kind === 'Millrace broker' && isSame(there, running))
    report.ok(check, `${address} leads to this broker`);
  else
    report.problem(
      check,
      `${address}, which clients are told, leads to ${there.kind === 'other' ? 'something that is no broker' : `another one: ${there.kind}, ${there.settings.get('brokerName') ?? 'without a name'}`}`,
      'correct --advertise (brokerIP1), or what passes connections on',
    );
  const vip = addressText(given.host, given.port - 2);
  if (given.port <= 2 || config.brokerPort === 0 || (await canConnect(given.host, given.port - 2)))
    return;
  report.warning(
    'addresses.vip',
    `no connection to ${vip}, two below the port that clients are told, is possible`,
    'clients with vipChannelEnabled (the default of 3.x and early 4.x) send there: let that port through as well',
  );
}

/** Both say the same of themselves, the time of their start included. */
function isSame(one: Peer, other: Peer): boolean {
  const names = ['brokerName', 'storePathRootDir'];
  return (
    one.version === other.version &&
    names.every((name) => one.settings.get(name) === other.settings.get(name))
  );
}

export function canConnect(host: string, port: number): Promise<boolean> {
  const CONNECT_TIMEOUT_MS = 3000;
  return new Promise((resolve) => {
    const socket = net.connect({ host, port });
    const end = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
