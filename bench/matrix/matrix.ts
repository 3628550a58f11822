/**
 * The workloads: one base point, 8 connections with 16 sends of 128 bytes in flight to 8 queues, and each
 * parameter varied in turn.
 *
 * A broker process gets its workloads in the order of this list: sends at the highest rate first, which
 * also warm compilers up, then those that look at latency; those that leave much to be written to the
 * disk come last.
 */
import type { Flush } from '../load/contender-process.ts';
import { defaultOptions, type LoadOptions } from '../load/load-options.ts';
import type { SystemKey } from './systems.ts';

export interface MatrixWorkload {
  readonly name: string;
  /** What `--workloads` chooses by, as well as by the name. */
  readonly group:
    | 'sends'
    | 'bodies'
    | 'headers'
    | 'paced'
    | 'sync'
    | 'backlog'
    | 'queues'
    | 'connections';
  /** Each flush has a broker process of its own. */
  readonly flush: Flush;
  /** Others leave the cell empty. */
  readonly systems: ReadonlySet<SystemKey>;
  /** Part of `--quick`. */
  readonly isQuick: boolean;
  /** Fills the topic first; not measured. */
  readonly fill: LoadOptions | null;
  /** The broker is stopped, its files leave the page cache, and it is started again before this. */
  readonly isCold: boolean;
  readonly load: LoadOptions;
  /** No later workload reads the topic. */
  readonly isLastOfTopic: boolean;
}

export interface Durations {
  /** Sends before the first workload of a broker process, which no figure holds: compilers warm up. */
  readonly heatSeconds: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
  /** For 512 MiB of log, within which Millrace makes the files of all queues. */
  readonly manyQueuesWarmupSeconds: number;
  /** Who runs the rows whose bars hold a system against itself. */
  readonly ownRatioSystems: ReadonlySet<SystemKey>;
  readonly backlogMessageCount: number;
}

const everyone = new Set<SystemKey>(['millrace', 'pipelined', 'apache', 'nats', 'redis']);
const withoutPipelined = new Set<SystemKey>(['millrace', 'apache', 'nats', 'redis']);
/** What only this protocol has: header serializations, batches as one request. */
const rocketmqOnly = new Set<SystemKey>(['millrace', 'apache']);
/** Redis has everything in memory once it has started. */
const withFiles = new Set<SystemKey>(['millrace', 'apache', 'nats']);

export const standardDurations: Durations = {
  heatSeconds: 10,
  warmupSeconds: 1,
  seconds: 2.5,
  manyQueuesWarmupSeconds: 20,
  ownRatioSystems: withoutPipelined,
  backlogMessageCount: 600_000,
};
export const quickDurations: Durations = {
  heatSeconds: 4,
  warmupSeconds: 0.5,
  seconds: 1.5,
  manyQueuesWarmupSeconds: 15,
  ownRatioSystems: rocketmqOnly,
  backlogMessageCount: 200_000,
};

/** Consumers of the row with several; each reads all. */
const READER_COUNT = 16;

type Row = Pick<MatrixWorkload, 'name' | 'group'> &
  Partial<Omit<MatrixWorkload, 'load'>> & { load: Partial<LoadOptions> };

export function matrixOf(durations: Durations): MatrixWorkload[] {
  const { warmupSeconds, seconds } = durations;
  const base: LoadOptions = { ...defaultOptions, warmupSeconds, seconds };
  const rows = [
    ...sendRows(),
    ...pacedRows(durations),
    ...backlogRows(durations),
    ...connectionRows(durations),
    ...bodyRows(),
    ...coldRows(),
    ...queueRows(durations),
    ...syncRows(),
  ];
  return rows.map((row) => complete(row, base));
}

function complete(row: Row, base: LoadOptions): MatrixWorkload {
  const load = { ...base, ...row.load };
  // A topic of its own, so that no workload finds the queues of another.
  const topic = load.topic === base.topic ? topicOf(row.name) : load.topic;
  return {
    flush: 'async',
    systems: withoutPipelined,
    isQuick: false,
    isCold: false,
    isLastOfTopic: true,
    ...row,
    fill: row.fill === undefined || row.fill === null ? null : { ...row.fill, topic },
    load: { ...load, topic },
  };
}

const topicOf = (name: string): string => `Load-${name.replaceAll(/[^A-Za-z0-9]+/g, '-')}`;

function sendRows(): Row[] {
  const row = (connectionCount: number, outstandingCount: number, more: Partial<Row>): Row => ({
    name: `send ${connectionCount}x${outstandingCount}`,
    group: 'sends',
    isQuick: true,
    load: { connectionCount, outstandingCount },
    ...more,
  });
  return [
    row(8, 1, { systems: everyone }),
    row(8, 16, { systems: everyone }),
    row(8, 128, { systems: everyone }),
    row(64, 16, { isQuick: false }),
    {
      name: 'send 8x16, binary headers',
      group: 'headers',
      systems: rocketmqOnly,
      load: { codec: 'rocketmq' },
    },
    {
      name: 'send 8x16, batches of 32',
      group: 'headers',
      systems: rocketmqOnly,
      load: { batchCount: 32 },
    },
  ];
}

/** Nothing before has pulled: compilers, of brokers and generator, must have done with that code. */
const PACED_WARMUP_SECONDS = 2;

const PACED_BAR_RATE = 20_000;
/** Of the row that bars are about: in a window of 1.5 s a single pause of 1.5 ms, whoever makes it, is the p99.9. */
const PACED_BAR_SECONDS = 5;

function pacedRows({ seconds }: Durations): Row[] {
  return [2000, 10_000, PACED_BAR_RATE, 50_000].map((ratePerSecond) => {
    const hasBar = ratePerSecond === PACED_BAR_RATE;
    return {
      name: `paced ${ratePerSecond.toLocaleString('en-US')}/s`,
      group: 'paced',
      isQuick: hasBar,
      systems: hasBar ? everyone : withoutPipelined,
      load: {
        mode: 'end-to-end',
        ratePerSecond,
        warmupSeconds: PACED_WARMUP_SECONDS,
        seconds: hasBar ? Math.max(seconds, PACED_BAR_SECONDS) : seconds,
      },
    };
  });
}

/** 64 KiB are the base's 16 in flight; of 1 MiB fewer, since a server may not take 128 MiB at once. */
function bodyRows(): Row[] {
  const row = (name: string, bodyBytes: number, more: Partial<LoadOptions> = {}): Row => ({
    name,
    group: 'bodies',
    isQuick: bodyBytes === 64 * 1024,
    load: { bodyBytes, ...more },
  });
  return [
    row('send 8x16, 1 KiB', 1024),
    row('send 8x16, 64 KiB', 64 * 1024),
    row('send 8x4, 1 MiB', 1024 * 1024, { outstandingCount: 4 }),
  ];
}

function syncRows(): Row[] {
  return [16, 128].map((outstandingCount) => ({
    name: `sync flush 8x${outstandingCount}`,
    group: 'sync',
    flush: 'sync',
    isQuick: true,
    systems: everyone,
    load: { outstandingCount },
  }));
}

const MANY_QUEUES = 50_000;

function queueRows({ manyQueuesWarmupSeconds, ownRatioSystems }: Durations): Row[] {
  return [1, 1000, MANY_QUEUES].map((queueCount) => {
    const hasBar = queueCount === MANY_QUEUES;
    return {
      name: `send 8x16, ${queueCount.toLocaleString('en-US')} ${queueCount === 1 ? 'queue' : 'queues'}`,
      group: 'queues',
      isQuick: hasBar,
      systems: hasBar ? ownRatioSystems : withoutPipelined,
      // Their files are made within these seconds: what a send costs from then on is asked.
      load: { queueCount, ...(hasBar ? { warmupSeconds: manyQueuesWarmupSeconds } : {}) },
    };
  });
}

/** Sends in flight over all connections of these rows. */
const SHARED_IN_FLIGHT = 1000;

function connectionRows({ ownRatioSystems }: Durations): Row[] {
  return [
    ...[10, 1000, 10_000].map<Row>((connectionCount) => ({
      name: `${connectionCount.toLocaleString('en-US')} connections in turn`,
      group: 'connections',
      isQuick: false,
      load: {
        connectionCount,
        inFlightCount: SHARED_IN_FLIGHT,
        outstandingCount: Math.max(2, (2 * SHARED_IN_FLIGHT) / connectionCount),
      },
    })),
    {
      name: 'send 8x16 beside 10,000 idle',
      group: 'connections',
      isQuick: true,
      systems: ownRatioSystems,
      load: { idleConnectionCount: 9992 },
    },
  ];
}

const orders = [
  { text: 'interleaved', queueOrder: 'in-turn' },
  { text: 'contiguous', queueOrder: 'by-queue' },
] as const;

function backlogRows({ backlogMessageCount }: Durations): Row[] {
  const rows = orders.flatMap(({ text, queueOrder }) => {
    const fill = (messageCount: number): LoadOptions => ({
      ...defaultOptions,
      mode: 'fill',
      queueOrder,
      outstandingCount: 64,
      messageCount,
    });
    const isFirst = queueOrder === 'in-turn';
    return [
      {
        name: `backlog ${text}, 1 consumer`,
        group: 'backlog',
        isQuick: isFirst,
        isLastOfTopic: false,
        systems: isFirst ? everyone : withoutPipelined,
        fill: fill(backlogMessageCount),
        load: { mode: 'read', topic: `Load-backlog-${text}` },
      },
      {
        name: `backlog ${text}, ${READER_COUNT} consumers`,
        group: 'backlog',
        fill: fill(backlogMessageCount / 10),
        load: { mode: 'read', consumerCount: READER_COUNT, readingCount: 1 },
      },
    ] satisfies Row[];
  });
  const ofTag: Row = {
    name: 'backlog interleaved, 1 consumer of a tag',
    group: 'backlog',
    isLastOfTopic: false,
    systems: rocketmqOnly,
    load: { mode: 'read', tags: 'TagA', topic: 'Load-backlog-interleaved' },
  };
  return [...rows, ofTag];
}

/** Reads once more what `backlogRows` left; by then the broker has written much else. */
function coldRows(): Row[] {
  return orders.map(({ text }) => ({
    name: `backlog ${text}, cold`,
    group: 'backlog',
    isCold: true,
    systems: withFiles,
    load: { mode: 'read', readingCount: 1, topic: `Load-backlog-${text}` },
  }));
}
