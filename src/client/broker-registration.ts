/**
 * @agent reactor
 *
 * Keeps a broker registered with name servers outside of this process: at start, when its topics
 * change, after a lost connection, and every 30 seconds. Name servers know nothing of each other, so
 * each is told for itself, and one that is down delays no other.
 *
 * A change is told by the changed topics alone, as RocketMQ's own broker does: a name server sets all
 * topics of a registration with a new version anew, and so would undo what an operator did there to
 * the others (wiped write permission).
 *
 * ```
 *  nothing sent ──all topics──▶ registered ──changed topics──▶ registered
 *        ▲                          │ 30 s: all topics, as a sign of life
 *        └── refused, timed out, ◀──┘
 *            connection lost: again after 3 s
 * ```
 * Source: BrokerController.java (registerBrokerAll), BrokerOuterAPI.java.
 */
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { crc32Masked } from '../protocol/crc32.ts';
import { encodeRegisterBody } from '../protocol/register-body.ts';
import type { DataVersion, TopicChanges, TopicConfig } from '../protocol/topic-config.ts';
import type { TlsClientOptions } from './platform.ts';
import { RemotingClient } from './remoting-client.ts';
import type { ClientCredentials } from './request-signer.ts';

export interface BrokerIdentity {
  clusterName: string;
  brokerName: string;
  brokerId: number;
  /** `host:port` that clients are given. */
  address: string;
  /** Address for slaves, which this broker does not serve yet. */
  haServerAddress: string;
}

export interface BrokerRegistrationOptions {
  nameServers: readonly string[];
  identity: BrokerIdentity;
  /** Of the cluster: what name servers may ask for. */
  credentials?: ClientCredentials | null;
  tls?: TlsClientOptions | null;
  logger: Logger;
  /** Told of the topics that a name server has an order configuration of. */
  onOrderTopics?: (topics: string[]) => void;
  intervalMs?: number;
  /** Pause before a name server that failed is tried again. */
  retryMs?: number;
}

const INTERVAL_MS = 30_000;
const REGISTER_TIMEOUT_MS = 24_000;
const UNREGISTER_TIMEOUT_MS = 3000;
const RETRY_MS = 3000;

/** Names of topics that a name server is to be told of; null for all. */
type Untold = ReadonlySet<string> | null;

export class BrokerRegistration {
  readonly #options: BrokerRegistrationOptions;
  readonly #links: NameServerLink[];
  readonly #topics = new Map<string, TopicConfig>();
  #dataVersion: DataVersion = { counter: 0, stateVersion: 0, timestamp: 0 };

  constructor(options: BrokerRegistrationOptions) {
    this.#options = options;
    this.#links = options.nameServers.map(
      (address) =>
        new NameServerLink(address, options, (client, untold) => this.#tell(client, untold)),
    );
  }

  /** Whether any name server knows this broker. */
  get isRegistered(): boolean {
    return this.#links.some((link) => link.isRegistered);
  }

  /** Takes what changed, all topics at first, and tells every name server. */
  update(changes: TopicChanges, dataVersion: DataVersion): void {
    for (const topic of changes.deleted) this.#topics.delete(topic);
    for (const topic of changes.topics) this.#topics.set(topic.topicName, topic);
    this.#dataVersion = dataVersion;
    const names = changes.topics.map((topic) => topic.topicName);
    for (const link of this.#links) link.trigger(names);
  }

  /** Tells name servers that the broker is leaving; waits no longer than three seconds for any. */
  async close(): Promise<void> {
    const { identity } = this.#options;
    await Promise.all(
      this.#links.map((link) =>
        link.close({
          code: RequestCode.UNREGISTER_BROKER,
          extFields: [
            ['brokerName', identity.brokerName],
            ['brokerAddr', identity.address],
            ['clusterName', identity.clusterName],
            ['brokerId', String(identity.brokerId)],
          ],
          timeoutMs: UNREGISTER_TIMEOUT_MS,
        }),
      ),
    );
  }

  async #tell(client: RemotingClient, untold: Untold): Promise<void> {
    const { identity } = this.#options;
    const changed = [...(untold ?? [])]
      .map((topic) => this.#topics.get(topic))
      .filter((topic) => topic !== undefined);
    // Where topics went, or nothing changed, all are told: there is nothing smaller to say.
    const topics = changed.length === 0 ? this.#topics.values() : changed;
    const body = encodeRegisterBody(this.#dataVersion, topics);
    const answer = await client.request({
      code: RequestCode.REGISTER_BROKER,
      extFields: [
        ['brokerName', identity.brokerName],
        ['brokerAddr', identity.address],
        ['clusterName', identity.clusterName],
        ['haServerAddr', identity.haServerAddress],
        ['brokerId', String(identity.brokerId)],
        ['compressed', 'false'],
        ['enableActingMaster', 'false'],
        ['bodyCrc32', String(crc32Masked(body))],
      ],
      body,
      timeoutMs: REGISTER_TIMEOUT_MS,
    });
    if (answer.code !== ResponseCode.SUCCESS) {
      const remark = answer.remark ?? 'without a reason';
      throw new BrokerError(
        'REMOTING_FAILED',
        `${client.address} refused the registration: ${answer.code} ${remark}`,
      );
    }
    const ordered = orderedTopics(answer.body);
    if (ordered.length > 0) this.#options.onOrderTopics?.(ordered);
  }
}

/** KVTable.java: a name server answers a registration with its order configuration, by topic. */
function orderedTopics(body: Buffer): string[] {
  if (body.length === 0) return [];
  try {
    const { table } = JSON.parse(body.toString()) as { table?: Record<string, unknown> };
    return Object.keys(table ?? {});
  } catch {
    return [];
  }
}

/** One name server: registers one at a time, again after changes that came meanwhile. */
class NameServerLink {
  readonly #client: RemotingClient;
  readonly #logger: Logger;
  readonly #intervalMs: number;
  readonly #retryMs: number;
  readonly #tell: (client: RemotingClient, untold: Untold) => Promise<void>;
  /** What changed since it was told last; null where it must be told all. */
  #untold: Set<string> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isBusy = false;
  #isStale = false;
  #isClosed = false;
  #isRegistered: boolean | null = null;

  constructor(
    address: string,
    options: BrokerRegistrationOptions,
    tell: (client: RemotingClient, untold: Untold) => Promise<void>,
  ) {
    const { credentials = null, tls = null } = options;
    const onDisconnected = (): void => this.#onDisconnected();
    this.#client = new RemotingClient({ address, credentials, tls, onDisconnected });
    this.#logger = options.logger;
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS;
    this.#retryMs = Math.min(options.retryMs ?? RETRY_MS, this.#intervalMs);
    this.#tell = tell;
  }

  get isRegistered(): boolean {
    return this.#isRegistered === true;
  }

  trigger(changedTopics: readonly string[] = []): void {
    for (const topic of changedTopics) this.#untold?.add(topic);
    this.#isStale = true;
    if (!this.#isBusy && !this.#isClosed) void this.#run();
  }

  async close(unregister: Parameters<RemotingClient['request']>[0]): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    try {
      if (this.#isRegistered === true) await this.#client.request(unregister);
    } catch (error) {
      this.#logger.warn(
        { nameServer: this.#client.address, error: String(error) },
        'could not unregister',
      );
    }
    this.#client.close();
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    let pauseMs = this.#intervalMs;
    while (this.#isStale && !this.#isClosed) {
      this.#isStale = false;
      const untold = this.#untold;
      this.#untold = new Set();
      try {
        await this.#tell(this.#client, untold);
        this.#announce(true, '');
      } catch (error) {
        this.#untold = null;
        // It may have forgotten this broker, and so refuse a part.
        if (untold !== null) {
          this.#isStale = true;
          continue;
        }
        this.#announce(false, error instanceof Error ? error.message : String(error));
        pauseMs = this.#retryMs;
        break;
      }
    }
    this.#isBusy = false;
    this.#schedule(pauseMs);
  }

  #schedule(pauseMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (!this.#isClosed) this.#timer = setTimeout(() => this.trigger(), pauseMs);
  }

  /** A name server forgets a broker when its connection ends. */
  #onDisconnected(): void {
    this.#untold = null;
    if (!this.#isBusy) this.#schedule(this.#retryMs);
  }

  /** One line when it begins to work, one when it begins to fail. */
  #announce(isRegistered: boolean, error: string): void {
    if (this.#isRegistered === isRegistered || this.#isClosed) return;
    this.#isRegistered = isRegistered;
    const nameServer = this.#client.address;
    if (isRegistered) this.#logger.info({ nameServer }, 'registered with name server');
    else
      this.#logger.warn({ nameServer, error }, 'could not register with name server; trying again');
  }
}
