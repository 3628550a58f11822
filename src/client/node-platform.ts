/**
 * @agent any
 *
 * Node as the place that clients run in: TCP beside WebSocket, zlib, Buffer's quicker text.
 */
import { networkInterfaces } from 'node:os';
import zlib from 'node:zlib';
import { nodeHmacSha1, tlsOptions } from './node-security.ts';
import type { Platform, TlsClientOptions } from './platform.ts';
import { RequestSigner } from './request-signer.ts';
import { TcpTransport } from './tcp-transport.ts';
import { WebSocketTransport, type WebSocketClass } from './web-socket-transport.ts';

/** Of the producer's default in Java. */
const DEFLATE_LEVEL = 5;

/** Node 20 has no WebSocket of its own; there the package `ws` is used if it is installed. */
async function webSocketClass(): Promise<WebSocketClass | null> {
  if (typeof WebSocket === 'function') return WebSocket;
  try {
    const packageName = 'ws';
    const { WebSocket: found } = (await import(packageName)) as { WebSocket: WebSocketClass };
    return found;
  } catch {
    return null;
  }
}

/** Node's own WebSocket can not be told whom to trust, the package `ws` can. */
async function secureWebSocketClass(options: TlsClientOptions): Promise<WebSocketClass | null> {
  try {
    const { WebSocket: Ws } = await import('ws');
    return class extends Ws {
      constructor(url: string) {
        super(url, { ...tlsOptions(options), perMessageDeflate: false });
      }
    } as unknown as WebSocketClass;
  } catch {
    return webSocketClass();
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

const tcp = new TcpTransport(null);
const webSocket = new WebSocketTransport(webSocketClass);

export const nodePlatform: Platform = {
  transport: {
    open: (address, events, timeoutMs) =>
      (/^wss?:/.test(address) ? webSocket : tcp).open(address, events, timeoutMs),
  },
  secureTransport: (options) => {
    const secure = new TcpTransport(options);
    const secureWebSocket = new WebSocketTransport(() => secureWebSocketClass(options));
    return {
      open: (address, events, timeoutMs) =>
        (/^wss?:/.test(address) ? secureWebSocket : secure).open(address, events, timeoutMs),
    };
  },
  createSigner: (credentials) => new RequestSigner(credentials, nodeHmacSha1),
  hostAddress: hostAddress(),
  processId: process.pid,
  afterTurn: setImmediate,
  decodeText: (bytes, start, end) => asBuffer(bytes).toString('utf8', start, end),
  decodeAscii: (bytes, start, end) => asBuffer(bytes).toString('latin1', start, end),
  allocate: (bytes) => Buffer.allocUnsafeSlow(bytes),
  deflate: (bytes) => zlib.deflateSync(bytes, { level: DEFLATE_LEVEL }),
  decompress: (bytes, kind) => {
    if (kind === 'zlib') return zlib.inflateSync(bytes);
    // Node has it since 22.15.
    if (kind === 'zstd' && typeof zlib.zstdDecompressSync === 'function')
      return zlib.zstdDecompressSync(bytes);
    throw new Error(`this Node can not decompress ${kind}`);
  },
};

/** The first address that is not of this machine alone, as RocketMQ's clients choose theirs. */
function hostAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return (
    addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1'
  );
}
