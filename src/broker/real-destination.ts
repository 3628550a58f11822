/**
 * @agent dispatcher
 *
 * Where a message that waits belongs, by what its properties keep of it: the same for delays, times and
 * transactions.
 */
import { PropertyName, readProperty } from '../protocol/message-properties.ts';
import type { RecordView } from '../protocol/message-record.ts';
import type { Destination } from './delay-level.ts';
import { SystemTopic } from './resource-name.ts';

const topicName = Buffer.from(PropertyName.REAL_TOPIC);
const queueIdName = Buffer.from(PropertyName.REAL_QUEUE_ID);

/** Null where the record names none, or one that nothing is delivered to. */
export function realDestinationOf(view: RecordView): Destination | null {
  const { buffer, propertiesStart } = view;
  const end = propertiesStart + view.propertiesBytes;
  const topic = readProperty(buffer, propertiesStart, end, topicName) ?? '';
  const queueId = readProperty(buffer, propertiesStart, end, queueIdName) ?? '';
  if (topic === '' || topic === SystemTopic.HALF || !/^\d{1,9}$/.test(queueId)) return null;
  return { topic, queueId: Number(queueId) };
}
