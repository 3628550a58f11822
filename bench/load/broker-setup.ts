/**
 * What a run asks of name server and broker before it starts: which broker, a topic made for the run,
 * the offsets of its queues. Low-rate requests over the project's own client.
 */
import { RemotingClient } from '../../src/client/remoting-client.ts';
import { RequestCode, ResponseCode } from '../../src/protocol/codes.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import type { Endpoint, LoadOptions } from './load-options.ts';
import type { BrokerTarget, LoadSetup } from './load-setup.ts';

/** Read and write: PermName.java. */
const PERM_READ_WRITE = 6;
const ROUTE_TIMEOUT_MS = 60_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** A broker without a name server is called this in frames; it does not read the name. */
const UNKNOWN_BROKER_NAME = 'broker-a';

export class BrokerSetup implements LoadSetup {
  readonly target: BrokerTarget;
  readonly #client: RemotingClient;
  readonly #options: LoadOptions;

  private constructor(target: BrokerTarget, options: LoadOptions) {
    this.target = target;
    this.#options = options;
    const { host, port } = target.endpoint;
    this.#client = new RemotingClient({ address: `${host}:${port}` });
  }

  /** Finds the broker, creates the topic, and waits until the name server, if any, knows it. */
  static async open(options: LoadOptions): Promise<BrokerSetup> {
    const { nameServer } = options;
    const names = nameServer === null ? null : new RemotingClient({ address: nameServer });
    try {
      const setup = new BrokerSetup(await findTarget(options, names), options);
      await setup.#createTopic();
      if (names !== null) await waitForRoute(names, options.topic);
      return setup;
    } finally {
      names?.close();
    }
  }

  close(): void {
    this.#client.close();
  }

  /** The offset after the last message of each queue. */
  async maxOffsets(): Promise<number[]> {
    return Promise.all(
      Array.from({ length: this.#options.queueCount }, async (_, queueId) => {
        const answer = await this.#client.request({
          code: RequestCode.GET_MAX_OFFSET,
          extFields: [
            ['topic', this.#options.topic],
            ['queueId', String(queueId)],
          ],
          timeoutMs: REQUEST_TIMEOUT_MS,
        });
        requireSuccess(answer, `maximum offset of queue ${queueId}`);
        return Number(answer.extFields.get('offset'));
      }),
    );
  }

  async #createTopic(): Promise<void> {
    const { topic, queueCount } = this.#options;
    const answer = await this.#client.request({
      code: RequestCode.UPDATE_AND_CREATE_TOPIC,
      extFields: Object.entries({
        topic,
        defaultTopic: 'TBW102',
        readQueueNums: String(queueCount),
        writeQueueNums: String(queueCount),
        perm: String(PERM_READ_WRITE),
        topicFilterType: 'SINGLE_TAG',
        topicSysFlag: '0',
        order: 'false',
      }),
      timeoutMs: REQUEST_TIMEOUT_MS,
    });
    requireSuccess(answer, `creation of topic ${topic}`);
  }
}

async function findTarget(
  options: LoadOptions,
  names: RemotingClient | null,
): Promise<BrokerTarget> {
  const known = names === null ? [] : await brokersOf(names);
  if (options.address !== null) {
    const match = known.find((broker) => broker.address === options.address);
    return {
      endpoint: parseAddress(options.address),
      name: match?.name ?? UNKNOWN_BROKER_NAME,
    };
  }
  const first = known[0];
  if (first === undefined) throw new Error(`no broker is known to ${options.nameServer}`);
  return { endpoint: parseAddress(first.address), name: first.name };
}

interface ClusterInfo {
  brokerAddrTable: Record<string, { brokerName: string; brokerAddrs: Record<string, string> }>;
}

/** Masters that a name server knows. */
async function brokersOf(names: RemotingClient): Promise<{ name: string; address: string }[]> {
  const answer = await names.request({ code: RequestCode.GET_BROKER_CLUSTER_INFO });
  requireSuccess(answer, 'cluster information');
  // Numeric keys of a map may come without quotes.
  const text = answer.body.toString('utf8').replaceAll(/([{,])(\d+):/g, '$1"$2":');
  const info = JSON.parse(text) as ClusterInfo;
  return Object.values(info.brokerAddrTable).flatMap((broker) => {
    const address = broker.brokerAddrs['0'];
    return address === undefined ? [] : [{ name: broker.brokerName, address }];
  });
}

async function waitForRoute(names: RemotingClient, topic: string): Promise<void> {
  const deadlineMs = Date.now() + ROUTE_TIMEOUT_MS;
  for (;;) {
    const answer = await names.request({
      code: RequestCode.GET_ROUTEINFO_BY_TOPIC,
      extFields: [['topic', topic]],
    });
    if (answer.code === ResponseCode.SUCCESS) return;
    if (Date.now() > deadlineMs) requireSuccess(answer, `route of topic ${topic}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function requireSuccess(answer: RemotingCommand, what: string): void {
  if (answer.code === ResponseCode.SUCCESS) return;
  throw new Error(`${what}: code ${answer.code}, ${answer.remark ?? 'no remark'}`);
}

/** `host:port`, an IPv6 host in brackets. */
export function parseAddress(address: string): Endpoint {
  const [, host = '', port = ''] = /^\[?([^\]]+?)\]?:(\d+)$/.exec(address) ?? [];
  if (host === '') throw new Error(`${address} is not host:port`);
  return { host, port: Number(port), isWeb: false };
}
