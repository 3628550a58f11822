/**
 * @agent any
 *
 * TLS as a configuration asks for it: at our ports, and towards other name servers.
 */
import type net from 'node:net';
import type { BrokerConfig } from '../base/broker-config.ts';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import type { Refusals } from '../base/refusals.ts';
import type { TlsClientOptions } from '../client/platform.ts';
import type { TlsAcceptor } from '../reactor/tls-acceptor.ts';
import { readTrusted } from '../reactor/trusted-certificates.ts';

export type TlsConfig = Pick<
  BrokerConfig,
  | 'tlsServerMode'
  | 'tlsServerCertPath'
  | 'tlsServerKeyPath'
  | 'tlsServerKeyPassword'
  | 'tlsServerNeedClientAuth'
  | 'tlsServerAuthClient'
  | 'tlsServerTrustCertPath'
>;

/** Null where connections are plain; what TLS needs is loaded where they are not. @throws BrokerError CONFIG_INVALID */
export async function tlsAcceptorOf(
  config: TlsConfig,
  logger: Logger,
  refusals: Refusals,
): Promise<TlsAcceptor | null> {
  const { tlsServerMode: mode, tlsServerCertPath, tlsServerKeyPath } = config;
  if (mode === 'disabled' || tlsServerCertPath === null || tlsServerKeyPath === null) return null;
  const { TlsAcceptor } = await import('../reactor/tls-acceptor.ts');
  return new TlsAcceptor(
    {
      mode,
      certPath: tlsServerCertPath,
      keyPath: tlsServerKeyPath,
      keyPassword: config.tlsServerKeyPassword,
      needClientAuth: config.tlsServerNeedClientAuth,
      authClient: config.tlsServerAuthClient,
      trustCertPath: config.tlsServerTrustCertPath,
    },
    logger,
    refusals,
  );
}

/** What takes accepted sockets: through TLS where there is any. */
export function throughTls(
  tls: TlsAcceptor | null,
  onSocket: (socket: net.Socket) => void,
): (socket: net.Socket) => void {
  return tls === null ? onSocket : tls.port(onSocket);
}

/** Null where name servers are asked without TLS. @throws BrokerError CONFIG_INVALID */
export function outgoingTls(config: BrokerConfig): TlsClientOptions | null {
  const { tlsEnable, tlsClientAuthServer, tlsClientTrustCertPath: file } = config;
  if (!tlsEnable) return null;
  try {
    return {
      rejectUnauthorized: tlsClientAuthServer,
      ...(file === null ? {} : { ca: readTrusted(file).pem }),
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BrokerError('CONFIG_INVALID', `tls.client.trustCertPath can not be used: ${why}`, {
      cause,
    });
  }
}
