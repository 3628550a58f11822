/**
 * @agent any
 *
 * What producers, consumers and admins stand on, and how it is put together.
 *
 * ```
 *  Producer  Consumer  Admin          what a program calls
 *      └────────┼────────┘
 *           ClientCore                routes of topics, heartbeats, answers as ClientErrors
 *               │
 *        RemotingConnection           one per address: requests in flight, time limits, one write a turn
 *               │
 *           Transport                 TCP (node:net), or WebSocket: bytes in, bytes out
 * ```
 * Nothing from here up imports Node: index.ts brings in TCP, browser.ts WebSocket alone.
 */
import type { MessageQueue } from './message.ts';

/** One connection's bytes. Frames may be split and joined at will on the way. */
export interface ByteStream {
  /** Takes the bytes at once; the caller may not change them afterwards. */
  write(bytes: Uint8Array): void;
  /** Bytes taken by `write` and not yet by the network. */
  readonly bufferedBytes: number;
  close(): void;
}

export interface ByteStreamEvents {
  /** The chunk is the receiver's. */
  onData(chunk: Uint8Array): void;
  /** Once, whoever closed it. */
  onClose(reason: string): void;
}

export interface Transport {
  /** `address` is `host:port`, or a ws: or wss: URL. @throws ClientError CONNECTION_FAILED, INVALID_ARGUMENT */
  open(address: string, events: ByteStreamEvents, timeoutMs: number): Promise<ByteStream>;
}

export interface CoreRequest {
  readonly code: number;
  readonly fields?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: Uint8Array;
  /** Connection, request and answer together; 3000 unless said. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** A pull that the broker may hold: no work that a test would wait for. */
  readonly mayBeHeld?: boolean;
}

export interface CoreAnswer {
  readonly code: number;
  readonly remark: string | null;
  readonly fields: ReadonlyMap<string, string>;
  /** May be kept. */
  readonly body: Uint8Array;
  /** Version of the server's protocol. */
  readonly version: number;
}

export interface TopicRoute {
  readonly topic: string;
  /** Brokers that have the topic, by name; `masterAddress` is null where only a slave is there. */
  readonly brokers: ReadonlyMap<
    string,
    { readonly masterAddress: string | null; readonly addresses: readonly string[] }
  >;
  /** Queues that may be sent to, and read from, in the order of broker name and queue. */
  readonly writeQueues: readonly MessageQueue[];
  readonly readQueues: readonly MessageQueue[];
}

/** What a broker asks of a client: 39, 40, 220, 221, 307, 309. Its answer, or null for none. */
export type BrokerRequestHandler = (
  request: {
    readonly code: number;
    readonly fields: ReadonlyMap<string, string>;
    readonly body: Uint8Array;
  },
  brokerAddress: string,
) => Promise<{ code: number; remark?: string; body?: Uint8Array } | null>;

/** A member of a consumer group, as heartbeats tell of it; protocol names of HeartbeatData. */
export interface ConsumerData {
  readonly groupName: string;
  readonly consumeType: 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY';
  readonly messageModel: 'CLUSTERING' | 'BROADCASTING';
  readonly consumeFromWhere:
    | 'CONSUME_FROM_LAST_OFFSET'
    | 'CONSUME_FROM_FIRST_OFFSET'
    | 'CONSUME_FROM_TIMESTAMP';
  readonly subscriptionDataSet: readonly SubscriptionData[];
}

export interface SubscriptionData {
  readonly topic: string;
  readonly subString: string;
  readonly expressionType: 'TAG' | 'SQL92';
  readonly tagsSet: readonly string[];
  readonly codeSet: readonly number[];
  readonly subVersion: number;
}

/**
 * The connections of one client to name servers and brokers. Producer, Consumer and Admin each own one.
 * Every method that asks throws ClientError and nothing else.
 */
export interface ClientCore {
  /** `ip@pid#number`: what brokers know this client by. */
  readonly clientId: string;
  /** Of the cache while it is fresh (30 s); `fresh` asks anew. @throws ClientError TOPIC_NOT_FOUND … */
  route(topic: string, options?: { fresh?: boolean; signal?: AbortSignal }): Promise<TopicRoute>;
  /** Called when the route of a topic that was asked for has changed. */
  onRouteChanged(listener: (route: TopicRoute) => void): void;
  /** Any name server, another one where it fails. The answer whatever its code. */
  askNameServer(request: CoreRequest): Promise<CoreAnswer>;
  /** Every name server. @throws the first failure */
  askAllNameServers(request: CoreRequest): Promise<CoreAnswer[]>;
  /** The broker at this address. The answer whatever its code. */
  ask(address: string, request: CoreRequest): Promise<CoreAnswer>;
  /** Said once, without an answer. */
  tell(address: string, request: CoreRequest): Promise<void>;
  /** Master of a broker name, from the routes that are known. @throws ClientError CONNECTION_FAILED */
  masterAddress(brokerName: string): string;
  /** Serves one code that brokers ask. */
  onBrokerRequest(code: number, handler: BrokerRequestHandler): void;
  /** From now on told with each heartbeat (30 s, and at once). Null ends it, after UNREGISTER (35). */
  setProducerGroup(group: string | null): Promise<void>;
  setConsumer(data: ConsumerData | null): Promise<void>;
  /** Heartbeats to all brokers of the known routes now, done when they have answered or failed. */
  heartbeat(): Promise<void>;
  /** A connection to a broker was lost. */
  onDisconnected(listener: (address: string) => void): void;
  readonly isClosed: boolean;
  close(): Promise<void>;
}

/** The ClientError that an answer other than success stands for; `what` begins its message. */
export type AnswerError = (answer: CoreAnswer, what: string) => Error;
