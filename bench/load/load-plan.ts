/**
 * The parts of a run that its threads get: who sends, who consumes what.
 */
import type { DuePlan } from './due-schedule.ts';
import type {
  ConsumerPlan,
  CounterName,
  Endpoint,
  LoadOptions,
  QueueRange,
} from './load-options.ts';
import type { LoadSetup } from './load-setup.ts';
import type { StageThread } from './load-stage.ts';

export interface Progress {
  readonly stage: string;
  readonly totals: Readonly<Record<CounterName, number>>;
}

export interface Run {
  readonly options: LoadOptions;
  readonly setup: LoadSetup;
  readonly onProgress: (progress: Progress) => void;
  readonly runId: number;
}

export function rangesFrom(offsets: readonly number[]): QueueRange[] {
  return offsets.map((fromOffset, queueId) => ({ queueId, fromOffset, toOffset: Infinity }));
}

export function consumerPlan(run: Run, name: string, queues: readonly QueueRange[]): ConsumerPlan {
  return {
    group: `load-consumer-${run.runId}-${name}`,
    clientId: `127.0.0.1@load-${run.runId}-${name}`,
    queues,
  };
}

/** One group whose members share the queues, as rebalance would deal them. */
export function shareQueues(run: Run, ranges: readonly QueueRange[]): ConsumerPlan[] {
  const count = Math.min(run.options.consumerCount, ranges.length);
  return Array.from({ length: count }, (_, index) => ({
    ...consumerPlan(
      run,
      'shared',
      ranges.filter((range) => range.queueId % count === index),
    ),
    clientId: `127.0.0.1@load-${run.runId}-${index}`,
  }));
}

export function threadsOf(
  run: Run,
  stage: {
    loop: 'closed' | 'paced';
    isStamped: boolean;
    consumers: readonly ConsumerPlan[];
    sendCount: number;
    hasSenders: boolean;
    work?: 'messages' | 'transactions';
    due?: DuePlan;
  },
): StageThread[] {
  const { options, setup, runId } = run;
  const connectionCount = stage.hasSenders ? options.connectionCount : 0;
  const workCount = Math.max(connectionCount, stage.consumers.length);
  const threadCount = Math.max(1, Math.min(options.threadCount, workCount));
  const threads = Array.from({ length: threadCount }, (_, threadIndex): StageThread => {
    const isMine = (_item: unknown, index: number): boolean => index % threadCount === threadIndex;
    const senders = Array.from({ length: connectionCount }, (_, connectionIndex) => ({
      connectionIndex,
    })).filter(isMine);
    return {
      protocol: options.protocol,
      broker: endpointOf(options, setup.target.endpoint),
      brokerName: setup.target.name,
      topic: options.topic,
      queueCount: options.queueCount,
      bodyBytes: options.bodyBytes,
      batchCount: options.batchCount,
      queueOrder: options.queueOrder,
      hasTimeline: options.hasTimeline,
      codec: options.codec,
      filter: options.filter,
      tags: options.tags,
      runId,
      senders,
      loop: stage.loop,
      outstandingCount: options.outstandingCount,
      ratePerSecond: options.ratePerSecond,
      connectionCount,
      idleConnectionCount: 0,
      inFlightCount:
        options.inFlightCount === null
          ? null
          : shareOf(options.inFlightCount, threadIndex, threadCount),
      sendCountMax: shareOf(stage.sendCount, threadIndex, threadCount),
      isStamped: stage.isStamped,
      work: stage.work ?? 'messages',
      due: stage.due ?? null,
      firstNumber: stage.due === undefined ? 0 : firstOf(stage.sendCount, threadIndex, threadCount),
      consumers: stage.consumers.filter(isMine),
    };
  });
  const { idleConnectionCount } = options;
  if (!stage.hasSenders || idleConnectionCount === 0) return threads;
  // A thread of their own, as they are others' machines: its collector has thousands of sockets to look at.
  const none = { senders: [], consumers: [], inFlightCount: null, sendCountMax: 0 };
  return [...threads, { ...threads[0], ...none, idleConnectionCount }];
}

/** Part of a count for one of several; all parts add up to it. */
function shareOf(total: number, index: number, count: number): number {
  if (total === Infinity) return Infinity;
  return firstOf(total, index + 1, count) - firstOf(total, index, count);
}

/** Where that part begins. */
function firstOf(total: number, index: number, count: number): number {
  return Math.floor((total * index) / count);
}

/** Where the generator's connections go; the topic is made by TCP all the same. */
function endpointOf(options: LoadOptions, endpoint: Endpoint): Endpoint {
  return options.webPort === null
    ? endpoint
    : { host: endpoint.host, port: options.webPort, isWeb: true };
}
