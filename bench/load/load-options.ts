/**
 * What one run of the load generator does, and the part of it that each of its threads gets.
 */

import type { DuePlan } from './due-schedule.ts';

export type LoadMode =
  | 'send'
  | 'paced'
  | 'end-to-end'
  | 'backlog'
  | 'fill'
  | 'read'
  | 'timed'
  | 'transactions'
  | 'waiting';
export type Codec = 'json' | 'rocketmq';
/** What the server speaks; all but `rocketmq` only send, pull and nothing else. */
export type Protocol = 'rocketmq' | 'nats' | 'redis';
/** `in-turn`: one queue after another. `by-queue`: all messages of a queue, then all of the next. */
export type QueueOrder = 'in-turn' | 'by-queue';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** Frames travel in WebSocket messages. */
  readonly isWeb: boolean;
}

export interface LoadOptions {
  readonly mode: LoadMode;
  readonly protocol: Protocol;
  /** The broker. Null: the first one that the name server knows. */
  readonly address: string | null;
  readonly nameServer: string | null;
  /** Port for WebSockets of the broker's host, for all sends and pulls; null: TCP. */
  readonly webPort: number | null;
  readonly topic: string;
  readonly queueCount: number;
  /** Connections that send. */
  readonly connectionCount: number;
  /** Sends, or transactions, in flight on each connection (all but paced and end-to-end). */
  readonly outstandingCount: number;
  /** Connections that are open beside them, and silent. */
  readonly idleConnectionCount: number;
  /**
   * Sends in flight over all connections, which take turns; null: each has its own `outstandingCount`.
   * For counts of connections to be compared at the same load.
   */
  readonly inFlightCount: number | null;
  readonly bodyBytes: number;
  /** Messages in one request; above 1 only where the protocol has batches. */
  readonly batchCount: number;
  /** `by-queue` only where a count of messages is sent (backlog, fill). */
  readonly queueOrder: QueueOrder;
  /** Times that all is read; the last is measured (backlog, read). */
  readonly readingCount: number;
  /** Keep a maximum of latencies for each TIMELINE_STEP_MS of the window. */
  readonly hasTimeline: boolean;
  readonly warmupSeconds: number;
  readonly seconds: number;
  readonly codec: Codec;
  /** SQL92 expression of the consumers, which every message matches; null: all tags. */
  readonly filter: string | null;
  /** Tags of the consumers as they subscribe to them; every message has TagA. */
  readonly tags: string;
  /** Messages a second over all connections (paced and end-to-end). */
  readonly ratePerSecond: number;
  /** Connections that pull; in backlog each is a group of its own and reads everything. */
  readonly consumerCount: number;
  /** Messages to send and read (backlog, timed), or only to send (waiting). */
  readonly messageCount: number;
  /** From the first send to the first moment that a message is due (timed). */
  readonly leadSeconds: number;
  /** Span over which messages are due (timed). */
  readonly dueSeconds: number;
  /** Messages are due after a day at the earliest and this at the latest (waiting). */
  readonly dueDays: number;
  /** How long a message that must come is waited for after its time (timed, transactions). */
  readonly lateSeconds: number;
  /** How long the broker may take to ask for undecided transactions (transactions). */
  readonly checkWaitSeconds: number;
  readonly threadCount: number;
  /** Process to charge CPU and memory to. Null: neither is reported. */
  readonly brokerPid: number | null;
}

export const defaultOptions: LoadOptions = {
  mode: 'send',
  protocol: 'rocketmq',
  address: null,
  nameServer: null,
  webPort: null,
  topic: 'LoadTopic',
  queueCount: 8,
  connectionCount: 8,
  outstandingCount: 16,
  idleConnectionCount: 0,
  inFlightCount: null,
  bodyBytes: 128,
  batchCount: 1,
  queueOrder: 'in-turn',
  readingCount: 2,
  hasTimeline: false,
  warmupSeconds: 3,
  seconds: 10,
  codec: 'json',
  filter: null,
  tags: '*',
  ratePerSecond: 20_000,
  consumerCount: 1,
  messageCount: 1_000_000,
  leadSeconds: 60,
  dueSeconds: 50,
  dueDays: 40,
  lateSeconds: 20,
  checkWaitSeconds: 45,
  threadCount: 1,
  brokerPid: null,
};

/** A span of the clock of `steadyNowMs`, which all threads of a process share. */
export interface Window {
  readonly startMs: number;
  /** Only what falls into [measureFromMs, measureToMs) is measured. */
  readonly measureFromMs: number;
  /** Nothing new is sent from here on; answers are awaited for DRAIN_MS more. */
  readonly measureToMs: number;
}

export const TIMELINE_STEP_MS = 100;

/** How long answers and messages are awaited after the last send. */
export const DRAIN_MS = 10_000;

export interface SenderPlan {
  /** Number of this connection in the whole run; makes its unique keys its own. */
  readonly connectionIndex: number;
}

export interface QueueRange {
  readonly queueId: number;
  readonly fromOffset: number;
  /** Exclusive; Infinity reads until the run ends. */
  readonly toOffset: number;
}

export interface ConsumerPlan {
  readonly group: string;
  readonly clientId: string;
  readonly queues: readonly QueueRange[];
}

/** What a thread is started with; structured-cloned. */
export interface ThreadPlan {
  readonly threadIndex: number;
  readonly protocol: Protocol;
  readonly broker: Endpoint;
  readonly brokerName: string;
  readonly topic: string;
  readonly queueCount: number;
  readonly bodyBytes: number;
  readonly batchCount: number;
  readonly queueOrder: QueueOrder;
  readonly hasTimeline: boolean;
  readonly codec: Codec;
  readonly filter: string | null;
  readonly tags: string;
  /** Tells the messages of this run from those of others. */
  readonly runId: number;
  readonly senders: readonly SenderPlan[];
  /** `closed`: an answer lets the next send go. `paced`: a schedule does. */
  readonly loop: 'closed' | 'paced';
  readonly outstandingCount: number;
  /**
   * Of the whole run (paced). Every thread walks the whole schedule and sends what falls to its own
   * connections: message n goes over connection n modulo `connectionCount`.
   */
  readonly ratePerSecond: number;
  readonly connectionCount: number;
  /** Of this thread. */
  readonly idleConnectionCount: number;
  /** Of this thread, over all its connections in turn; null: `outstandingCount` on each. */
  readonly inFlightCount: number | null;
  /** Sends of this thread alone; Infinity: until the window ends. */
  readonly sendCountMax: number;
  /** Bodies carry the intended send time, and consumers measure from it. */
  readonly isStamped: boolean;
  /** What senders send: messages, or transactions in a closed loop. */
  readonly work: 'messages' | 'transactions';
  /** Messages are for a time, which bodies carry, and consumers measure from it. */
  readonly due: DuePlan | null;
  /** Number of the first timed message of this thread. */
  readonly firstNumber: number;
  readonly consumers: readonly ConsumerPlan[];
  /** One Float64 for each of `counterNames`; this thread alone writes them. */
  readonly counters: SharedArrayBuffer;
  /** Int32 per thread: 1 while a tick waits to be handled. */
  readonly tickFlags: SharedArrayBuffer;
}

/** Totals of a thread since its start, readable from the main thread while it runs. */
export const counterNames = [
  'sentCount',
  'answeredCount',
  'errorCount',
  'receivedCount',
  /** Transactions left undecided, and those of them that the broker has asked for. */
  'unknownCount',
  'checkedCount',
  /** 1 when nothing will be sent any more. */
  'isSendingDone',
] as const;
export type CounterName = (typeof counterNames)[number];
export const counterIndex = Object.fromEntries(
  counterNames.map((name, index) => [name, index]),
) as Readonly<Record<CounterName, number>>;

/** An answer with a code other than 0, counted by code. */
export interface ErrorCount {
  readonly code: number;
  readonly count: number;
  /** Of the first such answer. */
  readonly remark: string;
}

/** What a thread hands back. Histograms are compressed HDR histograms in base64. */
export interface ThreadResult {
  /** Successful sends in the window. */
  readonly answeredInWindow: number;
  /** Messages received that were meant to be sent in the window. */
  readonly receivedInWindow: number;
  /** Sends meant for the window (paced). */
  readonly intendedInWindow: number;
  /** Sends without an answer when the drain ended. */
  readonly unansweredCount: number;
  readonly errors: readonly ErrorCount[];
  readonly sendLatency: string;
  readonly receiveLatency: string;
  /** Timed messages received before their time, and by how much at most. */
  readonly earlyCount: number;
  readonly earliestMs: number;
  /** Timed messages received again. */
  readonly duplicateCount: number;
  /** Transactions whose commit was acknowledged, and checks of decided or already checked ones. */
  readonly committedCount: number;
  readonly strayCheckCount: number;
  /** Highest latency in ms of a send, by TIMELINE_STEP_MS of the window; empty unless asked for. */
  readonly timeline: readonly number[];
  /** How late the generator itself was with its schedule (paced). */
  readonly lateness: string;
  readonly isRealTime: boolean;
  /** CPU of this thread in the window, of one core. */
  readonly coreShare: number;
  /** When the last message arrived or the last answer came, on the shared clock. */
  readonly lastEventMs: number;
}

/** Main to thread: begin, and report. */
export type MainMessage =
  | { readonly kind: 'begin'; readonly window: Window }
  | { readonly kind: 'finish' };

/** Thread to main. */
export type ThreadMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly result: ThreadResult }
  | { readonly kind: 'failed'; readonly reason: string };
