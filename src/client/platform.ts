/**
 * @agent any
 *
 * What a client needs of the place it runs in. The entry point sets it (index.ts for Node, browser.ts),
 * so that everything else runs in both; without an entry point there is none.
 */
import type { Transport } from './client-core.ts';
import type { ClientCredentials, CreateSigner, RequestSigner } from './request-signer.ts';

/** What `sysFlag` says of a compressed body (CompressionType.java). */
export type CompressionKind = 'zlib' | 'zstd' | 'lz4';

/** TLS towards servers; all in PEM, as text or bytes. */
export interface TlsClientOptions {
  /** Who may have signed the server's certificate; whom Node trusts unless said. */
  readonly ca?: string | Uint8Array | undefined;
  /** The client's own certificate and key, for a server that asks for them. */
  readonly cert?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
  readonly passphrase?: string | undefined;
  /** Name that the certificate must be for; the host of the address unless said. */
  readonly serverName?: string | undefined;
  /** False: any certificate will do, and so would anybody in between. True unless said. */
  readonly rejectUnauthorized?: boolean | undefined;
}

export interface Platform {
  readonly transport: Transport;
  /** With TLS; null where only a wss: URL can say so. */
  readonly secureTransport: ((options: TlsClientOptions) => Transport) | null;
  /** Signs requests; null where `installSigner` brings it. */
  readonly createSigner: CreateSigner | null;
  /** By what brokers and message ids tell this machine from others: IPv4, dotted. */
  readonly hostAddress: string;
  readonly processId: number;
  /** Calls back when everything that is ready now has run, before the next wait for the network. */
  readonly afterTurn: (callback: () => void) => void;
  /** Text of UTF-8 bytes; what is no UTF-8 becomes U+FFFD. */
  readonly decodeText: (bytes: Uint8Array, start: number, end: number) => string;
  /** Text of bytes below 0x80. */
  readonly decodeAscii: (bytes: Uint8Array, start: number, end: number) => string;
  /** Bytes that may hold anything. */
  readonly allocate: (bytes: number) => Uint8Array;
  /** zlib at level 5; null where it can only be done later, and bodies are sent as they are. */
  readonly deflate: ((bytes: Uint8Array) => Uint8Array) | null;
  /** A promise where it can only be done later. @throws Error where the kind is not known here */
  readonly decompress: (
    bytes: Uint8Array,
    kind: CompressionKind,
  ) => Uint8Array | Promise<Uint8Array>;
}

let installed: Platform | null = null;
let installedSigner: CreateSigner | null = null;

export function installPlatform(platform: Platform): void {
  installed = platform;
}

/** For a platform that can sign, but does not load what that takes before it is asked to. */
export function installSigner(create: CreateSigner): void {
  installedSigner = create;
}

/** @throws Error where nothing that signs is there */
export function createSigner(credentials: ClientCredentials): RequestSigner {
  const create = currentPlatform().createSigner ?? installedSigner;
  if (create === null)
    throw new Error("credentials in a page need import 'millrace/browser/signing'");
  return create(credentials);
}

export function currentPlatform(): Platform {
  if (installed === null)
    throw new Error('import the client from millrace/client or millrace/browser');
  return installed;
}

/** A timer that never keeps a program from ending. */
export type BackgroundTimer = ReturnType<typeof setTimeout>;

export function startBackgroundTimer(callback: () => void, delayMs: number): BackgroundTimer {
  const timer = setTimeout(callback, delayMs);
  keepProgramAlive(timer, false);
  return timer;
}

/** Whether a timer keeps the program from ending; browsers know no such thing. */
export function keepProgramAlive(timer: BackgroundTimer, isKept: boolean): void {
  const handle: { ref?: () => unknown; unref?: () => unknown } = Object(timer) as object;
  if (isKept) handle.ref?.();
  else handle.unref?.();
}

/** Ends after a time, or when the signal says so; never rejects. */
export async function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal?.addEventListener('abort', done);
  });
}
