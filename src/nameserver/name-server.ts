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
import { crc32Masked } from '../protocol/message-record.ts';
import { decodeRegisterBody } from '../protocol/register-body.ts';
import type { Answer, RemotingCommand } from '../protocol/remoting-command.ts';
import {
  type DataVersion,
  dataVersionEquals,
  decodeDataVersion,
  type TopicConfig,
} from '../protocol/topic-config.ts';
import { type BrokerGroup, type QueueData, type Registration, RouteTable } from './route-table.ts';

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
  /** Whether routes carry the order configuration of a topic (orderMessageEnable). */
  orderMessageEnable?: boolean;
}

export interface EmbeddedRegistration {
  clusterName: string;
  brokerName: string;
  brokerId: number;
  /** `host:port`, or null for the address by which the asker reached us. */
  advertisedAddress: string | null;
  brokerPort: number;
  topics: readonly TopicConfig[];
  dataVersion: DataVersion;
}

const BROKER_TIMEOUT_MS = 120_000;
const SCAN_INTERVAL_MS = 5_000;
const ORDER_NAMESPACE = 'ORDER_TOPIC_CONFIG';
const EMBEDDED_ADDRESS = '';
const KV_COUNT_MAX = 100_000;

type Handler = (request: RemotingCommand, connection: NameServerConnection) => Answer;

export class NameServer {
  readonly #options: NameServerOptions;
  readonly #routes = new RouteTable();
  readonly #kv = new Map<string, Map<string, string>>();
  readonly #handlers: ReadonlyMap<number, Handler>;
  #embedded: EmbeddedRegistration | null = null;
  #nextScanMs: number;

  constructor(options: NameServerOptions) {
    this.#options = options;
    this.#nextScanMs = options.monotonicClock.nowMs() + SCAN_INTERVAL_MS;
    if (options.kvText !== undefined) this.#loadKv(options.kvText);
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
      [RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, () => topicList(this.#routes.topics.keys())],
      [RequestCode.GET_TOPICS_BY_CLUSTER, (request) => this.#topicsByCluster(request)],
      [
        RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS,
        (_request, connection) => this.#systemTopics(connection),
      ],
      [RequestCode.GET_UNIT_TOPIC_LIST, () => this.#unitTopics((flag) => (flag & 1) !== 0)],
      [RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST, () => this.#unitTopics((flag) => (flag & 2) !== 0)],
      [
        RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
        () => this.#unitTopics((flag) => (flag & 3) === 2),
      ],
      [RequestCode.DELETE_TOPIC_IN_NAMESRV, (request) => this.#deleteTopic(request)],
      [RequestCode.REGISTER_TOPIC_IN_NAMESRV, (request) => this.#registerTopic(request)],
      [
        RequestCode.GET_NAMESRV_CONFIG,
        () => ({ code: ResponseCode.SUCCESS, body: Buffer.from(this.#configText()) }),
      ],
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

  /** Handles a request. Null where it gets no answer. */
  onRequest(request: RemotingCommand, connection: NameServerConnection): Answer | null {
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

  onConnectionClosed(connectionId: number): void {
    for (const broker of this.#routes.onConnectionClosed(connectionId)) {
      this.#options.logger.info(
        { brokerName: broker.brokerName, address: broker.address },
        'broker has closed its connection and is removed',
      );
    }
  }

  doWork(nowMs: number): number {
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
    return this.#nextScanMs;
  }

  /** The broker of this process: again after each change of its topics. It never expires. */
  registerEmbedded(registration: EmbeddedRegistration): void {
    this.#embedded = registration;
    const result: Registration = {
      cluster: registration.clusterName,
      brokerName: registration.brokerName,
      brokerId: registration.brokerId,
      address: registration.advertisedAddress ?? EMBEDDED_ADDRESS,
      haServerAddress: '',
      connectionId: null,
      timeoutMs: BROKER_TIMEOUT_MS,
      enableActingMaster: false,
      topics: registration.topics,
      dataVersion: registration.dataVersion,
    };
    this.#routes.register(result, this.#options.monotonicClock.nowMs());
  }

  unregisterEmbedded(): void {
    const embedded = this.#embedded;
    if (embedded === null) return;
    const address = embedded.advertisedAddress ?? EMBEDDED_ADDRESS;
    this.#routes.unregister(embedded.clusterName, embedded.brokerName, embedded.brokerId, address);
    this.#embedded = null;
  }

  // Brokers

  #register(request: RemotingCommand, connection: NameServerConnection): Answer {
    const fields = request.extFields;
    const crc = Number(fields.get('bodyCrc32') ?? 0);
    if (crc !== 0 && crc !== crc32Masked(request.body))
      return { code: ResponseCode.SYSTEM_ERROR, remark: 'crc32 not match' };
    const brokerName = required(request, 'brokerName');
    const address = required(request, 'brokerAddr');
    const body = decodeRegisterBody(
      request.body,
      fields.get('compressed') === 'true',
      request.version,
    );
    const isNew = this.#routes.liveBroker(required(request, 'clusterName'), address) === undefined;
    const result = this.#routes.register(
      {
        cluster: required(request, 'clusterName'),
        brokerName,
        brokerId: Number(required(request, 'brokerId')),
        address,
        haServerAddress: fields.get('haServerAddr') ?? '',
        connectionId: connection.id,
        timeoutMs: timeoutOf(fields.get('heartbeatTimeoutMillis')),
        enableActingMaster: fields.get('enableActingMaster') === 'true',
        topics: request.body.length === 0 ? null : body.topics,
        dataVersion: body.dataVersion,
      },
      this.#options.monotonicClock.nowMs(),
    );
    if (result === null)
      return { code: ResponseCode.SYSTEM_ERROR, remark: 'register broker failed' };
    if (isNew)
      this.#options.logger.info(
        { brokerName, address, topics: body.topics.length },
        'broker registered',
      );
    const extFields: [string, string][] = [];
    if (result.haServerAddress !== null) extFields.push(['haServerAddr', result.haServerAddress]);
    if (result.masterAddress !== null) extFields.push(['masterAddr', result.masterAddress]);
    const order = this.#kv.get(ORDER_NAMESPACE);
    if (order === undefined) return { code: ResponseCode.SUCCESS, extFields };
    return {
      code: ResponseCode.SUCCESS,
      extFields,
      body: json({ table: Object.fromEntries(order) }),
    };
  }

  #unregister(request: RemotingCommand): Answer {
    const brokerName = required(request, 'brokerName');
    this.#routes.unregister(
      required(request, 'clusterName'),
      brokerName,
      Number(required(request, 'brokerId')),
      required(request, 'brokerAddr'),
    );
    this.#options.logger.info({ brokerName }, 'broker unregistered');
    return { code: ResponseCode.SUCCESS };
  }

  #heartbeat(request: RemotingCommand): Answer {
    const broker = this.#routes.liveBroker(
      required(request, 'clusterName'),
      required(request, 'brokerAddr'),
    );
    if (broker !== undefined) broker.lastSeenMs = this.#options.monotonicClock.nowMs();
    return { code: ResponseCode.SUCCESS };
  }

  #queryDataVersion(request: RemotingCommand): Answer {
    const broker = this.#routes.liveBroker(
      required(request, 'clusterName'),
      required(request, 'brokerAddr'),
    );
    if (broker === undefined)
      return { code: ResponseCode.SUCCESS, extFields: [['changed', 'true']] };
    const asked = decodeDataVersion(parseFastjson(request.body.toString('utf8')));
    const hasChanged = !dataVersionEquals(asked, broker.dataVersion);
    if (!hasChanged) broker.lastSeenMs = this.#options.monotonicClock.nowMs();
    return {
      code: ResponseCode.SUCCESS,
      extFields: [['changed', String(hasChanged)]],
      body: json(broker.dataVersion),
    };
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
    let queues = this.#routes.topics.get(topic);
    if (
      queues === undefined &&
      topic.startsWith('%RETRY%') &&
      this.#options.onMissingRetryTopic?.(topic) === true
    ) {
      queues = this.#routes.topics.get(topic);
    }
    const brokers: unknown[] = [];
    const queueDatas: unknown[] = [];
    for (const [brokerName, queueData] of queues ?? []) {
      queueDatas.push(queueJson(brokerName, queueData));
      const group = this.#routes.groups.get(brokerName);
      if (group !== undefined) brokers.push(this.#groupJson(group, connection));
    }
    if (brokers.length === 0) {
      return {
        code: ResponseCode.TOPIC_NOT_EXIST,
        remark: `No topic route info in name server for the topic: ${topic}\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.`,
      };
    }
    const order =
      this.#options.orderMessageEnable === true
        ? this.#kv.get(ORDER_NAMESPACE)?.get(topic)
        : undefined;
    return {
      code: ResponseCode.SUCCESS,
      body: json({
        brokerDatas: brokers,
        filterServerTable: {},
        ...(order === undefined ? {} : { orderTopicConf: order }),
        queueDatas,
      }),
    };
  }

  #addressFor(address: string, connection: NameServerConnection): string {
    if (address !== EMBEDDED_ADDRESS || this.#embedded === null) return address;
    const host = connection.localAddress.startsWith('::ffff:')
      ? connection.localAddress.slice(7)
      : connection.localAddress;
    return `${host.includes(':') ? `[${host}]` : host}:${this.#embedded.brokerPort}`;
  }

  #groupJson(group: BrokerGroup, connection: NameServerConnection): object {
    return {
      brokerAddrs: this.#addressesJson(group, connection),
      brokerName: group.brokerName,
      cluster: group.cluster,
      enableActingMaster: group.enableActingMaster,
    };
  }

  #addressesJson(group: BrokerGroup, connection: NameServerConnection): object {
    const entries = [...group.addresses].sort(([left], [right]) => left - right);
    return Object.fromEntries(
      entries.map(([id, address]) => [String(id), this.#addressFor(address, connection)]),
    );
  }

  #clusterInfo(connection: NameServerConnection): Answer {
    const brokers = [...this.#routes.groups.values()].map(
      (group) => [group.brokerName, this.#groupJson(group, connection)] as const,
    );
    const clusters = [...this.#routes.clusters].map(
      ([cluster, names]) => [cluster, [...names]] as const,
    );
    return {
      code: ResponseCode.SUCCESS,
      body: json({
        brokerAddrTable: Object.fromEntries(brokers),
        clusterAddrTable: Object.fromEntries(clusters),
      }),
    };
  }

  #memberGroup(request: RemotingCommand, connection: NameServerConnection): Answer {
    const cluster = required(request, 'clusterName');
    const brokerName = required(request, 'brokerName');
    const group = this.#routes.groups.get(brokerName);
    const brokerAddrs = group === undefined ? {} : this.#addressesJson(group, connection);
    return {
      code: ResponseCode.SUCCESS,
      body: json({ brokerMemberGroup: { brokerAddrs, brokerName, cluster } }),
    };
  }

  // Topics

  #topicsByCluster(request: RemotingCommand): Answer {
    const names = this.#routes.clusters.get(required(request, 'cluster')) ?? new Set<string>();
    const topics: string[] = [];
    for (const [topic, queues] of this.#routes.topics) {
      if ([...queues.keys()].some((brokerName) => names.has(brokerName))) topics.push(topic);
    }
    return topicList(topics);
  }

  #systemTopics(connection: NameServerConnection): Answer {
    const topics: string[] = [];
    for (const [cluster, names] of this.#routes.clusters) topics.push(cluster, ...names);
    const [group] = this.#routes.groups.values();
    const [address] = group?.addresses.values() ?? [];
    const brokerAddr = address === undefined ? undefined : this.#addressFor(address, connection);
    return { code: ResponseCode.SUCCESS, body: json({ brokerAddr, topicList: topics }) };
  }

  #unitTopics(matches: (topicSysFlag: number) => boolean): Answer {
    const topics: string[] = [];
    for (const [topic, queues] of this.#routes.topics) {
      const [first] = queues.values();
      if (first !== undefined && matches(first.topicSysFlag)) topics.push(topic);
    }
    return topicList(topics);
  }

  #deleteTopic(request: RemotingCommand): Answer {
    this.#routes.deleteTopic(required(request, 'topic'), request.extFields.get('clusterName'));
    return { code: ResponseCode.SUCCESS };
  }

  #registerTopic(request: RemotingCommand): Answer {
    const topic = required(request, 'topic');
    const body = parseFastjson(request.body.toString('utf8')) as { queueDatas?: unknown };
    for (const value of Array.isArray(body.queueDatas)
      ? (body.queueDatas as Record<string, unknown>[])
      : []) {
      const brokerName = String(value['brokerName']);
      if (!this.#routes.groups.has(brokerName)) continue;
      this.#routes.putQueueData(topic, brokerName, {
        readQueueNums: Number(value['readQueueNums']),
        writeQueueNums: Number(value['writeQueueNums']),
        perm: Number(value['perm']),
        topicSysFlag: Number(value['topicSysFlag'] ?? 0),
      });
    }
    return { code: ResponseCode.SUCCESS };
  }

  // Key-value configuration

  #putKv(request: RemotingCommand): Answer {
    const namespace = required(request, 'namespace');
    let table = this.#kv.get(namespace);
    if (table === undefined) {
      table = new Map();
      this.#kv.set(namespace, table);
    }
    if (table.size >= KV_COUNT_MAX)
      return { code: ResponseCode.SYSTEM_ERROR, remark: `namespace ${namespace} is full` };
    table.set(required(request, 'key'), required(request, 'value'));
    this.#persistKv();
    return { code: ResponseCode.SUCCESS };
  }

  #getKv(request: RemotingCommand): Answer {
    const namespace = required(request, 'namespace');
    const key = required(request, 'key');
    const value = this.#kv.get(namespace)?.get(key);
    if (value !== undefined) return { code: ResponseCode.SUCCESS, extFields: [['value', value]] };
    return {
      code: ResponseCode.QUERY_NOT_FOUND,
      remark: `No config item, Namespace: ${namespace} Key: ${key}`,
    };
  }

  #deleteKv(request: RemotingCommand): Answer {
    this.#kv.get(required(request, 'namespace'))?.delete(required(request, 'key'));
    this.#persistKv();
    return { code: ResponseCode.SUCCESS };
  }

  #kvList(request: RemotingCommand): Answer {
    const namespace = required(request, 'namespace');
    const table = this.#kv.get(namespace);
    if (table !== undefined)
      return { code: ResponseCode.SUCCESS, body: json({ table: Object.fromEntries(table) }) };
    return {
      code: ResponseCode.QUERY_NOT_FOUND,
      remark: `No config item, Namespace: ${namespace}`,
    };
  }

  #loadKv(text: string): void {
    const root = parseFastjson(text) as { configTable?: Record<string, Record<string, unknown>> };
    for (const [namespace, table] of Object.entries(root.configTable ?? {})) {
      this.#kv.set(
        namespace,
        new Map(Object.entries(table).map(([key, value]) => [key, String(value)])),
      );
    }
  }

  #persistKv(): void {
    const configTable = Object.fromEntries(
      [...this.#kv].map(([namespace, table]) => [namespace, Object.fromEntries(table)]),
    );
    this.#options.persistKv?.(JSON.stringify({ configTable }));
  }

  #configText(): string {
    return `orderMessageEnable=${String(this.#options.orderMessageEnable === true)}\nreturnOrderTopicConfigToBroker=true\nscanNotActiveBrokerInterval=${SCAN_INTERVAL_MS}\n`;
  }
}

function required(request: RemotingCommand, name: string): string {
  const value = request.extFields.get(name);
  if (value === undefined)
    throw new BrokerError('FRAME_INVALID', `the custom field <${name}> is null`);
  return value;
}

function timeoutOf(text: string | undefined): number {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : BROKER_TIMEOUT_MS;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function topicList(topics: Iterable<string>): Answer {
  return { code: ResponseCode.SUCCESS, body: json({ topicList: [...topics] }) };
}

function queueJson(brokerName: string, queueData: QueueData): object {
  return {
    brokerName,
    perm: queueData.perm,
    readQueueNums: queueData.readQueueNums,
    topicSysFlag: queueData.topicSysFlag,
    writeQueueNums: queueData.writeQueueNums,
  };
}
