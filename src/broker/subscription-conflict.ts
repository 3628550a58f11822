/**
 * @agent control
 *
 * Finds members of one consumer group that subscribe differently. RocketMQ serves all of them by the
 * subscription that came last, so that each may miss messages that it asked for: a mistake of the
 * users that shows as lost messages, unless somebody says it.
 */
import type { Subscription } from './control-effects.ts';
import { groupOfRetryTopic } from './resource-name.ts';

/** Clients that are named for each way to subscribe; the rest are counted. */
const NAMED_COUNT_MAX = 8;
/** Of each subscription that is quoted. */
const QUOTED_CHARACTERS_MAX = 200;

/** What a member subscribes to, as text that is equal where subscriptions are. */
export function subscriptionText(subscriptions: readonly Subscription[]): string {
  return subscriptions
    .filter(({ topic }) => groupOfRetryTopic(topic) === null)
    .map(({ topic, expressionType, subString }) => {
      const type = expressionType === 'TAG' ? '' : ` ${expressionType}`;
      return `${topic}${type} ${expressionType === 'TAG' ? sortedTags(subString) : subString}`;
    })
    .sort()
    .join('; ');
}

/** Names the clients of each of several subscriptions; null where all are the same. */
export function conflictOf(
  group: string,
  members: Iterable<{ readonly clientId: string; readonly subscriptionText: string | null }>,
): string | null {
  const clients = new Map<string, Set<string>>();
  for (const { clientId, subscriptionText: text } of members) {
    // A member whose heartbeats leave subscriptions out has those of the group.
    if (text === null) continue;
    let ids = clients.get(text);
    if (ids === undefined) clients.set(text, (ids = new Set()));
    ids.add(clientId);
  }
  if (clients.size < 2) return null;
  const parts = [...clients].sort(([left], [right]) => (left < right ? -1 : 1)).map(partOf);
  return `members of consumer group ${group} subscribe differently, so that messages may be missed: ${parts.join(' | ')}`;
}

function partOf([text, ids]: [string, Set<string>]): string {
  const named = [...ids].sort().slice(0, NAMED_COUNT_MAX);
  const others = ids.size > named.length ? ` and ${ids.size - named.length} more` : '';
  return `${named.join(', ')}${others} to [${text.slice(0, QUOTED_CHARACTERS_MAX)}]`;
}

/** "b || a" and "a||b" are the same. */
function sortedTags(expression: string): string {
  const tags = expression.split('||').map((tag) => tag.trim());
  return [...new Set(tags.filter((tag) => tag !== ''))].sort().join(' || ') || '*';
}
