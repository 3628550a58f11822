/**
 * @agent worker
 *
 * Copies a request's property string into a record, undoing JSON escapes on the way, and notices
 * the few properties that change what the broker does. One pass, no strings.
 *
 * The string is `name 0x01 value 0x02` repeated; the last 0x02 may be missing.
 */

const BACKSLASH = 0x5c;
const ZERO = 0x30;
const NAME_END = 0x01;
const VALUE_END = 0x02;

const uniqueKeyName = Buffer.from('UNIQ_KEY');
const waitName = Buffer.from('WAIT');
const falseValue = Buffer.from('false\x02');
const transactionName = Buffer.from('TRAN_MSG');
const trueValue = Buffer.from('true\x02');
/** What a half message is given; one that comes with it is for the general path. */
const halfNames = ['REAL_TOPIC', 'REAL_QID', '__transactionId__'].map((name) => Buffer.from(name));
/** Properties that the general path rewrites: delays, and what the broker puts itself. */
const rewrittenNames = [
  'DELAY',
  'TIMER_DELAY_SEC',
  'TIMER_DELAY_MS',
  'TIMER_DELIVER_MS',
  'POP_CK',
  '__CRC32#',
  'MSG_REGION',
  'TRACE_ON',
  'CLUSTER',
].map((name) => Buffer.from(name));

/** With one of these a send asks for more than to be stored. */
export const specialNames: readonly Uint8Array[] = [
  ...rewrittenNames,
  ...halfNames,
  transactionName,
];

export class PropertyCopier {
  /** Whether the copied string has a UNIQ_KEY. */
  hasUniqueKey = false;
  /** Where the value of the UNIQ_KEY stands in the copy, if it has one. */
  uniqueKeyStart = -1;
  /** Whether it has a property that the general path must look at, but for those of a half message. */
  needsRewrite = false;
  /** Whether it has a TRAN_MSG. */
  hasTransaction = false;
  /** Whether it has one of those that a half message is given. */
  hasHalfNames = false;
  /** Where the values of WAIT and TRAN_MSG stand in the copy, -1 without one. */
  #waitStart = -1;
  #transactionStart = -1;

  reset(): void {
    this.hasUniqueKey = false;
    this.needsRewrite = false;
    this.hasTransaction = false;
    this.hasHalfNames = false;
    this.#waitStart = -1;
  }

  /** Whether the copy says plainly that it is a half message, and nothing that makes it a special one. */
  isPlainHalf(target: Buffer): boolean {
    return (
      this.hasUniqueKey &&
      !this.needsRewrite &&
      !this.hasHalfNames &&
      nameIs(target, this.#transactionStart, trueValue)
    );
  }

  /** Whether the sender does not want to wait for the disk (WAIT is "false"). */
  isWaitFalse(target: Buffer): boolean {
    return this.#waitStart >= 0 && nameIs(target, this.#waitStart, falseValue);
  }

  /**
   * Copies `source[start, end)` to `target` at `targetStart` and returns the end of the copy, which
   * closes with 0x02 unless it is empty; -1 where an escape is broken. The copy is at most one byte
   * longer than the source.
   */
  copy(
    source: Buffer,
    start: number,
    end: number,
    escaped: boolean,
    target: Buffer,
    targetStart: number,
  ): number {
    this.reset();
    let at = targetStart;
    let nameStart = targetStart;
    let inName = true;
    let from = start;
    while (from < end) {
      let byte = source[from++];
      if (byte > VALUE_END && byte !== BACKSLASH) {
        target[at++] = byte;
        continue;
      }
      if (byte === BACKSLASH && escaped) {
        const kind = source[from++];
        byte = kind === 0x75 ? hexUnit(source, from, end) : simpleEscape(kind);
        if (byte < 0) return -1;
        if (kind === 0x75) from += 4;
        if (byte >= 0x80) {
          let codePoint = byte;
          if (
            byte >= 0xd800 &&
            byte <= 0xdbff &&
            source[from] === BACKSLASH &&
            source[from + 1] === 0x75
          ) {
            const low = hexUnit(source, from + 2, end);
            if (low >= 0xdc00 && low <= 0xdfff) {
              codePoint = 0x10000 + ((byte - 0xd800) << 10) + (low - 0xdc00);
              from += 6;
            }
          }
          at += writeCodePoint(target, codePoint, at);
          continue;
        }
      }
      target[at] = byte;
      if (byte === NAME_END && inName) {
        this.#notice(target, nameStart, at);
        inName = false;
      } else if (byte === VALUE_END) {
        nameStart = at + 1;
        inName = true;
      }
      at++;
    }
    if (at > targetStart && target[at - 1] !== VALUE_END) target[at++] = VALUE_END;
    return at;
  }

  #notice(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length === 4 && nameIs(bytes, start, waitName)) {
      this.#waitStart = end + 1;
      return;
    }
    if (length === 8) {
      if (nameIs(bytes, start, uniqueKeyName)) {
        this.hasUniqueKey = true;
        this.uniqueKeyStart = end + 1;
        return;
      }
      if (nameIs(bytes, start, transactionName)) {
        this.hasTransaction = true;
        this.#transactionStart = end + 1;
        return;
      }
    }
    for (let index = 0; index < halfNames.length; index++) {
      const name = halfNames[index] as Buffer;
      if (name.length === length && nameIs(bytes, start, name)) this.hasHalfNames = true;
    }
    for (let index = 0; index < rewrittenNames.length; index++) {
      const name = rewrittenNames[index] as Buffer;
      if (name.length === length && nameIs(bytes, start, name)) this.needsRewrite = true;
    }
  }
}

function nameIs(bytes: Buffer, start: number, name: Uint8Array): boolean {
  for (let index = 0; index < name.length; index++) {
    if (bytes[start + index] !== name[index]) return false;
  }
  return true;
}

function simpleEscape(kind: number): number {
  switch (kind) {
    case 0x6e:
      return 0x0a;
    case 0x74:
      return 0x09;
    case 0x72:
      return 0x0d;
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    case 0x22:
    case 0x5c:
    case 0x2f:
      return kind;
    default:
      return -1;
  }
}

/** The UTF-16 unit of four hex digits, or -1. The separators, 0001 and 0002, come first. */
function hexUnit(source: Buffer, at: number, end: number): number {
  if (at + 4 > end) return -1;
  if (source[at] === ZERO && source[at + 1] === ZERO && source[at + 2] === ZERO) {
    const digit = source[at + 3] - ZERO;
    if (digit === NAME_END || digit === VALUE_END) return digit;
  }
  let unit = 0;
  for (let index = at; index < at + 4; index++) {
    const byte = source[index];
    const letter = (byte | 0x20) - 0x61;
    const digit =
      byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : letter >= 0 && letter < 6 ? letter + 10 : -1;
    if (digit < 0) return -1;
    unit = (unit << 4) | digit;
  }
  return unit;
}

/** Writes UTF-8; an unpaired surrogate becomes U+FFFD, as any decoder would make it. At most as long as its escape. */
function writeCodePoint(target: Buffer, codePoint: number, at: number): number {
  const safe = codePoint >= 0xd800 && codePoint <= 0xdfff ? 0xfffd : codePoint;
  if (safe < 0x800) {
    target[at] = 0xc0 | (safe >> 6);
    target[at + 1] = 0x80 | (safe & 0x3f);
    return 2;
  }
  if (safe < 0x10000) {
    target[at] = 0xe0 | (safe >> 12);
    target[at + 1] = 0x80 | ((safe >> 6) & 0x3f);
    target[at + 2] = 0x80 | (safe & 0x3f);
    return 3;
  }
  target[at] = 0xf0 | (safe >> 18);
  target[at + 1] = 0x80 | ((safe >> 12) & 0x3f);
  target[at + 2] = 0x80 | ((safe >> 6) & 0x3f);
  target[at + 3] = 0x80 | (safe & 0x3f);
  return 4;
}
