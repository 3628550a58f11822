/**
 * Low-rate requests to a NATS server: a stream for a topic, kept in files, and how far it goes.
 */
import net from 'node:net';
import type { Endpoint } from '../load-options.ts';
import type { BrokerTarget, LoadSetup } from '../load-setup.ts';
import { CONNECT, PING, PONG, publish, streamOf, subjectsOf, subscribe } from './nats-frames.ts';
import { NatsReader } from './nats-reader.ts';

const REQUEST_TIMEOUT_MS = 10_000;
const INBOX = '_INBOX.setup';

/** One request at a time. */
export class NatsRequestClient {
  readonly #socket: net.Socket;
  #onAnswer: ((text: string) => void) | null = null;
  #onFailed: ((error: Error) => void) | null = null;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  static async connect(endpoint: Endpoint): Promise<NatsRequestClient> {
    const socket = net.connect({ host: endpoint.host, port: endpoint.port, noDelay: true });
    const client = new NatsRequestClient(socket);
    const ready = new Promise<void>((resolve, reject) => {
      client.#onFailed = reject;
      const reader = new NatsReader({
        onMessage: ({ bytes, headerStart, payloadEnd }) =>
          client.#onAnswer?.(bytes.toString('utf8', headerStart, payloadEnd)),
        onPing: () => socket.write(PONG),
        onPong: () => resolve(),
      });
      socket.on('data', (chunk) => {
        try {
          reader.feed(chunk, chunk.length);
        } catch (error) {
          client.#onFailed?.(error as Error);
        }
      });
      socket.on('error', (error) => client.#onFailed?.(error));
      socket.on('close', () => client.#onFailed?.(new Error('the NATS server closed')));
    });
    socket.write(CONNECT + subscribe(INBOX, 1) + PING);
    await ready;
    return client;
  }

  /** The answer's JSON; throws where it is an error. */
  async request(subject: string, body: object | string = ''): Promise<Record<string, unknown>> {
    const text = await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`NATS: no answer to ${subject}`)),
        REQUEST_TIMEOUT_MS,
      );
      this.#onFailed = (error) => {
        clearTimeout(timer);
        reject(error);
      };
      this.#onAnswer = (answer) => {
        clearTimeout(timer);
        resolve(answer);
      };
      this.#socket.write(
        publish(subject, INBOX, typeof body === 'string' ? body : JSON.stringify(body)),
      );
    });
    if (!text.startsWith('{')) throw new Error(`NATS: ${subject}: ${text.trim()}`);
    const answer = JSON.parse(text) as Record<string, unknown>;
    if (answer['error'] !== undefined)
      throw new Error(`NATS: ${subject}: ${JSON.stringify(answer['error'])}`);
    return answer;
  }

  close(): void {
    this.#onFailed = null;
    this.#socket.destroy();
  }
}

/** A stream in files with one subject for each queue, as the server makes it unless told otherwise. */
export async function createStream(client: NatsRequestClient, topic: string): Promise<void> {
  await client.request(`$JS.API.STREAM.CREATE.${streamOf(topic)}`, {
    name: streamOf(topic),
    subjects: [subjectsOf(topic)],
    storage: 'file',
    retention: 'limits',
    discard: 'old',
    num_replicas: 1,
  });
}

export class NatsSetup implements LoadSetup {
  readonly target: BrokerTarget;
  readonly #client: NatsRequestClient;
  readonly #topic: string;

  private constructor(target: BrokerTarget, client: NatsRequestClient, topic: string) {
    this.target = target;
    this.#client = client;
    this.#topic = topic;
  }

  static async open(endpoint: Endpoint, topic: string): Promise<NatsSetup> {
    const client = await NatsRequestClient.connect(endpoint);
    await createStream(client, topic);
    return new NatsSetup({ endpoint, name: 'nats' }, client, topic);
  }

  /** The stream's last sequence: it is read as one. */
  async maxOffsets(): Promise<number[]> {
    const info = await this.#client.request(`$JS.API.STREAM.INFO.${streamOf(this.#topic)}`);
    return [(info['state'] as { last_seq: number }).last_seq];
  }

  close(): void {
    this.#client.close();
  }
}

/** Deletes a topic's stream with its files. */
export async function dropStream(endpoint: Endpoint, topic: string): Promise<void> {
  const client = await NatsRequestClient.connect(endpoint);
  try {
    await client.request(`$JS.API.STREAM.DELETE.${streamOf(topic)}`);
  } finally {
    client.close();
  }
}
