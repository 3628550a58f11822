/**
 * @agent reactor
 *
 * TLS at the ports of remoting and the web, on the same port as plain connections.
 *
 * ```
 *  accepted ─┬ enforcing ───────────────▶ handshake ─▶ in
 *            └ permissive ─ first byte ─┬ 0x16 ▶ handshake ─▶ in
 *                                       └ other, or none in time ─▶ in, plain
 * ```
 * A handshake has 10 s. Certificates are read again when their files change, and for new connections only;
 * where they can not be used the ones from before stay, and the log says so.
 */
import { constants, X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import type net from 'node:net';
import tls from 'node:tls';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import type { Refusals } from '../base/refusals.ts';
import { readTrusted } from './trusted-certificates.ts';

export interface TlsSettings {
  readonly mode: 'permissive' | 'enforcing';
  readonly certPath: string;
  readonly keyPath: string;
  readonly keyPassword: string | null;
  readonly needClientAuth: 'none' | 'optional' | 'require';
  /** Certificates of clients must be signed by one of `trustCertPath`. */
  readonly authClient: boolean;
  readonly trustCertPath: string | null;
}

/** First byte of a TLS record that begins a handshake. */
const HANDSHAKE = 0x16;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Connections whose first byte or handshake is awaited; beyond it the oldest are closed: each may take some 50 KB. */
const ARRIVING_COUNT_MAX = 1000;
const WATCH_INTERVAL_MS = 2000;
/** Both files are written, one after the other, before they are read. */
const SETTLE_MS = 300;
const EXPIRY_WARNING_MS = 14 * 86_400_000;

/** What takes TLS connections; node:https has one too. */
type SecureServer = Pick<tls.Server, 'setSecureContext'>;

export class TlsAcceptor {
  readonly mode: TlsSettings['mode'];
  readonly #settings: TlsSettings;
  readonly #logger: Logger;
  readonly #refusals: Refusals;
  /** By address and port of the peer, which TLS keeps. */
  readonly #arriving = new Map<string, net.Socket>();
  readonly #servers: SecureServer[] = [];
  readonly #files: string[];
  #options: tls.SecureContextOptions;
  #settling: NodeJS.Timeout | null = null;
  readonly #onChange = (): void => {
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.reload(), SETTLE_MS);
  };

  /** @throws BrokerError CONFIG_INVALID where certificate or key can not be used */
  constructor(settings: TlsSettings, logger: Logger, refusals: Refusals) {
    this.#settings = settings;
    this.#logger = logger;
    this.#refusals = refusals;
    this.mode = settings.mode;
    try {
      this.#options = this.#read();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new BrokerError('CONFIG_INVALID', `TLS can not be served: ${why}`, { cause });
    }
    const { certPath, keyPath, trustCertPath } = settings;
    this.#files = [certPath, keyPath, ...(trustCertPath === null ? [] : [trustCertPath])];
    for (const file of this.#files)
      fs.watchFile(file, { interval: WATCH_INTERVAL_MS, persistent: false }, this.#onChange);
  }

  close(): void {
    for (const file of this.#files) fs.unwatchFile(file, this.#onChange);
    if (this.#settling !== null) clearTimeout(this.#settling);
    // Else a port would wait for them until their time is over.
    for (const socket of this.#arriving.values()) socket.destroy();
  }

  /** Options of a server of its own kind, node:https; it is told of new certificates. */
  get serverOptions(): tls.TlsOptions {
    const { needClientAuth, authClient } = this.#settings;
    return {
      ...this.#options,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      requestCert: needClientAuth !== 'none',
      rejectUnauthorized: authClient,
    };
  }

  /** From now on the server gets new certificates. */
  follow(server: SecureServer): void {
    this.#servers.push(server);
  }

  /**
   * Makes what takes the accepted sockets of a port, which come paused, and hands on those that may come
   * in: the sockets themselves, or what TLS makes of them.
   */
  port(onSocket: (socket: net.Socket) => void): (socket: net.Socket) => void {
    const { needClientAuth } = this.#settings;
    const server = tls.createServer({ ...this.serverOptions, noDelay: true }, (socket) => {
      this.onArrived(socket);
      // Without a check who signed it, one must at least be there.
      if (needClientAuth === 'require' && Object.keys(socket.getPeerCertificate()).length === 0) {
        this.#refusals.add('tls-client-certificate', { from: socket.remoteAddress });
        socket.destroy();
      } else onSocket(socket);
    });
    server.on('tlsClientError', (error, socket) => this.onHandshakeError(error, socket));
    this.follow(server);
    return (socket) => this.sort(socket, () => server.emit('connection', socket), onSocket);
  }

  /** Tells by its first byte what a socket speaks; it is paused again when it is handed on. */
  sort(
    socket: net.Socket,
    onSecure: (socket: net.Socket) => void,
    onPlain: (socket: net.Socket) => void,
  ): void {
    const onError = (): void => {
      socket.destroy();
    };
    socket.on('error', onError);
    this.#arrive(socket);
    if (this.mode === 'enforcing') {
      onSecure(socket);
      return;
    }
    const settle = (hand: (socket: net.Socket) => void): void => {
      clearTimeout(timer);
      socket.off('data', onData);
      socket.off('close', onClose);
      if (hand === onPlain) this.onArrived(socket);
      hand(socket);
    };
    const onData = (chunk: Buffer): void => {
      socket.pause();
      socket.unshift(chunk);
      settle(chunk[0] === HANDSHAKE ? onSecure : onPlain);
    };
    const onClose = (): void => clearTimeout(timer);
    // A client that waits before it asks is a plain one.
    const timer = setTimeout(() => {
      socket.pause();
      settle(onPlain);
    }, HANDSHAKE_TIMEOUT_MS);
    timer.unref();
    socket.on('data', onData);
    socket.on('close', onClose);
    socket.resume();
  }

  /** A handshake has failed, or has taken too long. */
  onHandshakeError(error: Error, socket: net.Socket): void {
    // One that has just gone, as a look whether a port is open.
    const code = (error as NodeJS.ErrnoException).code ?? error.message;
    if (code !== 'ECONNRESET')
      this.#refusals.add('tls-handshake', { from: socket.remoteAddress, error: code });
    socket.destroy();
  }

  /** The beginning of a connection is over; the socket may be the one that TLS has made. */
  onArrived(socket: net.Socket): void {
    this.#arriving.delete(peerOf(socket));
  }

  #arrive(socket: net.Socket): void {
    const arriving = this.#arriving;
    const peer = peerOf(socket);
    arriving.set(peer, socket);
    socket.once('close', () => {
      if (arriving.get(peer) === socket) arriving.delete(peer);
    });
    if (arriving.size <= ARRIVING_COUNT_MAX) return;
    const [[first, oldest]] = arriving;
    arriving.delete(first);
    this.#refusals.add('handshake-limit', { from: oldest.remoteAddress });
    oldest.destroy();
  }

  /** Reads the files again; what can not be used is told, and changes nothing. */
  reload(): void {
    try {
      this.#options = this.#read();
      for (const server of this.#servers) server.setSecureContext(this.#options);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#logger.error({ why }, 'new TLS certificate can not be used; the one before stays');
    }
  }

  /** @throws Error where the files can not be read, or do not belong together */
  #read(): tls.SecureContextOptions {
    const { certPath, keyPath, keyPassword, trustCertPath, authClient } = this.#settings;
    const cert = fs.readFileSync(certPath);
    const options: tls.SecureContextOptions = {
      cert,
      key: fs.readFileSync(keyPath),
      minVersion: 'TLSv1.2',
      // A new handshake costs this side far more than the client, and TLS 1.3 has none.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      ...(keyPassword === null ? {} : { passphrase: keyPassword }),
      ...(authClient && trustCertPath !== null ? { ca: readTrusted(trustCertPath).pem } : {}),
    };
    tls.createSecureContext(options);
    const { subject, validTo } = new X509Certificate(cert);
    const fields = { certificate: subject, validTo };
    const leftMs = Date.parse(validTo) - Date.now();
    if (leftMs < EXPIRY_WARNING_MS)
      this.#logger.warn(fields, 'TLS certificate expires soon, or has');
    else this.#logger.info(fields, 'TLS certificate is in use');
    return options;
  }
}

function peerOf({ remoteAddress, remotePort }: net.Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
