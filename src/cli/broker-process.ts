/**
 * @agent reactor
 *
 * Puts a broker together: opens the store, starts the threads, listens; and takes it apart again in
 * the order in which work flows.
 *
 * ```
 * start:  lock ─▶ recover ─▶ threads ─▶ rings settle ─▶ listen ─▶ ready
 * stop:   go away ─▶ unregister, stop reading ─▶ hand on what is held ─▶ rings settle
 *         ─▶ stop threads, the flusher last (flush, checkpoint) ─▶ clean ─▶ unlock
 * ```
 */
import type net from 'node:net';
import { setImmediate } from 'node:timers/promises';
import type { BrokerConfig } from '../base/broker-config.ts';
import { systemMonotonicClock, systemWallClock, type WallClock } from '../base/clock.ts';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import { Refusals } from '../base/refusals.ts';
import { BrokerRegistration } from '../client/broker-registration.ts';
import { decodeTopicConfig } from '../protocol/topic-config.ts';
import { AcceptPace } from '../reactor/accept-pace.ts';
import { AnswerEncoder } from '../reactor/answer-encoder.ts';
import { Reactor } from '../reactor/reactor.ts';
import { acceptSocket } from '../reactor/tcp-peer.ts';
import type { TlsAcceptor } from '../reactor/tls-acceptor.ts';
import { EventLoopRunner, Lifecycle } from '../ring/agent-runner.ts';
import type { Agent } from '../ring/agent.ts';
import { Doorbell } from '../ring/doorbell.ts';
import { SpscRingConsumer } from '../ring/spsc-ring.ts';
import { CommitLogSegments } from '../store/commit-log-segments.ts';
import { segmentBytesFor } from '../store/retention.ts';
import { createPlainFiles } from '../store/plain-files.ts';
import type { StoreFiles } from '../store/segment.ts';
import { StoreDirectory } from '../store/store-directory.ts';
import { ClosingState, PositionSlot } from '../store/store-positions.ts';
import { AgentParts, storeFilesOf } from '../workers/agent-parts.ts';
import { allocateBrokerMemory } from '../workers/broker-memory.ts';
import { FrameProxy, READ_BYTES } from '../workers/frame-proxy.ts';
import { answerKernelOf, readKernelOf } from '../workers/kernels.ts';
import { makeAgent } from '../workers/message-agents.ts';
import { Listener, MessageType } from '../workers/ring-messages.ts';
import { recoverStore } from '../workers/store-recovery.ts';
import type { ThreadStart } from '../workers/thread-main.ts';
import { gateOf } from './access-settings.ts';
import { agentSettingsOf } from './agent-settings-of.ts';
import { BrokerThreads } from './broker-threads.ts';
import { resolveClientAddress } from './client-address.ts';
import { type OpenListener, openListener } from './listeners.ts';
import { connectionsWithin } from './open-files.ts';
import { placementFor, WORKER_COUNT } from './placement.ts';
import { pendingIn, type Timekeeping, transfersOf } from './timekeeping.ts';
import { outgoingTls, throughTls, tlsAcceptorOf } from './tls-settings.ts';
import { openWebPort, type WebPort, type WebPortBroker } from './web-port.ts';

export interface ReadyInfo {
  brokerPort: number;
  /** null without an embedded name server. */
  nameServerPort: number | null;
  /** null where there is no port for browsers. */
  webPort: number | null;
  /** What clients are told, and records carry. */
  clientAddress: string;
  storeDirectory: string;
  threads: string[];
}

export interface BrokerProcess {
  ready: ReadyInfo;
  /** Stops in order; resolves when everything is on disk. */
  close(): Promise<void>;
  /** Resolves with the cause when the broker can't go on. */
  failed: Promise<Error>;
  timekeeping: Timekeeping;
  /** Reads the TLS certificate again; null where there is none. */
  reloadCertificate: (() => void) | null;
}

/** What a broker takes from outside: a test brings its own. All but the usual needs threads inline. */
export interface Surroundings {
  wallClock: WallClock;
  /** From 0 up to 1. */
  random: () => number;
  /** Nobody wants the store after the process: nothing is synced. Needs storeKind plain. */
  isStoreTemporary: boolean;
  /** Serves ADVANCE_CLOCK: moves the clock, and says what time it is then. Null: the clock goes by itself. */
  advanceClock: ((millis: number) => Promise<number>) | null;
}

/** Time in which clients that are there are told to go elsewhere before their requests are no longer read. */
const GO_AWAY_MS = 100;
/** Turns of the event loop after that time: each reads what has come to any socket. */
const LAST_LOOKS = 3;
const SETTLE_TIMEOUT_MS = 10_000;
/** To wake another thread for a batch of the log costs less than to write so much of it. */
const DEFERRED_BYTES_MIN = 128 * 1024;

/** `threads` may be booted before what this module needs is loaded; they end with the broker, or if it can not start. */
export async function startBrokerProcess(
  config: BrokerConfig,
  logger: Logger,
  surroundings: Partial<Surroundings> = {},
  threads = BrokerThreads.boot(placementFor(config.threads)),
): Promise<BrokerProcess> {
  try {
    return await openAndStart(config, logger, surroundings, threads);
  } catch (error) {
    await threads.terminate();
    throw error;
  }
}

async function openAndStart(
  config: BrokerConfig,
  logger: Logger,
  surroundings: Partial<Surroundings>,
  threads: BrokerThreads,
): Promise<BrokerProcess> {
  if (Object.keys(surroundings).length > 0 && config.threads !== 'inline')
    throw new BrokerError(
      'CONFIG_INVALID',
      'a clock of its own, and the like, needs threads inline',
    );
  const { isStoreTemporary = false, wallClock } = surroundings;
  if (isStoreTemporary && config.storeKind !== 'plain')
    throw new BrokerError('CONFIG_INVALID', 'a temporary store needs storeKind plain');
  const files =
    config.storeKind === 'plain'
      ? createPlainFiles({ isTemporary: isStoreTemporary, wallClock })
      : storeFilesOf(config.storeKind);
  const directory = new StoreDirectory(files, config.storeDirectory);
  directory.acquire();
  const sockets: OpenListener[] = [];
  let web: WebPort | null = null;
  let tls: TlsAcceptor | null = null;
  const running: { broker: WebPortBroker | null } = { broker: null };
  const refusals = new Refusals(logger, systemMonotonicClock.nowMs);
  const pace = new AcceptPace({
    perSecond: config.acceptRateMax,
    nowMs: systemMonotonicClock.nowMs,
    onWait: () => refusals.add('connection-rate'),
  });
  try {
    tls = await tlsAcceptorOf(config, logger, refusals);
    await openListeners(config, sockets);
    if (config.webPort >= 0)
      web = await openWebPort({
        config,
        tls,
        logger,
        refusals,
        pace,
        broker: () => running.broker,
      });
    const onServing = (broker: WebPortBroker): void => {
      running.broker = broker;
    };
    const { random = Math.random, advanceClock = null } = surroundings;
    return await start(
      config,
      logger,
      { wallClock: wallClock ?? systemWallClock, random, advanceClock },
      files,
      directory,
      { sockets, web, tls, refusals, pace, onServing },
      threads,
    );
  } catch (error) {
    for (const { server } of sockets) server.close();
    tls?.close();
    await web?.listener.close();
    directory.release();
    throw error;
  }
}

interface OpenPorts {
  readonly sockets: readonly OpenListener[];
  readonly web: WebPort | null;
  readonly tls: TlsAcceptor | null;
  readonly refusals: Refusals;
  readonly pace: AcceptPace;
  /** The web port serves from now on. */
  readonly onServing: (broker: WebPortBroker) => void;
}

async function start(
  config: BrokerConfig,
  logger: Logger,
  surroundings: Omit<Surroundings, 'isStoreTemporary'>,
  files: StoreFiles,
  directory: StoreDirectory,
  ports: OpenPorts,
  threads: BrokerThreads,
): Promise<BrokerProcess> {
  const { wallClock, random } = surroundings;
  const { sockets: listeners, web, tls, refusals, pace } = ports;
  const existingBytes = CommitLogSegments.existingSegmentBytes(files, directory.commitLog);
  const fittingBytes = segmentBytesFor(
    config.segmentBytes,
    files.space(directory.root).availableBytes,
  );
  const segmentBytes = existingBytes ?? fittingBytes;
  if (segmentBytes !== config.segmentBytes) {
    const why =
      existingBytes === undefined
        ? 'the disk has little space: segments are made smaller'
        : 'the store keeps the segment size that it was made with';
    logger.warn({ segmentBytes, configured: config.segmentBytes }, why);
  }
  const brokerPort = portOf(listeners, Listener.BROKER);
  const clientAddress = await resolveClientAddress(config, brokerPort, logger);
  const workerCount = WORKER_COUNT;
  const placement = placementFor(config.threads);
  const usesKernel = config.threads !== 'inline';
  const memory = allocateBrokerMemory(placement, workerCount, usesKernel, refusals.memory);
  const settings = agentSettingsOf(config, {
    storeRoot: directory.root,
    segmentBytes,
    clientAddress,
    hasWebPort: web !== null,
    workerCount,
  });
  const mainContext = {
    thread: 'main',
    placement,
    memory,
    settings,
    logger,
    wallClock,
    random,
    advanceClock:
      surroundings.advanceClock === null
        ? null
        : (millis: number) =>
            (surroundings.advanceClock as (millis: number) => Promise<number>)(millis).finally(() =>
              // The answer is handed on with the next turn.
              runner.schedule(),
            ),
    deferral: { bytesMin: DEFERRED_BYTES_MIN, wake: () => runner.schedule() },
    wakeMain: () => {},
  };
  const parts = new AgentParts(mainContext, files);

  const { messageIndexEnable } = settings;
  const recovery = {
    files,
    directory,
    positions: parts.positions,
    segmentBytes,
    checkCrc: config.checkCrcOnRecover,
    checkPropertyCrc: config.verifiesPropertyCrc,
    messageIndexEnable,
    messageDelayLevel: config.messageDelayLevel,
    wallClock,
    logger,
  };
  const { derived, queues } = recoverStore(recovery);
  settings.recoveredQueues = queues;
  directory.markRunning();
  const dispatchesHere = placement.get('main')?.includes('dispatcher') === true;
  let derivedQueues: Uint8Array = new Uint8Array();
  if (dispatchesHere) parts.derived = derived;
  else {
    // The dispatcher's own thread opens them again, whole.
    derived.consumeQueues.settle(Infinity);
    derived.consumeQueues.writePending();
    derivedQueues = derived.consumeQueues.snapshot(derived.position, derived.position);
    derived.index?.writePending();
    derived.consumeQueues.close();
    derived.index?.close();
  }

  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  let isStopping = false;
  let hasFailed = false;
  const die = (what: string, cause: unknown): void => {
    if (isStopping || hasFailed) return;
    hasFailed = true;
    fail(new BrokerError('AGENT_DIED', `${what} ended with an error; the broker stops`, { cause }));
  };

  const connectionCountMax = connectionsWithin(config.connectionCountMax);
  if (connectionCountMax < config.connectionCountMax)
    logger.info(
      { connectionCountMax, configured: config.connectionCountMax },
      'fewer connections are taken, so that the limit of open files leaves some for the store',
    );
  const toControl = new FrameProxy(parts.producer('reactor→control'), parts.pool('reactor'));
  const registration =
    config.nameServerAddresses.length === 0
      ? null
      : new BrokerRegistration({
          nameServers: config.nameServerAddresses,
          identity: {
            clusterName: config.clusterName,
            brokerName: config.brokerName,
            brokerId: config.brokerId,
            address: `${clientAddress.host}:${clientAddress.port}`,
            haServerAddress: `${clientAddress.host}:${clientAddress.port + 1}`,
          },
          credentials: config.innerClientAuthenticationCredentials,
          tls: outgoingTls(config),
          logger,
          onOrderTopics: (topics) => {
            const payload = Buffer.from(JSON.stringify(topics));
            // Where there is no room the name server says it again with the next registration.
            if (payload.length <= toControl.ring.payloadBytesMax)
              toControl.offerMessage(MessageType.ORDER_TOPICS, payload);
            runner.schedule();
          },
        });
  const agents: Agent[] = [];
  const mainDoorbell = new Doorbell(memory.doorbells['main'], null);
  const runner = new EventLoopRunner(agents, mainDoorbell, systemMonotonicClock.nowMs, (error) =>
    die('the main thread', error),
  );
  const encoder = new AnswerEncoder(settings.storeHost, config.regionId, config.traceOn);
  const readKernel = readKernelOf(memory);
  const reactor = new Reactor({
    inbound: [
      'writer→reactor',
      'dispatcher→reactor',
      'control→reactor',
      ...Array.from({ length: workerCount }, (_, index) => `worker${index}→reactor`),
    ].map((name) => parts.consumer(name)),
    toWorkers: Array.from(
      { length: workerCount },
      (_, index) =>
        new FrameProxy(parts.producer(`reactor→worker${index}`), parts.pool('reactor'), readKernel),
    ),
    toControl,
    toDispatcher: new FrameProxy(parts.producer('reactor→dispatcher'), parts.pool('reactor')),
    segments: parts.segments,
    positions: parts.positions,
    encoder,
    answerKernel: answerKernelOf(memory, encoder.plainParts),
    readBuffer: readKernel?.space ?? Buffer.allocUnsafeSlow(READ_BYTES),
    logger,
    refusals,
    schedule: () => runner.schedule(),
    nowMs: systemMonotonicClock.nowMs,
    connectionCountMax,
    waitingAnswerBytesMax: config.waitingAnswerBytesMax,
    waitingRequestBytesMax: config.waitingRequestBytesMax,
    idleCloseMs: config.idleCloseMs,
    onTopicsChanged: (message) => {
      const topics = message.topics.map(decodeTopicConfig).filter((topic) => topic !== null);
      registration?.update({ topics, deleted: message.deleted }, message.dataVersion);
    },
    gate: gateOf(config, refusals),
    onMetrics: (frame) => web?.onMetrics(frame),
  });
  for (const name of placement.get('main') ?? []) {
    agents.push(name === 'reactor' ? reactor : makeAgent(parts, name));
  }

  await threads.start(
    (thread): ThreadStart => ({
      thread,
      placement: [...placement].map(([name, names]) => [name, [...names]]),
      memory,
      // A copy for each thread: tens of thousands of queues go only where they are wanted.
      settings:
        placement.get(thread)?.includes('control') === true
          ? settings
          : { ...settings, recoveredQueues: [] },
      derivedPosition: derived.position,
      damage: derived.damage,
      commits: derived.commits,
      queues:
        placement.get(thread)?.includes('dispatcher') === true ? derivedQueues : new Uint8Array(),
    }),
    {
      logger,
      onWake: () => runner.schedule(),
      onDeath: (thread, error) => die(`thread ${thread}`, error),
    },
  );
  runner.schedule();

  const ringNames = Object.keys(memory.rings);
  const rings = ringNames.map((name) => new SpscRingConsumer(memory.rings[name]));
  // What waits for space is due after the next start too.
  const mayStay = (index: number): boolean =>
    ringNames[index] === OWN_APPENDS && !parts.positions.hasRoom;
  const settle = (): Promise<void> =>
    settled(runner, () => rings.every((ring, index) => ring.isEmpty || mayStay(index)));
  await waitUntil(() => {
    runner.schedule();
    const { positions } = parts;
    return (
      (positions.load(PositionSlot.ALLOCATED) > positions.load(PositionSlot.APPENDED) ||
        positions.load(PositionSlot.ALLOCATION_FAILED) === 1) &&
      positions.load(PositionSlot.RECOVERY_TOLD) === 1
    );
  });
  await settle();
  for (const open of listeners) {
    const enter = throughTls(tls, (socket) => acceptSocket(reactor, socket, open.listener));
    open.onSocket = (socket) => pace.take(socket, () => enter(socket));
    for (const socket of open.early.splice(0)) open.onSocket(socket);
  }
  ports.onServing({
    reactor,
    toControl,
    positions: parts.positions,
    schedule: () => runner.schedule(),
    isRegistered: () => registration?.isRegistered ?? null,
    isStopping: () => isStopping,
  });
  const hasNameServer = listeners.some(({ listener }) => listener === Listener.NAME_SERVER);

  const close = async (): Promise<void> => {
    if (isStopping) return;
    isStopping = true;
    pace.close();
    tls?.close();
    if (hasFailed) {
      await abandon();
      return;
    }
    reactor.goAway();
    // Who asks by HTTP is seen only while it asks.
    const isAlone = waitUntil(() => web === null && reactor.connectionCount === 0, GO_AWAY_MS);
    await Promise.all([isAlone, registration?.close()]);
    // What came in that time is read and answered, also where this thread had no part of it.
    for (let turns = 0; turns < LAST_LOOKS; turns++) await setImmediate();
    const closings = listeners.map(({ server }) => closed(server));
    web?.listener.stopAccepting();
    reactor.stopReading();
    await settle();
    for (const [thread, cell] of Object.entries(memory.lifecycles))
      setLifecycle(thread, cell, Lifecycle.PREPARING);
    runner.prepareClose();
    await settle();
    await waitUntil(() => {
      runner.schedule();
      const isWriting = parts.positions.load(PositionSlot.DERIVED_CLOSING) === ClosingState.WRITING;
      return reactor.isDrained && !isWriting;
    });
    const isWhole = parts.positions.load(PositionSlot.DERIVED_CLOSING) === ClosingState.WHOLE;
    runner.close();
    parts.close();
    await web?.listener.close();
    await threads.stop((thread) =>
      setLifecycle(thread, memory.lifecycles[thread], Lifecycle.STOPPING),
    );
    // Else the next start looks at the log for what is missing, as after a crash.
    const isStored = isWhole && parts.positions.load(PositionSlot.FILES_CLOSED) === 1;
    if (!isStored || !directory.markClean())
      logger.info({}, 'left the rest of the consume queues to the next start');
    directory.release();
    await Promise.all(closings);
  };
  /** After a failure nothing is promised to be on disk: the store stays marked as not closed. */
  const abandon = async (): Promise<void> => {
    for (const { server } of listeners) server.close();
    reactor.stopReading();
    await registration?.close();
    await threads.terminate();
    runner.abandon();
    reactor.close();
    parts.close();
    await web?.listener.close();
    directory.release();
  };
  const setLifecycle = (thread: string, cell: SharedArrayBuffer, value: number): void => {
    Atomics.store(new Int32Array(cell), 0, value);
    new Doorbell(memory.doorbells[thread], thread === 'main' ? () => {} : null).ring();
  };

  return {
    ready: {
      brokerPort,
      nameServerPort: hasNameServer ? portOf(listeners, Listener.NAME_SERVER) : null,
      webPort: web?.listener.port ?? null,
      clientAddress:
        settings.advertisedAddress ?? `the address that a client connects to, port ${brokerPort}`,
      storeDirectory: directory.root,
      threads: [...placement.keys()],
    },
    close,
    failed,
    reloadCertificate: tls === null ? null : () => tls.reload(),
    timekeeping: {
      wake: () => runner.schedule(),
      nextWallDeadlineMs: () => runner.nextWallDeadlineMs(),
      pending: () => pendingIn(rings, runner, parts.positions),
      connections: () => transfersOf(reactor, listeners),
    },
  };
}

/** Opens the TCP ports; those that are open stand in `opened` also where one can not be. */
async function openListeners(config: BrokerConfig, opened: OpenListener[]): Promise<void> {
  const open = async (port: number, listener: number, flag: string): Promise<void> => {
    opened.push(await openListener(config.listenAddress, port, listener, flag));
  };
  await open(config.brokerPort, Listener.BROKER, '--broker-port');
  if (config.brokerPort > 2) await open(config.brokerPort - 2, Listener.VIP, '--broker-port');
  if (config.embeddedNameServer)
    await open(config.nameServerPort, Listener.NAME_SERVER, '--name-server-port');
}

function portOf(listeners: readonly OpenListener[], listener: number): number {
  return listeners.find((open) => open.listener === listener)?.port ?? 0;
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const closed = (server: net.Server): Promise<void> =>
  new Promise((resolve) => server.close(() => resolve()));

/** Looks at a condition before time is given to other threads: agents of this one need none. */
const HASTY_LOOKS = 20;

/** Waits for a condition that other agents bring about; gives up quietly after a bound. */
async function waitUntil(condition: () => boolean, timeoutMs = SETTLE_TIMEOUT_MS): Promise<void> {
  const deadlineMs = systemMonotonicClock.nowMs() + timeoutMs;
  for (let looks = 0; !condition() && systemMonotonicClock.nowMs() < deadlineMs; looks++)
    await (looks < HASTY_LOOKS ? setImmediate() : delay(2));
}

/** Waits until all rings have been quiet for two looks in a row. */
async function settled(runner: EventLoopRunner, isQuiet: () => boolean): Promise<void> {
  let quiet = 0;
  await waitUntil(() => {
    runner.schedule();
    quiet = isQuiet() ? quiet + 1 : 0;
    return quiet > 2;
  });
}

/** Brings what the broker appends by itself, as what has become due. */
const OWN_APPENDS = 'dispatcher→writer';
