/**
 * @agent any
 *
 * What a consumer wants of a topic: tags, or an SQL92 expression over properties. Brokers choose by the
 * hash of a tag, which two tags may share, so the text is compared here once more.
 *
 * Source: FilterAPI.java.
 */
import { javaTextHash } from '../protocol/java-string-hash.ts';
import type { SubscriptionData } from './client-core.ts';
import { ClientError } from './client-error.ts';

/** Tags as text, `a || b`; `*` is all. Or the same named, or a condition on properties. */
export type SubscriptionFilter = string | { readonly tags: string } | { readonly sql: string };

export interface Subscription {
  readonly data: SubscriptionData;
  /** The tags that pass; null for all, and where the broker's word is enough. */
  readonly tags: ReadonlySet<string> | null;
}

const ALL = '*';
export const RETRY_PREFIX = '%RETRY%';

/** A newer subscription of the same topic must have a newer version: subVersion is a time in Java, too. */
let latestVersion = 0;

/** @throws ClientError INVALID_ARGUMENT */
export function subscriptionOf(
  topic: string,
  filter: SubscriptionFilter = ALL,
  nowMs = Date.now(),
): Subscription {
  if (topic === '') throw new ClientError('INVALID_ARGUMENT', 'a subscription needs a topic');
  latestVersion = Math.max(latestVersion + 1, nowMs);
  const common = { topic, subVersion: latestVersion };
  if (typeof filter === 'object' && 'sql' in filter) {
    if (typeof filter.sql !== 'string' || filter.sql.trim() === '')
      throw new ClientError('INVALID_ARGUMENT', `the SQL92 filter of ${topic} is empty`);
    const data: SubscriptionData = {
      ...common,
      subString: filter.sql,
      expressionType: 'SQL92',
      tagsSet: [],
      codeSet: [],
    };
    return { data, tags: null };
  }
  const text = (typeof filter === 'string' ? filter : filter.tags).trim();
  if (text === '' || text === ALL) {
    const data: SubscriptionData = {
      ...common,
      subString: ALL,
      expressionType: 'TAG',
      tagsSet: [],
      codeSet: [],
    };
    return { data, tags: null };
  }
  const tags = new Set(
    text
      .split('||')
      .map((tag) => tag.trim())
      .filter((tag) => tag !== ''),
  );
  if (tags.size === 0)
    throw new ClientError('INVALID_ARGUMENT', `the filter "${text}" of ${topic} names no tag`);
  const data: SubscriptionData = {
    ...common,
    subString: text,
    expressionType: 'TAG',
    tagsSet: [...tags],
    codeSet: [...tags].map((tag) => javaTextHash(tag)),
  };
  return { data, tags };
}

export function retryTopicOf(group: string): string {
  return RETRY_PREFIX + group;
}
