/**
 * @agent any
 *
 * Calls a listener with one record that an operator has chosen (CONSUME_MESSAGE_DIRECTLY), outside of
 * any queue: no offset moves, whatever comes of it.
 */
import type { ListenerCall } from './broker-questions.ts';
import { ClientError } from './client-error.ts';
import { type ConsumedRecord, type MessageHome, readConsumed } from './consumed-message.ts';
import { RetryLater } from './listener-runner.ts';
import { ProcessQueue } from './process-queue.ts';
import { StoredMessage } from './record-reader.ts';
import { subscriptionOf } from './subscription.ts';

/** CMResult.java. */
type DirectResult = 'CR_SUCCESS' | 'CR_LATER' | 'CR_THROW_EXCEPTION';

const limits = { openCountMax: 1, openBytesMax: 1, spanMax: 1 };

export async function consumeOnce(
  record: Uint8Array,
  brokerName: string,
  listener: ListenerCall,
): Promise<{ result: DirectResult; remark: string | null }> {
  const { queue, queueOffset } = new StoredMessage(record, 0, { brokerName });
  const processQueue = new ProcessQueue<ConsumedRecord>(queue, {
    offset: queueOffset,
    isOrdered: false,
    limits,
  });
  let isWantedAgain = false;
  const home: MessageHome = {
    settlement: {
      retry: () => {
        isWantedAgain = true;
        return Promise.resolve();
      },
      onFailed: () => {},
    },
    onFinished: () => {},
  };
  try {
    const messages = await readConsumed(record, processQueue, subscriptionOf(queue.topic), home);
    processQueue.append(messages, queueOffset + 1);
    const [message] = processQueue.take(1);
    try {
      await listener.call(listener.isBatch ? [message] : message);
    } finally {
      processQueue.finish(message);
    }
    return { result: isWantedAgain ? 'CR_LATER' : 'CR_SUCCESS', remark: null };
  } catch (error) {
    if (error instanceof RetryLater) return { result: 'CR_LATER', remark: null };
    const remark = ClientError.is(error) ? `${error.code}: ${error.message}` : String(error);
    return { result: 'CR_THROW_EXCEPTION', remark };
  }
}
