/**
 * @agent worker
 *
 * The body of a batch: messages one after the other, each with its length, flag, body and properties
 * (protocol: 3.3). Source: MessageDecoder.java (decodeMessages).
 */

/** Length, magic, checksum, flag, and the lengths of body and properties. */
const ITEM_FIXED_BYTES = 4 + 4 + 4 + 4 + 4 + 2;

/** Items of a batch body whose lengths add up exactly; -1 where they do not. */
export function countBatchItems(bytes: Buffer, start: number, end: number): number {
  let count = 0;
  let at = start;
  while (at < end) {
    if (end - at < ITEM_FIXED_BYTES) return -1;
    const itemBytes = bytes.readInt32BE(at);
    if (itemBytes < ITEM_FIXED_BYTES || itemBytes > end - at) return -1;
    const bodyBytes = bytes.readInt32BE(at + 16);
    if (bodyBytes <= 0 || bodyBytes > itemBytes - ITEM_FIXED_BYTES) return -1;
    const propertiesBytes = bytes.readInt16BE(at + 20 + bodyBytes);
    if (propertiesBytes < 0 || ITEM_FIXED_BYTES + bodyBytes + propertiesBytes !== itemBytes)
      return -1;
    at += itemBytes;
    count++;
  }
  return count;
}
