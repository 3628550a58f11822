/**
 * SEND_MESSAGE_V2 requests as the Java client 5.3.3 makes them, from a template: a send copies the
 * template and writes opaque into the copy; unique key and born time are kept in the template. No
 * message makes an object. Test: equal to captured frames byte for byte, what varies aside.
 */
import { digitsInto } from './decimal-digits.ts';
import type { Codec } from './load-options.ts';

/** Opaques have this many digits, so that a template's length never changes. */
export const OPAQUE_MIN = 1_000_000;
export const OPAQUE_MAX = 9_999_999;
const OPAQUE_DIGITS = 7;

/** A time in milliseconds; enough until the year 2286. */
const BORN_DIGITS = 13;
/** PREPARED of MessageSysFlag.java. */
const HALF_SYS_FLAG = '4';
/** IP, process id, class loader, time and counter in hexadecimal: MessageClientIDSetter.java. */
const UNIQUE_KEY_DIGITS = 32;
const COUNTER_DIGITS = 8;
export const UNIQUE_KEY_PREFIX_DIGITS = UNIQUE_KEY_DIGITS - COUNTER_DIGITS;

/** What the client states in each of its frames. */
const JAVA_LANGUAGE = 0;
const CLIENT_VERSION = 479;
const SEND_MESSAGE_V2 = 310;
const SEND_BATCH_MESSAGE = 320;

const ZERO = 0x30;
const NINE = 0x39;
const UPPER_A = 0x41;
const UPPER_F = 0x46;
const FILLER = 0x6d;

export interface SendFramesOptions {
  readonly codec: Codec;
  readonly producerGroup: string;
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
  /** Of each message, where there are several in a request. */
  readonly bodyBytes: number;
  /** Messages in a request (kind `batch`). */
  readonly batchCount?: number;
  readonly tag: string;
  /** 24 hexadecimal digits that no other template of any run has. */
  readonly uniqueKeyPrefix: string;
  /** Half messages of transactions, messages for a time that `setDue` says, or several at once. */
  readonly kind?: 'half' | 'timed' | 'batch';
}

/** Requests to one queue over one connection. */
export class SendFrames {
  readonly frameBytes: number;
  /** Where the body starts in a frame. */
  readonly bodyStart: number;
  readonly #template: Buffer;
  readonly #opaqueStart: number;
  readonly #bornStart: number;
  readonly #dueStart: number;
  readonly #queueStart: number;
  readonly #queueDigits: number;
  readonly #counterEnd: number;
  readonly #isJson: boolean;
  #bornMs = 0;

  constructor(options: SendFramesOptions) {
    if (options.uniqueKeyPrefix.length !== UNIQUE_KEY_PREFIX_DIGITS) {
      throw new RangeError(`unique key prefix of ${options.uniqueKeyPrefix.length} digits`);
    }
    this.#isJson = options.codec === 'json';
    const uniqueKey = options.uniqueKeyPrefix + '0'.repeat(COUNTER_DIGITS);
    const bornPlaceholder = '1'.repeat(BORN_DIGITS);
    const fields = sendFields(options, uniqueKey, bornPlaceholder);
    const code = options.kind === 'batch' ? SEND_BATCH_MESSAGE : SEND_MESSAGE_V2;
    const header = this.#isJson
      ? Buffer.from(jsonText(code, fields))
      : binaryHeaderOf(code, fields);
    const body =
      options.kind === 'batch' ? batchBody(options) : Buffer.alloc(options.bodyBytes, FILLER);
    this.bodyStart = 8 + header.length;
    this.frameBytes = this.bodyStart + body.length;
    this.#template = Buffer.alloc(this.frameBytes);
    body.copy(this.#template, this.bodyStart);
    this.#template.writeInt32BE(this.frameBytes - 4, 0);
    this.#template.writeInt32BE(header.length, 4);
    this.#template[4] = this.#isJson ? 0 : 1;
    header.copy(this.#template, 8);
    this.#bornStart = this.#template.indexOf(bornPlaceholder);
    this.#dueStart = this.#template.indexOf(DUE_PLACEHOLDER);
    this.#queueDigits = String(options.queueId).length;
    // Binary: length of the name (2), name, length of the value (4).
    const queueMark = this.#isJson
      ? '"e":"'
      : `\0\x01e\0\0\0${String.fromCharCode(this.#queueDigits)}`;
    this.#queueStart = this.#template.indexOf(queueMark, 8, 'latin1') + queueMark.length;
    this.#counterEnd = this.#template.indexOf(uniqueKey) + UNIQUE_KEY_DIGITS;
    // Binary header: code, language and version stand before the opaque.
    this.#opaqueStart = this.#isJson ? this.#template.indexOf(`"opaque":${OPAQUE_MIN}`) + 9 : 8 + 5;
  }

  /** Writes the next request at `at`; `bornMs` is the time that it states. */
  writeInto(target: Buffer, at: number, opaque: number, bornMs: number): void {
    if (bornMs !== this.#bornMs) this.#setBorn(bornMs);
    this.#nextUniqueKey();
    target.set(this.#template, at);
    const opaqueAt = at + this.#opaqueStart;
    if (this.#isJson) digitsInto(target, opaque, opaqueAt, OPAQUE_DIGITS);
    else target.writeInt32BE(opaque, opaqueAt);
  }

  /** For when the next messages are; only of kind `timed`. */
  setDue(dueMs: number): void {
    digitsInto(this.#template, dueMs, this.#dueStart, BORN_DIGITS);
  }

  /** Another queue, whose number has as many digits. */
  setQueueId(queueId: number): void {
    digitsInto(this.#template, queueId, this.#queueStart, this.#queueDigits);
  }

  #setBorn(bornMs: number): void {
    this.#bornMs = bornMs;
    digitsInto(this.#template, bornMs, this.#bornStart, BORN_DIGITS);
  }

  /** Adds one to the counter at the end of the unique key. */
  #nextUniqueKey(): void {
    const template = this.#template;
    for (let at = this.#counterEnd - 1; ; at--) {
      const digit = template[at];
      if (digit === UPPER_F) template[at] = ZERO;
      else {
        template[at] = digit === NINE ? UPPER_A : digit + 1;
        return;
      }
    }
  }
}

const DUE_PLACEHOLDER = '2'.repeat(BORN_DIGITS);

/** What makes a message one of its kind. */
function kindProperties(options: SendFramesOptions): string {
  if (options.kind === 'half') return `TRAN_MSG\x01true\x02PGROUP\x01${options.producerGroup}\x02`;
  return options.kind === 'timed' ? `TIMER_DELIVER_MS\x01${DUE_PLACEHOLDER}\x02` : '';
}

function sendFields(
  options: SendFramesOptions,
  uniqueKey: string,
  born: string,
): [string, string][] {
  return [
    ['a', options.producerGroup],
    ['b', options.topic],
    ['c', 'TBW102'],
    ['d', '4'],
    ['e', String(options.queueId)],
    ['f', options.kind === 'half' ? HALF_SYS_FLAG : '0'],
    ['g', born],
    ['h', '0'],
    [
      'i',
      `UNIQ_KEY\x01${uniqueKey}\x02WAIT\x01true\x02TAGS\x01${options.tag}\x02${kindProperties(options)}`,
    ],
    ['j', '0'],
    ['k', 'false'],
    ['m', String(options.kind === 'batch')],
    ['n', options.brokerName],
  ];
}

/** The members of a JSON header in the client's order: fastjson sorts them by name. */
export function jsonText(code: number, fields: readonly [string, string][], flag = 0): string {
  const extFields = JSON.stringify(Object.fromEntries(fields));
  return `{"code":${code},"extFields":${extFields},"flag":${flag},"language":"JAVA","opaque":${OPAQUE_MIN},"serializeTypeCurrentRPC":"JSON","version":${CLIENT_VERSION}}`;
}

/**
 * Messages of a batch, as MessageDecoder.java encodes each: total(4) magic(4) CRC(4) flag(4) bodyLength(4)
 * body propertiesLength(2) properties; magic, CRC and flag are 0.
 */
function batchBody(options: SendFramesOptions): Buffer {
  const count = options.batchCount ?? 1;
  const messages = Array.from({ length: count }, (_, index) => {
    const counter = index.toString(16).toUpperCase().padStart(COUNTER_DIGITS, '0');
    const properties = Buffer.from(
      `UNIQ_KEY\x01${options.uniqueKeyPrefix}${counter}\x02WAIT\x01true\x02TAGS\x01${options.tag}\x02`,
    );
    const message = Buffer.alloc(22 + options.bodyBytes + properties.length, FILLER);
    message.fill(0, 0, 20);
    message.writeInt32BE(message.length, 0);
    message.writeInt32BE(options.bodyBytes, 16);
    message.writeInt16BE(properties.length, 20 + options.bodyBytes);
    properties.copy(message, 22 + options.bodyBytes);
    return message;
  });
  return Buffer.concat(messages);
}

/** code(2) language(1) version(2) opaque(4) flag(4) remarkLength(4) fieldsLength(4) fields. */
export function binaryHeaderOf(
  code: number,
  fields: readonly [string, string][],
  flag = 0,
): Buffer {
  const entries = fields.map(([name, value]) => {
    const entry = Buffer.alloc(2 + name.length + 4 + Buffer.byteLength(value));
    entry.writeInt16BE(name.length, 0);
    entry.write(name, 2);
    entry.writeInt32BE(Buffer.byteLength(value), 2 + name.length);
    entry.write(value, 6 + name.length);
    return entry;
  });
  const fixed = Buffer.alloc(21);
  fixed.writeInt16BE(code, 0);
  fixed.writeUInt8(JAVA_LANGUAGE, 2);
  fixed.writeInt16BE(CLIENT_VERSION, 3);
  fixed.writeInt32BE(OPAQUE_MIN, 5);
  fixed.writeInt32BE(flag, 9);
  fixed.writeInt32BE(
    entries.reduce((sum, entry) => sum + entry.length, 0),
    17,
  );
  return Buffer.concat([fixed, ...entries]);
}
