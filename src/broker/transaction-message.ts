/**
 * @agent worker, dispatcher
 *
 * Half messages, as their properties say: what a producer sends within a transaction waits in the half
 * topic, invisible, until the transaction ends.
 *
 * Source: TransactionalMessageBridge.java (parseHalfMessageInner).
 */
import { PropertyName } from '../protocol/message-properties.ts';
import type { Destination } from './delay-level.ts';
import { SystemTopic } from './resource-name.ts';

/** Of a UNIQ_KEY so much is what the answer to a half calls its transaction. */
export const TRANSACTION_ID_LENGTH_MAX = 255;

export function isTransactional(properties: ReadonlyMap<string, string>): boolean {
  return properties.get(PropertyName.TRANSACTION_PREPARED)?.toLowerCase() === 'true';
}

/** Where a half message for `real` waits; `properties` get what is needed to commit it. */
export function interceptTransaction(
  real: Destination,
  properties: Map<string, string>,
): Destination {
  const uniqueKey = properties.get(PropertyName.UNIQUE_KEY);
  if (uniqueKey !== undefined) properties.set(PropertyName.TRANSACTION_ID, uniqueKey);
  properties.set(PropertyName.REAL_TOPIC, real.topic);
  properties.set(PropertyName.REAL_QUEUE_ID, String(real.queueId));
  return { topic: SystemTopic.HALF, queueId: 0 };
}
