/**
 * @agent control
 *
 * What a name server knows: which brokers live, and the queues of each topic on each broker name.
 *
 * ```
 *  topic ─▶ broker name ─▶ QueueData        broker name ─▶ BrokerGroup ─▶ broker id ─▶ address
 *  cluster ─▶ broker names                  (cluster, address) ─▶ LiveBroker, with its deadline
 * ```
 * A registration over the network may hold only the topics that changed, so it adds and changes but
 * never takes away; the embedded broker says what is gone as well. What an operator set here (wiped
 * write permission) holds until the broker itself changes the topic.
 *
 * Source: RouteInfoManager.java.
 */
import { Perm } from '../protocol/perm.ts';
import { type DataVersion, dataVersionEquals, type TopicConfig } from '../protocol/topic-config.ts';

export interface QueueData {
  readQueueNums: number;
  writeQueueNums: number;
  perm: number;
  topicSysFlag: number;
}

/** Brokers of one name: a master (id 0) and its slaves. */
export interface BrokerGroup {
  brokerName: string;
  cluster: string;
  /** Address by broker id; the embedded broker without an advertised address has an empty one. */
  addresses: Map<number, string>;
  enableActingMaster: boolean;
  zoneName: string | undefined;
}

export interface LiveBroker {
  cluster: string;
  brokerName: string;
  brokerId: number;
  address: string;
  haServerAddress: string;
  /** The connection it registered by; null for the embedded broker, which never expires. */
  connectionId: number | null;
  timeoutMs: number;
  /** Monotonic. */
  lastSeenMs: number;
  dataVersion: DataVersion;
}

export interface Registration {
  cluster: string;
  brokerName: string;
  brokerId: number;
  address: string;
  haServerAddress: string;
  /** Null for the embedded broker. */
  connectionId: number | null;
  timeoutMs: number;
  /** Null from a broker that knows nothing of acting masters. */
  enableActingMaster: boolean | null;
  zoneName: string | undefined;
  /** Null where the body was empty: only a sign of life. */
  topics: readonly TopicConfig[] | null;
  /** Only the embedded broker says what it has no more. */
  deletedTopics?: readonly string[];
  /** Static topics: TopicQueueMappingInfo as parsed JSON, by topic. */
  queueMappings: ReadonlyMap<string, unknown>;
  dataVersion: DataVersion;
}

export interface RegistrationResult {
  /** Told to slaves. */
  masterAddress: string | null;
  haServerAddress: string | null;
  /** Where another broker with a newer state holds this name and id: the registration was ignored. */
  conflictingAddress: string | null;
}

const NOTHING_TO_TELL: RegistrationResult = {
  masterAddress: null,
  haServerAddress: null,
  conflictingAddress: null,
};
const MASTER_ID = 0;

export class RouteTable {
  readonly topics = new Map<string, Map<string, QueueData>>();
  readonly groups = new Map<string, BrokerGroup>();
  readonly clusters = new Map<string, Set<string>>();
  /** Of static topics: topic ─▶ broker name ─▶ TopicQueueMappingInfo. */
  readonly queueMappings = new Map<string, Map<string, unknown>>();
  readonly #live = new Map<string, LiveBroker>();
  /** What the embedded broker has registered, by topic; no topics while there is none. */
  #embedded = { brokerName: '', topics: new Map<string, QueueData>() };

  /** Takes a registration; null where it is refused: an unknown broker with a single topic. */
  register(registration: Registration, nowMs: number): RegistrationResult | null {
    const { cluster, brokerName, brokerId, address, topics, dataVersion } = registration;
    const isEmbedded = registration.connectionId === null;
    const known = this.groups.get(brokerName);
    const previousAddress = known?.addresses.get(brokerId);
    if (previousAddress !== undefined && previousAddress !== address) {
      const previous = this.liveBroker(cluster, previousAddress);
      if (previous !== undefined && previous.dataVersion.stateVersion > dataVersion.stateVersion) {
        this.#live.delete(liveKey(cluster, address));
        return { ...NOTHING_TO_TELL, conflictingAddress: previousAddress };
      }
    }
    // One topic is what a broker sends after a change of it: the rest must have come before.
    const isFirst = previousAddress === undefined;
    if (isFirst && !isEmbedded && topics?.length === 1) return null;
    const group = known ?? this.#addGroup(registration);
    group.enableActingMaster = registration.enableActingMaster === true;
    group.zoneName = registration.zoneName;
    this.#joinCluster(cluster, brokerName);
    // A slave that became master has registered this address under another id before.
    for (const [id, other] of group.addresses) {
      if (other === address && id !== brokerId) group.addresses.delete(id);
    }
    group.addresses.set(brokerId, address);

    const isActing =
      brokerId !== MASTER_ID &&
      registration.enableActingMaster !== null &&
      brokerId === Math.min(...group.addresses.keys());
    const before = this.liveBroker(cluster, address);
    if (topics !== null && (brokerId === MASTER_ID || isActing)) {
      const hasChanged =
        isFirst || before === undefined || !dataVersionEquals(before.dataVersion, dataVersion);
      const wiped = isActing && group.enableActingMaster ? Perm.WRITE : 0;
      if (isEmbedded) this.#takeEmbedded(brokerName, topics, registration.deletedTopics ?? []);
      else this.#takeTopics(brokerName, topics, wiped, hasChanged);
      if (hasChanged) this.#takeQueueMappings(brokerName, registration.queueMappings);
    }
    this.#live.set(liveKey(cluster, address), {
      cluster,
      brokerName,
      brokerId,
      address,
      haServerAddress: registration.haServerAddress,
      connectionId: registration.connectionId,
      timeoutMs: registration.timeoutMs,
      lastSeenMs: nowMs,
      dataVersion: topics === null ? (before?.dataVersion ?? dataVersion) : dataVersion,
    });
    if (brokerId === MASTER_ID) return NOTHING_TO_TELL;
    const masterAddress = group.addresses.get(MASTER_ID);
    const master =
      masterAddress === undefined ? undefined : this.liveBroker(cluster, masterAddress);
    if (master === undefined) return NOTHING_TO_TELL;
    return {
      masterAddress: master.address,
      haServerAddress: master.haServerAddress,
      conflictingAddress: null,
    };
  }

  liveBroker(cluster: string, address: string): LiveBroker | undefined {
    return this.#live.get(liveKey(cluster, address));
  }

  unregister(cluster: string, brokerName: string, address: string): void {
    this.#live.delete(liveKey(cluster, address));
    const group = this.groups.get(brokerName);
    if (group === undefined) return;
    for (const [id, other] of group.addresses) {
      if (other === address) group.addresses.delete(id);
    }
    if (group.addresses.size > 0) {
      // A group without its master can't be written until another takes its place.
      if (group.enableActingMaster && !group.addresses.has(MASTER_ID))
        this.setWritePermission(brokerName, false);
      return;
    }
    this.groups.delete(brokerName);
    if (this.#embedded.brokerName === brokerName)
      this.#embedded = { brokerName: '', topics: new Map() };
    for (const [other, names] of this.clusters) {
      if (names.delete(brokerName) && names.size === 0) this.clusters.delete(other);
    }
    for (const topic of this.topics.keys()) this.#removeQueueData(topic, brokerName);
    for (const [topic, mappings] of this.queueMappings) {
      if (mappings.delete(brokerName) && mappings.size === 0) this.queueMappings.delete(topic);
    }
  }

  /** Removes brokers whose time is over; returns them. */
  expire(nowMs: number): LiveBroker[] {
    return this.#removeWhere(
      (broker) => broker.connectionId !== null && nowMs - broker.lastSeenMs > broker.timeoutMs,
    );
  }

  /** Removes brokers that registered by this connection; returns them. */
  onConnectionClosed(connectionId: number): LiveBroker[] {
    return this.#removeWhere((broker) => broker.connectionId === connectionId);
  }

  /** Clears or sets the write bit of all topics of a broker name; returns how many. */
  setWritePermission(brokerName: string, isWritable: boolean): number {
    let count = 0;
    for (const queues of this.topics.values()) {
      const queueData = queues.get(brokerName);
      if (queueData === undefined) continue;
      queueData.perm = isWritable ? Perm.READ | Perm.WRITE : queueData.perm & ~Perm.WRITE;
      count++;
    }
    return count;
  }

  deleteTopic(topic: string, cluster: string | undefined): void {
    if (cluster === undefined || cluster === '') this.topics.delete(topic);
    else for (const name of this.clusters.get(cluster) ?? []) this.#removeQueueData(topic, name);
    // Other brokers register what they still have again within 30 s; the embedded one does so only
    // after a change.
    const { brokerName, topics } = this.#embedded;
    const queueData = topics.get(topic);
    if (queueData !== undefined) this.putQueueData(topic, brokerName, { ...queueData });
  }

  putQueueData(topic: string, brokerName: string, queueData: QueueData): void {
    const queues = this.topics.get(topic);
    if (queues === undefined) this.topics.set(topic, new Map([[brokerName, queueData]]));
    else queues.set(brokerName, queueData);
  }

  #addGroup(registration: Registration): BrokerGroup {
    const group: BrokerGroup = {
      brokerName: registration.brokerName,
      cluster: registration.cluster,
      addresses: new Map(),
      enableActingMaster: false,
      zoneName: undefined,
    };
    this.groups.set(registration.brokerName, group);
    return group;
  }

  #joinCluster(cluster: string, brokerName: string): void {
    const names = this.clusters.get(cluster);
    if (names === undefined) this.clusters.set(cluster, new Set([brokerName]));
    else names.add(brokerName);
  }

  #takeTopics(
    brokerName: string,
    topics: readonly TopicConfig[],
    wiped: number,
    hasChanged: boolean,
  ): void {
    for (const topic of topics) {
      if (!hasChanged && this.topics.get(topic.topicName)?.has(brokerName) === true) continue;
      const queueData = queueDataOf(topic);
      queueData.perm &= ~wiped;
      this.putQueueData(topic.topicName, brokerName, queueData);
    }
  }

  #takeEmbedded(
    brokerName: string,
    topics: readonly TopicConfig[],
    deleted: readonly string[],
  ): void {
    const embedded = this.#embedded;
    embedded.brokerName = brokerName;
    for (const topic of deleted) {
      if (embedded.topics.delete(topic)) this.#removeQueueData(topic, brokerName);
    }
    for (const topic of topics) {
      const queueData = queueDataOf(topic);
      const previous = embedded.topics.get(topic.topicName);
      embedded.topics.set(topic.topicName, queueData);
      const isKnown = this.topics.get(topic.topicName)?.has(brokerName) === true;
      if (!isKnown || !queueDataEquals(queueData, previous))
        this.putQueueData(topic.topicName, brokerName, { ...queueData });
    }
  }

  #takeQueueMappings(brokerName: string, mappings: ReadonlyMap<string, unknown>): void {
    for (const [topic, mapping] of mappings) {
      const byBroker = this.queueMappings.get(topic);
      if (byBroker === undefined) this.queueMappings.set(topic, new Map([[brokerName, mapping]]));
      else byBroker.set(brokerName, mapping);
    }
  }

  #removeQueueData(topic: string, brokerName: string): void {
    const queues = this.topics.get(topic);
    if (queues?.delete(brokerName) === true && queues.size === 0) this.topics.delete(topic);
  }

  #removeWhere(isGone: (broker: LiveBroker) => boolean): LiveBroker[] {
    const gone = [...this.#live.values()].filter(isGone);
    for (const broker of gone) this.unregister(broker.cluster, broker.brokerName, broker.address);
    return gone;
  }
}

function queueDataOf(topic: TopicConfig): QueueData {
  return {
    readQueueNums: topic.readQueueNums,
    writeQueueNums: topic.writeQueueNums,
    perm: topic.perm,
    topicSysFlag: topic.topicSysFlag,
  };
}

function queueDataEquals(left: QueueData, right: QueueData | undefined): boolean {
  return (
    left.readQueueNums === right?.readQueueNums &&
    left.writeQueueNums === right.writeQueueNums &&
    left.perm === right.perm &&
    left.topicSysFlag === right.topicSysFlag
  );
}

function liveKey(cluster: string, address: string): string {
  return `${cluster}\n${address}`;
}
