/**
 * @agent reactor
 *
 * A name server alone: sockets and framing of the reactor, the control agent behind it, no store; and, where a
 * port is given for them, pages about it.
 */
import { dirname, resolve } from 'node:path';
import type { Credentials } from '../access/access-gate.ts';
import { defaultBrokerConfig } from '../base/broker-config.ts';
import { systemMonotonicClock, systemWallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import type { MetricLines } from '../base/prometheus-text.ts';
import { Refusals } from '../base/refusals.ts';
import { addRouteLines } from '../broker/metrics-pages.ts';
import { NameServer } from '../nameserver/name-server.ts';
import { FRAME_BYTES_MAX } from '../protocol/remoting-command.ts';
import { AcceptPace } from '../reactor/accept-pace.ts';
import { AnswerEncoder } from '../reactor/answer-encoder.ts';
import { addProcessLines, writeMetrics } from '../reactor/process-metrics.ts';
import { Reactor } from '../reactor/reactor.ts';
import { acceptSocket } from '../reactor/tcp-peer.ts';
import type { TlsAcceptor } from '../reactor/tls-acceptor.ts';
import type { WebListener, WebReply } from '../reactor/web-listener.ts';
import { answerWebRequest } from '../reactor/web-pages.ts';
import { EventLoopRunner } from '../ring/agent-runner.ts';
import type { Agent } from '../ring/agent.ts';
import { Doorbell } from '../ring/doorbell.ts';
import { LargeMessagePool } from '../ring/large-message-pool.ts';
import { QueuedProducer } from '../ring/queued-producer.ts';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../ring/spsc-ring.ts';
import { readMetadata, writeMetadata } from '../store/metadata-file.ts';
import { createPlainFiles } from '../store/plain-files.ts';
import { Control } from '../workers/control.ts';
import { FrameProxy, READ_BYTES } from '../workers/frame-proxy.ts';
import { Listener } from '../workers/ring-messages.ts';
import { nameServerGate } from './access-settings.ts';
import type { NameServerLimits } from './configuration.ts';
import { openListener } from './listeners.ts';
import { connectionsWithin } from './open-files.ts';
import { packageVersion } from './package-version.ts';
import { throughTls, type TlsConfig, tlsAcceptorOf } from './tls-settings.ts';

const RING_BYTES = 1024 * 1024;

export interface NameServerProcess {
  ready: { nameServerPort: number; webPort: number | null };
  close(): Promise<void>;
  failed: Promise<Error>;
  /** Reads the TLS certificate again; null where there is none. */
  reloadCertificate: (() => void) | null;
}

export async function startNameServerProcess(
  options: {
    listenAddress: string;
    port: number;
    orderMessageEnable?: boolean;
    /** File that keeps the key-value configuration; undefined: it is gone when the process ends. */
    kvConfigPath?: string | undefined;
    /** What changes must be signed with; null or absent: nothing need be. */
    credentials?: Credentials | null;
    tls?: TlsConfig;
    /** Absent: a broker's own. */
    limits?: NameServerLimits;
    /** Of pages about it; absent or -1: there are none. */
    webPort?: number;
  },
  logger: Logger,
): Promise<NameServerProcess> {
  const limits = options.limits ?? defaultBrokerConfig();
  const refusals = new Refusals(logger, systemMonotonicClock.nowMs);
  const tls = options.tls === undefined ? null : await tlsAcceptorOf(options.tls, logger, refusals);
  const slotBytes = FRAME_BYTES_MAX + 4096;
  const pool = new LargeMessagePool(LargeMessagePool.allocate(2, slotBytes), slotBytes);
  const toControl = allocateRing(RING_BYTES);
  const toReactor = allocateRing(RING_BYTES);
  const control = new Control({
    requests: new SpscRingConsumer(toControl),
    requestPool: pool,
    toReactor: new QueuedProducer(new SpscRingProducer(toReactor, null)),
    workers: [],
    pullCommits: null,
    toDispatcher: null,
    toWriter: null,
    toFlusher: null,
    segments: null,
    positions: null,
    configFile: (name) => name,
    registerEmbedded: () => {},
    registersOutside: false,
    auditsNameServer: (options.credentials ?? null) !== null,
    refusals,
    logger,
  });
  const nameServer = new NameServer({
    monotonicClock: systemMonotonicClock,
    wallClock: systemWallClock,
    logger,
    orderMessageEnable: options.orderMessageEnable ?? false,
    routeBytesMax: limits.routeBytesMax,
    onNoRoom: (details) => refusals.add('route-memory', details),
    ...kvStorage(options.kvConfigPath),
  });
  control.attach(null, nameServer);
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const agents: Agent[] = [];
  const runner = new EventLoopRunner(
    agents,
    new Doorbell(Doorbell.allocate(), null),
    systemMonotonicClock.nowMs,
    (error) => fail(error instanceof Error ? error : new Error(String(error))),
  );
  const reactor = new Reactor({
    inbound: [new SpscRingConsumer(toReactor)],
    toWorkers: [],
    toControl: new FrameProxy(new SpscRingProducer(toControl, null), pool),
    toDispatcher: null,
    segments: null,
    positions: null,
    encoder: new AnswerEncoder(new Uint8Array(8), '', false),
    answerKernel: null,
    readBuffer: Buffer.allocUnsafeSlow(READ_BYTES),
    logger,
    refusals,
    schedule: () => runner.schedule(),
    nowMs: systemMonotonicClock.nowMs,
    connectionCountMax: connectionsWithin(limits.connectionCountMax),
    waitingAnswerBytesMax: limits.waitingAnswerBytesMax,
    waitingRequestBytesMax: limits.waitingRequestBytesMax,
    idleCloseMs: limits.idleCloseMs,
    onTopicsChanged: () => {},
    gate: nameServerGate(options.credentials ?? null, refusals),
  });
  agents.push(control, reactor);
  const listener = await openListener(
    options.listenAddress,
    options.port,
    Listener.NAME_SERVER,
    '--port',
  );
  const pace = new AcceptPace({
    perSecond: limits.acceptRateMax,
    nowMs: systemMonotonicClock.nowMs,
    onWait: () => refusals.add('connection-rate'),
  });
  const enter = throughTls(tls, (socket) => acceptSocket(reactor, socket, Listener.NAME_SERVER));
  listener.onSocket = (socket) => pace.take(socket, () => enter(socket));
  let web: WebListener | null = null;
  if (options.webPort !== undefined && options.webPort >= 0) {
    const labels = { node_type: 'nameserver' };
    const metrics = (): MetricLines => {
      const lines: MetricLines = {};
      addRouteLines(lines, labels, nameServer);
      addProcessLines(lines, labels, { reactor, refusals, waitingCount: pace.waitingCount });
      return lines;
    };
    try {
      web = await openPages({ ...options, webPort: options.webPort, tls, limits, metrics });
    } catch (error) {
      listener.server.close();
      tls?.close();
      throw error;
    }
  }
  runner.schedule();
  return {
    ready: { nameServerPort: listener.port, webPort: web?.port ?? null },
    failed,
    reloadCertificate: tls === null ? null : () => tls.reload(),
    close: async () => {
      listener.server.close();
      pace.close();
      tls?.close();
      web?.stopAccepting();
      reactor.stopReading();
      await new Promise((resolve) => setTimeout(resolve, 50));
      await web?.close();
      runner.close();
    },
  };
}

/** Pages alone: a name server tells routes by TCP. */
async function openPages(options: {
  readonly listenAddress: string;
  readonly webPort: number;
  readonly tls: TlsAcceptor | null;
  readonly limits: NameServerLimits;
  readonly metrics: () => MetricLines;
}): Promise<WebListener> {
  const { listenAddress: address, webPort: port, tls, limits, metrics } = options;
  const pages = {
    unreadyReason: () => null,
    metrics: { answer: (reply: WebReply) => writeMetrics(reply, metrics()) },
    greeting: `Millrace ${packageVersion()}: a name server.`,
  };
  const { openWsListener } = await import('../reactor/ws-listener.ts');
  return openWsListener({
    address,
    port,
    tls,
    reactor: () => null,
    origins: { allowed: [], names: [] },
    connectionCountMax: connectionsWithin(limits.connectionCountMax),
    pace: { take: (_socket, enter) => enter() },
    answer: (request, reply) => answerWebRequest(request, reply, pages),
    onRefused: () => {},
  });
}

/** The file is written at once: changes are rare, and nothing else waits on this thread. */
function kvStorage(path: string | undefined): {
  kvText?: string | undefined;
  persistKv?: (text: string) => void;
} {
  if (path === undefined) return {};
  const files = createPlainFiles();
  files.makeDirectory(dirname(resolve(path)));
  return {
    kvText: readMetadata(files, path),
    persistKv: (text) => writeMetadata(files, path, text),
  };
}
