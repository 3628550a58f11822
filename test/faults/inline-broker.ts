/**
 * The whole broker without a socket, a thread or a clock of the machine: the reactor and every agent on the
 * caller's thread, on files that a test brings, in a time that stands still until it is moved. A turn is a
 * call, so that thousands of starts after thousands of crashes take place in one process, each the same for
 * the same seed.
 *
 * What stands here is what `startBrokerProcess` does, less ports and threads; rings and pools are smaller.
 */
import { defaultBrokerConfig } from '../../src/base/broker-config.ts';
import { ManualClock, systemMonotonicClock } from '../../src/base/clock.ts';
import { LatencyHistogram } from '../../src/base/latency-histogram.ts';
import { Refusals } from '../../src/base/refusals.ts';
import type { Logger } from '../../src/base/logging.ts';
import { defaultControlConfig } from '../../src/broker/control-config.ts';
import { encodeHost } from '../../src/protocol/record-encoder.ts';
import { AnswerEncoder } from '../../src/reactor/answer-encoder.ts';
import { Reactor } from '../../src/reactor/reactor.ts';
import type { Agent } from '../../src/ring/agent.ts';
import { Doorbell } from '../../src/ring/doorbell.ts';
import { LargeMessagePool } from '../../src/ring/large-message-pool.ts';
import { allocateRings } from '../../src/ring/spsc-ring.ts';
import type { RetentionPolicy } from '../../src/store/retention.ts';
import type { StoreFiles } from '../../src/store/segment.ts';
import { StoreDirectory } from '../../src/store/store-directory.ts';
import { ClosingState, PositionSlot, StorePositions } from '../../src/store/store-positions.ts';
import { makeAgent } from '../../src/workers/message-agents.ts';
import { AgentParts } from '../../src/workers/agent-parts.ts';
import type { AgentSettings } from '../../src/workers/agent-settings.ts';
import type { AgentName, BrokerMemory, Placement } from '../../src/workers/broker-memory.ts';
import { FrameProxy } from '../../src/workers/frame-proxy.ts';
import { Listener } from '../../src/workers/ring-messages.ts';
import { recoverStore } from '../../src/workers/store-recovery.ts';
import type { FaultyFiles } from '../store/faulty-files.ts';
import { InlineClient } from './inline-client.ts';

export const storeRoot = '/store';

/** Liveness and long polls of the broker that has its turn. */
let monotonic = new ManualClock();
// Some agents take the machine's clock by name: in here that is the broker's own.
Object.assign(systemMonotonicClock, { nowMs: () => monotonic.nowMs() });

/** What a planted bug changes, each at a seam that the broker has anyway. */
export interface Mutation {
  files?: (files: StoreFiles) => StoreFiles;
  positions?: (positions: StorePositions) => void;
  settings?: (settings: AgentSettings) => void;
  /** Before agents are made. */
  parts?: (parts: AgentParts, settings: AgentSettings) => void;
  /** Makes an agent otherwise; `make` is the usual way. */
  agent?: (name: AgentName, make: () => Agent, settings: AgentSettings) => Agent;
  checkCrc?: boolean;
  /** Batches of the log are written later. */
  isDeferring?: boolean;
  /** A request as the broker takes it in. */
  frame?: (frame: Buffer) => Buffer;
}

export interface InlineBrokerOptions {
  files: StoreFiles;
  /** Of the calendar; the broker never moves it. */
  wallClock: ManualClock;
  random: () => number;
  logger: Logger;
  flush: 'sync' | 'async';
  segmentBytes: number;
  retention?: Partial<RetentionPolicy>;
  messageIndexEnable?: boolean;
  mutation?: Mutation | undefined;
  /** All batches of the log are written some turns later, as another thread would, to these files. */
  deferred?: FaultyFiles | null;
  /** Agents lag behind others now and then, as on threads of their own; so unless said otherwise. */
  isLagging?: boolean;
}

const placement: Placement = new Map([
  [
    'main',
    ['control', 'worker0', 'writer', 'dispatcher', 'queueWriter', 'flusher', 'preparer', 'reactor'],
  ],
]);

const RING_BYTES = 64 * 1024;
/** A frame of 256 KiB and the record made of it fit. */
const SLOT_BYTES = 320 * 1024;
const SLOT_COUNT = 2;
const ringNames = [
  'reactor→control',
  'reactor→dispatcher',
  'control→reactor',
  'control→dispatcher',
  'control→writer',
  'control→flusher',
  'dispatcher→reactor',
  'dispatcher→control',
  'dispatcher→writer',
  'dispatcher→flusher',
  'dispatcher→queueWriter',
  'writer→reactor',
  'reactor→worker0',
  'worker0→writer',
  'worker0→reactor',
  'worker0→control',
  'control→worker0',
];

/** Memory of brokers that have ended: to allocate and collect it would take longer than their starts. */
const spareMemory: BrokerMemory[] = [];

function takeMemory(): BrokerMemory {
  const spare = spareMemory.pop();
  if (spare !== undefined) {
    const views = [
      spare.positions,
      spare.appendLatency,
      spare.refusals,
      ...Object.values(spare.rings),
      ...Object.values(spare.doorbells),
      ...Object.values(spare.lifecycles),
    ];
    for (const view of views) (view instanceof Uint8Array ? view : new Uint8Array(view)).fill(0);
    for (const { memory } of Object.values(spare.pools)) new Uint8Array(memory, 0, 4096).fill(0);
    return spare;
  }
  const pool = (): BrokerMemory['pools'][string] => ({
    memory: LargeMessagePool.allocate(SLOT_COUNT, SLOT_BYTES),
    slotBytes: SLOT_BYTES,
  });
  return {
    positions: new StorePositions().memory,
    appendLatency: new LatencyHistogram().memory,
    refusals: Refusals.allocate(),
    rings: Object.fromEntries(allocateRings(ringNames.map((name) => [name, RING_BYTES]))),
    kernel: null,
    pools: { reactor: pool(), control: pool(), dispatcher: pool(), worker0: pool() },
    doorbells: { main: Doorbell.allocate() },
    lifecycles: { main: new SharedArrayBuffer(4) },
  };
}

const storeHost = encodeHost('127.0.0.1', 10911);
const { visibleConfig: _visible, ...plainControlConfig } = defaultControlConfig;

function settingsOf(options: InlineBrokerOptions): AgentSettings {
  const config = defaultBrokerConfig();
  return {
    storeRoot,
    storeKind: 'mapped',
    access: null,
    segmentBytes: options.segmentBytes,
    flushesSynchronously: options.flush === 'sync',
    flushIntervalMs: config.flushIntervalMs,
    syncFlushTimeoutMs: config.syncFlushTimeoutMs,
    dropsBehind: false,
    appendsPropertyCrc: false,
    messageIndexEnable: options.messageIndexEnable ?? false,
    longPollingEnable: true,
    bodyBytesMax: config.maxMessageBytes,
    heldPullCountMax: 100_000,
    queueWaitMsMax: config.waitTimeMillsInSendQueue,
    storeHost,
    retention: {
      fileReservedTimeMs: 72 * 3_600_000,
      deleteHours: Array.from({ length: 24 }, (_, hour) => hour),
      diskMaxUsedSpaceRatio: 75,
      diskSpaceCleanForciblyRatio: 85,
      diskSpaceWarningLevelRatio: 90,
      ...options.retention,
    },
    regionId: 'R',
    traceOn: true,
    control: {
      ...plainControlConfig,
      messageDelayLevel: '1s 2s 3s',
      enablePropertyFilter: true,
      // What nobody answers is asked about rarely: the checker decides all halves itself.
      transactionTimeOut: 3_600_000,
    },
    visibleConfig: [],
    brokerId: 0,
    brokerPort: 10911,
    answersRoutes: true,
    orderMessageEnable: false,
    routeBytesMax: config.routeBytesMax,
    advertisedAddress: '127.0.0.1:10911',
    registersOutside: false,
    recoveredQueues: [],
    workerCount: 1,
  };
}

/** Turns without any work after which nothing is going on. */
const QUIET_TURNS = 2;
const TURNS_MAX = 10_000;
/** Agents that would look again sooner wait for so long. */
const STEP_MS_MIN = 20;
const LAG_CHANCE = 0.1;
const LAG_TURNS_MAX = 10;
/** In each turn, of the flusher alone: it waits for a disk where others do not. */
const SYNC_LAG_CHANCE = 0.2;
/** In each turn, of a write that another thread has been given. */
const DEFERRED_WRITE_CHANCE = 0.3;

export class InlineBroker {
  readonly positions: StorePositions;
  readonly wallClock: ManualClock;
  readonly #monotonic = new ManualClock(1000);
  readonly #agents: Agent[] = [];
  readonly #reactor: Reactor;
  readonly #parts: AgentParts;
  readonly #directory: StoreDirectory;
  readonly #memory: BrokerMemory;
  readonly #mutation: Mutation;
  #clients: InlineClient[] = [];
  #hasEnded = false;
  readonly #random: () => number;
  readonly #isLagging: boolean;
  readonly #deferred: FaultyFiles | null;
  #lagging = 0;
  #lagTurns = 0;
  #syncLagTurns = 0;

  /** Recovers the store and starts; throws what a real start would end with. */
  constructor(options: InlineBrokerOptions) {
    const { wallClock, random, logger, mutation = {} } = options;
    const files = mutation.files?.(options.files) ?? options.files;
    this.wallClock = wallClock;
    this.#mutation = mutation;
    this.#random = random;
    this.#isLagging = options.isLagging ?? true;
    this.#deferred = options.deferred ?? null;
    monotonic = this.#monotonic;
    const directory = new StoreDirectory(files, storeRoot);
    this.#directory = directory;
    for (const one of [storeRoot, directory.commitLog, directory.consumeQueue, directory.config])
      files.makeDirectory(one);
    this.#memory = takeMemory();
    const settings = settingsOf(options);
    mutation.settings?.(settings);
    const context = {
      thread: 'main',
      placement,
      memory: this.#memory,
      settings,
      logger,
      wallClock,
      random,
      advanceClock: null,
      deferral: this.#deferred === null ? null : { bytesMin: 0, wake: () => {} },
      wakeMain: () => {},
    };
    const parts = new AgentParts(context, files);
    this.#parts = parts;
    this.positions = parts.positions;
    mutation.positions?.(parts.positions);
    const { derived, queues } = recoverStore({
      files,
      directory,
      positions: parts.positions,
      segmentBytes: options.segmentBytes,
      checkCrc: mutation.checkCrc ?? true,
      checkPropertyCrc: false,
      messageIndexEnable: settings.messageIndexEnable,
      messageDelayLevel: settings.control.messageDelayLevel,
      wallClock,
      logger,
    });
    settings.recoveredQueues = queues;
    directory.markRunning();
    parts.derived = derived;
    mutation.parts?.(parts, settings);
    this.#reactor = new Reactor({
      inbound: ['writer→reactor', 'dispatcher→reactor', 'control→reactor', 'worker0→reactor'].map(
        (name) => parts.consumer(name),
      ),
      toWorkers: [new FrameProxy(parts.producer('reactor→worker0'), parts.pool('reactor'))],
      toControl: new FrameProxy(parts.producer('reactor→control'), parts.pool('reactor')),
      toDispatcher: new FrameProxy(parts.producer('reactor→dispatcher'), parts.pool('reactor')),
      segments: parts.segments,
      positions: parts.positions,
      answerKernel: null,
      readBuffer: Buffer.allocUnsafeSlow(64 * 1024),
      encoder: new AnswerEncoder(storeHost, settings.regionId, settings.traceOn),
      logger,
      refusals: parts.refusals,
      schedule: () => {},
      nowMs: () => this.#monotonic.nowMs(),
      connectionCountMax: 1000,
      waitingAnswerBytesMax: 256 * 1024 * 1024,
      waitingRequestBytesMax: 256 * 1024 * 1024,
      idleCloseMs: 120_000,
      onTopicsChanged: () => {},
      gate: null,
    });
    for (const name of placement.get('main') ?? []) {
      const make = (): Agent => (name === 'reactor' ? this.#reactor : makeAgent(parts, name));
      this.#agents.push(mutation.agent?.(name, make, settings) ?? make());
    }
    this.settle();
    if (this.positions.load(PositionSlot.RECOVERY_TOLD) !== 1)
      throw new Error('the broker did not become ready');
  }

  connect(): InlineClient {
    const client = new InlineClient(this.#reactor, Listener.BROKER, this.#mutation.frame);
    this.#clients.push(client);
    return client;
  }

  /**
   * One turn of every agent; returns the work done, or 1 where one was left out. Now and then an agent lags
   * for some turns, as one on a thread of its own may.
   */
  turn(): number {
    let work = 0;
    monotonic = this.#monotonic;
    if (this.#lagTurns > 0) this.#lagTurns--;
    else if (this.#isLagging && this.#random() < LAG_CHANCE) {
      this.#lagTurns = 1 + Math.floor(this.#random() * LAG_TURNS_MAX);
      this.#lagging = Math.floor(this.#random() * this.#agents.length);
    }
    if (this.#syncLagTurns > 0) this.#syncLagTurns--;
    else if (this.#isLagging && this.#random() < SYNC_LAG_CHANCE)
      this.#syncLagTurns = 1 + Math.floor(this.#random() * LAG_TURNS_MAX);
    for (const agent of this.#agents) agent.beginTurns?.();
    for (const [index, agent] of this.#agents.entries()) {
      const isLagging = this.#lagTurns > 0 && index === this.#lagging;
      const isSyncing = this.#syncLagTurns > 0 && agent.name === 'flusher';
      if (isLagging || isSyncing) work++;
      else work += agent.doWork(monotonic.nowMs());
    }
    for (const agent of this.#agents) agent.endTurns?.();
    for (const client of this.#clients) work += client.deliver();
    if (this.#deferred?.hasDeferredWrite === true) {
      work++;
      if (this.#random() < DEFERRED_WRITE_CHANCE) this.#deferred.makeDeferredWrite();
    }
    return work;
  }

  /** Turns until nothing is going on at this time. */
  settle(): void {
    let quiet = 0;
    for (let turns = 0; quiet < QUIET_TURNS; turns++) {
      if (turns > TURNS_MAX) throw new Error('the broker does not come to rest');
      quiet = this.turn() === 0 ? quiet + 1 : 0;
    }
  }

  /** What is going on comes to rest; then both clocks go on, from one time that an agent waits for to the next. */
  advance(ms: number): void {
    this.settle();
    const endMs = this.#monotonic.nowMs() + ms;
    for (;;) {
      const nowMs = this.#monotonic.nowMs();
      if (nowMs >= endMs) return;
      let nextMs = endMs;
      for (const agent of this.#agents) nextMs = Math.min(nextMs, agent.nextDeadlineMs());
      const stepMs = Math.min(endMs - nowMs, Math.max(STEP_MS_MIN, Math.ceil(nextMs - nowMs)));
      this.#monotonic.advance(stepMs);
      this.wallClock.advance(stepMs);
      this.settle();
    }
  }

  /** Time goes by in the middle of a call that takes so long. */
  stall(ms: number): void {
    this.#monotonic.advance(ms);
    this.wallClock.advance(ms);
  }

  /** Stops in order, with everything on the disk. */
  close(): void {
    monotonic = this.#monotonic;
    this.#reactor.stopReading();
    this.settle();
    for (const agent of this.#agents) agent.prepareClose?.();
    this.settle();
    for (const agent of this.#agents) agent.close();
    this.#parts.close();
    const isWhole = this.positions.load(PositionSlot.DERIVED_CLOSING) === ClosingState.WHOLE;
    if (isWhole && this.positions.load(PositionSlot.FILES_CLOSED) === 1)
      this.#directory.markClean();
    this.#end();
  }

  /** The process is gone: no agent runs again. */
  kill(): void {
    this.#end();
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#clients = [];
    spareMemory.push(this.#memory);
  }
}
