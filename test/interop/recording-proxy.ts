/**
 * A TCP proxy between clients and a broker or name server. Bytes go through unchanged, both ways; a copy is
 * cut into frames, and each request is handed out together with its answer.
 *
 * No address in any answer is rewritten: the proxy listens at another loopback address and the same port,
 * and the servers behind it advertise that address.
 *
 * ```
 * client ──▶ 127.0.0.2:21911 (proxy) ──▶ 127.0.0.1:21911 (broker)
 *        ◀──                         ◀── requests of the broker's own, by a second count of opaques
 * ```
 */
import net from 'node:net';
import {
  decodeFrame,
  FLAG_ONEWAY,
  FLAG_RESPONSE,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';

/** A decoded frame, with the header's bytes for those who look closer. */
export interface RecordedFrame extends RemotingCommand {
  readonly header: Buffer;
}

export interface Exchange {
  /** Who was asked. */
  readonly asked: 'name server' | 'broker' | 'client';
  readonly request: RecordedFrame;
  /** None for a oneway request, and for one whose connection ended first. */
  readonly answer: RecordedFrame | null;
}

export interface RecordingProxyOptions {
  /** The proxy's own address; the port is the same on both sides. */
  host: string;
  serverHost: string;
  port: number;
  server: 'name server' | 'broker';
  onExchange: (exchange: Exchange) => void;
}

export interface RecordingProxy {
  stop(): Promise<void>;
}

const LENGTH_BYTES = 4;
const HEADER_START = 4;

export async function startRecordingProxy(options: RecordingProxyOptions): Promise<RecordingProxy> {
  const sockets = new Set<net.Socket>();
  const listener = net.createServer((client) => {
    const server = net.connect(options.port, options.serverHost);
    connectBoth(client, server, options);
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(options.port, options.host, () => resolve());
  });
  return {
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
}

function connectBoth(client: net.Socket, server: net.Socket, options: RecordingProxyOptions): void {
  const toServer = new Requests(options.server, options.onExchange);
  const toClient = new Requests('client', options.onExchange);
  const fromClient = new FrameSplitter((frame) => {
    if ((frame.flag & FLAG_RESPONSE) === 0) toServer.ask(frame);
    else toClient.answer(frame);
  });
  const fromServer = new FrameSplitter((frame) => {
    if ((frame.flag & FLAG_RESPONSE) === 0) toClient.ask(frame);
    else toServer.answer(frame);
  });
  for (const [source, target, splitter] of [
    [client, server, fromClient],
    [server, client, fromServer],
  ] as const) {
    source.setNoDelay(true);
    source.on('data', (chunk: Buffer) => splitter.take(chunk));
    source.pipe(target);
    source.on('error', () => {});
    source.on('close', () => {
      target.destroy();
      toServer.end();
      toClient.end();
    });
  }
}

/** Requests of one direction of one connection, each with its answer. */
class Requests {
  readonly #asked: Exchange['asked'];
  readonly #onExchange: RecordingProxyOptions['onExchange'];
  readonly #open = new Map<number, RecordedFrame>();

  constructor(asked: Exchange['asked'], onExchange: RecordingProxyOptions['onExchange']) {
    this.#asked = asked;
    this.#onExchange = onExchange;
  }

  ask(request: RecordedFrame): void {
    if ((request.flag & FLAG_ONEWAY) === 0) this.#open.set(request.opaque, request);
    else this.#onExchange({ asked: this.#asked, request, answer: null });
  }

  /** @throws Error where nothing was asked: a oneway request was answered, or an opaque is wrong. */
  answer(answer: RecordedFrame): void {
    const request = this.#open.get(answer.opaque);
    if (request === undefined) throw new Error(`answer ${answer.code} to nothing that was asked`);
    this.#open.delete(answer.opaque);
    this.#onExchange({ asked: this.#asked, request, answer });
  }

  /** The connection has ended: what is open stays without an answer. */
  end(): void {
    for (const request of this.#open.values())
      this.#onExchange({ asked: this.#asked, request, answer: null });
    this.#open.clear();
  }
}

/** Cuts a stream into frames. */
class FrameSplitter {
  readonly #onFrame: (frame: RecordedFrame) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wantedBytes = LENGTH_BYTES;

  constructor(onFrame: (frame: RecordedFrame) => void) {
    this.#onFrame = onFrame;
  }

  take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= this.#wantedBytes) {
      const input = Buffer.concat(this.#chunks);
      const end = LENGTH_BYTES + input.readInt32BE(0);
      this.#wantedBytes = end;
      this.#chunks = [input];
      if (input.length < end) return;
      const frame = input.subarray(LENGTH_BYTES, end);
      const header = frame.subarray(HEADER_START, HEADER_START + frame.readUIntBE(1, 3));
      this.#onFrame({ ...decodeFrame(frame), header });
      const rest = input.subarray(end);
      this.#chunks = [rest];
      this.#bytes = rest.length;
      this.#wantedBytes = LENGTH_BYTES;
    }
  }
}
