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
 * **Bounded.** Where nobody has to sign, anybody may register. All that is kept of brokers elsewhere is
 * weighed: a registration that would make it more than `bytesMax` is refused, and counts as a sign of life
 * of a broker that is there. What a request costs depends on what it names, not on what others have
 * registered; and a broker that goes is out of all routes at once, while its topics go a few at a time.
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
  /** What has QueueData of it, and which static topics have its mapping. */
  topics: Set<string>;
  mappedTopics: Set<string>;
  /** Clusters that name it: one, but for a broker that says another each time. */
  clusters: Set<string>;
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
  /** Static topics: TopicQueueMappingInfo as JSON, by topic. */
  queueMappings: ReadonlyMap<string, string>;
  dataVersion: DataVersion;
}

export interface RegistrationResult {
  /** Told to slaves. */
  masterAddress: string | null;
  haServerAddress: string | null;
  /** Where another broker with a newer state holds this name and id: the registration was ignored. */
  conflictingAddress: string | null;
}

/** Why a registration was not taken: one topic of a broker that is not known, or no room. */
export type RegistrationRefusal = 'unknown' | 'no-room';

const NOTHING_TO_TELL: RegistrationResult = {
  masterAddress: null,
  haServerAddress: null,
  conflictingAddress: null,
};
const MASTER_ID = 0;
/** Of one name. A master has a few slaves; loops over them stay short. A guess. */
const GROUP_ADDRESSES_MAX = 1000;
/** What objects weigh, in bytes of memory, without their texts: measured with 100,000 of each. */
const GROUP_BYTES = 600;
const LIVE_BYTES = 300;
const CLUSTER_BYTES = 250;
const TOPIC_BYTES = 170;
const ROUTE_BYTES = 150;

export class RouteTable {
  readonly topics = new Map<string, Map<string, QueueData>>();
  readonly groups = new Map<string, BrokerGroup>();
  readonly clusters = new Map<string, Set<string>>();
  /** Of static topics: topic ─▶ broker name ─▶ TopicQueueMappingInfo as JSON, whose size is known. */
  readonly queueMappings = new Map<string, Map<string, string>>();
  readonly #live = new Map<string, LiveBroker>();
  readonly #byConnection = new Map<number, Set<LiveBroker>>();
  readonly #bytesMax: number;
  #bytes = 0;
  /** Groups that are gone, whose topics still name them: `purge` takes them away. */
  readonly #leaving = new Map<string, BrokerGroup>();
  /** What the embedded broker has registered, by topic; no topics while there is none. */
  #embedded = { brokerName: '', topics: new Map<string, QueueData>() };

  constructor(bytesMax = Infinity) {
    this.#bytesMax = bytesMax;
  }

  /** What is kept weighs about so much. */
  get bytes(): number {
    return this.#bytes;
  }

  get brokerCount(): number {
    return this.#live.size;
  }

  register(registration: Registration, nowMs: number): RegistrationResult | RegistrationRefusal {
    const { cluster, brokerName, brokerId, address, topics, dataVersion } = registration;
    const isEmbedded = registration.connectionId === null;
    const known = this.groups.get(brokerName);
    const previousAddress = known?.addresses.get(brokerId);
    if (previousAddress !== undefined && previousAddress !== address) {
      const previous = this.liveBroker(cluster, previousAddress);
      if (previous !== undefined && previous.dataVersion.stateVersion > dataVersion.stateVersion) {
        this.#removeLive(cluster, address);
        return { ...NOTHING_TO_TELL, conflictingAddress: previousAddress };
      }
    }
    // One topic is what a broker sends after a change of it: the rest must have come before.
    const isFirst = previousAddress === undefined;
    if (isFirst && !isEmbedded && topics?.length === 1) return 'unknown';
    let before = this.liveBroker(cluster, address);
    if (!isEmbedded && !this.#hasRoomFor(registration)) {
      const { connectionId } = registration;
      if (before !== undefined) this.#setLive({ ...before, connectionId, lastSeenMs: nowMs });
      return 'no-room';
    }
    // Its old name would stay for good: nobody says any more that it lives.
    if (before !== undefined && before.brokerName !== brokerName) {
      this.unregister(cluster, before.brokerName, address);
      before = undefined;
    }
    const group = known ?? this.#addGroup(registration);
    group.enableActingMaster = registration.enableActingMaster === true;
    group.zoneName = registration.zoneName;
    this.#joinCluster(group, cluster);
    // A slave that became master has registered this address under another id before.
    for (const [id, other] of group.addresses) {
      if (other === address && id !== brokerId) group.addresses.delete(id);
    }
    group.addresses.set(brokerId, address);

    const isActing =
      brokerId !== MASTER_ID &&
      registration.enableActingMaster !== null &&
      brokerId === Math.min(...group.addresses.keys());
    if (topics !== null && (brokerId === MASTER_ID || isActing)) {
      const hasChanged =
        isFirst || before === undefined || !dataVersionEquals(before.dataVersion, dataVersion);
      const wiped = isActing && group.enableActingMaster ? Perm.WRITE : 0;
      if (isEmbedded) this.#takeEmbedded(brokerName, topics, registration.deletedTopics ?? []);
      else this.#takeTopics(brokerName, topics, wiped, hasChanged);
      if (hasChanged) this.#takeQueueMappings(group, registration.queueMappings);
    }
    this.#setLive({
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

  unregister(cluster: string, givenName: string, address: string): void {
    const brokerName = this.liveBroker(cluster, address)?.brokerName ?? givenName;
    this.#removeLive(cluster, address);
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
    for (const other of group.clusters) {
      const names = this.clusters.get(other);
      if (names?.delete(brokerName) === true && names.size === 0) this.clusters.delete(other);
      this.#bytes -= CLUSTER_BYTES + textBytes(other);
    }
    this.groups.delete(brokerName);
    this.#leaving.set(brokerName, group);
    this.#bytes -= groupBytes(group);
    if (this.#embedded.brokerName === brokerName)
      this.#embedded = { brokerName: '', topics: new Map() };
  }

  /** Takes up to `countMax` topics away from brokers that are gone; returns how many: 0 when it is done. */
  purge(countMax: number): number {
    let count = 0;
    for (const group of this.#leaving.values()) {
      count += this.#purgeGroup(group, countMax - count);
      if (count >= countMax) break;
    }
    return count;
  }

  /** Topics with a broker that is there; `topics` may still name some that are gone. */
  *current(): Generator<[topic: string, queues: ReadonlyMap<string, QueueData>]> {
    for (const entry of this.topics) {
      if (!this.isPurging || [...entry[1].keys()].some((name) => this.groups.has(name)))
        yield entry;
    }
  }

  /** Something is left for `purge`. */
  get isPurging(): boolean {
    return this.#leaving.size > 0;
  }

  /** Removes brokers whose time is over; returns them. */
  expire(nowMs: number): LiveBroker[] {
    const late = [...this.#live.values()].filter(
      (broker) => broker.connectionId !== null && nowMs - broker.lastSeenMs > broker.timeoutMs,
    );
    return this.#removeAll(late);
  }

  /** Removes brokers that registered by this connection; returns them. */
  onConnectionClosed(connectionId: number): LiveBroker[] {
    return this.#removeAll([...(this.#byConnection.get(connectionId) ?? [])]);
  }

  /** Clears or sets the write bit of all topics of a broker name; returns how many. */
  setWritePermission(brokerName: string, isWritable: boolean): number {
    const topics = this.groups.get(brokerName)?.topics ?? new Set<string>();
    for (const topic of topics) {
      const queueData = this.topics.get(topic)?.get(brokerName) as QueueData;
      queueData.perm = isWritable ? Perm.READ | Perm.WRITE : queueData.perm & ~Perm.WRITE;
    }
    return topics.size;
  }

  deleteTopic(topic: string, cluster: string | undefined): void {
    const isOfAll = cluster === undefined || cluster === '';
    const names = isOfAll ? this.topics.get(topic)?.keys() : this.clusters.get(cluster);
    for (const name of names ?? []) this.#removeQueueData(topic, name);
    // Other brokers register what they still have again within 30 s; the embedded one does so only
    // after a change.
    const { brokerName, topics } = this.#embedded;
    const queueData = topics.get(topic);
    if (queueData !== undefined) this.#putQueueData(topic, brokerName, { ...queueData });
  }

  /** Brokers say that they have a topic; false where there is no room for it. Their groups are known. */
  registerTopic(topic: string, queueDatas: readonly (readonly [string, QueueData])[]): boolean {
    const moreBytes = topicBytes(topic) + queueDatas.length * ROUTE_BYTES;
    if (this.#bytes + moreBytes > this.#bytesMax) return false;
    for (const [brokerName, queueData] of queueDatas)
      this.#putQueueData(topic, brokerName, queueData);
    return true;
  }

  /** Whether what a registration adds still fits; what it only changes always does. */
  #hasRoomFor(registration: Registration): boolean {
    const { cluster, brokerName, brokerId, address, topics, queueMappings } = registration;
    const group = this.groups.get(brokerName);
    const isNewAddress = group?.addresses.has(brokerId) !== true;
    if (isNewAddress && (group?.addresses.size ?? 0) >= GROUP_ADDRESSES_MAX) return false;
    let moreBytes = group === undefined ? GROUP_BYTES + textBytes(brokerName) : 0;
    if (group?.clusters.has(cluster) !== true) moreBytes += CLUSTER_BYTES + textBytes(cluster);
    const live = this.liveBroker(cluster, address);
    moreBytes += liveBytes(registration) - (live === undefined ? 0 : liveBytes(live));
    for (const { topicName } of topics ?? []) {
      if (group?.topics.has(topicName) === true) continue;
      moreBytes += ROUTE_BYTES + (this.topics.has(topicName) ? 0 : topicBytes(topicName));
    }
    for (const [topic, mapping] of queueMappings) {
      // What goes for it is no room: whether it is taken is not known yet.
      const known = this.queueMappings.get(topic)?.get(brokerName);
      const knownBytes = known === undefined ? 0 : mappingBytes(topic, known);
      moreBytes += Math.max(0, mappingBytes(topic, mapping) - knownBytes);
    }
    return moreBytes <= 0 || this.#bytes + moreBytes <= this.#bytesMax;
  }

  #purgeGroup(group: BrokerGroup, countMax: number): number {
    const { brokerName, topics, mappedTopics } = group;
    let count = 0;
    for (const topic of topics) {
      if (count >= countMax) return count;
      this.#removeQueueData(topic, brokerName);
      topics.delete(topic);
      count++;
    }
    for (const topic of mappedTopics) {
      if (count >= countMax) return count;
      this.#removeMapping(topic, brokerName);
      mappedTopics.delete(topic);
      count++;
    }
    this.#leaving.delete(brokerName);
    return count;
  }

  #putQueueData(topic: string, brokerName: string, queueData: QueueData): void {
    let queues = this.topics.get(topic);
    if (queues === undefined) {
      queues = new Map();
      this.topics.set(topic, queues);
      this.#bytes += topicBytes(topic);
    }
    if (!queues.has(brokerName)) {
      this.#bytes += ROUTE_BYTES;
      this.groups.get(brokerName)?.topics.add(topic);
    }
    queues.set(brokerName, queueData);
  }

  #removeQueueData(topic: string, brokerName: string): void {
    const queues = this.topics.get(topic);
    if (queues?.delete(brokerName) !== true) return;
    this.#bytes -= ROUTE_BYTES;
    this.groups.get(brokerName)?.topics.delete(topic);
    if (queues.size > 0) return;
    this.topics.delete(topic);
    this.#bytes -= topicBytes(topic);
  }

  #setLive(broker: LiveBroker): void {
    const { cluster, address, connectionId } = broker;
    this.#removeLive(cluster, address);
    this.#live.set(liveKey(cluster, address), broker);
    this.#bytes += liveBytes(broker);
    if (connectionId === null) return;
    const others = this.#byConnection.get(connectionId);
    if (others === undefined) this.#byConnection.set(connectionId, new Set([broker]));
    else others.add(broker);
  }

  #removeLive(cluster: string, address: string): void {
    const broker = this.liveBroker(cluster, address);
    if (broker === undefined) return;
    this.#live.delete(liveKey(cluster, address));
    this.#bytes -= liveBytes(broker);
    const { connectionId } = broker;
    if (connectionId === null) return;
    const others = this.#byConnection.get(connectionId);
    others?.delete(broker);
    if (others?.size === 0) this.#byConnection.delete(connectionId);
  }

  #addGroup(registration: Registration): BrokerGroup {
    // What it has told before it went does not count any more.
    const previous = this.#leaving.get(registration.brokerName);
    if (previous !== undefined) this.#purgeGroup(previous, Infinity);
    const group: BrokerGroup = {
      brokerName: registration.brokerName,
      cluster: registration.cluster,
      addresses: new Map(),
      enableActingMaster: false,
      zoneName: undefined,
      topics: new Set(),
      mappedTopics: new Set(),
      clusters: new Set(),
    };
    this.groups.set(registration.brokerName, group);
    this.#bytes += groupBytes(group);
    return group;
  }

  #joinCluster(group: BrokerGroup, cluster: string): void {
    if (group.clusters.has(cluster)) return;
    group.clusters.add(cluster);
    this.#bytes += CLUSTER_BYTES + textBytes(cluster);
    const names = this.clusters.get(cluster);
    if (names === undefined) this.clusters.set(cluster, new Set([group.brokerName]));
    else names.add(group.brokerName);
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
      this.#putQueueData(topic.topicName, brokerName, queueData);
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
        this.#putQueueData(topic.topicName, brokerName, { ...queueData });
    }
  }

  #takeQueueMappings(group: BrokerGroup, mappings: ReadonlyMap<string, string>): void {
    for (const [topic, mapping] of mappings) {
      this.#removeMapping(topic, group.brokerName);
      const byBroker = this.queueMappings.get(topic);
      if (byBroker === undefined)
        this.queueMappings.set(topic, new Map([[group.brokerName, mapping]]));
      else byBroker.set(group.brokerName, mapping);
      group.mappedTopics.add(topic);
      this.#bytes += mappingBytes(topic, mapping);
    }
  }

  #removeMapping(topic: string, brokerName: string): void {
    const byBroker = this.queueMappings.get(topic);
    const mapping = byBroker?.get(brokerName);
    if (byBroker === undefined || mapping === undefined) return;
    byBroker.delete(brokerName);
    this.groups.get(brokerName)?.mappedTopics.delete(topic);
    this.#bytes -= mappingBytes(topic, mapping);
    if (byBroker.size === 0) this.queueMappings.delete(topic);
  }

  #removeAll(gone: LiveBroker[]): LiveBroker[] {
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

/** Texts take one byte a character, or two. */
function textBytes(text: string): number {
  return text.length * 2;
}

function groupBytes(group: BrokerGroup): number {
  return GROUP_BYTES + textBytes(group.brokerName);
}

function liveBytes(broker: Registration | LiveBroker): number {
  const { cluster, brokerName, address, haServerAddress } = broker;
  // The address stands in its key and in the group, too.
  return (
    LIVE_BYTES +
    textBytes(cluster) * 2 +
    textBytes(brokerName) +
    textBytes(address) * 3 +
    textBytes(haServerAddress)
  );
}

function topicBytes(topic: string): number {
  return TOPIC_BYTES + textBytes(topic);
}

function mappingBytes(topic: string, mapping: string): number {
  return topicBytes(topic) + ROUTE_BYTES + textBytes(mapping);
}
