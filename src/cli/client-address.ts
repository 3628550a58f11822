/**
 * @agent reactor
 *
 * The address of this broker: what routes tell clients, and what records and message ids carry. Routes
 * may name a host; records have room for an IP address only, so a name is looked up once, at start.
 */
import dns from 'node:dns/promises';
import net from 'node:net';
import os from 'node:os';
import type { Logger } from '../base/logging.ts';
import { encodeHost } from '../protocol/record-encoder.ts';

export interface HostAndPort {
  readonly host: string;
  /** null where only a host was named. */
  readonly port: number | null;
}

export interface ClientAddress {
  /** `host:port` that every client is told; null: each is told where it reached us. */
  readonly advertised: string | null;
  /** What brokers elsewhere and name servers elsewhere are told. */
  readonly host: string;
  readonly port: number;
  /** IP address and port as stored in records. */
  readonly storeHost: Buffer;
}

const PORT_MAX = 65535;

/** `host`, `host:port`, an IPv6 address alone, or in brackets with or without a port; null: none of these. */
export function parseHostAndPort(text: string): HostAndPort | null {
  if (net.isIPv6(text)) return { host: text, port: null };
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const [, bracketed, plain, digits] = match;
  if (bracketed !== undefined && !net.isIPv6(bracketed)) return null;
  const port = digits === undefined ? null : Number(digits);
  if (port !== null && (port < 1 || port > PORT_MAX)) return null;
  return { host: bracketed ?? plain, port };
}

export async function resolveClientAddress(
  config: { readonly advertise: string | null; readonly listenAddress: string },
  brokerPort: number,
  logger: Logger,
): Promise<ClientAddress> {
  const named = config.advertise === null ? null : parseHostAndPort(config.advertise);
  const host = named?.host ?? reachableHost(config.listenAddress);
  const port = named?.port ?? brokerPort;
  return {
    advertised: named === null ? null : `${host}:${port}`,
    host,
    port,
    storeHost: encodeHost(await addressOf(host, logger), port),
  };
}

/** The address of a name; one of this machine's own where it has none (a name known only outside). */
async function addressOf(host: string, logger: Logger): Promise<string> {
  if (net.isIP(host) !== 0) return host;
  try {
    const { address } = await dns.lookup(host, { order: 'ipv4first' });
    return address;
  } catch (error) {
    const address = reachableHost('0.0.0.0');
    logger.warn(
      { host, address, reason: error instanceof Error ? error.message : String(error) },
      'this name has no address here; message ids carry another one, routes still tell the name',
    );
    return address;
  }
}

/** The listener's address, or, where that means all of them, the first that others can reach. */
function reachableHost(listenAddress: string): string {
  if (listenAddress !== '0.0.0.0' && listenAddress !== '::') return listenAddress;
  for (const addresses of Object.values(os.networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? []) {
      if (!internal && family === 'IPv4') return address;
    }
  }
  return '127.0.0.1';
}
