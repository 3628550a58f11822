/**
 * @agent any
 *
 * What Node has for signatures and TLS.
 */
import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import net from 'node:net';
import type tls from 'node:tls';
import type { TlsClientOptions } from './platform.ts';
import type { HmacSha1 } from './request-signer.ts';

/** Loaded where it is used: Node reads all certificates that it trusts when it loads it. */
const loadTls = (): typeof tls => createRequire(import.meta.url)('node:tls') as typeof tls;

export const nodeHmacSha1: HmacSha1 = (key, ...parts) => {
  const hmac = createHmac('sha1', key);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
};

/** A socket that connects: `connect` says when it can be used, TLS included. */
export function connectSocket(
  address: { readonly host: string; readonly port: number },
  security: TlsClientOptions | null,
): { socket: net.Socket; readyEvent: 'connect' | 'secureConnect' } {
  const { host, port } = address;
  if (security === null) {
    const socket = net.connect({ host, port, noDelay: true, keepAlive: true });
    return { socket, readyEvent: 'connect' };
  }
  const name = security.serverName ?? host;
  const socket = loadTls().connect({
    host,
    port,
    // An address is checked against the certificate, but is no name to ask for.
    ...(net.isIP(name) === 0 ? { servername: name } : {}),
    ...tlsOptions(security),
  });
  socket.setNoDelay(true);
  socket.setKeepAlive(true);
  return { socket, readyEvent: 'secureConnect' };
}

/** What Node is told of them. */
export function tlsOptions(security: TlsClientOptions): tls.ConnectionOptions {
  const { ca, cert, key, passphrase, rejectUnauthorized = true } = security;
  return {
    rejectUnauthorized,
    ...(ca === undefined ? {} : { ca: Buffer.from(ca) }),
    ...(cert === undefined ? {} : { cert: Buffer.from(cert) }),
    ...(key === undefined ? {} : { key: Buffer.from(key) }),
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}
