/**
 * @agent any
 *
 * Makes agents on the thread that will run them, from the shared memory and the settings alone: the
 * same code whatever the placement.
 */
import os from 'node:os';
import { accessTables } from '../access/access-tables.ts';
import { systemMonotonicClock, type WallClock } from '../base/clock.ts';
import { LatencyHistogram } from '../base/latency-histogram.ts';
import type { Logger } from '../base/logging.ts';
import { Refusals } from '../base/refusals.ts';
import { BrokerControl } from '../broker/broker-control.ts';
import { DelayDelivery } from '../broker/delay-delivery.ts';
import { DelayLevels } from '../broker/delay-level.ts';
import { SystemTopic } from '../broker/resource-name.ts';
import { NameServer } from '../nameserver/name-server.ts';
import type { Agent } from '../ring/agent.ts';
import { Doorbell } from '../ring/doorbell.ts';
import { LargeMessagePool } from '../ring/large-message-pool.ts';
import { QueuedProducer } from '../ring/queued-producer.ts';
import { type RingMemory, SpscRingConsumer, SpscRingProducer } from '../ring/spsc-ring.ts';
import { Checkpoint } from '../store/checkpoint.ts';
import { CommitLogSegments } from '../store/commit-log-segments.ts';
import { ConsumeQueueUnits } from '../store/consume-queue-units.ts';
import { createMappedFiles } from '../store/mapped-files.ts';
import { readMetadata } from '../store/metadata-file.ts';
import { createPlainFiles } from '../store/plain-files.ts';
import type { StoreFiles } from '../store/segment.ts';
import { StoreDirectory } from '../store/store-directory.ts';
import { PositionSlot, StorePositions } from '../store/store-positions.ts';
import type { AgentSettings } from './agent-settings.ts';
import { AppendProxy } from './append-proxy.ts';
import type { AgentName, BrokerMemory, Placement } from './broker-memory.ts';
import { CommitLogWriter } from './commit-log-writer.ts';
import { Control } from './control.ts';
import { Dispatcher } from './dispatcher.ts';
import { DispatcherMetrics } from './dispatcher-metrics.ts';
import { Flusher } from './flusher.ts';
import { QueueWriter } from './queue-writer.ts';
import { FrameProxy } from './frame-proxy.ts';
import { dispatchKernelOf, sendKernelOf } from './kernels.ts';
import { LogRetention } from './log-retention.ts';
import { Preparer } from './preparer.ts';
import { PullService } from './pull-service.ts';
import { PullCommitReader, PullCommits } from './pull-commits.ts';
import { QueueOffsets } from './queue-offsets.ts';
import { BrokerStatistics } from './broker-statistics.ts';
import { GroupQueries } from './group-queries.ts';
import { OffsetResets } from './offset-resets.ts';
import { QuestionDesk } from './question-desk.ts';
import { QueueQueries } from './queue-queries.ts';
import { ReactorProxy } from './reactor-proxy.ts';
import { RecordMover } from './record-mover.ts';
import { RecordDispatcher } from './record-dispatcher.ts';
import { RequestWorker } from './request-worker.ts';
import { storeInfo } from './store-info.ts';
import type { DerivedFiles } from './store-recovery.ts';
import { TimerService } from './timer-service.ts';
import { TopicStates } from './topic-state.ts';
import { transactionOffsets, TransactionService } from './transaction-service.ts';

export type { AgentSettings };

/** What a thread needs to make its agents. */
export interface ThreadContext {
  thread: string;
  placement: Placement;
  memory: BrokerMemory;
  settings: AgentSettings;
  logger: Logger;
  /** The calendar's: tests move it. */
  wallClock: WallClock;
  /** From 0 up to 1: tests seed it. */
  random: () => number;
  /** Moves the clock for a client, and says what time it is then; null where it goes by itself. */
  advanceClock: ((millis: number) => Promise<number>) | null;
  /** Posts to the main thread's event loop. */
  wakeMain: () => void;
}

/** accessMessageInMemoryMaxRatio: 40 % of the machine's memory. */
const IN_MEMORY_RATIO = 0.4;

export function storeFilesOf(kind: 'mapped' | 'plain'): StoreFiles {
  return kind === 'mapped' ? createMappedFiles() : createPlainFiles();
}

export class AgentFactory {
  readonly files: StoreFiles;
  readonly positions: StorePositions;
  readonly directory: StoreDirectory;
  /** Of all agents of this thread. */
  readonly refusals: Refusals;
  /** ConsumeQueues and index, to be set on the dispatcher's thread before it is made. */
  derived: DerivedFiles | null = null;
  readonly #context: ThreadContext;
  readonly #pools = new Map<string, LargeMessagePool>();
  #segments: CommitLogSegments | null = null;

  constructor(
    context: ThreadContext,
    files: StoreFiles = storeFilesOf(context.settings.storeKind),
  ) {
    this.#context = context;
    this.files = files;
    this.positions = new StorePositions(context.memory.positions);
    this.directory = new StoreDirectory(files, context.settings.storeRoot);
    const { logger, memory } = context;
    this.refusals = new Refusals(logger, systemMonotonicClock.nowMs, memory.refusals);
  }

  /** The segments as this thread sees them, shared by its agents. */
  get segments(): CommitLogSegments {
    this.#segments ??= new CommitLogSegments({
      files: this.files,
      directory: this.directory.commitLog,
      segmentBytes: this.#context.settings.segmentBytes,
    });
    return this.#segments;
  }

  make(name: AgentName): Agent {
    if (name.startsWith('worker')) return this.#makeWorker(name);
    switch (name) {
      case 'control':
        return this.#makeControl();
      case 'writer':
        return this.#makeWriter();
      case 'dispatcher':
        return this.#makeDispatcher();
      case 'flusher':
        return this.#makeFlusher();
      case 'preparer':
        return new Preparer({
          segments: this.segments,
          positions: this.positions,
          flushesSynchronously: this.#context.settings.flushesSynchronously,
          logger: this.#context.logger,
        });
      case 'queueWriter':
        return new QueueWriter({
          inbound: this.consumer('dispatcher→queueWriter'),
          files: this.files,
          directory: this.directory.consumeQueue,
          positions: this.positions,
          dispatcherDoorbell: this.doorbellOf('dispatcher'),
        });
      default:
        throw new Error(`the ${name} is made by the main thread itself`);
    }
  }

  consumer(name: string): SpscRingConsumer {
    return new SpscRingConsumer(this.#ringMemory(name));
  }

  producer(name: string): SpscRingProducer {
    const to = name.split('→')[1] as AgentName;
    const thread = this.#threadOf(to);
    // Agents on one thread see each other's records in the same turn.
    return new SpscRingProducer(
      this.#ringMemory(name),
      thread === this.#context.thread ? null : this.#doorbell(thread),
    );
  }

  pool(owner: string): LargeMessagePool {
    let pool = this.#pools.get(owner);
    if (pool === undefined) {
      const { memory, slotBytes, short } = this.#context.memory.pools[owner];
      pool = new LargeMessagePool(memory, slotBytes, short);
      this.#pools.set(owner, pool);
    }
    return pool;
  }

  /** Lets go of what this thread has open of the log, after its agents are closed. */
  close(): void {
    this.#segments?.close();
  }

  /** The doorbell of the thread that runs an agent, for rings between other agents. */
  doorbellOf(agent: AgentName): Doorbell {
    return this.#doorbell(this.#threadOf(agent));
  }

  #isHere(agent: AgentName): boolean {
    return this.#threadOf(agent) === this.#context.thread;
  }

  #threadOf(agent: AgentName): string {
    for (const [thread, agents] of this.#context.placement)
      if (agents.includes(agent)) return thread;
    throw new Error(`no thread runs ${agent}`);
  }

  #doorbell(thread: string): Doorbell {
    const memory = this.#context.memory.doorbells[thread];
    return new Doorbell(memory, thread === 'main' ? this.#context.wakeMain : null);
  }

  #ringMemory(name: string): RingMemory {
    const memory = this.#context.memory.rings[name];
    if (memory === undefined) throw new Error(`there is no ring ${name}`);
    return memory;
  }

  get #workerNames(): AgentName[] {
    return Array.from(
      { length: this.#context.settings.workerCount },
      (_, index): AgentName => `worker${index}`,
    );
  }

  #makeWorker(name: AgentName): Agent {
    const { settings } = this.#context;
    const requests = this.consumer(`reactor→${name}`);
    const toWriter = this.producer(`${name}→writer`);
    return new RequestWorker({
      requests,
      kernel: sendKernelOf(this.#context.memory, settings, name, requests.bytes, toWriter.bytes),
      requestPool: this.pool('reactor'),
      control: this.consumer(`control→${name}`),
      toWriter,
      recordPool: this.pool(name),
      toReactor: new ReactorProxy(this.producer(`${name}→reactor`)),
      toControl: new FrameProxy(this.producer(`${name}→control`), this.pool('reactor')),
      storeHost: settings.storeHost,
      clusterName: settings.control.clusterName,
      regionId: settings.regionId,
      traceOn: settings.traceOn,
      bodyBytesMax: settings.bodyBytesMax,
      queueWaitMsMax: settings.queueWaitMsMax,
      delayLevels: new DelayLevels(settings.control.messageDelayLevel),
      timer: settings.control,
      brokerName: settings.control.brokerName,
      rejectTransactionMessage: settings.control.rejectTransactionMessage,
      random: this.#context.random,
      refusals: this.refusals,
      wallNowMs: () => this.#context.wallClock.nowMs(),
    });
  }

  #makeWriter(): Agent {
    const { settings } = this.#context;
    return new CommitLogWriter({
      sources: [
        { ring: this.consumer('control→writer'), pool: this.pool('control'), waitsForSpace: false },
        {
          ring: this.consumer('dispatcher→writer'),
          pool: this.pool('dispatcher'),
          waitsForSpace: true,
        },
        ...this.#workerNames.map((name) => ({
          ring: this.consumer(`${name}→writer`),
          pool: this.pool(name),
          framePool: this.pool('reactor'),
          waitsForSpace: false,
        })),
      ],
      toReactor: this.producer('writer→reactor'),
      positions: this.positions,
      segments: this.segments,
      flusherDoorbell: this.doorbellOf('flusher'),
      dispatcherDoorbell: this.#isHere('dispatcher') ? null : this.doorbellOf('dispatcher'),
      preparerDoorbell: this.doorbellOf('preparer'),
      queueOffsets: new QueueOffsets(),
      latency: new LatencyHistogram(this.#context.memory.appendLatency),
      flushesSynchronously: settings.flushesSynchronously,
      syncFlushTimeoutMs: settings.syncFlushTimeoutMs,
      appendsPropertyCrc: settings.appendsPropertyCrc,
      refusals: this.refusals,
      wallNowMs: () => this.#context.wallClock.nowMs(),
    });
  }

  #makeDispatcher(): Agent {
    const { settings, logger } = this.#context;
    if (this.derived === null) throw new Error('the dispatcher needs the derived files');
    const { consumeQueues, index, position, damage } = this.derived;
    const topics = new TopicStates(consumeQueues, (this.#context.random() * 0x7fffffff) | 0);
    const toReactor = new ReactorProxy(this.producer('dispatcher→reactor'));
    const commits = new PullCommits(this.producer('dispatcher→control'));
    const toWriter = new AppendProxy(
      this.producer('dispatcher→writer'),
      this.pool('dispatcher'),
      systemMonotonicClock,
    );
    const statistics = new BrokerStatistics({
      clusterName: settings.control.clusterName,
      brokerName: settings.control.brokerName,
      monotonicClock: systemMonotonicClock,
      wallClock: this.#context.wallClock,
      appendLatency: new LatencyHistogram(this.#context.memory.appendLatency),
    });
    const delayLevels = new DelayLevels(settings.control.messageDelayLevel);
    const queueOf = (queueId: number) => consumeQueues.queue(SystemTopic.SCHEDULE, queueId);
    const units = new ConsumeQueueUnits(1);
    const topicIdOf = (topic: string): number | undefined => {
      const state = topics.topicNamed(topic);
      return state?.isConfigured === true ? state.topicId : undefined;
    };
    const topicIdAt = (bytes: Uint8Array, start: number, end: number): number | undefined => {
      const state = topics.topicAt(bytes, start, end);
      return state?.isConfigured === true ? state.topicId : undefined;
    };
    const delays = new DelayDelivery({
      levels: delayLevels,
      wallClock: this.#context.wallClock,
      queues: {
        minOffset: (queueId) => queueOf(queueId)?.minOffset ?? 0,
        maxOffset: (queueId) => queueOf(queueId)?.maxOffset ?? 0,
        read(queueId, offset, into) {
          if ((queueOf(queueId)?.read(offset, 1, units) ?? 0) === 0) return false;
          into.physicalOffset = units.physicalOffset[0];
          into.bytes = units.bytes[0];
          into.dueMs = units.tagsHigh[0] * 0x1_0000_0000 + (units.tagsLow[0] >>> 0);
          return true;
        },
        record: (physicalOffset, bytes) => this.segments.recordAt(physicalOffset, bytes),
      },
      topicIdOf,
      append: (draft) => toWriter.append(draft, null),
      logger,
    });
    const delayOffsetsPath = this.directory.configFile('delayOffset.json');
    const stored = readMetadata(this.files, delayOffsetsPath);
    if (stored !== undefined) delays.load(stored);
    const toFlusher = new QueuedProducer(this.producer('dispatcher→flusher'));
    const queue = (topic: string, queueId: number) => consumeQueues.queue(topic, queueId);
    const timers = new TimerService({
      files: this.files,
      directory: this.directory,
      segments: this.segments,
      positions: this.positions,
      queue,
      topicIdOf,
      toWriter,
      toFlusher,
      wallClock: this.#context.wallClock,
      logger,
    });
    const transactions = new TransactionService({
      segments: this.segments,
      positions: this.positions,
      queue,
      topicIdOf,
      topicIdAt,
      toWriter,
      toReactor,
      toControl: commits,
      addTimer: (entry) => timers.add(entry),
      settings: settings.control,
      delayLevels,
      timer: settings.control,
      fileReservedTimeMs: settings.retention.fileReservedTimeMs,
      storeHost: settings.storeHost,
      wallClock: this.#context.wallClock,
      logger,
    });
    timers.load(transactions);
    const offsets = readMetadata(this.files, this.directory.configFile('consumerOffset.json'));
    transactions.load(transactionOffsets(offsets), this.derived.commits);
    const records = new RecordDispatcher({
      segments: this.segments,
      kernel: dispatchKernelOf(this.#context.memory),
      topics,
      index,
      delayLevels,
      statistics,
      onTimerRecord: (topic, view) => timers.onRecord(topic, view),
      position,
      damage,
    });
    const { brokerName } = settings.control;
    const { files, directory, positions } = this;
    const queries = new QueueQueries({
      topics,
      segments: this.segments,
      positions: this.positions,
      index,
      statistics,
      brokerName,
      inMemoryBytesMax: os.totalmem() * IN_MEMORY_RATIO,
      checksTopic: settings.access?.authorizationEnabled === true,
    });
    const groups = new GroupQueries({
      topics,
      statistics,
      brokerName,
      wallNowMs: () => this.#context.wallClock.nowMs(),
      storeTimestampIn: (queue, offset) => queries.storeTimestampIn(queue, offset),
    });
    const resets = new OffsetResets({
      topics,
      brokerName,
      offsetByTime: (queue, timestampMs) => queries.offsetByTime(queue, timestampMs),
      onAssigned: (group, topic, targets) => commits.assignReset(group, topic, targets),
      wake: (topic, queueIds) => {
        const state = topics.topicNamed(topic);
        for (const queueId of queueIds) {
          const queue = state?.waited[queueId];
          if (queue !== undefined) records.markNews(queue);
        }
      },
      requestClient: (connectionId, frame) => toReactor.queueBytes(connectionId, frame),
    });
    const pulls = new PullService({
      topics,
      segments: this.segments,
      positions: this.positions,
      toReactor,
      longPollingEnable: settings.longPollingEnable,
      enablePropertyFilter: settings.control.enablePropertyFilter,
      heldPullCountMax: settings.heldPullCountMax,
      refusals: this.refusals,
      commits,
      statistics,
    });
    const metrics = new DispatcherMetrics({
      clusterName: settings.control.clusterName,
      brokerName,
      topics,
      statistics,
      positions: this.positions,
      storeTimestampIn: (queue, offset) => queries.storeTimestampIn(queue, offset),
      storeTimestampAt: (physicalOffset) => queries.storeTimestampAt(physicalOffset),
      nextTimerMs: () => timers.nextDueMs(),
      heldPullCount: () => pulls.heldCount,
      appendLatency: new LatencyHistogram(this.#context.memory.appendLatency),
      wallNowMs: () => this.#context.wallClock.nowMs(),
    });
    const desk = new QuestionDesk({
      queries,
      groups,
      resets,
      statistics,
      delays,
      metrics,
      storeInfo: () => storeInfo({ files, directory, positions, queries, delays }),
      clean: () => {
        for (const topic of topics.unconfigured()) topics.delete(topic.topic);
        const minimum = this.positions.load(PositionSlot.MINIMUM);
        consumeQueues.expireBelow(minimum);
        index?.expireBelow(minimum);
      },
    });
    return new Dispatcher({
      control: this.consumer('control→dispatcher'),
      requests: this.consumer('reactor→dispatcher'),
      requestPool: this.pool('reactor'),
      toReactor,
      commits,
      toWriter,
      toFlusher,
      toQueueWriter: new QueuedProducer(this.producer('dispatcher→queueWriter')),
      positions: this.positions,
      readableSlot: settings.flushesSynchronously ? PositionSlot.FLUSHED : PositionSlot.APPENDED,
      consumeQueues,
      index,
      topics,
      records,
      pulls,
      queries,
      desk,
      statistics,
      delays,
      timers,
      transactions,
      mover: new RecordMover({
        segments: this.segments,
        positions: this.positions,
        queue,
        toWriter,
        moveTimed: (view) => timers.delivery.move(view),
        moveHalf: (view) => transactions.move(view),
      }),
      delayOffsetsPath,
      queueSnapshotPath: directory.queueSnapshot,
      snapshotPosition: this.derived.snapshotPosition,
      wallNowMs: () => this.#context.wallClock.nowMs(),
      logger,
      forgetBelow: (minimum) => this.segments.forgetBelow(minimum),
    });
  }

  #makeFlusher(): Agent {
    const { settings, logger } = this.#context;
    return new Flusher({
      inbound: [this.consumer('control→flusher'), this.consumer('dispatcher→flusher')],
      files: this.files,
      segments: this.segments,
      positions: this.positions,
      checkpoint: Checkpoint.read(this.files, this.directory.checkpoint),
      checkpointPath: this.directory.checkpoint,
      writerDoorbell: this.doorbellOf('writer'),
      dispatcherDoorbell: this.doorbellOf('dispatcher'),
      flushesSynchronously: settings.flushesSynchronously,
      flushIntervalMs: settings.flushIntervalMs,
      logger,
      retention: new LogRetention({
        files: this.files,
        directory: this.directory.root,
        segments: this.segments,
        positions: this.positions,
        policy: settings.retention,
        wallClock: this.#context.wallClock,
        isClockMoved: this.#context.advanceClock !== null,
        logger,
      }),
    });
  }

  #makeControl(): Agent {
    const { settings, logger } = this.#context;
    const nameServer = settings.answersRoutes
      ? new NameServer({
          monotonicClock: systemMonotonicClock,
          wallClock: this.#context.wallClock,
          logger,
          orderMessageEnable: settings.orderMessageEnable,
          routeBytesMax: settings.routeBytesMax,
          onNoRoom: (details) => this.refusals.add('route-memory', details),
          kvText: readMetadata(this.files, this.directory.configFile('kvConfig.json')),
          persistKv: (text) => control.persist('kvConfig.json', text),
          onOrderConfig: (topic) => broker.orderTopic(topic),
          onMissingRetryTopic: (topic) => broker.ensureRetryTopic(topic) && control.registerNow(),
        })
      : null;
    const control = new Control({
      requests: this.consumer('reactor→control'),
      requestPool: this.pool('reactor'),
      toReactor: new QueuedProducer(this.producer('control→reactor')),
      workers: this.#workerNames.map((name) => ({
        from: this.consumer(`${name}→control`),
        to: new QueuedProducer(this.producer(`control→${name}`)),
      })),
      pullCommits: new PullCommitReader(this.consumer('dispatcher→control')),
      toDispatcher: new QueuedProducer(this.producer('control→dispatcher')),
      toWriter: new AppendProxy(
        this.producer('control→writer'),
        this.pool('control'),
        systemMonotonicClock,
      ),
      toFlusher: new QueuedProducer(this.producer('control→flusher')),
      segments: this.segments,
      positions: this.positions,
      configFile: (name) => this.directory.configFile(name),
      registerEmbedded: (changes, dataVersion) => {
        nameServer?.registerEmbedded({
          clusterName: settings.control.clusterName,
          brokerName: settings.control.brokerName,
          brokerId: settings.brokerId,
          advertisedAddress: settings.advertisedAddress,
          brokerPort: settings.brokerPort,
          changes,
          dataVersion,
        });
        // With a registration a broker hears which topics are ordered.
        for (const { topicName } of changes.topics)
          if (nameServer?.hasOrderConfig(topicName) === true) broker.orderTopic(topicName);
      },
      registersOutside: settings.registersOutside,
      auditsNameServer: settings.access !== null,
      refusals: this.refusals,
      logger,
    });
    const read = (name: string): string | undefined =>
      readMetadata(this.files, this.directory.configFile(name));
    const broker = new BrokerControl({
      config: {
        ...settings.control,
        storeHost: settings.storeHost,
        visibleConfig: () => settings.visibleConfig,
      },
      wallClock: this.#context.wallClock,
      monotonicClock: systemMonotonicClock,
      random: this.#context.random,
      advanceClock: this.#context.advanceClock,
      logger,
      refusals: this.refusals,
      effects: control,
      access: settings.access === null ? null : accessTables(settings.access, read, logger),
      stored: {
        topics: read('topics.json'),
        subscriptionGroups: read('subscriptionGroup.json'),
        consumerOffsets: read('consumerOffset.json'),
        liveSettings: read('liveSettings.json'),
      },
    });
    control.attach(broker, nameServer);
    control.recover(settings.recoveredQueues);
    // Tens of thousands of objects that nobody wants any more.
    settings.recoveredQueues = [];
    return control;
  }
}
