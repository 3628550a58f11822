/**
 * @agent any
 *
 * Makes agents on the thread that will run them, from the shared memory and the settings alone: the same code
 * whatever the placement. Those that messages go through are made here: request workers, control, writer, dispatcher.
 */
import os from 'node:os';
import { accessTables } from '../access/access-tables.ts';
import { systemMonotonicClock } from '../base/clock.ts';
import { LatencyHistogram } from '../base/latency-histogram.ts';
import { BrokerControl } from '../broker/broker-control.ts';
import { DelayDelivery } from '../broker/delay-delivery.ts';
import { DelayLevels } from '../broker/delay-level.ts';
import { SystemTopic } from '../broker/resource-name.ts';
import { NameServer } from '../nameserver/name-server.ts';
import type { Agent } from '../ring/agent.ts';
import { QueuedProducer } from '../ring/queued-producer.ts';
import { ConsumeQueueUnits } from '../store/consume-queue-units.ts';
import { readMetadata } from '../store/metadata-file.ts';
import { PositionSlot } from '../store/store-positions.ts';
import type { AgentParts } from './agent-parts.ts';
import { AppendProxy } from './append-proxy.ts';
import type { AgentName } from './broker-memory.ts';
import { CommitLogWriter } from './commit-log-writer.ts';
import { Control } from './control.ts';
import { isDiskAgent, makeDiskAgent } from './disk-agents.ts';
import { Dispatcher } from './dispatcher.ts';
import { DispatcherMetrics } from './dispatcher-metrics.ts';
import { FrameProxy } from './frame-proxy.ts';
import { dispatchKernelOf, sendKernelOf, stagingKernelOf } from './kernels.ts';
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
import { type DerivedFiles, openDerivedFiles } from './store-recovery.ts';
import type { ThreadStart } from './thread-main.ts';
import { TimerService } from './timer-service.ts';
import { TopicStates } from './topic-state.ts';
import { transactionOffsets, TransactionService } from './transaction-service.ts';

/** accessMessageInMemoryMaxRatio: 40 % of the machine's memory. */
const IN_MEMORY_RATIO = 0.4;

/** Makes any agent but the reactor, which the main thread makes itself. */
export function makeAgent(parts: AgentParts, name: AgentName): Agent {
  if (isDiskAgent(name)) return makeDiskAgent(parts, name);
  if (name.startsWith('worker')) return makeWorker(parts, name);
  switch (name) {
    case 'control':
      return makeControl(parts);
    case 'writer':
      return makeWriter(parts);
    case 'dispatcher':
      return makeDispatcher(parts);
    default:
      throw new Error(`the ${name} is made by the main thread itself`);
  }
}

/** Opens ConsumeQueues and index on the dispatcher's thread, as recovery has left them. */
export function openDerived(parts: AgentParts, start: ThreadStart): DerivedFiles {
  const { files, directory, context } = parts;
  const { messageIndexEnable } = context.settings;
  const { logger, wallClock } = context;
  const options = { files, directory, messageIndexEnable, wallClock, logger };
  const derived = openDerivedFiles(options, start.derivedPosition, start.damage, start.queues);
  derived.commits = start.commits;
  return derived;
}

function makeWorker(parts: AgentParts, name: AgentName): Agent {
  const { settings } = parts.context;
  const requests = parts.consumer(`reactor→${name}`);
  const toWriter = parts.producer(`${name}→writer`);
  return new RequestWorker({
    requests,
    kernel: sendKernelOf(parts.context.memory, settings, name, requests.bytes, toWriter.bytes),
    requestPool: parts.pool('reactor'),
    control: parts.consumer(`control→${name}`),
    toWriter,
    recordPool: parts.pool(name),
    toReactor: new ReactorProxy(parts.producer(`${name}→reactor`)),
    toControl: new FrameProxy(parts.producer(`${name}→control`), parts.pool('reactor')),
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
    random: parts.context.random,
    refusals: parts.refusals,
    wallClock: parts.context.wallClock,
  });
}

function makeWriter(parts: AgentParts): Agent {
  const { settings } = parts.context;
  return new CommitLogWriter({
    sources: [
      { ring: parts.consumer('control→writer'), pool: parts.pool('control'), waitsForSpace: false },
      {
        ring: parts.consumer('dispatcher→writer'),
        pool: parts.pool('dispatcher'),
        waitsForSpace: true,
      },
      ...parts.workerNames.map((name) => ({
        ring: parts.consumer(`${name}→writer`),
        pool: parts.pool(name),
        framePool: parts.pool('reactor'),
        waitsForSpace: false,
      })),
    ],
    toReactor: parts.producer('writer→reactor'),
    positions: parts.positions,
    segments: parts.segments,
    flusherDoorbell: parts.doorbellOf('flusher'),
    dispatcherDoorbell: parts.isHere('dispatcher') ? null : parts.doorbellOf('dispatcher'),
    preparerDoorbell: parts.doorbellOf('preparer'),
    queueOffsets: new QueueOffsets(),
    latency: new LatencyHistogram(parts.context.memory.appendLatency),
    flushesSynchronously: settings.flushesSynchronously,
    syncFlushTimeoutMs: settings.syncFlushTimeoutMs,
    appendsPropertyCrc: settings.appendsPropertyCrc,
    refusals: parts.refusals,
    wallNowMs: () => parts.context.wallClock.nowMs(),
    deferral: parts.context.deferral,
    stagingKernel: stagingKernelOf(parts.context.memory),
  });
}

function makeDispatcher(parts: AgentParts): Agent {
  const { settings, logger } = parts.context;
  if (parts.derived === null) throw new Error('the dispatcher needs the derived files');
  const { consumeQueues, index, position, damage } = parts.derived;
  const topics = new TopicStates(consumeQueues, (parts.context.random() * 0x7fffffff) | 0);
  const toReactor = new ReactorProxy(parts.producer('dispatcher→reactor'));
  const commits = new PullCommits(parts.producer('dispatcher→control'));
  const toWriter = new AppendProxy(
    parts.producer('dispatcher→writer'),
    parts.pool('dispatcher'),
    systemMonotonicClock,
  );
  const statistics = new BrokerStatistics({
    clusterName: settings.control.clusterName,
    brokerName: settings.control.brokerName,
    monotonicClock: systemMonotonicClock,
    wallClock: parts.context.wallClock,
    appendLatency: new LatencyHistogram(parts.context.memory.appendLatency),
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
    wallClock: parts.context.wallClock,
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
      record: (physicalOffset, bytes) => parts.segments.recordAt(physicalOffset, bytes),
    },
    topicIdOf,
    append: (draft) => toWriter.append(draft, null),
    logger,
  });
  const delayOffsetsPath = parts.directory.configFile('delayOffset.json');
  const stored = readMetadata(parts.files, delayOffsetsPath);
  if (stored !== undefined) delays.load(stored);
  const toFlusher = new QueuedProducer(parts.producer('dispatcher→flusher'));
  const queue = (topic: string, queueId: number) => consumeQueues.queue(topic, queueId);
  const timers = new TimerService({
    files: parts.files,
    directory: parts.directory,
    segments: parts.segments,
    positions: parts.positions,
    queue,
    topicIdOf,
    toWriter,
    toFlusher,
    wallClock: parts.context.wallClock,
    logger,
  });
  const transactions = new TransactionService({
    segments: parts.segments,
    positions: parts.positions,
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
    wallClock: parts.context.wallClock,
    logger,
  });
  timers.load(transactions);
  const offsets = readMetadata(parts.files, parts.directory.configFile('consumerOffset.json'));
  transactions.load(transactionOffsets(offsets), parts.derived.commits);
  const records = new RecordDispatcher({
    segments: parts.segments,
    kernel: dispatchKernelOf(parts.context.memory),
    topics,
    index,
    delayLevels,
    statistics,
    onTimerRecord: (topic, view) => timers.onRecord(topic, view),
    position,
    damage,
  });
  const { brokerName } = settings.control;
  const { files, directory, positions } = parts;
  const queries = new QueueQueries({
    topics,
    segments: parts.segments,
    positions: parts.positions,
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
    wallNowMs: () => parts.context.wallClock.nowMs(),
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
    segments: parts.segments,
    positions: parts.positions,
    toReactor,
    longPollingEnable: settings.longPollingEnable,
    enablePropertyFilter: settings.control.enablePropertyFilter,
    heldPullCountMax: settings.heldPullCountMax,
    refusals: parts.refusals,
    commits,
    statistics,
  });
  const metrics = new DispatcherMetrics({
    clusterName: settings.control.clusterName,
    brokerName,
    topics,
    statistics,
    positions: parts.positions,
    storeTimestampIn: (queue, offset) => queries.storeTimestampIn(queue, offset),
    storeTimestampAt: (physicalOffset) => queries.storeTimestampAt(physicalOffset),
    nextTimerMs: () => timers.nextDueMs(),
    heldPullCount: () => pulls.heldCount,
    appendLatency: new LatencyHistogram(parts.context.memory.appendLatency),
    wallNowMs: () => parts.context.wallClock.nowMs(),
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
      const minimum = parts.positions.load(PositionSlot.MINIMUM);
      consumeQueues.beginExpiry(minimum);
      index?.expireBelow(minimum);
    },
  });
  return new Dispatcher({
    control: parts.consumer('control→dispatcher'),
    requests: parts.consumer('reactor→dispatcher'),
    requestPool: parts.pool('reactor'),
    toReactor,
    commits,
    toWriter,
    toFlusher,
    toQueueWriter: new QueuedProducer(parts.producer('dispatcher→queueWriter')),
    positions: parts.positions,
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
      segments: parts.segments,
      positions: parts.positions,
      queue,
      toWriter,
      moveTimed: (view) => timers.delivery.move(view),
      moveHalf: (view) => transactions.move(view),
    }),
    delayOffsetsPath,
    queueSnapshotPath: directory.queueSnapshot,
    snapshotPosition: parts.derived.snapshotPosition,
    wallNowMs: () => parts.context.wallClock.nowMs(),
    logger,
    forgetBelow: (minimum) => parts.segments.forgetBelow(minimum),
    unmapPages: (from, to) => parts.segments.unmapPages(from, to),
  });
}

function makeControl(parts: AgentParts): Agent {
  const { settings, logger } = parts.context;
  const nameServer = settings.answersRoutes
    ? new NameServer({
        monotonicClock: systemMonotonicClock,
        wallClock: parts.context.wallClock,
        logger,
        orderMessageEnable: settings.orderMessageEnable,
        routeBytesMax: settings.routeBytesMax,
        onNoRoom: (details) => parts.refusals.add('route-memory', details),
        kvText: readMetadata(parts.files, parts.directory.configFile('kvConfig.json')),
        persistKv: (text) => control.persist('kvConfig.json', text),
        onOrderConfig: (topic) => broker.orderTopic(topic),
        onMissingRetryTopic: (topic) => broker.ensureRetryTopic(topic) && control.registerNow(),
      })
    : null;
  const control = new Control({
    requests: parts.consumer('reactor→control'),
    requestPool: parts.pool('reactor'),
    toReactor: new QueuedProducer(parts.producer('control→reactor')),
    workers: parts.workerNames.map((name) => ({
      from: parts.consumer(`${name}→control`),
      to: new QueuedProducer(parts.producer(`control→${name}`)),
    })),
    pullCommits: new PullCommitReader(parts.consumer('dispatcher→control')),
    toDispatcher: new QueuedProducer(parts.producer('control→dispatcher')),
    toWriter: new AppendProxy(
      parts.producer('control→writer'),
      parts.pool('control'),
      systemMonotonicClock,
    ),
    toFlusher: new QueuedProducer(parts.producer('control→flusher')),
    segments: parts.segments,
    positions: parts.positions,
    configFile: (name) => parts.directory.configFile(name),
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
    refusals: parts.refusals,
    logger,
  });
  const read = (name: string): string | undefined =>
    readMetadata(parts.files, parts.directory.configFile(name));
  const broker = new BrokerControl({
    config: {
      ...settings.control,
      storeHost: settings.storeHost,
      visibleConfig: () => settings.visibleConfig,
    },
    wallClock: parts.context.wallClock,
    monotonicClock: systemMonotonicClock,
    random: parts.context.random,
    advanceClock: parts.context.advanceClock,
    logger,
    refusals: parts.refusals,
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
