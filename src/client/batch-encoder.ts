/**
 * @agent any
 *
 * The body of a batch (320): messages back to back, without topic, each with its own properties.
 * Big-endian. Source: MessageDecoder.java (encodeMessage).
 *
 * ```
 * totalSize magic(0) bodyCrc(0) flag(0) bodyLength body propertiesLength(2) properties
 * ```
 */
import type { PropertyTexts } from './outgoing-message.ts';
import { encodeText, writeInt32 } from '../protocol/text-bytes.ts';
import { uniqueIdText } from './unique-id.ts';

const FIXED_BYTES = 22;

export interface BatchItem {
  readonly body: Uint8Array;
  readonly properties: PropertyTexts;
  readonly idPrefix: string;
  readonly idCounter: number;
}

export interface EncodedItem {
  readonly bytes: Uint8Array;
  readonly messageId: string;
}

export function encodeBatchItem(item: BatchItem): EncodedItem {
  const messageId = uniqueIdText(item.idPrefix, item.idCounter);
  let text = `UNIQ_KEY\x01${messageId}\x02`;
  for (let index = 0; index < item.properties.length; index += 2)
    text += `${item.properties[index]}\x01${item.properties[index + 1]}\x02`;
  const properties = encodeText(text);
  const bytes = new Uint8Array(FIXED_BYTES + item.body.length + properties.length);
  writeInt32(bytes, 0, bytes.length);
  writeInt32(bytes, 16, item.body.length);
  bytes.set(item.body, 20);
  const lengthAt = 20 + item.body.length;
  bytes[lengthAt] = properties.length >>> 8;
  bytes[lengthAt + 1] = properties.length;
  bytes.set(properties, lengthAt + 2);
  return { bytes, messageId };
}

/** Items in their order, as few bodies as fit: none is longer than `bytesMax` but one of one item. */
export function splitBatch(items: readonly EncodedItem[], bytesMax: number): EncodedItem[][] {
  const parts: EncodedItem[][] = [];
  let part: EncodedItem[] = [];
  let partBytes = 0;
  for (const item of items) {
    if (part.length > 0 && partBytes + item.bytes.length > bytesMax) {
      parts.push(part);
      part = [];
      partBytes = 0;
    }
    part.push(item);
    partBytes += item.bytes.length;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

export function joinItems(items: readonly EncodedItem[]): Uint8Array {
  const bytes = new Uint8Array(items.reduce((sum, item) => sum + item.bytes.length, 0));
  let at = 0;
  for (const item of items) {
    bytes.set(item.bytes, at);
    at += item.bytes.length;
  }
  return bytes;
}
