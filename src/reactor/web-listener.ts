/**
 * @agent reactor
 *
 * The port for browsers: WebSocket connections for the reactor, and a few pages over HTTP. Two
 * libraries can carry it, with the same behaviour towards clients (one contract suite tests both):
 *
 * | library | when |
 * |---|---|
 * | `uws` | uWebSockets.js, where its binary loads |
 * | `ws` | ws and node:http, everywhere |
 *
 * A WebSocket carries a stream: a binary message is any stretch of it, whole frames or not. Text messages
 * end the connection (1003), as do those longer than `MESSAGE_BYTES_MAX` (1009, or no word at all). Nothing
 * is compressed. Libraries are loaded when the port is opened: a broker without it does not pay for them.
 */
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import { FRAME_BYTES_MAX } from '../protocol/remoting-command.ts';
import type { AcceptPace } from './accept-pace.ts';
import type { CloseReason } from './peer.ts';
import type { Reactor } from './reactor.ts';
import type { TlsAcceptor } from './tls-acceptor.ts';
import { type OriginRules, originRefusal } from './web-origin.ts';

/** Longest message: the longest frame, and a write's worth of others before and behind it. */
export const MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + 1024 * 1024;

/** Time for a WebSocket to answer our close before its socket goes. */
export const CLOSE_TIMEOUT_MS = 1000;

export type WebLibrary = 'uws' | 'ws';

/** An answer that a page writes; what is written after the client has gone is dropped. */
export interface WebReply {
  readonly isOpen: boolean;
  /** Once, before anything is written. */
  begin(status: number, headers: Readonly<Record<string, string>>): void;
  /** Resolves when the client has taken it, or has gone. */
  write(text: string): Promise<void>;
  end(text: string): void;
}

export interface WebRequest {
  /** As sent: `GET`. */
  readonly method: string;
  /** Without the query. */
  readonly path: string;
}

export interface WebListenerOptions {
  readonly address: string;
  readonly port: number;
  /** Absent or null: plain HTTP and WebSockets alone. */
  readonly tls?: TlsAcceptor | null;
  /** Null where no frames are served, or not yet: upgrades are answered 503. */
  readonly reactor: () => Reactor | null;
  readonly origins: OriginRules;
  readonly connectionCountMax: number;
  readonly answer: (request: WebRequest, reply: WebReply) => void;
  /** A page was refused because of its origin. */
  readonly onRefused: (why: string) => void;
  /** How fast WebSockets come in, together with the connections of other ports. */
  readonly pace: Pick<AcceptPace, 'take'>;
  /** A connection was beyond the limit. */
  readonly onDropped?: (remoteAddress: string | undefined) => void;
}

export interface WebListener {
  readonly library: WebLibrary;
  readonly port: number;
  /** No new connections from now on. */
  stopAccepting(): void;
  /** Ends what is left, also connections whose peer does not say goodbye. */
  close(): Promise<void>;
}

/** What an upgrade that is not wanted is answered; null where it is. */
export function upgradeRefusal(
  options: WebListenerOptions,
  path: string,
  origin: string | undefined,
  host: string | undefined,
): { status: number; text: string } | null {
  if (path !== '/') return { status: 404, text: 'WebSockets are served at /' };
  if (options.reactor() === null)
    return { status: 503, text: 'no WebSockets are served here, or not now' };
  const why = originRefusal(origin, host, options.origins);
  if (why === null) return null;
  options.onRefused(why);
  return { status: 403, text: why };
}

/** RFC 6455, 7.4.1. */
const closeCodes: Readonly<Record<CloseReason, number>> = {
  asked: 1000,
  'bad-frame': 1002,
  idle: 1001,
  'late-frame': 1008,
  'not-reading': 1008,
  'answer-memory': 1008,
  'request-memory': 1013,
  'expired-data': 1011,
  'input-overflow': 1013,
  'text-message': 1003,
  stopping: 1001,
};

const closeTexts: Readonly<Record<CloseReason, string>> = {
  asked: '',
  'bad-frame': 'what came is no frame of the remoting protocol',
  idle: 'nothing was heard for too long',
  'late-frame': 'a frame did not arrive in time',
  'not-reading': 'answers were not read',
  'answer-memory': 'answers were not read, and others need the memory',
  'request-memory': 'a frame took too long while others need the memory',
  'expired-data': 'the messages asked for have expired',
  'input-overflow': 'more came than the broker can take now',
  'text-message': 'only binary messages are understood',
  stopping: 'the broker stops',
};

export function closeCodeOf(reason: CloseReason): { code: number; text: string } {
  return { code: closeCodes[reason], text: closeTexts[reason] };
}

/**
 * Opens the port with the library that was asked for, or with the best that loads.
 *
 * @throws BrokerError LISTEN_FAILED, WEB_LIBRARY_MISSING
 */
export async function openWebListener(
  wanted: WebLibrary | 'auto',
  options: WebListenerOptions,
  logger: Logger,
): Promise<WebListener> {
  let why = 'webLibrary is ws';
  if (options.tls !== undefined && options.tls !== null)
    why = 'only with it TLS certificates can be renewed';
  else if (wanted !== 'ws') {
    const { loadUws, openUwsListener } = await import('./uws-listener.ts');
    const uws = loadUws();
    if (typeof uws !== 'string') {
      const opened = await openUwsListener(uws, options);
      logger.info({ library: 'uws', port: opened.port }, 'web listener uses uWebSockets.js');
      return opened;
    }
    if (wanted === 'uws') {
      throw new BrokerError(
        'WEB_LIBRARY_MISSING',
        `webLibrary is uws, and uWebSockets.js does not load: ${uws}`,
      );
    }
    why = `uWebSockets.js does not load: ${uws}`;
  }
  const { openWsListener } = await import('./ws-listener.ts');
  const opened = await openWsListener(options);
  logger.info({ library: 'ws', port: opened.port, why }, 'web listener uses ws');
  return opened;
}
