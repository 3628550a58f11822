/**
 * @agent any
 *
 * Asks whoever listens on a port what it is: a broker or a name server, Millrace's or Apache's, or something
 * that does not speak remoting. What is asked changes nothing.
 */
import http from 'node:http';
import https from 'node:https';
import { parseProperties } from '../base/properties-file.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';
import type { TlsClientOptions } from '../client/platform.ts';
import { RemotingClient } from '../client/remoting-client.ts';
import type { ClientCredentials } from '../client/request-signer.ts';

export interface Access {
  /** By whom questions are signed; null: by nobody. */
  readonly credentials: ClientCredentials | null;
}

export const unsigned: Access = { credentials: null };

export type PeerKind =
  | 'Millrace broker'
  | 'Apache broker'
  | 'Millrace name server'
  | 'Apache name server'
  /** Speaks remoting, and wants to know who asks. */
  | 'secured'
  /** Accepts connections, and does not answer as any of the above. */
  | 'other';

export interface Peer {
  readonly kind: PeerKind;
  readonly address: string;
  /** Of a broker, by the names of a broker.conf. */
  readonly settings: ReadonlyMap<string, string>;
  /** Of a broker: holds when it was started, so that no two have the same. */
  readonly version: string;
  /** Null where it speaks without TLS. */
  readonly tls: TlsClientOptions | null;
}

const ASK_TIMEOUT_MS = 5000;
/** Who is asked is what is to be found out; certificates are looked at elsewhere. */
const unchecked: TlsClientOptions = { rejectUnauthorized: false };

export function addressText(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Null where no connection can be made. Asked plainly and by TLS at once: many ports take both, some only one. */
export async function identifyPeer(
  address: string,
  access: Access,
  prefersTls = false,
): Promise<Peer | null> {
  const answers = await Promise.all([
    attempt(address, access, null),
    attempt(address, access, unchecked),
  ]);
  const [plain, secure] = answers;
  const peers = (prefersTls ? [secure, plain] : [plain, secure]).filter(
    (answer) => typeof answer === 'object',
  );
  if (peers.length > 0) return peers[0];
  if (answers.every((answer) => answer === 'unreachable')) return null;
  return { kind: 'other', address, settings: new Map(), version: '', tls: null };
}

async function attempt(
  address: string,
  access: Access,
  tls: TlsClientOptions | null,
): Promise<Peer | 'unreachable' | 'silent'> {
  const client = new RemotingClient({ address, credentials: access.credentials, tls });
  try {
    return (await identify(client, tls)) ?? 'silent';
  } catch (error) {
    const isUnreachable =
      /ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|accept a connection/.test(
        String(error),
      );
    return isUnreachable ? 'unreachable' : 'silent';
  } finally {
    client.close();
  }
}

/** Null for an answer that none of ours gives. @throws BrokerError REMOTING_FAILED */
async function identify(
  client: RemotingClient,
  tls: TlsClientOptions | null,
): Promise<Peer | null> {
  const ask = (code: number): Promise<RemotingCommand> =>
    client.request({ code, timeoutMs: ASK_TIMEOUT_MS });
  const peer = (kind: PeerKind, body?: Buffer, version = ''): Peer => ({
    kind,
    address: client.address,
    version,
    settings: new Map(
      body === undefined
        ? []
        : parseProperties(body.toString()).map(({ name, text }) => [name, text] as const),
    ),
    tls,
  });
  const broker = await ask(RequestCode.GET_BROKER_CONFIG);
  if (broker.code === ResponseCode.SUCCESS) {
    const isApache = broker.body.includes('rocketmqHome=');
    const version = broker.extFields.get('version');
    return peer(isApache ? 'Apache broker' : 'Millrace broker', broker.body, version);
  }
  if (broker.code === ResponseCode.NO_PERMISSION) return peer('secured');
  const names = await ask(RequestCode.GET_NAMESRV_CONFIG);
  if (names.code === ResponseCode.NO_PERMISSION) return peer('secured');
  if (names.code !== ResponseCode.SUCCESS) return null;
  const isApache = names.body.includes('rocketmqHome=');
  return peer(isApache ? 'Apache name server' : 'Millrace name server', names.body);
}

export interface Page {
  readonly status: number;
  readonly text: string;
}

/** A page of a web port; null where nobody answers. */
export async function readPage(
  where: { readonly host: string; readonly port: number; readonly isSecure: boolean },
  path: string,
): Promise<Page | null> {
  const { host, port, isSecure } = where;
  const options = { host, port, path, timeout: ASK_TIMEOUT_MS, agent: false };
  return new Promise((resolve) => {
    const onAnswer = (answer: http.IncomingMessage): void => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', () => resolve(null));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
    };
    const request = isSecure
      ? https.get({ ...options, rejectUnauthorized: false }, onAnswer)
      : http.get(options, onAnswer);
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });
}
