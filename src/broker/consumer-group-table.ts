/**
 * @agent control
 *
 * The live members of consumer groups and what each group subscribes to, as heartbeats tell. A
 * member is one client id on one connection; it leaves by request, with its connection, or after
 * 120 s without a heartbeat. The last heartbeat decides for the whole group: a topic that it does
 * not mention is dropped, and a subscription is replaced only by one of a newer version.
 *
 * Source: ConsumerManager.java, ConsumerGroupInfo.java.
 */
import type { MonotonicClock } from '../base/clock.ts';
import type { Subscription } from './control-effects.ts';
import { conflictOf, subscriptionText } from './subscription-conflict.ts';
import type { ConsumerData, ConsumeType, MessageModel } from './heartbeat.ts';

export interface GroupMember {
  readonly connectionId: number;
  readonly clientId: string;
  readonly language: string;
  readonly version: number;
  /** `ip:port` of the client. */
  readonly remoteAddress: string;
  lastHeartbeatMs: number;
}

/** A member of a consumer group. */
export interface ConsumerGroupMember extends GroupMember {
  /** What its last full heartbeat subscribed to (subscription-conflict.ts); null before the first. */
  subscriptionText: string | null;
}

export type NewGroupMember = Omit<GroupMember, 'lastHeartbeatMs'>;

export interface ConsumerGroup {
  readonly name: string;
  consumeType: ConsumeType;
  messageModel: MessageModel;
  consumeFromWhere: string;
  /** By topic. */
  readonly subscriptions: Map<string, Subscription>;
  /** By connection and client id. */
  readonly members: Map<string, ConsumerGroupMember>;
  /** Names members that subscribe differently; null where all agree. */
  conflict: string | null;
  /** Heartbeat V2: of the last heartbeat that carried subscriptions; 0 for none. */
  fingerprint: number;
}

export interface RegisterOutcome {
  /** Members must rebalance: one joined, or the set of topics changed. */
  membersMustKnow: boolean;
  /** The subscriptions that pulls are checked against changed. */
  subscriptionsChanged: boolean;
  /** Heartbeat V2: the broker does not know this client's subscriptions; it must send them. */
  needsSubscriptions: boolean;
  /** Members have begun, or ceased, to subscribe differently, or others do. */
  conflictChanged: boolean;
}

export class ConsumerGroupTable {
  readonly #clock: MonotonicClock;
  readonly #groups = new Map<string, ConsumerGroup>();
  /** Memberships of each connection: group, then client ids. */
  readonly #connections = new Map<number, Map<string, Set<string>>>();
  #memberCount = 0;
  /** Characters of what members subscribe to. */
  #subscriptionBytes = 0;

  constructor(clock: MonotonicClock) {
    this.#clock = clock;
  }

  get(group: string): ConsumerGroup | undefined {
    return this.#groups.get(group);
  }

  groups(): Iterable<ConsumerGroup> {
    return this.#groups.values();
  }

  /** The distinct client ids of a group: one that reconnects counts once. */
  clientIds(group: string): string[] {
    const members = this.#groups.get(group)?.members.values() ?? [];
    return [...new Set([...members].map((member) => member.clientId))];
  }

  /** The member of this client id; of one that has reconnected, the connection that came last. */
  member(group: string, clientId: string): GroupMember | undefined {
    let found: GroupMember | undefined;
    for (const member of this.#groups.get(group)?.members.values() ?? [])
      if (member.clientId === clientId) found = member;
    return found;
  }

  /** Groups with a live member that subscribe to a topic. */
  groupsOf(topic: string): string[] {
    return [...this.#groups.values()]
      .filter((group) => group.subscriptions.has(topic))
      .map((group) => group.name);
  }

  /** The member of this connection and client id. */
  memberOf(group: string, member: NewGroupMember): ConsumerGroupMember | undefined {
    const key = memberKey(member.connectionId, member.clientId);
    return this.#groups.get(group)?.members.get(key);
  }

  /** Members of all groups. */
  get memberCount(): number {
    return this.#memberCount;
  }

  get subscriptionBytes(): number {
    return this.#subscriptionBytes;
  }

  /** How many groups, counted once for each client id, a connection is a member of. */
  membershipCount(connectionId: number): number {
    let count = 0;
    for (const clientIds of this.#connections.get(connectionId)?.values() ?? [])
      count += clientIds.size;
    return count;
  }

  /** Takes in what a heartbeat says of one group. */
  register(
    member: NewGroupMember,
    data: ConsumerData,
    beat: { fingerprint: number; withoutSubscriptions: boolean },
  ): RegisterOutcome {
    let group = this.#groups.get(data.group);
    const isNew = group === undefined;
    if (group === undefined) this.#groups.set(data.group, (group = emptyGroup(data)));
    group.consumeType = data.consumeType;
    group.messageModel = data.messageModel;
    group.consumeFromWhere = data.consumeFromWhere;
    const joined = this.#join(group, member);
    const known = group.members.get(memberKey(member.connectionId, member.clientId));
    const conflictBefore = group.conflict;
    if (known !== undefined && !beat.withoutSubscriptions) {
      const text = subscriptionText(data.subscriptions);
      if (text !== known.subscriptionText) {
        this.#subscriptionBytes += text.length - (known.subscriptionText?.length ?? 0);
        known.subscriptionText = text;
        updateConflict(group);
      }
    }
    const conflictChanged = group.conflict !== conflictBefore;
    if (beat.withoutSubscriptions) {
      return {
        membersMustKnow: joined,
        subscriptionsChanged: isNew,
        needsSubscriptions: group.fingerprint !== beat.fingerprint,
        conflictChanged,
      };
    }
    const needsSubscriptions = group.fingerprint !== 0 && group.fingerprint !== beat.fingerprint;
    group.fingerprint = beat.fingerprint;
    const change = updateSubscriptions(group.subscriptions, data.subscriptions);
    return {
      membersMustKnow: joined || change.topics,
      subscriptionsChanged: isNew || change.topics || change.versions,
      needsSubscriptions,
      conflictChanged,
    };
  }

  /** Removes one member; false when it was none. */
  unregister(group: string, connectionId: number, clientId: string): boolean {
    const found = this.#groups.get(group);
    if (found === undefined || !this.#remove(found, memberKey(connectionId, clientId)))
      return false;
    const groups = this.#connections.get(connectionId);
    const clientIds = groups?.get(group);
    clientIds?.delete(clientId);
    if (clientIds?.size === 0) groups?.delete(group);
    if (groups?.size === 0) this.#connections.delete(connectionId);
    if (found.members.size === 0) this.#groups.delete(group);
    else updateConflict(found);
    return true;
  }

  /** Removes every member of a connection; returns the groups that lost one, as they are now. */
  removeConnection(connectionId: number): ConsumerGroup[] {
    const changed: ConsumerGroup[] = [];
    for (const [name, clientIds] of this.#connections.get(connectionId) ?? []) {
      const group = this.#groups.get(name);
      if (group === undefined) continue;
      for (const clientId of clientIds) this.#remove(group, memberKey(connectionId, clientId));
      if (group.members.size === 0) this.#groups.delete(name);
      else updateConflict(group);
      changed.push(group);
    }
    this.#connections.delete(connectionId);
    return changed;
  }

  /** Connections with a member whose last heartbeat is older than `ageMs`. */
  expiredConnections(ageMs: number): number[] {
    const oldestMs = this.#clock.nowMs() - ageMs;
    const expired = new Set<number>();
    for (const group of this.#groups.values()) {
      for (const member of group.members.values()) {
        if (member.lastHeartbeatMs < oldestMs) expired.add(member.connectionId);
      }
    }
    return [...expired];
  }

  #remove(group: ConsumerGroup, key: string): boolean {
    const member = group.members.get(key);
    if (member === undefined) return false;
    group.members.delete(key);
    this.#memberCount--;
    this.#subscriptionBytes -= member.subscriptionText?.length ?? 0;
    return true;
  }

  #join(group: ConsumerGroup, member: NewGroupMember): boolean {
    const key = memberKey(member.connectionId, member.clientId);
    const known = group.members.get(key);
    if (known !== undefined) {
      known.lastHeartbeatMs = this.#clock.nowMs();
      return false;
    }
    const lastHeartbeatMs = this.#clock.nowMs();
    group.members.set(key, { ...member, lastHeartbeatMs, subscriptionText: null });
    this.#memberCount++;
    let groups = this.#connections.get(member.connectionId);
    if (groups === undefined) this.#connections.set(member.connectionId, (groups = new Map()));
    const clientIds = groups.get(group.name);
    if (clientIds === undefined) groups.set(group.name, new Set([member.clientId]));
    else clientIds.add(member.clientId);
    return true;
  }
}

function updateConflict(group: ConsumerGroup): void {
  group.conflict = conflictOf(group.name, group.members.values());
}

function memberKey(connectionId: number, clientId: string): string {
  return `${connectionId} ${clientId}`;
}

function emptyGroup(data: ConsumerData): ConsumerGroup {
  return {
    name: data.group,
    consumeType: data.consumeType,
    messageModel: data.messageModel,
    consumeFromWhere: data.consumeFromWhere,
    subscriptions: new Map(),
    members: new Map(),
    fingerprint: 0,
    conflict: null,
  };
}

/** What changed: the set of topics, or the version of a subscription. */
function updateSubscriptions(
  known: Map<string, Subscription>,
  told: readonly Subscription[],
): { topics: boolean; versions: boolean } {
  const change = { topics: false, versions: false };
  const topics = new Set<string>();
  for (const subscription of told) {
    topics.add(subscription.topic);
    const old = known.get(subscription.topic);
    if (old !== undefined && subscription.subVersion <= old.subVersion) continue;
    if (old === undefined) change.topics = true;
    else change.versions = true;
    known.set(subscription.topic, subscription);
  }
  for (const topic of known.keys()) {
    if (topics.has(topic)) continue;
    known.delete(topic);
    change.topics = true;
  }
  return change;
}
