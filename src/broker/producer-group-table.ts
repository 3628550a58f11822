/**
 * @agent control
 *
 * The live members of producer groups, as heartbeats tell. The broker needs them to ask a
 * producer about a transaction, and to show them to tools. A member leaves by request, with its
 * connection, or after 120 s without a heartbeat.
 *
 * Source: ProducerManager.java.
 */
import type { MonotonicClock } from '../base/clock.ts';
import type { GroupMember, NewGroupMember } from './consumer-group-table.ts';

export class ProducerGroupTable {
  readonly #clock: MonotonicClock;
  /** By group, then by connection: one client a connection, the last that said so. */
  readonly #groups = new Map<string, Map<number, GroupMember>>();
  readonly #connections = new Map<number, Set<string>>();
  /** By client id: the connection of its last heartbeat. */
  readonly #clients = new Map<string, number>();
  #memberCount = 0;

  constructor(clock: MonotonicClock) {
    this.#clock = clock;
  }

  /** Those that can be asked about a transaction of the group. */
  members(group: string): Iterable<GroupMember> {
    return this.#groups.get(group)?.values() ?? [];
  }

  groups(): Iterable<[group: string, members: ReadonlyMap<number, GroupMember>]> {
    return this.#groups;
  }

  /** The connection of a client that produces; undefined where there is none. */
  connectionOf(clientId: string): number | undefined {
    return this.#clients.get(clientId);
  }

  isMember(group: string, member: NewGroupMember): boolean {
    return this.#groups.get(group)?.has(member.connectionId) === true;
  }

  /** Members of all groups. */
  get memberCount(): number {
    return this.#memberCount;
  }

  membershipCount(connectionId: number): number {
    return this.#connections.get(connectionId)?.size ?? 0;
  }

  register(group: string, member: NewGroupMember): void {
    let members = this.#groups.get(group);
    if (members === undefined) this.#groups.set(group, (members = new Map()));
    if (!members.has(member.connectionId)) this.#memberCount++;
    members.set(member.connectionId, { ...member, lastHeartbeatMs: this.#clock.nowMs() });
    let groups = this.#connections.get(member.connectionId);
    if (groups === undefined) this.#connections.set(member.connectionId, (groups = new Set()));
    groups.add(group);
    this.#clients.set(member.clientId, member.connectionId);
  }

  unregister(group: string, connectionId: number): void {
    const members = this.#groups.get(group);
    const clientId = members?.get(connectionId)?.clientId;
    if (members?.delete(connectionId) === true) this.#memberCount--;
    if (members?.size === 0) this.#groups.delete(group);
    const groups = this.#connections.get(connectionId);
    groups?.delete(group);
    if (groups?.size !== 0) return;
    this.#connections.delete(connectionId);
    if (clientId !== undefined && this.#clients.get(clientId) === connectionId)
      this.#clients.delete(clientId);
  }

  removeConnection(connectionId: number): void {
    for (const group of this.#connections.get(connectionId) ?? [])
      this.unregister(group, connectionId);
  }

  /** Connections with a member whose last heartbeat is older than `ageMs`. */
  expiredConnections(ageMs: number): number[] {
    const oldestMs = this.#clock.nowMs() - ageMs;
    const expired = new Set<number>();
    for (const members of this.#groups.values()) {
      for (const member of members.values()) {
        if (member.lastHeartbeatMs < oldestMs) expired.add(member.connectionId);
      }
    }
    return [...expired];
  }
}
