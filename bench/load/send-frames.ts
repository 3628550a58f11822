/**
 * SEND_MESSAGE_V2 requests as the Java client 5.3.3 makes them, from a template: a send copies the
 * template and writes opaque into the copy; unique key and born time are kept in the template. No
 * message makes an object. Test: equal to captured frames byte for byte, what varies aside.
 */
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
  readonly bodyBytes: number;
  readonly tag: string;
  /** 24 hexadecimal digits that no other template of any run has. */
  readonly uniqueKeyPrefix: string;
  /** Half messages of transactions, or messages for a time that `setDue` says. */
  readonly kind?: 'half' | 'timed';
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
    const header = this.#isJson ? jsonHeader(fields) : binaryHeader(fields);
    this.bodyStart = 8 + header.length;
    this.frameBytes = this.bodyStart + options.bodyBytes;
    this.#template = Buffer.alloc(this.frameBytes, FILLER);
    this.#template.writeInt32BE(this.frameBytes - 4, 0);
    this.#template.writeInt32BE(header.length, 4);
    this.#template[4] = this.#isJson ? 0 : 1;
    header.copy(this.#template, 8);
    this.#bornStart = this.#template.indexOf(bornPlaceholder);
    this.#dueStart = this.#template.indexOf(DUE_PLACEHOLDER);
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
    if (this.#isJson) writeDecimal(target, opaque, opaqueAt, OPAQUE_DIGITS);
    else target.writeInt32BE(opaque, opaqueAt);
  }

  /** For when the next messages are; only of kind `timed`. */
  setDue(dueMs: number): void {
    writeDecimal(this.#template, dueMs, this.#dueStart, BORN_DIGITS);
  }

  #setBorn(bornMs: number): void {
    this.#bornMs = bornMs;
    writeDecimal(this.#template, bornMs, this.#bornStart, BORN_DIGITS);
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
    ['m', 'false'],
    ['n', options.brokerName],
  ];
}

/** The members of a JSON header in the client's order: fastjson sorts them by name. */
export function jsonText(code: number, fields: readonly [string, string][], flag = 0): string {
  const extFields = JSON.stringify(Object.fromEntries(fields));
  return `{"code":${code},"extFields":${extFields},"flag":${flag},"language":"JAVA","opaque":${OPAQUE_MIN},"serializeTypeCurrentRPC":"JSON","version":${CLIENT_VERSION}}`;
}

function jsonHeader(fields: readonly [string, string][]): Buffer {
  return Buffer.from(jsonText(SEND_MESSAGE_V2, fields));
}

function binaryHeader(fields: readonly [string, string][]): Buffer {
  return binaryHeaderOf(SEND_MESSAGE_V2, fields);
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

/** Exactly `digits` digits; `value` has no more. */
function writeDecimal(target: Buffer, value: number, start: number, digits: number): void {
  let rest = value;
  for (let at = start + digits - 1; at >= start; at--) {
    const tenth = Math.floor(rest / 10);
    target[at] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
}
