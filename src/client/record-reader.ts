/**
 * @agent any
 *
 * Stored records, as pulls and queries answer them, into messages. Layout: message-record.ts.
 *
 * A message keeps a view of the answer's body; properties become a table when first asked for. So does
 * a compressed body become what it was, where the platform can do that at once; in browsers `readRecords`
 * has to be awaited for those. A body that can not be decompressed throws when it is asked for: its
 * message can still be acknowledged or put aside.
 */
import { ClientError } from './client-error.ts';
import type { MessageQueue, MessageProperties, ReceivedMessage } from './message.ts';
import { type CompressionKind, currentPlatform } from './platform.ts';
import { readInt32 } from '../protocol/text-bytes.ts';

const MAGIC_V1 = 0xdaa320a7 | 0;
const MAGIC_V2 = 0xdaa320ab | 0;
/** Bytes of a record besides body, topic and properties: v1, both hosts IPv4. */
const RECORD_FIXED_BYTES = 91;
/** From the start of a record. */
const QUEUE_ID_AT = 12;
const QUEUE_OFFSET_AT = 20;
const PHYSICAL_OFFSET_AT = 28;
const SYS_FLAG_AT = 36;
const BORN_TIMESTAMP_AT = 40;
const BORN_HOST_AT = 48;

const COMPRESSED = 0x1;
const COMPRESSION_SHIFT = 8;
const COMPRESSION_MASK = 0x7;
const BORN_HOST_V6 = 0x10;
const STORE_HOST_V6 = 0x20;
const HOST_V4_BYTES = 8;
const HOST_V6_BYTES = 20;

/** By the bits of `sysFlag`; old clients set none. */
const compressionKinds: readonly (CompressionKind | undefined)[] = ['zlib', 'lz4', 'zstd', 'zlib'];

/**
 * All records of an answer, in its order. `queue` is where they were pulled from, and where they came
 * from by a query is read from them. A promise only where a body has to be decompressed later.
 * @throws ClientError PROTOCOL_ERROR
 */
export function readRecords(
  bytes: Uint8Array,
  source: MessageQueue | { readonly brokerName: string },
): StoredMessage[] | Promise<StoredMessage[]> {
  const messages: StoredMessage[] = [];
  const waits: Promise<void>[] = [];
  for (let at = 0; at < bytes.length;) {
    const message = new StoredMessage(bytes, at, source);
    at += message.storeBytes;
    messages.push(message);
    const wait = message.startDecompressing();
    if (wait !== null) waits.push(wait);
  }
  return waits.length === 0 ? messages : Promise.all(waits).then(() => messages);
}

export class StoredMessage<
  Properties extends MessageProperties = MessageProperties,
> implements ReceivedMessage<Properties> {
  readonly queue: MessageQueue;
  readonly queueOffset: number;
  /** Bytes of the whole record. */
  readonly storeBytes: number;
  readonly sysFlag: number;
  /** How often it came before. */
  readonly reconsumeTimes: number;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #bodyStart: number;
  readonly #bodyEnd: number;
  readonly #topicStart: number;
  readonly #topicEnd: number;
  readonly #end: number;
  #properties: Record<string, string> | null = null;
  #body: Uint8Array | ClientError | null = null;

  constructor(
    bytes: Uint8Array,
    start: number,
    source: MessageQueue | { readonly brokerName: string },
  ) {
    const restBytes = bytes.length - start;
    const totalBytes = restBytes < RECORD_FIXED_BYTES ? 0 : readInt32(bytes, start);
    const magic = readInt32(bytes, start + 4);
    const isRecord = magic === MAGIC_V1 || magic === MAGIC_V2;
    if (!isRecord || totalBytes < RECORD_FIXED_BYTES || totalBytes > restBytes) throw noRecord();
    const end = start + totalBytes;
    const sysFlag = readInt32(bytes, start + SYS_FLAG_AT);
    let at = storeHostAt(start, sysFlag) + hostBytes(sysFlag, STORE_HOST_V6);
    this.reconsumeTimes = readInt32(bytes, at);
    at += 12;
    const bodyBytes = readInt32(bytes, at);
    at += 4;
    if (bodyBytes < 0 || bodyBytes > end - at - 3) throw noRecord();
    this.#bodyStart = at;
    at += bodyBytes;
    this.#bodyEnd = at;
    const topicBytes = magic === MAGIC_V1 ? bytes[at] : (bytes[at] << 8) | bytes[at + 1];
    at += magic === MAGIC_V1 ? 1 : 2;
    this.#topicStart = at;
    at += topicBytes;
    this.#topicEnd = at;
    if (at + 2 > end || at + 2 + ((bytes[at] << 8) | bytes[at + 1]) !== end) throw noRecord();
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.storeBytes = totalBytes;
    this.sysFlag = sysFlag;
    this.queueOffset = readLong(bytes, start + QUEUE_OFFSET_AT);
    this.queue =
      'topic' in source
        ? source
        : {
            topic: this.storedTopic,
            brokerName: source.brokerName,
            queueId: readInt32(bytes, start + QUEUE_ID_AT),
          };
  }

  get topic(): string {
    return this.properties['RETRY_TOPIC'] ?? this.storedTopic;
  }

  /** What the record says: of a message that comes again, the group's retry topic. */
  get storedTopic(): string {
    return currentPlatform().decodeText(this.#bytes, this.#topicStart, this.#topicEnd);
  }

  get body(): Uint8Array {
    this.#body ??= this.#decodedBody();
    if (this.#body instanceof ClientError) throw this.#body;
    return this.#body;
  }

  text(): string {
    const { body } = this;
    return currentPlatform().decodeText(body, 0, body.length);
  }

  json(): unknown {
    return JSON.parse(this.text());
  }

  get tag(): string | undefined {
    return this.properties['TAGS'];
  }

  get keys(): readonly string[] {
    const keys = this.properties['KEYS'];
    return keys === undefined ? [] : keys.split(' ').filter((key) => key !== '');
  }

  get properties(): Properties {
    this.#properties ??= decodePropertyTable(
      currentPlatform().decodeText(this.#bytes, this.#topicEnd + 2, this.#end),
    );
    return this.#properties as Properties;
  }

  get messageId(): string {
    return this.properties['UNIQ_KEY'] ?? this.offsetMessageId;
  }

  /** Where it stands in its broker's log. */
  get physicalOffset(): number {
    return readLong(this.#bytes, this.#start + PHYSICAL_OFFSET_AT);
  }

  /** Address of its broker and place in the log, in hexadecimal, as brokers print it. */
  get offsetMessageId(): string {
    const at = storeHostAt(this.#start, this.sysFlag);
    const host = this.#bytes.subarray(at, at + hostBytes(this.sysFlag, STORE_HOST_V6));
    const offset = this.#bytes.subarray(
      this.#start + PHYSICAL_OFFSET_AT,
      this.#start + PHYSICAL_OFFSET_AT + 8,
    );
    const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0');
    return Array.from([...host, ...offset], hex).join('');
  }

  get bornTimestampMs(): number {
    return readLong(this.#bytes, this.#start + BORN_TIMESTAMP_AT);
  }

  get storeTimestampMs(): number {
    const bornHostBytes = hostBytes(this.sysFlag, BORN_HOST_V6);
    return readLong(this.#bytes, this.#start + BORN_HOST_AT + bornHostBytes);
  }

  get bornHost(): string {
    const start = this.#start + BORN_HOST_AT;
    const portAt = start + hostBytes(this.sysFlag, BORN_HOST_V6) - 4;
    const address = this.#bytes.subarray(start, portAt);
    const port = readInt32(this.#bytes, portAt);
    if (address.length === 4) return `${address.join('.')}:${port}`;
    const groups = Array.from({ length: 8 }, (_, index) =>
      ((address[index * 2] << 8) | address[index * 2 + 1]).toString(16),
    );
    return `[${groups.join(':')}]:${port}`;
  }

  get deliveryAttempt(): number {
    return this.reconsumeTimes + 1;
  }

  /** Begins what can only be done later; null where nothing is. */
  startDecompressing(): Promise<void> | null {
    if ((this.sysFlag & COMPRESSED) === 0 || currentPlatform().deflate !== null) return null;
    return this.#decompressLater();
  }

  async #decompressLater(): Promise<void> {
    try {
      this.#body = await this.#decompressed();
    } catch (cause) {
      this.#body = this.#undecodable(cause);
    }
  }

  #decodedBody(): Uint8Array | ClientError {
    if ((this.sysFlag & COMPRESSED) === 0)
      return this.#bytes.subarray(this.#bodyStart, this.#bodyEnd);
    try {
      const body = this.#decompressed();
      if (body instanceof Uint8Array) return body;
      body.catch(() => {});
      throw new Error('it was not awaited');
    } catch (cause) {
      return this.#undecodable(cause);
    }
  }

  #decompressed(): Uint8Array | Promise<Uint8Array> {
    const bits = (this.sysFlag >> COMPRESSION_SHIFT) & COMPRESSION_MASK;
    const kind = compressionKinds[bits];
    if (kind === undefined) throw new Error(`compression ${bits} is not known`);
    const body = this.#bytes.subarray(this.#bodyStart, this.#bodyEnd);
    return currentPlatform().decompress(body, kind);
  }

  #undecodable(cause: unknown): ClientError {
    const why = cause instanceof Error ? cause.message : String(cause);
    const what = `the body of message ${this.messageId} can not be decompressed: ${why}`;
    return new ClientError('NOT_SUPPORTED', what, { cause });
  }
}

/** A message's properties as a table without a prototype, so that no name can reach one. */
export function decodePropertyTable(text: string): Record<string, string> {
  const properties = Object.create(null) as Record<string, string>;
  let start = 0;
  while (start < text.length) {
    const found = text.indexOf('\x02', start);
    const end = found < 0 ? text.length : found;
    const nameEnd = text.indexOf('\x01', start);
    if (nameEnd > start && nameEnd < end - 1)
      properties[text.slice(start, nameEnd)] = text.slice(nameEnd + 1, end);
    start = end + 1;
  }
  return properties;
}

function storeHostAt(start: number, sysFlag: number): number {
  return start + BORN_HOST_AT + hostBytes(sysFlag, BORN_HOST_V6) + 8;
}

function hostBytes(sysFlag: number, v6Flag: number): number {
  return (sysFlag & v6Flag) === 0 ? HOST_V4_BYTES : HOST_V6_BYTES;
}

/** Exact within ±2^53, which every offset and time here is. */
function readLong(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at) * 0x1_0000_0000 + (readInt32(bytes, at + 4) >>> 0);
}

function noRecord(): ClientError {
  return new ClientError('PROTOCOL_ERROR', 'an answer holds bytes that are no record');
}
