/**
 * Low-rate requests to a Redis server: how long the streams of a topic are, and away with them.
 */
import net from 'node:net';
import type { Endpoint } from '../load-options.ts';
import type { BrokerTarget, LoadSetup } from '../load-setup.ts';
import { command, keyOf } from './redis-frames.ts';
import { RedisReader } from './redis-reader.ts';

const REQUEST_TIMEOUT_MS = 60_000;
/** Commands in one write. */
const PIPELINE_COUNT = 1000;

/** Commands whose replies are one value each. */
export class RedisRequestClient {
  readonly #socket: net.Socket;
  #values: string[] = [];
  #wantedCount = 0;
  #onDone: (() => void) | null = null;
  #onFailed: ((error: Error) => void) | null = null;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    const reader = new RedisReader({
      onArray: () => {},
      onValue: (depth, bytes, start, end) => {
        if (depth === 0) this.#values.push(bytes.toString('utf8', start, end));
      },
      onError: (text) => this.#onFailed?.(new Error(`Redis: ${text}`)),
      onReplyEnd: () => {
        if (this.#values.length === this.#wantedCount) this.#onDone?.();
      },
    });
    socket.on('data', (chunk) => reader.feed(chunk, chunk.length));
    socket.on('error', (error) => this.#onFailed?.(error));
    socket.on('close', () => this.#onFailed?.(new Error('the Redis server closed')));
  }

  static connect(endpoint: Endpoint): Promise<RedisRequestClient> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host: endpoint.host, port: endpoint.port, noDelay: true });
      const client = new RedisRequestClient(socket);
      client.#onFailed = reject;
      socket.once('connect', () => resolve(client));
    });
  }

  async request(commands: readonly string[]): Promise<string[]> {
    const all: string[] = [];
    for (let from = 0; from < commands.length; from += PIPELINE_COUNT)
      all.push(...(await this.#pipeline(commands.slice(from, from + PIPELINE_COUNT))));
    return all;
  }

  close(): void {
    this.#onFailed = null;
    this.#socket.destroy();
  }

  #pipeline(commands: readonly string[]): Promise<string[]> {
    return new Promise((resolve, reject) => {
      this.#values = [];
      this.#wantedCount = commands.length;
      const timer = setTimeout(() => reject(new Error('Redis: no reply')), REQUEST_TIMEOUT_MS);
      this.#onFailed = (error) => {
        clearTimeout(timer);
        reject(error);
      };
      this.#onDone = () => {
        clearTimeout(timer);
        resolve(this.#values);
      };
      this.#socket.write(commands.join(''), 'latin1');
    });
  }
}

export class RedisSetup implements LoadSetup {
  readonly target: BrokerTarget;
  readonly #client: RedisRequestClient;
  readonly #keys: readonly string[];

  private constructor(target: BrokerTarget, client: RedisRequestClient, keys: readonly string[]) {
    this.target = target;
    this.#client = client;
    this.#keys = keys;
  }

  /** Streams are made by the first entry. */
  static async open(endpoint: Endpoint, topic: string, queueCount: number): Promise<RedisSetup> {
    const client = await RedisRequestClient.connect(endpoint);
    const keys = Array.from({ length: queueCount }, (_, queueId) => keyOf(topic, queueId));
    return new RedisSetup({ endpoint, name: 'redis' }, client, keys);
  }

  async maxOffsets(): Promise<number[]> {
    return (await this.#client.request(this.#keys.map((key) => command('XLEN', key)))).map(Number);
  }

  close(): void {
    this.#client.close();
  }
}

/** Gives a topic's memory back. */
export async function dropStreams(
  endpoint: Endpoint,
  topic: string,
  queueCount: number,
): Promise<void> {
  const client = await RedisRequestClient.connect(endpoint);
  try {
    const keys = Array.from({ length: queueCount }, (_, queueId) => keyOf(topic, queueId));
    await client.request(keys.map((key) => command('UNLINK', key)));
  } finally {
    client.close();
  }
}
