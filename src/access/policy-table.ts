/**
 * @agent control
 *
 * The policies of each subject, in the JSON that tools send and are shown (AclInfo.java). Entries of one
 * resource replace each other, as in RocketMQ.
 *
 * Source: AuthorizationMetadataManagerImpl.java, Acl.java, Policy.java, AclConverter.java of RocketMQ 5.3.3.
 */
import {
  type Action,
  actionOf,
  decisionOf,
  isSourceRange,
  type Policies,
  type PolicyEntry,
  type PolicyType,
  policyTypeOf,
  parseResource,
  resourceText,
} from './policy.ts';

export interface AclInfo {
  subject: string;
  policies: { policyType: string; entries: EntryInfo[] }[];
}

interface EntryInfo {
  resource: string;
  actions: string[];
  sourceIps?: string[];
  decision: string;
}

interface StoredPolicies extends Policies {
  readonly Custom: PolicyEntry[];
  readonly Default: PolicyEntry[];
}

const policyTypes: readonly PolicyType[] = ['Custom', 'Default'];
/** Of one user; the gate looks through them for each request. */
const ENTRY_COUNT_MAX = 1000;

/** The user that a subject names, `User:name`; null where it names none. */
export function userOfSubject(subject: string): string | null {
  const [, username = ''] = /^user:(.+)$/is.exec(subject) ?? [];
  return username === '' ? null : username;
}

export class PolicyTable {
  readonly #byUser = new Map<string, StoredPolicies>();

  /** Takes what `store` wrote; the result names subjects of which something was left out. */
  load(parsed: unknown): string[] {
    const left: string[] = [];
    const list = (parsed as { acls?: unknown } | null)?.acls;
    for (const value of Array.isArray(list) ? (list as Partial<AclInfo>[]) : []) {
      const username = userOfSubject(String(value?.subject));
      if (username === null || this.put(username, value?.policies) !== null)
        left.push(String(value?.subject));
    }
    return left;
  }

  store(): string {
    return JSON.stringify({ acls: this.list('', '') }, null, 2);
  }

  of(username: string): Policies | undefined {
    return this.#byUser.get(username);
  }

  /** Adds entries, or replaces those of the same resources; a text says why nothing was changed. */
  put(username: string, policies: unknown): string | null {
    const read = readPolicies(policies);
    if (typeof read === 'string') return read;
    const known = this.#byUser.get(username) ?? { Custom: [], Default: [] };
    const count = known.Custom.length + known.Default.length + read.length;
    if (count > ENTRY_COUNT_MAX) return `a user has at most ${ENTRY_COUNT_MAX} policy entries`;
    for (const { policyType, entry } of read) {
      const entries = known[policyType];
      const index = entries.findIndex(
        ({ resource }) => resourceText(resource) === resourceText(entry.resource),
      );
      if (index < 0) entries.push(entry);
      else entries[index] = entry;
    }
    this.#byUser.set(username, known);
    return null;
  }

  /** Deletes the entry of a resource, or all policies where none is named; false where there are none. */
  delete(username: string, policyType: PolicyType, resource: string | null): boolean {
    const known = this.#byUser.get(username);
    if (known === undefined) return false;
    if (resource !== null) {
      const entries = known[policyType];
      const index = entries.findIndex((entry) => resourceText(entry.resource) === resource);
      if (index >= 0) entries.splice(index, 1);
    }
    if (resource === null || known.Custom.length + known.Default.length === 0)
      this.#byUser.delete(username);
    return true;
  }

  get(username: string): AclInfo | null {
    const known = this.#byUser.get(username);
    return known === undefined ? null : aclInfo(username, known, () => true);
  }

  /** Subjects that contain the one filter, with entries whose resource contains the other. */
  list(subjectFilter: string, resourceFilter: string): AclInfo[] {
    return [...this.#byUser]
      .filter(([username]) => `User:${username}`.includes(subjectFilter))
      .map(([username, policies]) =>
        aclInfo(username, policies, (entry) =>
          resourceText(entry.resource).includes(resourceFilter),
        ),
      )
      .filter(({ policies }) => policies.length > 0)
      .sort((one, other) => (one.subject < other.subject ? -1 : 1));
  }
}

function aclInfo(
  username: string,
  policies: StoredPolicies,
  isWanted: (entry: PolicyEntry) => boolean,
): AclInfo {
  return {
    subject: `User:${username}`,
    policies: policyTypes
      .map((policyType) => ({
        policyType,
        entries: policies[policyType].filter(isWanted).map(entryInfo),
      }))
      .filter(({ entries }) => entries.length > 0),
  };
}

function entryInfo({ resource, actions, sourceIps, decision }: PolicyEntry): EntryInfo {
  const info: EntryInfo = { resource: resourceText(resource), actions: [...actions], decision };
  if (sourceIps.length > 0) info.sourceIps = [...sourceIps];
  return info;
}

/** The policies that a snapshot carries, as the gate reads them. */
export function policiesOf(info: AclInfo): Policies {
  const read = readPolicies(info.policies);
  const entries = typeof read === 'string' ? [] : read;
  const of = (wanted: PolicyType): PolicyEntry[] =>
    entries.filter(({ policyType }) => policyType === wanted).map(({ entry }) => entry);
  return { Custom: of('Custom'), Default: of('Default') };
}

function readPolicies(value: unknown): { policyType: PolicyType; entry: PolicyEntry }[] | string {
  if (!Array.isArray(value) || value.length === 0) return 'The policies is empty.';
  const read: { policyType: PolicyType; entry: PolicyEntry }[] = [];
  for (const policy of value as { policyType?: unknown; entries?: unknown }[]) {
    const policyType = policyTypeOf(textOf(policy?.policyType) || 'Custom');
    if (policyType === undefined) return 'The policy type is illegal.';
    if (!Array.isArray(policy?.entries) || policy.entries.length === 0)
      return 'The policy entries is empty.';
    for (const info of policy.entries as Record<string, unknown>[]) {
      const entry = readEntry(info ?? {});
      if (typeof entry === 'string') return entry;
      read.push({ policyType, entry });
    }
  }
  return read;
}

function readEntry(info: Record<string, unknown>): PolicyEntry | string {
  const resource = parseResource(textOf(info['resource']).trim());
  if (resource === null)
    return 'The resource is illegal: Topic:name, Group:name, Cluster:name, with * at its end for all that begin so, or *';
  const actions: Action[] = [];
  for (const text of textsOf(info['actions'])) {
    const action = actionOf(text);
    // RocketMQ leaves out what it does not know: a denial of it would silently not be one.
    if (action === undefined)
      return `The action ${text.slice(0, 32)} is none of All, Pub, Sub, Create, Update, Delete, Get, List`;
    actions.push(action);
  }
  if (actions.length === 0) return 'The actions is empty.';
  const sourceIps = textsOf(info['sourceIps']).map((text) => text.trim());
  if (!sourceIps.every(isSourceRange)) return 'The source ip is invalid.';
  const decision = decisionOf(textOf(info['decision']));
  if (decision === undefined) return 'The decision is null or illegal.';
  return { resource, actions, sourceIps, decision };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(textOf) : [];
}
