/**
 * @agent reactor
 *
 * The port for browsers, put together: which library, which origins, what its pages say.
 */
import type { BrokerConfig } from '../base/broker-config.ts';
import type { Logger } from '../base/logging.ts';
import type { Refusals } from '../base/refusals.ts';
import { brokerLabels } from '../broker/metrics-pages.ts';
import type { AcceptPace } from '../reactor/accept-pace.ts';
import { MetricsScraper } from '../reactor/metrics-scraper.ts';
import type { Reactor } from '../reactor/reactor.ts';
import type { TlsAcceptor } from '../reactor/tls-acceptor.ts';
import { openWebListener, type WebListener } from '../reactor/web-listener.ts';
import { answerWebRequest } from '../reactor/web-pages.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { FrameProxy } from '../workers/frame-proxy.ts';
import { MessageType } from '../workers/ring-messages.ts';
import { parseHostAndPort } from './client-address.ts';
import { packageVersion } from './package-version.ts';

export interface WebPortOptions {
  readonly config: BrokerConfig;
  readonly tls: TlsAcceptor | null;
  readonly logger: Logger;
  readonly refusals: Refusals;
  /** How fast connections come in, on all ports. */
  readonly pace: AcceptPace;
  /** The broker, once it has begun: the port opens before. */
  readonly broker: () => WebPortBroker | null;
}

/** What the port needs of the broker. */
export interface WebPortBroker {
  readonly reactor: Reactor;
  readonly toControl: FrameProxy;
  readonly positions: StorePositions;
  readonly schedule: () => void;
  /** Null where no name server elsewhere is to know this broker. */
  readonly isRegistered: () => boolean | null;
  readonly isStopping: () => boolean;
}

export interface WebPort {
  readonly listener: WebListener;
  /** The answer of a page of metrics. */
  readonly onMetrics: (frame: Buffer) => void;
}

/** @throws BrokerError LISTEN_FAILED, WEB_LIBRARY_MISSING */
export async function openWebPort(options: WebPortOptions): Promise<WebPort> {
  const { config, tls, logger, refusals, pace, broker } = options;
  const scraper = new MetricsScraper({
    reactor: () => broker()?.reactor ?? null,
    labels: brokerLabels(config),
    lineCountMax: config.metricsLineCountMax,
    ask: (page) => {
      const running = broker();
      if (running === null) return false;
      const payload = Buffer.from(JSON.stringify({ page }));
      const isTaken = running.toControl.offerMessage(MessageType.METRICS_ASKED, payload);
      running.schedule();
      return isTaken;
    },
    refusals,
    waitingCount: () => pace.waitingCount,
  });
  const pages = {
    unreadyReason: () => unreadyReason(broker()),
    metrics: scraper,
    greeting: `Millrace ${packageVersion()}: a message broker. WebSocket clients connect here.`,
  };
  const named = config.advertise === null ? null : parseHostAndPort(config.advertise);
  const listener = await openWebListener(
    config.webLibrary,
    {
      address: config.listenAddress,
      port: config.webPort,
      tls,
      reactor: () => broker()?.reactor ?? null,
      origins: { allowed: config.webAllowedOrigins, names: named === null ? [] : [named.host] },
      connectionCountMax: config.connectionCountMax,
      pace,
      answer: (request, reply) => answerWebRequest(request, reply, pages),
      onRefused: (why) => refusals.add('web-origin', { why }),
      onDropped: (remoteAddress) => refusals.add('connection-limit', { remoteAddress }),
    },
    logger,
  );
  return { listener, onMetrics: (frame) => scraper.onFrame(frame) };
}

function unreadyReason(broker: WebPortBroker | null): string | null {
  if (broker === null) return 'starting';
  if (broker.isStopping()) return 'stopping';
  const { positions } = broker;
  if (positions.load(PositionSlot.READ_ONLY) !== 0)
    return 'the file system of the store is read-only';
  if (positions.load(PositionSlot.DISK_FULL) !== 0) return 'the disk is fuller than its limit';
  if (positions.load(PositionSlot.ALLOCATION_FAILED) !== 0)
    return 'the disk has no room for the next segment';
  if (positions.load(PositionSlot.DERIVED_FULL) !== 0)
    return 'the disk has no room for consume queues';
  if (broker.isRegistered() === false) return 'not registered with any name server yet';
  return null;
}
