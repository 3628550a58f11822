/**
 * @agent reactor
 *
 * Keeps a broker registered with name servers outside of this process: at start, when its topics
 * change, and every 30 seconds. Name servers know nothing of each other, so each is told for itself,
 * and one that is down delays no other.
 *
 * Source: BrokerController.java (registerBrokerAll), BrokerOuterAPI.java.
 */
import type { Logger } from '../base/logging.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { crc32Masked } from '../protocol/message-record.ts';
import { encodeRegisterBody } from '../protocol/register-body.ts';
import type { DataVersion, TopicConfig } from '../protocol/topic-config.ts';
import { RemotingClient } from './remoting-client.ts';

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
  logger: Logger;
  intervalMs?: number;
}

const INTERVAL_MS = 30_000;
const REGISTER_TIMEOUT_MS = 24_000;
const UNREGISTER_TIMEOUT_MS = 3000;
/** Pause before a name server that failed is tried again. */
const RETRY_MS = 3000;

export class BrokerRegistration {
  readonly #options: BrokerRegistrationOptions;
  readonly #links: NameServerLink[];
  #topics: readonly TopicConfig[] = [];
  #dataVersion: DataVersion = { counter: 0, stateVersion: 0, timestamp: 0 };

  constructor(options: BrokerRegistrationOptions) {
    this.#options = options;
    this.#links = options.nameServers.map(
      (address) =>
        new NameServerLink(address, options.logger, options.intervalMs ?? INTERVAL_MS, (client) =>
          this.#register(client),
        ),
    );
  }

  /** Takes the topics as they are now and tells every name server. */
  update(topics: readonly TopicConfig[], dataVersion: DataVersion): void {
    this.#topics = topics;
    this.#dataVersion = dataVersion;
    for (const link of this.#links) link.trigger();
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

  async #register(client: RemotingClient): Promise<void> {
    const { identity } = this.#options;
    const body = encodeRegisterBody(this.#dataVersion, this.#topics);
    const answer = await client.request({
      code: RequestCode.REGISTER_BROKER,
      extFields: [
        ['brokerName', identity.brokerName],
        ['brokerAddr', identity.address],
        ['clusterName', identity.clusterName],
        ['haServerAddr', identity.haServerAddress],
        ['brokerId', String(identity.brokerId)],
        ['compressed', 'false'],
        ['bodyCrc32', String(crc32Masked(body))],
      ],
      body,
      timeoutMs: REGISTER_TIMEOUT_MS,
    });
    if (answer.code !== ResponseCode.SUCCESS) {
      throw new Error(`it answered ${answer.code}: ${answer.remark ?? ''}`);
    }
  }
}

/** One name server: registers one at a time, again after changes that came meanwhile. */
class NameServerLink {
  readonly #client: RemotingClient;
  readonly #logger: Logger;
  readonly #intervalMs: number;
  readonly #register: (client: RemotingClient) => Promise<void>;
  #timer: NodeJS.Timeout | null = null;
  #isBusy = false;
  #isStale = false;
  #isClosed = false;
  #isRegistered: boolean | null = null;

  constructor(
    address: string,
    logger: Logger,
    intervalMs: number,
    register: (client: RemotingClient) => Promise<void>,
  ) {
    this.#client = new RemotingClient({ address });
    this.#logger = logger;
    this.#intervalMs = intervalMs;
    this.#register = register;
  }

  trigger(): void {
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
    if (this.#timer !== null) clearTimeout(this.#timer);
    let pauseMs = this.#intervalMs;
    while (this.#isStale && !this.#isClosed) {
      this.#isStale = false;
      try {
        await this.#register(this.#client);
        this.#announce(true, '');
      } catch (error) {
        this.#announce(false, error instanceof Error ? error.message : String(error));
        pauseMs = Math.min(RETRY_MS, this.#intervalMs);
        break;
      }
    }
    this.#isBusy = false;
    if (!this.#isClosed) this.#timer = setTimeout(() => this.trigger(), pauseMs);
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
