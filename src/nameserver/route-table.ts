/**
 * @agent control
 *
 * What a name server knows: which brokers live, and the queues of each topic on each broker name.
 *
 * ```
 *  topic ─▶ broker name ─▶ QueueData        broker name ─▶ BrokerGroup ─▶ broker id ─▶ address
 *  cluster ─▶ broker names                  (cluster, address) ─▶ LiveBroker, with its deadline
 * ```
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
}

export interface LiveBroker {
  cluster: string;
  brokerName: string;
  brokerId: number;
  address: string;
  haServerAddress: string;
  /** The connection it registered by; null for the embedded broker. */
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
  connectionId: number | null;
  timeoutMs: number;
  enableActingMaster: boolean;
  /** Null where the body was empty: only a sign of life. */
  topics: readonly TopicConfig[] | null;
  dataVersion: DataVersion;
}

export interface RegistrationResult {
  masterAddress: string | null;
  haServerAddress: string | null;
}

export class RouteTable {
  readonly topics = new Map<string, Map<string, QueueData>>();
  readonly groups = new Map<string, BrokerGroup>();
  readonly clusters = new Map<string, Set<string>>();
  readonly #live = new Map<string, LiveBroker>();

  /** Takes a registration; null where it is refused: an unknown broker with a single topic. */
  register(registration: Registration, nowMs: number): RegistrationResult | null {
    const { cluster, brokerName, brokerId, address, topics } = registration;
    const known = this.#live.get(liveKey(cluster, address));
    if (known === undefined && topics !== null && topics.length === 1) return null;
    let group = this.groups.get(brokerName);
    const isFirst = group === undefined || !group.addresses.has(brokerId);
    if (group === undefined) {
      group = { brokerName, cluster, addresses: new Map(), enableActingMaster: false };
      this.groups.set(brokerName, group);
    }
    group.enableActingMaster = registration.enableActingMaster;
    let names = this.clusters.get(cluster);
    if (names === undefined) {
      names = new Set();
      this.clusters.set(cluster, names);
    }
    names.add(brokerName);
    // A slave that became master has registered this address under another id before.
    for (const [id, other] of group.addresses) {
      if (other === address && id !== brokerId && address !== '') group.addresses.delete(id);
    }
    group.addresses.set(brokerId, address);
    const decidesTopics =
      brokerId === 0 ||
      (registration.enableActingMaster && brokerId === Math.min(...group.addresses.keys()));
    const hasChanged =
      known === undefined || !dataVersionEquals(known.dataVersion, registration.dataVersion);
    if (topics !== null && decidesTopics && (isFirst || hasChanged))
      this.#replaceTopics(brokerName, topics, registration);
    this.#live.set(liveKey(cluster, address), {
      cluster,
      brokerName,
      brokerId,
      address,
      haServerAddress: registration.haServerAddress,
      connectionId: registration.connectionId,
      timeoutMs: registration.timeoutMs,
      lastSeenMs: nowMs,
      dataVersion:
        topics === null
          ? (known?.dataVersion ?? registration.dataVersion)
          : registration.dataVersion,
    });
    if (brokerId === 0) return { masterAddress: null, haServerAddress: null };
    const masterAddress = group.addresses.get(0) ?? null;
    const master =
      masterAddress === null ? undefined : this.#live.get(liveKey(cluster, masterAddress));
    return { masterAddress, haServerAddress: master?.haServerAddress ?? null };
  }

  liveBroker(cluster: string, address: string): LiveBroker | undefined {
    return this.#live.get(liveKey(cluster, address));
  }

  unregister(cluster: string, brokerName: string, brokerId: number, address: string): void {
    this.#live.delete(liveKey(cluster, address));
    const group = this.groups.get(brokerName);
    if (group === undefined) return;
    if (group.addresses.get(brokerId) === address) group.addresses.delete(brokerId);
    if (group.addresses.size > 0) {
      // A group without its master can't be written until another takes its place.
      if (brokerId === 0 && group.enableActingMaster) this.#setWritable(brokerName, false);
      return;
    }
    this.groups.delete(brokerName);
    const names = this.clusters.get(group.cluster);
    names?.delete(brokerName);
    if (names?.size === 0) this.clusters.delete(group.cluster);
    for (const [topic, queues] of this.topics) {
      queues.delete(brokerName);
      if (queues.size === 0) this.topics.delete(topic);
    }
  }

  /** Removes brokers whose time is over; returns them. */
  expire(nowMs: number): LiveBroker[] {
    const dead = [...this.#live.values()].filter(
      (broker) => broker.connectionId !== null && nowMs - broker.lastSeenMs > broker.timeoutMs,
    );
    for (const broker of dead)
      this.unregister(broker.cluster, broker.brokerName, broker.brokerId, broker.address);
    return dead;
  }

  /** Removes brokers that registered by this connection; returns them. */
  onConnectionClosed(connectionId: number): LiveBroker[] {
    const gone = [...this.#live.values()].filter((broker) => broker.connectionId === connectionId);
    for (const broker of gone)
      this.unregister(broker.cluster, broker.brokerName, broker.brokerId, broker.address);
    return gone;
  }

  /** Clears or sets the write bit of all topics of a broker name; returns how many. */
  setWritePermission(brokerName: string, isWritable: boolean): number {
    return this.#setWritable(brokerName, isWritable);
  }

  deleteTopic(topic: string, cluster: string | undefined): void {
    const queues = this.topics.get(topic);
    if (queues === undefined) return;
    if (cluster === undefined || cluster === '') {
      this.topics.delete(topic);
      return;
    }
    for (const brokerName of this.clusters.get(cluster) ?? []) queues.delete(brokerName);
    if (queues.size === 0) this.topics.delete(topic);
  }

  putQueueData(topic: string, brokerName: string, queueData: QueueData): void {
    let queues = this.topics.get(topic);
    if (queues === undefined) {
      queues = new Map();
      this.topics.set(topic, queues);
    }
    queues.set(brokerName, queueData);
  }

  /** A broker's registration is the whole truth of its topics: those it has no more lose its queues. */
  #replaceTopics(
    brokerName: string,
    topics: readonly TopicConfig[],
    registration: Registration,
  ): void {
    const names = new Set(topics.map((topic) => topic.topicName));
    for (const [topic, queues] of this.topics) {
      if (!queues.has(brokerName) || names.has(topic)) continue;
      queues.delete(brokerName);
      if (queues.size === 0) this.topics.delete(topic);
    }
    for (const topic of topics) {
      const isActing = registration.brokerId !== 0;
      this.putQueueData(topic.topicName, brokerName, {
        readQueueNums: topic.readQueueNums,
        writeQueueNums: topic.writeQueueNums,
        perm: isActing ? topic.perm & ~Perm.WRITE : topic.perm,
        topicSysFlag: topic.topicSysFlag,
      });
    }
  }

  #setWritable(brokerName: string, isWritable: boolean): number {
    let count = 0;
    for (const queues of this.topics.values()) {
      const queueData = queues.get(brokerName);
      if (queueData === undefined) continue;
      queueData.perm = isWritable ? Perm.READ | Perm.WRITE : queueData.perm & ~Perm.WRITE;
      count++;
    }
    return count;
  }
}

function liveKey(cluster: string, address: string): string {
  return `${cluster}\n${address}`;
}
