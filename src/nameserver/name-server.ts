/**
 * @agent control
 *
 * A RocketMQ name server: brokers register, clients ask for routes. Pure: requests in, answers out.
 * Name servers never talk to each other; each answers alone.
 *
 * A broker in the same process registers by `registerEmbedded`. Without an advertised address its
 * address in every answer is the one at which the asking socket reached this process, so that any
 * interface works without configuration.
 *
 * Source: DefaultRequestProcessor.java, ClientRequestProcessor.java, RouteInfoManager.java.
 */
import type { MonotonicClock, WallClock } from '../base/clock.ts';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import { crc32Masked } from '../protocol/crc32.ts';
import { decodeRegisterBody } from '../protocol/register-body.ts';
import { type Answer, FLAG_ONEWAY, type RemotingCommand } from '../protocol/remoting-command.ts';
import {
  type DataVersion,
  dataVersionEquals,
  decodeDataVersion,
  decodeTopicConfig,
  type TopicChanges,
} from '../protocol/topic-config.ts';
import { KvConfig } from './kv-config.ts';
import {
  type AddressFor,
  clusterInfoBody,
  memberGroupBody,
  type OnlyBroker,
  routeBody,
  systemTopicsBody,
  topicListBody,
} from './route-body.ts';
import { type LiveBroker, type QueueData, RouteTable } from './route-table.ts';

export interface NameServerConnection {
  readonly id: number;
  /** `ip:port` */
  readonly remoteAddress: string;
  /** IP of our end. */
  readonly localAddress: string;
}

export interface NameServerOptions {
  monotonicClock: MonotonicClock;
  wallClock: WallClock;
  logger: Logger;
  /** Stored text of kvConfig.json. */
  kvText?: string | undefined;
  /** Stores kvConfig.json. */
  persistKv?: ((text: string) => void) | undefined;
  /** A route of this %RETRY% topic is asked for and not known: true when it exists now. */
  onMissingRetryTopic?: ((topic: string) => boolean) | undefined;
  /** Told of each topic whose order configuration is set. */
  onOrderConfig?: (topic: string) => void;
  /** Whether routes carry the order configuration of a topic (orderMessageEnable). */
  orderMessageEnable?: boolean;
  /** What is kept of what brokers register, in bytes of memory (routeBytesMax). */
  routeBytesMax?: number;
  /** A registration was refused because of it. */
  onNoRoom?: (details: object) => void;
}

export interface EmbeddedRegistration {
  clusterName: string;
  brokerName: string;
  brokerId: number;
  /** `host:port`, or null for the address by which the asker reached us. */
  advertisedAddress: string | null;
  brokerPort: number;
  /** All topics where it is the first. */
  changes: TopicChanges;
  dataVersion: DataVersion;
}

const BROKER_TIMEOUT_MS = 120_000;
const SCAN_INTERVAL_MS = 5_000;
const ORDER_NAMESPACE = 'ORDER_TOPIC_CONFIG';
const EMBEDDED_ADDRESS = '';
/** Bits of topicSysFlag (TopicSysFlag.java). */
const UNIT = 1;
const UNIT_SUBSCRIPTION = 2;
const NO_VERSION: DataVersion = { counter: 0, stateVersion: 0, timestamp: 0 };
/** Names remembered so that a line is logged once for each; forgotten beyond. */
const WARNED_COUNT_MAX = 1000;
/** Topics of brokers that are gone: some 1 ms of work. */
const PURGED_PER_TURN_MAX = 1000;
/** A guess: names of zones are words. */
const ZONE_NAME_CHARS_MAX = 255;

/** What a broker asks, and no client. */
const brokerCodes: ReadonlySet<number> = new Set([
  RequestCode.REGISTER_BROKER,
  RequestCode.UNREGISTER_BROKER,
  RequestCode.BROKER_HEARTBEAT,
  RequestCode.QUERY_DATA_VERSION,
]);
const NO_BROKER = { brokerName: '', brokerId: -1 };

type Handler = (request: RemotingCommand, connection: NameServerConnection) => Answer;

export class NameServer {
  readonly #options: NameServerOptions;
  readonly #routes: RouteTable;
  readonly #kv: KvConfig;
  readonly #handlers: ReadonlyMap<number, Handler>;
  #embedded: EmbeddedRegistration | null = null;
  /** The one broker that the request at hand may be told of; null for all. */
  #only: OnlyBroker = null;
  /** Addresses of brokers whose registration was ignored. */
  readonly #warned = new Set<string>();
  #nextScanMs: number;

  constructor(options: NameServerOptions) {
    this.#options = options;
    this.#nextScanMs = options.monotonicClock.nowMs() + SCAN_INTERVAL_MS;
    this.#kv = new KvConfig(options.kvText);
    this.#routes = new RouteTable(options.routeBytesMax);
    this.#handlers = new Map<number, Handler>([
      [RequestCode.PUT_KV_CONFIG, (request) => this.#putKv(request)],
      [RequestCode.GET_KV_CONFIG, (request) => this.#getKv(request)],
      [RequestCode.DELETE_KV_CONFIG, (request) => this.#deleteKv(request)],
      [RequestCode.GET_KVLIST_BY_NAMESPACE, (request) => this.#kvList(request)],
      [RequestCode.REGISTER_BROKER, (request, connection) => this.#register(request, connection)],
      [RequestCode.UNREGISTER_BROKER, (request) => this.#unregister(request)],
      [RequestCode.BROKER_HEARTBEAT, (request) => this.#heartbeat(request)],
      [RequestCode.QUERY_DATA_VERSION, (request) => this.#queryDataVersion(request)],
      [
        RequestCode.GET_ROUTEINFO_BY_TOPIC,
        (request, connection) => this.#route(request, connection),
      ],
      [
        RequestCode.GET_BROKER_CLUSTER_INFO,
        (_request, connection) => this.#clusterInfo(connection),
      ],
      [
        RequestCode.GET_BROKER_MEMBER_GROUP,
        (request, connection) => this.#memberGroup(request, connection),
      ],
      [
        RequestCode.WIPE_WRITE_PERM_OF_BROKER,
        (request) => this.#setWritePermission(request, false),
      ],
      [RequestCode.ADD_WRITE_PERM_OF_BROKER, (request) => this.#setWritePermission(request, true)],
      [
        RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
        () => success(topicListBody(this.#topics().map(([topic]) => topic))),
      ],
      [RequestCode.GET_TOPICS_BY_CLUSTER, (request) => this.#topicsByCluster(request)],
      [
        RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS,
        (_request, connection) => this.#systemTopics(connection),
      ],
      [RequestCode.GET_UNIT_TOPIC_LIST, () => this.#unitTopics((flag) => (flag & UNIT) !== 0)],
      [
        RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST,
        () => this.#unitTopics((flag) => (flag & UNIT_SUBSCRIPTION) !== 0),
      ],
      [
        RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
        () => this.#unitTopics((flag) => (flag & (UNIT | UNIT_SUBSCRIPTION)) === UNIT_SUBSCRIPTION),
      ],
      [RequestCode.DELETE_TOPIC_IN_NAMESRV, (request) => this.#deleteTopic(request)],
      [RequestCode.REGISTER_TOPIC_IN_NAMESRV, (request) => this.#registerTopic(request)],
      [RequestCode.GET_NAMESRV_CONFIG, () => success(Buffer.from(this.#configText()))],
      [
        RequestCode.UPDATE_NAMESRV_CONFIG,
        () => ({
          code: ResponseCode.NO_PERMISSION,
          remark:
            'the configuration of the name server can not be changed over the network; restart it with other flags',
        }),
      ],
    ]);
  }

  /** Handles a request. Null where it gets no answer: nobody waits for one. */
  onRequest(request: RemotingCommand, connection: NameServerConnection): Answer | null {
    const answer = this.#answer(request, connection);
    return (request.flag & FLAG_ONEWAY) === 0 ? answer : null;
  }

  /** What brokers have registered takes about so much memory. */
  get routeBytes(): number {
    return this.#routes.bytes;
  }

  get brokerCount(): number {
    return this.#routes.brokerCount;
  }

  /** Whether a code is a name server's: those of brokers are others. */
  serves(code: number): boolean {
    return this.#handlers.has(code);
  }

  /**
   * Handles a request that came by WebSocket, where one connection is one broker: answers name that
   * broker alone, and other brokers do not register there.
   */
  onWebRequest(request: RemotingCommand, connection: NameServerConnection): Answer | null {
    if (brokerCodes.has(request.code)) {
      return { code: ResponseCode.NO_PERMISSION, remark: 'brokers register by TCP' };
    }
    // Without it nothing may be named: the broker is on its way out.
    this.#only = this.#embedded ?? NO_BROKER;
    const answer = this.onRequest(request, connection);
    this.#only = null;
    return answer;
  }

  /** Whether this topic has an order configuration. */
  hasOrderConfig(topic: string): boolean {
    return this.#kv.get(ORDER_NAMESPACE, topic) !== undefined;
  }

  onConnectionClosed(connectionId: number): void {
    for (const broker of this.#routes.onConnectionClosed(connectionId)) {
      this.#options.logger.info(
        { brokerName: broker.brokerName, address: broker.address },
        'broker has closed its connection and is removed',
      );
    }
  }

  doWork(nowMs: number): number {
    return this.#routes.purge(PURGED_PER_TURN_MAX) + this.#scan(nowMs);
  }

  #scan(nowMs: number): number {
    if (nowMs < this.#nextScanMs) return 0;
    this.#nextScanMs = nowMs + SCAN_INTERVAL_MS;
    const dead = this.#routes.expire(nowMs);
    for (const broker of dead) {
      this.#options.logger.warn(
        { brokerName: broker.brokerName, address: broker.address, timeoutMs: broker.timeoutMs },
        'broker was not heard of in time and is removed',
      );
    }
    return dead.length;
  }

  nextDeadlineMs(): number {
    return this.#routes.isPurging ? 0 : this.#nextScanMs;
  }

  /** The broker of this process: again after each change of its topics. It never expires. */
  registerEmbedded(registration: EmbeddedRegistration): void {
    this.#embedded = registration;
    this.#routes.register(
      {
        cluster: registration.clusterName,
        brokerName: registration.brokerName,
        brokerId: registration.brokerId,
        address: registration.advertisedAddress ?? EMBEDDED_ADDRESS,
        haServerAddress: '',
        connectionId: null,
        timeoutMs: BROKER_TIMEOUT_MS,
        enableActingMaster: false,
        zoneName: undefined,
        topics: registration.changes.topics,
        deletedTopics: registration.changes.deleted,
        queueMappings: new Map(),
        dataVersion: registration.dataVersion,
      },
      this.#options.monotonicClock.nowMs(),
    );
  }

  unregisterEmbedded(): void {
    const embedded = this.#embedded;
    if (embedded === null) return;
    const address = embedded.advertisedAddress ?? EMBEDDED_ADDRESS;
    this.#routes.unregister(embedded.clusterName, embedded.brokerName, address);
    this.#embedded = null;
  }

  #answer(request: RemotingCommand, connection: NameServerConnection): Answer {
    const handler = this.#handlers.get(request.code);
    if (handler === undefined) {
      return {
        code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
        remark: ` request type ${request.code} not supported`,
      };
    }
    try {
      return handler(request, connection);
    } catch (error) {
      if (!BrokerError.is(error)) throw error;
      return { code: ResponseCode.SYSTEM_ERROR, remark: error.message };
    }
  }

  // Brokers

  #register(request: RemotingCommand, connection: NameServerConnection): Answer {
    const fields = request.extFields;
    const crc = Number(fields.get('bodyCrc32') ?? 0);
    if (crc !== 0 && crc !== crc32Masked(request.body))
      return { code: ResponseCode.SYSTEM_ERROR, remark: 'crc32 not match' };
    const cluster = required(request, 'clusterName');
    const brokerName = required(request, 'brokerName');
    const brokerId = requiredId(request, 'brokerId');
    const address = requiredAddress(request);
    const isCompressed = fields.get('compressed')?.toLowerCase() === 'true';
    const body = decodeRegisterBody(request.body, isCompressed, request.version);
    const embedded = this.#embedded;
    const isItsName = embedded?.brokerName === brokerName && embedded.brokerId === brokerId;
    if (isItsName || embedded?.advertisedAddress === address) {
      const why = isItsName ? 'name and id are of this broker' : 'the address is of this broker';
      this.#warnOnce(address, { brokerName, brokerId, address }, why);
      return { code: ResponseCode.SUCCESS };
    }
    const zoneName = fields.get('__ZONE_NAME');
    if (zoneName !== undefined && zoneName.length > ZONE_NAME_CHARS_MAX)
      throw new BrokerError('FRAME_INVALID', 'the custom field <__ZONE_NAME> is too long');
    const isNew = this.#routes.liveBroker(cluster, address) === undefined;
    const result = this.#routes.register(
      {
        cluster,
        brokerName,
        brokerId,
        address,
        haServerAddress: fields.get('haServerAddr') ?? '',
        connectionId: connection.id,
        timeoutMs: timeoutOf(fields.get('heartbeatTimeoutMillis')),
        enableActingMaster: booleanOf(fields.get('enableActingMaster')),
        zoneName,
        topics: request.body.length === 0 ? null : body.topics,
        queueMappings: body.queueMappings,
        dataVersion: body.dataVersion,
      },
      this.#options.monotonicClock.nowMs(),
    );
    if (result === 'unknown')
      return { code: ResponseCode.SYSTEM_ERROR, remark: 'register broker failed' };
    if (result === 'no-room') return this.#noRoom({ brokerName, address });
    if (result.conflictingAddress !== null) {
      const details = { brokerName, brokerId, address, holder: result.conflictingAddress };
      this.#warnOnce(address, details, 'another broker holds this name and id');
      return { code: ResponseCode.SUCCESS };
    }
    if (isNew) {
      const details = { brokerName, brokerId, address, topicCount: body.topics.length };
      this.#options.logger.info(details, 'broker registered');
    }
    const extFields: [string, string][] = [];
    if (result.haServerAddress !== null) extFields.push(['haServerAddr', result.haServerAddress]);
    if (result.masterAddress !== null)
      extFields.push(['masterAddr', this.#addressFor(connection)(result.masterAddress)]);
    const order = this.#kv.printNamespace(ORDER_NAMESPACE) ?? undefined;
    return { code: ResponseCode.SUCCESS, extFields, body: order };
  }

  #noRoom(details: object): Answer {
    this.#options.onNoRoom?.(details);
    const { bytes } = this.#routes;
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: `what brokers have registered takes ${bytes} bytes, and there is no room for more: raise routeBytesMax`,
    };
  }

  #warnOnce(address: string, details: object, why: string): void {
    if (this.#warned.has(address)) return;
    if (this.#warned.size >= WARNED_COUNT_MAX) this.#warned.clear();
    this.#warned.add(address);
    this.#options.logger.warn(details, `registration of a broker ignored: ${why}`);
  }

  #unregister(request: RemotingCommand): Answer {
    const cluster = required(request, 'clusterName');
    const brokerName = required(request, 'brokerName');
    const address = requiredAddress(request);
    // The broker of this process leaves by `unregisterEmbedded` alone.
    if (this.#embedded?.advertisedAddress === address) return { code: ResponseCode.SUCCESS };
    this.#routes.unregister(cluster, brokerName, address);
    this.#options.logger.info({ brokerName, address }, 'broker unregistered');
    return { code: ResponseCode.SUCCESS };
  }

  #heartbeat(request: RemotingCommand): Answer {
    this.#seen(request);
    return { code: ResponseCode.SUCCESS };
  }

  #queryDataVersion(request: RemotingCommand): Answer {
    const broker = this.#seen(request);
    if (broker === undefined)
      return { code: ResponseCode.SUCCESS, extFields: [['changed', 'true']] };
    const asked =
      request.body.length === 0
        ? NO_VERSION
        : decodeDataVersion(parseFastjson(request.body.toString('utf8')));
    return {
      code: ResponseCode.SUCCESS,
      extFields: [['changed', String(!dataVersionEquals(asked, broker.dataVersion))]],
      body: Buffer.from(JSON.stringify(broker.dataVersion)),
    };
  }

  /** The live broker that a request is from, whose time begins anew. */
  #seen(request: RemotingCommand): LiveBroker | undefined {
    const cluster = required(request, 'clusterName');
    const broker = this.#routes.liveBroker(cluster, requiredAddress(request));
    if (broker !== undefined) broker.lastSeenMs = this.#options.monotonicClock.nowMs();
    return broker;
  }

  #setWritePermission(request: RemotingCommand, isWritable: boolean): Answer {
    const count = this.#routes.setWritePermission(required(request, 'brokerName'), isWritable);
    return {
      code: ResponseCode.SUCCESS,
      extFields: [[isWritable ? 'addTopicCount' : 'wipeTopicCount', String(count)]],
    };
  }

  // Routes

  #route(request: RemotingCommand, connection: NameServerConnection): Answer {
    const topic = required(request, 'topic');
    if (topic.startsWith('%RETRY%') && !this.#routes.topics.has(topic))
      this.#options.onMissingRetryTopic?.(topic);
    const order =
      this.#options.orderMessageEnable === true ? this.#kv.get(ORDER_NAMESPACE, topic) : undefined;
    const body = routeBody(this.#routes, topic, order, this.#addressFor(connection), this.#only);
    if (body !== null) return success(body);
    return {
      code: ResponseCode.TOPIC_NOT_EXIST,
      remark: `No topic route info in name server for the topic: ${topic}\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.`,
    };
  }

  #addressFor(connection: NameServerConnection): AddressFor {
    return (registered) => {
      if (registered !== EMBEDDED_ADDRESS || this.#embedded === null) return registered;
      const host = connection.localAddress.replace(/^::ffff:(?=\d+\.)/i, '');
      return `${host.includes(':') ? `[${host}]` : host}:${this.#embedded.brokerPort}`;
    };
  }

  #clusterInfo(connection: NameServerConnection): Answer {
    return success(clusterInfoBody(this.#routes, this.#addressFor(connection), this.#only));
  }

  #memberGroup(request: RemotingCommand, connection: NameServerConnection): Answer {
    const cluster = required(request, 'clusterName');
    const brokerName = required(request, 'brokerName');
    return success(
      memberGroupBody(this.#routes, cluster, brokerName, this.#addressFor(connection), this.#only),
    );
  }

  // Topics

  #topics(): [topic: string, queues: ReadonlyMap<string, QueueData>][] {
    const only = this.#only;
    const all = [...this.#routes.current()];
    return only === null ? all : all.filter(([, queues]) => queues.has(only.brokerName));
  }

  #topicsByCluster(request: RemotingCommand): Answer {
    const names = this.#routes.clusters.get(required(request, 'cluster')) ?? new Set<string>();
    const topics: string[] = [];
    for (const [topic, queues] of this.#topics()) {
      if ([...queues.keys()].some((brokerName) => names.has(brokerName))) topics.push(topic);
    }
    return success(topicListBody(topics));
  }

  #systemTopics(connection: NameServerConnection): Answer {
    return success(systemTopicsBody(this.#routes, this.#addressFor(connection), this.#only));
  }

  #unitTopics(matches: (topicSysFlag: number) => boolean): Answer {
    const topics: string[] = [];
    for (const [topic, queues] of this.#topics()) {
      const [first] = queues.values();
      if (first !== undefined && matches(first.topicSysFlag)) topics.push(topic);
    }
    return success(topicListBody(topics));
  }

  #deleteTopic(request: RemotingCommand): Answer {
    this.#routes.deleteTopic(required(request, 'topic'), request.extFields.get('clusterName'));
    return { code: ResponseCode.SUCCESS };
  }

  /** All of the body's brokers must be known, or nothing is taken. */
  #registerTopic(request: RemotingCommand): Answer {
    const topicName = required(request, 'topic');
    const parsed = request.body.length === 0 ? null : parseFastjson(request.body.toString('utf8'));
    const queueDatas = fieldsOf(parsed)['queueDatas'];
    const added: [string, QueueData][] = [];
    for (const value of Array.isArray(queueDatas) ? (queueDatas as unknown[]) : []) {
      const fields = fieldsOf(value);
      const { brokerName } = fields;
      const topic = decodeTopicConfig({ ...fields, topicName });
      if (typeof brokerName !== 'string' || !this.#routes.groups.has(brokerName) || topic === null)
        return { code: ResponseCode.SUCCESS };
      const { readQueueNums, writeQueueNums, perm, topicSysFlag } = topic;
      added.push([brokerName, { readQueueNums, writeQueueNums, perm, topicSysFlag }]);
    }
    return this.#routes.registerTopic(topicName, added)
      ? { code: ResponseCode.SUCCESS }
      : this.#noRoom({ topic: topicName });
  }

  // Key-value configuration

  #putKv(request: RemotingCommand): Answer {
    const namespace = required(request, 'namespace');
    const key = required(request, 'key');
    if (!this.#kv.put(namespace, key, required(request, 'value')))
      return { code: ResponseCode.SYSTEM_ERROR, remark: 'no room for more configuration' };
    if (namespace === ORDER_NAMESPACE) this.#options.onOrderConfig?.(key);
    this.#options.persistKv?.(this.#kv.print());
    return { code: ResponseCode.SUCCESS };
  }

  #getKv(request: RemotingCommand): Answer {
    const namespace = required(request, 'namespace');
    const key = required(request, 'key');
    const value = this.#kv.get(namespace, key);
    if (value !== undefined) return { code: ResponseCode.SUCCESS, extFields: [['value', value]] };
    return {
      code: ResponseCode.QUERY_NOT_FOUND,
      remark: `No config item, Namespace: ${namespace} Key: ${key}`,
    };
  }

  #deleteKv(request: RemotingCommand): Answer {
    this.#kv.delete(required(request, 'namespace'), required(request, 'key'));
    this.#options.persistKv?.(this.#kv.print());
    return { code: ResponseCode.SUCCESS };
  }

  #kvList(request: RemotingCommand): Answer {
    const namespace = required(request, 'namespace');
    const body = this.#kv.printNamespace(namespace);
    if (body !== null) return success(body);
    return {
      code: ResponseCode.QUERY_NOT_FOUND,
      remark: `No config item, Namespace: ${namespace}`,
    };
  }

  #configText(): string {
    return `orderMessageEnable=${String(this.#options.orderMessageEnable === true)}\nreturnOrderTopicConfigToBroker=true\nscanNotActiveBrokerInterval=${SCAN_INTERVAL_MS}\n`;
  }
}

function success(body: Buffer): Answer {
  return { code: ResponseCode.SUCCESS, body };
}

function required(request: RemotingCommand, name: string): string {
  const value = request.extFields.get(name);
  if (value === undefined)
    throw new BrokerError('FRAME_INVALID', `the custom field <${name}> is null`);
  return value;
}

/** The address of a broker in the network, never the empty one of the embedded broker. */
function requiredAddress(request: RemotingCommand): string {
  const address = required(request, 'brokerAddr');
  if (address === EMBEDDED_ADDRESS)
    throw new BrokerError('FRAME_INVALID', 'the custom field <brokerAddr> is empty');
  return address;
}

function requiredId(request: RemotingCommand, name: string): number {
  const text = required(request, name);
  if (!/^\d{1,15}$/.test(text))
    throw new BrokerError('FRAME_INVALID', `the custom field <${name}> is no id`);
  return Number(text);
}

function timeoutOf(text: string | undefined): number {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : BROKER_TIMEOUT_MS;
}

function booleanOf(text: string | undefined): boolean | null {
  return text === undefined ? null : text.toLowerCase() === 'true';
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
