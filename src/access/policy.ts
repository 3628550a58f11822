/**
 * @agent any
 *
 * What a policy says, and whether it lets a user do something.
 *
 * ```
 *  Custom entries that match ── none ──▶ Default entries that match ── none ──▶ denied
 *        └──────────── the closest one decides ◀──────────┘
 * ```
 * An entry matches by resource, action and source address. Closest is a literal name, then the longest
 * prefix, then all of a type, then `*`; of equals one that denies.
 *
 * Source: AclAuthorizationHandler.java, Resource.java, PolicyEntry.java of RocketMQ 5.3.3. There an entry that
 * allows wins over an equal one that denies; two entries of one resource can not both be stored, so that
 * the difference shows only between prefixes of the same length, which then are the same resource.
 */
import net from 'node:net';

export type ResourceType = 'Any' | 'Cluster' | 'Namespace' | 'Topic' | 'Group';
export type Action = 'All' | 'Pub' | 'Sub' | 'Create' | 'Update' | 'Delete' | 'Get' | 'List';
export type Decision = 'Allow' | 'Deny';
export type PolicyType = 'Custom' | 'Default';

export interface Resource {
  readonly type: ResourceType;
  /** Empty where the pattern is ANY. */
  readonly name: string;
  readonly pattern: 'LITERAL' | 'PREFIXED' | 'ANY';
}

/** What a request does to one resource: any of the actions is enough. */
export interface ResourceAccess {
  readonly type: 'Cluster' | 'Topic' | 'Group';
  readonly name: string;
  readonly actions: readonly Action[];
}

export interface PolicyEntry {
  readonly resource: Resource;
  readonly actions: readonly Action[];
  /** Addresses and CIDR ranges; empty: from anywhere. */
  readonly sourceIps: readonly string[];
  readonly decision: Decision;
}

export interface Policies {
  readonly Custom: readonly PolicyEntry[];
  readonly Default: readonly PolicyEntry[];
}

const resourceTypes: readonly ResourceType[] = ['Any', 'Cluster', 'Namespace', 'Topic', 'Group'];
const actionNames: readonly Action[] = [
  'All',
  'Pub',
  'Sub',
  'Create',
  'Update',
  'Delete',
  'Get',
  'List',
];

const named = <Name extends string>(names: readonly Name[], text: string): Name | undefined =>
  names.find((name) => name.toLowerCase() === text.trim().toLowerCase());

export function decisionOf(text: string): Decision | undefined {
  return named(['Allow', 'Deny'], text);
}

export function policyTypeOf(text: string): PolicyType | undefined {
  return named(['Custom', 'Default'], text);
}

export function actionOf(text: string): Action | undefined {
  return named(actionNames, text);
}

/** `*`, `Topic:*`, `Topic:abc*` or `Topic:abc`; null where it is none of these. */
export function parseResource(text: string): Resource | null {
  if (text === '*') return { type: 'Any', name: '', pattern: 'ANY' };
  const colon = text.indexOf(':');
  const type = named(resourceTypes, text.slice(0, Math.max(colon, 0)));
  const name = text.slice(colon + 1);
  if (type === undefined || colon < 0 || name === '') return null;
  if (name === '*') return { type, name: '', pattern: 'ANY' };
  const star = name.indexOf('*');
  if (star < 0) return { type, name, pattern: 'LITERAL' };
  // A star in the middle would be cut by RocketMQ, and mean more than it says.
  return star === name.length - 1 ? { type, name: name.slice(0, -1), pattern: 'PREFIXED' } : null;
}

export function resourceText({ type, name, pattern }: Resource): string {
  if (type === 'Any') return '*';
  return `${type}:${name}${pattern === 'LITERAL' ? '' : '*'}`;
}

/** Whether an address, or a range of them, can be compared with. */
export function isSourceRange(text: string): boolean {
  const [address, bits, ...rest] = text.split('/');
  const family = net.isIP(address);
  if (family === 0 || rest.length > 0) return false;
  if (bits === undefined) return true;
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

/** True where the policies allow the access from this address. */
export function isAllowed(
  policies: Policies | undefined,
  access: ResourceAccess,
  sourceIp: string,
): boolean {
  if (policies === undefined) return false;
  const entry =
    closest(policies.Custom, access, sourceIp) ?? closest(policies.Default, access, sourceIp);
  return entry?.decision === 'Allow';
}

function closest(
  entries: readonly PolicyEntry[],
  access: ResourceAccess,
  sourceIp: string,
): PolicyEntry | null {
  let best: PolicyEntry | null = null;
  let bestRank = -1;
  for (const entry of entries) {
    const rank = rankOf(entry.resource, access);
    if (rank < bestRank || rank < 0) continue;
    if (!matchesAction(entry, access) || !matchesSource(entry, sourceIp)) continue;
    if (rank === bestRank && entry.decision !== 'Deny') continue;
    best = entry;
    bestRank = rank;
  }
  return best;
}

const LITERAL_RANK = 1_000_000;

/** How close the entry's resource is to what is accessed; negative where it is another. */
function rankOf(resource: Resource, access: ResourceAccess): number {
  if (resource.type === 'Any') return 0;
  if (resource.type !== access.type) return -1;
  if (resource.pattern === 'ANY') return 1;
  if (resource.pattern === 'LITERAL') return resource.name === access.name ? LITERAL_RANK : -1;
  return access.name.startsWith(resource.name) ? 2 + resource.name.length : -1;
}

function matchesAction(entry: PolicyEntry, access: ResourceAccess): boolean {
  if (entry.actions.includes('All')) return true;
  for (const action of access.actions) if (entry.actions.includes(action)) return true;
  return false;
}

const blockLists = new Map<string, net.BlockList>();
const BLOCK_LIST_COUNT_MAX = 10_000;

function matchesSource(entry: PolicyEntry, sourceIp: string): boolean {
  if (entry.sourceIps.length === 0) return true;
  const family = sourceIp.includes(':') ? 'ipv6' : 'ipv4';
  return entry.sourceIps.some((range) => listOf(range).check(sourceIp, family));
}

function listOf(range: string): net.BlockList {
  const known = blockLists.get(range);
  if (known !== undefined) return known;
  const list = new net.BlockList();
  const [address, bits] = range.split('/');
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  if (bits === undefined) list.addAddress(address, family);
  else list.addSubnet(address, Number(bits), family);
  if (blockLists.size >= BLOCK_LIST_COUNT_MAX) blockLists.clear();
  blockLists.set(range, list);
  return list;
}
