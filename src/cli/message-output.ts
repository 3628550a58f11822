/**
 * @agent any
 *
 * Messages as commands print them: a line for people, an object with stable names for programs.
 */
import type { ReceivedMessage } from '../client/message.ts';
import { plainText } from './command-output.ts';

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text where the bytes are UTF-8; null where they are not. */
function textOf(bytes: Uint8Array): string | null {
  try {
    return strictText.decode(bytes);
  } catch {
    return null;
  }
}

/** `body` where it is text, `bodyBase64` where it is not. */
export function messageObject(message: ReceivedMessage): Record<string, unknown> {
  const text = textOf(message.body);
  return {
    topic: message.topic,
    brokerName: message.queue.brokerName,
    queueId: message.queue.queueId,
    queueOffset: message.queueOffset,
    messageId: message.messageId,
    offsetMessageId: message.offsetMessageId,
    tag: message.tag ?? null,
    keys: message.keys,
    properties: message.properties,
    bornTimestampMs: message.bornTimestampMs,
    storeTimestampMs: message.storeTimestampMs,
    bornHost: message.bornHost,
    deliveryAttempt: message.deliveryAttempt,
    ...(text === null
      ? { bodyBase64: Buffer.from(message.body).toString('base64') }
      : { body: text }),
  };
}

/** `time topic/queue@broker:offset tag [keys] body`, in one line. */
export function messageLine(message: ReceivedMessage): string {
  const { queue, queueOffset, tag, keys, deliveryAttempt } = message;
  const text = textOf(message.body);
  const words = [
    new Date(message.storeTimestampMs).toISOString(),
    `${queue.brokerName}/${queue.queueId}@${queueOffset}`,
    ...(tag === undefined ? [] : [`tag=${tag}`]),
    ...(keys.length === 0 ? [] : [`keys=${keys.join(',')}`]),
    ...(deliveryAttempt > 1 ? [`attempt=${deliveryAttempt}`] : []),
    text ?? `(${bytesText(message.body.length)}, no text)`,
  ];
  return plainText(words.join('  '));
}

function bytesText(count: number): string {
  return count === 1 ? '1 byte' : `${count} bytes`;
}

/** All that is known of one message, for people. */
export function messageLines(message: ReceivedMessage): string[] {
  const text = textOf(message.body);
  const own = Object.entries(message.properties).map(
    ([name, value]) => [`  ${name}`, value ?? ''] as const,
  );
  const fields: (readonly [string, string])[] = [
    ['message id', message.messageId],
    ['broker id', message.offsetMessageId],
    ['topic', message.topic],
    [
      'queue',
      `${message.queue.queueId} on ${message.queue.brokerName}, offset ${message.queueOffset}`,
    ],
    ['born', `${new Date(message.bornTimestampMs).toISOString()} at ${message.bornHost}`],
    ['stored', new Date(message.storeTimestampMs).toISOString()],
    ['attempt', String(message.deliveryAttempt)],
    ['tag', message.tag ?? '-'],
    ['keys', message.keys.join(' ') || '-'],
    ['properties', own.length === 0 ? '-' : ''],
    ...own,
    ['body', `${bytesText(message.body.length)}${text === null ? ', no text' : ''}`],
  ];
  const width = Math.max(...fields.map(([name]) => name.length)) + 2;
  const lines = fields.map(([name, value]) => plainText(`${name.padEnd(width)}${value}`).trimEnd());
  return text === null || text === '' ? lines : [...lines, ...text.split('\n').map(plainText)];
}
