/**
 * @agent any
 *
 * A browser as the place that clients run in. Node with a WebSocket of its own serves as well.
 */
import type { Platform } from './platform.ts';
import { WebSocketTransport } from './web-socket-transport.ts';

const decoder = new TextDecoder();
const PROCESS_ID_MAX = 0xffff;

/** Pages have neither an address nor a process id that anybody else could see. */
const randomByte = (): number => Math.floor(Math.random() * 256);

const decodeText = (bytes: Uint8Array, start: number, end: number): string =>
  decoder.decode(bytes.subarray(start, end));

export const browserPlatform: Platform = {
  transport: new WebSocketTransport(() => Promise.resolve(globalThis.WebSocket ?? null)),
  secureTransport: null,
  createSigner: null,
  hostAddress: `10.${randomByte()}.${randomByte()}.${randomByte()}`,
  processId: Math.floor(Math.random() * PROCESS_ID_MAX),
  afterTurn: (callback) => {
    // Twice: what the first round wakes may have something to send, too.
    queueMicrotask(() => queueMicrotask(callback));
  },
  decodeText,
  decodeAscii: decodeText,
  allocate: (bytes) => new Uint8Array(bytes),
  deflate: null,
  decompress: async (bytes, kind) => {
    if (kind !== 'zlib') throw new Error(`a browser can not decompress ${kind}`);
    const stream = new Blob([bytes as Uint8Array<ArrayBuffer>])
      .stream()
      .pipeThrough(new DecompressionStream('deflate'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  },
};
