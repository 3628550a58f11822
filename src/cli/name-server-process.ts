/**
 * @agent reactor
 *
 * A name server alone: sockets and framing of the reactor, the control agent behind it, no store.
 */
import { dirname, resolve } from 'node:path';
import type { Credentials } from '../access/access-gate.ts';
import { systemMonotonicClock, systemWallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { Refusals } from '../base/refusals.ts';
import { NameServer } from '../nameserver/name-server.ts';
import { FRAME_BYTES_MAX } from '../protocol/remoting-command.ts';
import { AnswerEncoder } from '../reactor/answer-encoder.ts';
import { Reactor } from '../reactor/reactor.ts';
import { acceptSocket } from '../reactor/tcp-peer.ts';
import { EventLoopRunner } from '../ring/agent-runner.ts';
import type { Agent } from '../ring/agent.ts';
import { Doorbell } from '../ring/doorbell.ts';
import { LargeMessagePool } from '../ring/large-message-pool.ts';
import { QueuedProducer } from '../ring/queued-producer.ts';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../ring/spsc-ring.ts';
import { readMetadata, writeMetadata } from '../store/metadata-file.ts';
import { createPlainFiles } from '../store/plain-files.ts';
import { Control } from '../workers/control.ts';
import { FrameProxy } from '../workers/frame-proxy.ts';
import { Listener } from '../workers/ring-messages.ts';
import { nameServerGate } from './access-settings.ts';
import { openListener } from './listeners.ts';
import { connectionsWithin } from './open-files.ts';
import { throughTls, type TlsConfig, tlsAcceptorOf } from './tls-settings.ts';

const RING_BYTES = 1024 * 1024;
const IDLE_CLOSE_MS = 120_000;

export interface NameServerProcess {
  ready: { nameServerPort: number };
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
  },
  logger: Logger,
): Promise<NameServerProcess> {
  const refusals = new Refusals(logger, systemMonotonicClock.nowMs);
  const tls = options.tls === undefined ? null : tlsAcceptorOf(options.tls, logger, refusals);
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
  control.attach(
    null,
    new NameServer({
      monotonicClock: systemMonotonicClock,
      wallClock: systemWallClock,
      logger,
      orderMessageEnable: options.orderMessageEnable ?? false,
      ...kvStorage(options.kvConfigPath),
    }),
  );
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
    logger,
    refusals,
    schedule: () => runner.schedule(),
    nowMs: systemMonotonicClock.nowMs,
    connectionCountMax: connectionsWithin(100_000),
    waitingAnswerBytesMax: 256 * 1024 * 1024,
    waitingRequestBytesMax: 256 * 1024 * 1024,
    idleCloseMs: IDLE_CLOSE_MS,
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
  listener.onSocket = throughTls(tls, (socket) =>
    acceptSocket(reactor, socket, Listener.NAME_SERVER),
  );
  runner.schedule();
  return {
    ready: { nameServerPort: listener.port },
    failed,
    reloadCertificate: tls === null ? null : () => tls.reload(),
    close: async () => {
      listener.server.close();
      tls?.close();
      reactor.stopReading();
      await new Promise((resolve) => setTimeout(resolve, 50));
      runner.close();
    },
  };
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
