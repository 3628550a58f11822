/**
 * Inner loops of request worker and dispatcher in WebAssembly, written in AssemblyScript: sixteen bytes a step where
 * JavaScript goes one by one. `npm run kernel` compiles this to `src/kernel/kernel-code.ts`.
 *
 * Each does what its counterpart in TypeScript does (`RequestScanner`, `SendEncoder`, `RecordDispatcher`),
 * for what comes by the million, and says so where it does not. A state is memory of one agent; all
 * constants that say where something stands in it are exported, and read from there.
 *
 * Loads and stores may go up to 15 bytes past what they are for: callers leave that room.
 */

const QUOTE: u8 = 0x22;
const BACKSLASH: u8 = 0x5c;
const COMMA: u8 = 0x2c;
const COLON: u8 = 0x3a;
const BRACE_OPEN: u8 = 0x7b;
const BRACE_CLOSE: u8 = 0x7d;
const MINUS: u8 = 0x2d;
const LETTER_A: u8 = 0x61;
const NAME_END: u8 = 1;
const VALUE_END: u8 = 2;

// The state, by byte. What a scan finds:
export const FIELD_COUNT_MAX: i32 = 128;
export const CODE: i32 = 0;
export const OPAQUE: i32 = 4;
export const FLAG: i32 = 8;
export const VERSION: i32 = 12;
export const FIELD_COUNT: i32 = 16;
export const LETTER: i32 = 32;
export const NAME_START: i32 = LETTER + 32 * 4;
export const NAME_LIMIT: i32 = NAME_START + FIELD_COUNT_MAX * 4;
export const VALUE_START: i32 = NAME_LIMIT + FIELD_COUNT_MAX * 4;
export const VALUE_LIMIT: i32 = VALUE_START + FIELD_COUNT_MAX * 4;
export const VALUE_ESCAPED: i32 = VALUE_LIMIT + FIELD_COUNT_MAX * 4;
// What stays the same: the broker's address and what it adds to properties, written by the agent.
export const STORE_HOST_BYTES: i32 = VALUE_ESCAPED + FIELD_COUNT_MAX;
export const STORE_HOST: i32 = STORE_HOST_BYTES + 16;
export const SUFFIX_BYTES: i32 = STORE_HOST + 32;
export const SUFFIX: i32 = SUFFIX_BYTES + 16;
export const SUFFIX_BYTES_MAX: i32 = 2048;
// Names of properties that are not for `encodeRecord`: a byte of length, then the name, in places of 32.
export const NAME_COUNT: i32 = SUFFIX + SUFFIX_BYTES_MAX;
export const NAMES: i32 = NAME_COUNT + 16;
export const NAME_COUNT_MAX: i32 = 16;
export const NAME_PLACE: i32 = 32;
/** Eight tables for the checksum. */
const CRC: i32 = NAMES + NAME_COUNT_MAX * NAME_PLACE;
export const STATE_BYTES: i32 = CRC + 8 * 256 * 4;

/** Set in what `encodeRecord` returns: the sender does not want to wait for the disk. */
export const WAIT_FALSE: i32 = 0x40000000;

/** Makes the tables of a state. */
export function init(state: usize): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    store<u32>(state + CRC + (byte << 2), crc);
  }
  for (let byte: u32 = 0; byte < 256; byte++) {
    let crc = load<u32>(state + CRC + (byte << 2));
    for (let table: u32 = 1; table < 8; table++) {
      crc = (crc >>> 8) ^ load<u32>(state + CRC + ((crc & 0xff) << 2));
      store<u32>(state + CRC + (table << 10) + (byte << 2), crc);
    }
  }
}

@inline
function skipSpace(at: usize, end: usize): usize {
  while (at < end) {
    const byte = load<u8>(at);
    if (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09) break;
    at++;
  }
  return at;
}

/** Place of the closing quote of the string that goes on at `at`, or 0; `sawEscape` is for `scanFields`. */
let sawEscape: u8 = 0;

@inline
function stringEnd(from: usize, end: usize): usize {
  let at = from;
  sawEscape = 0;
  while (at < end) {
    const bytes = v128.load(at);
    const mask = i8x16.bitmask(
      v128.or(i8x16.eq(bytes, i8x16.splat(QUOTE)), i8x16.eq(bytes, i8x16.splat(BACKSLASH))),
    );
    if (mask == 0) {
      at += 16;
      continue;
    }
    at += ctz(mask);
    if (at >= end) return 0;
    if (load<u8>(at) == QUOTE) return at;
    sawEscape = 1;
    at += 2;
  }
  return 0;
}

/** Place after a bare word or number, at most 32 bytes, or 0. */
function skipWord(start: usize, end: usize): usize {
  let at = start;
  while (at < end) {
    const byte = load<u8>(at);
    const isWord =
      (byte >= 0x61 && byte <= 0x7a) ||
      (byte >= 0x30 && byte <= 0x39) ||
      byte == MINUS ||
      byte == 0x2e ||
      byte == 0x2b ||
      byte == 0x45;
    if (!isWord) break;
    at++;
  }
  return at > start && at - start <= 32 ? at : 0;
}

/** Scans the members of extFields; returns the place after its brace, or 0. */
function scanFields(state: usize, base: usize, start: usize, end: usize): usize {
  let field: i32 = 0;
  let at = skipSpace(start, end);
  if (at < end && load<u8>(at) == BRACE_CLOSE) return at + 1;
  while (true) {
    if (at >= end || load<u8>(at) != QUOTE || field == FIELD_COUNT_MAX) return 0;
    const name = at + 1;
    const initial = <u32>load<u8>(name) - LETTER_A;
    const isLetter = initial < 26 && load<u8>(name, 1) == QUOTE;
    at = isLetter ? name + 1 : stringEnd(name, end);
    if (at == 0) return 0;
    if (isLetter) store<i32>(state + (initial << 2), field, LETTER);
    const place = state + (field << 2);
    store<i32>(place, <i32>(name - base), NAME_START);
    store<i32>(place, <i32>(at - base), NAME_LIMIT);
    at++;
    if (load<u8>(at) != COLON) at = skipSpace(at, end);
    if (at >= end || load<u8>(at) != COLON) return 0;
    at++;
    if (load<u8>(at) != QUOTE) at = skipSpace(at, end);
    if (at >= end) return 0;
    let value = at;
    if (load<u8>(value) == QUOTE) {
      value++;
      at = stringEnd(value, end);
      if (at == 0) return 0;
      store<u8>(state + field, sawEscape, VALUE_ESCAPED);
      store<i32>(place, <i32>(value - base), VALUE_START);
      store<i32>(place, <i32>(at - base), VALUE_LIMIT);
      field++;
      at++;
    } else {
      // Numbers, booleans and null without quotes: some clients send them.
      at = skipWord(value, end);
      if (at == 0) return 0;
      store<u8>(state + field, 0, VALUE_ESCAPED);
      store<i32>(place, <i32>(value - base), VALUE_START);
      store<i32>(place, <i32>(at - base), VALUE_LIMIT);
      if (load<u8>(value) != 0x6e) field++;
      else if (isLetter) store<i32>(state + (initial << 2), -1, LETTER);
    }
    if (load<u8>(at) != COMMA) at = skipSpace(at, end);
    if (at >= end) return 0;
    if (load<u8>(at) == COMMA) {
      at++;
      if (load<u8>(at) != QUOTE) at = skipSpace(at, end);
    } else {
      store<i32>(state, field, FIELD_COUNT);
      return load<u8>(at) == BRACE_CLOSE ? at + 1 : 0;
    }
  }
}

/**
 * Scans a JSON header, bytes `start` to `end` counted from `base`, into `state`; false for one that is
 * none. As `RequestScanner` does it.
 */
export function scanJson(state: usize, base: usize, startOffset: i32, endOffset: i32): bool {
  const start = base + startOffset;
  const end = base + endOffset;
  store<i32>(state, 0, CODE);
  store<i32>(state, 0, OPAQUE);
  store<i32>(state, 0, FLAG);
  store<i32>(state, 0, VERSION);
  store<i32>(state, 0, FIELD_COUNT);
  for (let letter: usize = 0; letter < 32 * 4; letter += 16)
    v128.store(state + letter, i32x4.splat(-1), LETTER);
  let at = skipSpace(start, end);
  if (at >= end || load<u8>(at) != BRACE_OPEN) return false;
  at = skipSpace(at + 1, end);
  let sawCode = false;
  let sawOpaque = false;
  while (true) {
    if (at >= end || load<u8>(at) != QUOTE) return false;
    const nameStart = at + 1;
    const nameEnd = stringEnd(nameStart, end);
    if (nameEnd == 0) return false;
    at = nameEnd + 1;
    if (load<u8>(at) != COLON) at = skipSpace(at, end);
    if (at >= end || load<u8>(at) != COLON) return false;
    at = skipSpace(at + 1, end);
    if (at >= end) return false;
    const first = load<u8>(at);
    const nameBytes = nameEnd - nameStart;
    const initial = load<u8>(nameStart);
    if (first == QUOTE) {
      at = stringEnd(at + 1, end);
      if (at == 0) return false;
      at++;
    } else if (first == BRACE_OPEN) {
      // Only extFields is an object, and there is one: a second would replace the first for other readers.
      if (nameBytes != 9 || initial != 0x65) return false;
      if (load<i32>(state, FIELD_COUNT) > 0) return false;
      at = scanFields(state, base, at + 1, end);
      if (at == 0) return false;
    } else if (first == MINUS || (first >= 0x30 && first <= 0x39)) {
      const negative = first == MINUS;
      if (negative) at++;
      let value: i64 = 0;
      let digits = 0;
      for (; at < end; at++) {
        const digit = <u32>load<u8>(at) - 0x30;
        if (digit > 9) break;
        if (digits < 11) value = value * 10 + digit;
        digits++;
      }
      if (digits == 0 || digits > 10) return false;
      if (negative) value = -value;
      if (<i64>(<i32>value) != value) return false;
      if (nameBytes == 4 && initial == 0x63) {
        store<i32>(state, <i32>value, CODE);
        sawCode = true;
      } else if (nameBytes == 4 && initial == 0x66) store<i32>(state, <i32>value, FLAG);
      else if (nameBytes == 6 && initial == 0x6f) {
        store<i32>(state, <i32>value, OPAQUE);
        sawOpaque = true;
      } else if (nameBytes == 7 && initial == 0x76) store<i32>(state, <i32>value, VERSION);
    } else {
      at = skipWord(at, end);
      if (at == 0) return false;
    }
    at = skipSpace(at, end);
    if (at >= end) return false;
    if (load<u8>(at) == BRACE_CLOSE) return sawCode && sawOpaque && skipSpace(at + 1, end) == end;
    if (load<u8>(at) != COMMA) return false;
    at = skipSpace(at + 1, end);
  }
}

/** Copies in steps of 16: up to 15 bytes behind the target's end change too. */
@inline
function copy(target: usize, source: usize, bytes: i32): void {
  for (let at: i32 = 0; at < bytes; at += 16) v128.store(target + at, v128.load(source + at));
}

/** Copies, and changes no byte behind the target's end. The two must not overlap. */
export function copyExactly(target: usize, source: usize, bytes: i32): void {
  if (bytes < 16) {
    for (let at: i32 = 0; at < bytes; at++) store<u8>(target + at, load<u8>(source + at));
    return;
  }
  const last = bytes - 16;
  for (let at: i32 = 0; at < last; at += 16) v128.store(target + at, v128.load(source + at));
  v128.store(target + last, v128.load(source + last));
}

@inline
function store32(at: usize, value: i32): void {
  store<i32>(at, bswap<i32>(value));
}

/** CRC-32 (IEEE) with the sign bit cleared. */
function crc32Masked(state: usize, start: usize, bytes: i32): u32 {
  const table = state + CRC;
  let crc: u32 = 0xffffffff;
  let at = start;
  const end = start + bytes;
  const wide = start + (bytes & ~7);
  while (at < wide) {
    const low = load<u32>(at) ^ crc;
    const high = load<u32>(at, 4);
    crc =
      load<u32>(table + ((low & 0xff) << 2), 7 << 10) ^
      load<u32>(table + (((low >>> 8) & 0xff) << 2), 6 << 10) ^
      load<u32>(table + (((low >>> 16) & 0xff) << 2), 5 << 10) ^
      load<u32>(table + ((low >>> 24) << 2), 4 << 10) ^
      load<u32>(table + ((high & 0xff) << 2), 3 << 10) ^
      load<u32>(table + (((high >>> 8) & 0xff) << 2), 2 << 10) ^
      load<u32>(table + (((high >>> 16) & 0xff) << 2), 1 << 10) ^
      load<u32>(table + ((high >>> 24) << 2));
    at += 8;
  }
  while (at < end) {
    crc = (crc >>> 8) ^ load<u32>(table + (((crc ^ load<u8>(at)) & 0xff) << 2));
    at++;
  }
  return ~crc & 0x7fffffff;
}

/** Whether the name at a place is one of those that `encodeRecord` leaves to others. */
function isSpecial(state: usize, start: usize, bytes: i32): bool {
  const count = load<i32>(state, NAME_COUNT);
  const initial = load<u8>(start);
  for (let index: i32 = 0; index < count; index++) {
    const name = state + NAMES + index * NAME_PLACE;
    if (load<u8>(name) != <u8>bytes || load<u8>(name, 1) != initial) continue;
    let at: i32 = 1;
    while (at < bytes && load<u8>(start + at) == load<u8>(name + 1 + at)) at++;
    if (at == bytes) return true;
  }
  return false;
}

let hasUniqueKey = false;
let isWaitFalse = false;

/**
 * Copies a property string and undoes its escapes; returns the end of the copy, or 0 where a property or an
 * escape is not for here. Sets the two above.
 */
function copyProperties(state: usize, from: usize, end: usize, escaped: bool, target: usize): usize {
  let source = from;
  let at = target;
  let nameStart = target;
  let waitStart: usize = 0;
  let inName = true;
  hasUniqueKey = false;
  isWaitFalse = false;
  while (source < end) {
    const bytes = v128.load(source);
    v128.store(at, bytes);
    const mask = i8x16.bitmask(
      v128.or(
        i8x16.le_u(bytes, i8x16.splat(VALUE_END)),
        i8x16.eq(bytes, i8x16.splat(BACKSLASH)),
      ),
    );
    const plain: usize = mask == 0 ? 16 : ctz(mask);
    if (plain >= end - source) {
      at += end - source;
      break;
    }
    source += plain;
    at += plain;
    if (mask == 0) continue;
    let byte = load<u8>(source++);
    if (byte == BACKSLASH && escaped) {
      // \u0001 and \u0002 alone: others are rare.
      if (source + 5 > end || load<u32>(source) != 0x30303075) return 0;
      byte = load<u8>(source, 4) - 0x30;
      if (byte != NAME_END && byte != VALUE_END) return 0;
      source += 5;
    }
    store<u8>(at, byte);
    if (byte == NAME_END && inName) {
      const nameBytes = <i32>(at - nameStart);
      // UNIQ_KEY, WAIT
      if (nameBytes == 8 && load<u64>(nameStart) == 0x59454b5f51494e55) hasUniqueKey = true;
      else if (nameBytes == 4 && load<u32>(nameStart) == 0x54494157) waitStart = at + 1;
      else if (isSpecial(state, nameStart, nameBytes)) return 0;
      inName = false;
    } else if (byte == VALUE_END) {
      nameStart = at + 1;
      inName = true;
    }
    at++;
  }
  if (at > target && load<u8>(at - 1) != VALUE_END) store<u8>(at++, VALUE_END);
  // false, and the end of it
  isWaitFalse =
    waitStart != 0 &&
    load<u32>(waitStart) == 0x736c6166 &&
    load<u16>(waitStart, 4) == 0x0265;
  return at;
}

/**
 * Writes the record of a send at `target`, but for what the writer stamps. Returns its length and perhaps
 * WAIT_FALSE, or 0 where the send asks for more than to be stored: properties that mean something, none
 * that names it, escapes that are rare. `bodyCrc` -1: to be made here. Offsets count from `base`.
 */
export function encodeRecord(
  state: usize,
  base: usize,
  target: usize,
  queueId: i32,
  flag: i32,
  sysFlag: i32,
  bornTimestamp: f64,
  host: usize,
  hostBytes: i32,
  bornPort: i32,
  reconsumeTimes: i32,
  topicStart: i32,
  topicBytes: i32,
  propertiesField: i32,
  bodyStart: i32,
  bodyBytes: i32,
  bodyCrc: i32,
): i32 {
  if (propertiesField < 0 || topicBytes > 127) return 0;
  store32(target + 4, 0xdaa320a7);
  store32(target + 12, queueId);
  store32(target + 16, flag);
  store32(target + 36, sysFlag);
  store<i64>(target + 40, bswap<i64>(<i64>bornTimestamp));
  let at = target + 48;
  copy(at, host, hostBytes);
  at += hostBytes;
  store32(at, bornPort);
  // The store timestamp is the writer's.
  at += 4 + 8;
  const storeHostBytes = load<i32>(state, STORE_HOST_BYTES);
  copy(at, state + STORE_HOST, storeHostBytes);
  at += storeHostBytes;
  store32(at, reconsumeTimes);
  store<i64>(at + 4, 0);
  store32(at + 12, bodyBytes);
  at += 16;
  const body = base + bodyStart;
  if (bodyBytes < 1024) copy(at, body, bodyBytes);
  else memory.copy(at, body, bodyBytes);
  store32(target + 8, bodyCrc >= 0 ? bodyCrc : crc32Masked(state, body, bodyBytes));
  at += bodyBytes;
  store<u8>(at, <u8>topicBytes);
  copy(at + 1, base + topicStart, topicBytes);
  at += 1 + topicBytes;
  const place = state + (propertiesField << 2);
  const propertiesStart = at + 2;
  at = copyProperties(
    state,
    base + load<i32>(place, VALUE_START),
    base + load<i32>(place, VALUE_LIMIT),
    load<u8>(state + propertiesField, VALUE_ESCAPED) != 0,
    propertiesStart,
  );
  if (at == 0 || !hasUniqueKey) return 0;
  const suffixBytes = load<i32>(state, SUFFIX_BYTES);
  copy(at, state + SUFFIX, suffixBytes);
  at += suffixBytes;
  const propertiesBytes = <i32>(at - propertiesStart);
  if (propertiesBytes > 32767) return 0;
  store<u16>(propertiesStart - 2, bswap<u16>(<u16>propertiesBytes));
  const recordBytes = <i32>(at - target);
  store32(target, recordBytes);
  return isWaitFalse ? recordBytes | WAIT_FALSE : recordBytes;
}

// The state of a dispatcher, by byte: a window into the log, and what was found of a record in it. Places
// count from the window's beginning.
export const RECORD_QUEUE_ID: i32 = 0;
export const RECORD_TOPIC_START: i32 = 4;
export const RECORD_TOPIC_END: i32 = 8;
export const RECORD_TAGS_HASH: i32 = 12;
export const RECORD_HAS_TAGS: i32 = 16;
export const RECORD_KEYS_START: i32 = 20;
export const RECORD_KEYS_END: i32 = 24;
export const RECORD_HAS_UNIQUE_KEY: i32 = 28;
export const RECORD_UNIQUE_KEY_HASH: i32 = 32;
/** 31 to the power of the key's length: what the hash of all before is multiplied by. */
export const RECORD_UNIQUE_KEY_POWER: i32 = 36;
export const RECORD_QUEUE_OFFSET: i32 = 40;
export const RECORD_PHYSICAL_OFFSET: i32 = 48;
export const RECORD_STORE_TIMESTAMP: i32 = 56;
export const WINDOW: i32 = 4096;
export const WINDOW_BYTES: i32 = 16384;
export const DISPATCH_STATE_BYTES: i32 = WINDOW + WINDOW_BYTES + 4096;

@inline
function load32(at: usize): i32 {
  return bswap<i32>(load<i32>(at));
}

/** Place of the first such byte before `end`, or `end`. */
@inline
function find(byte: u8, from: usize, end: usize): usize {
  let at = from;
  while (at < end) {
    const mask = i8x16.bitmask(i8x16.eq(v128.load(at), i8x16.splat(byte)));
    if (mask != 0) {
      at += ctz(mask);
      return at < end ? at : end;
    }
    at += 16;
  }
  return end;
}

let hash: i32 = 0;
let power: i32 = 1;

/** `String.hashCode` of ASCII text, and 31 to the power of its length; false where it is not ASCII. */
@inline
function hashAscii(start: usize, end: usize): bool {
  let sum: i32 = 0;
  let factor: i32 = 1;
  let seen: u32 = 0;
  let at = start;
  while (at + 4 <= end) {
    const a = <u32>load<u8>(at);
    const b = <u32>load<u8>(at, 1);
    const c = <u32>load<u8>(at, 2);
    const d = <u32>load<u8>(at, 3);
    seen |= a | b | c | d;
    sum = sum * 923521 + <i32>(a * 29791 + b * 961 + c * 31 + d);
    factor *= 923521;
    at += 4;
  }
  while (at < end) {
    const byte = <u32>load<u8>(at++);
    seen |= byte;
    sum = sum * 31 + <i32>byte;
    factor *= 31;
  }
  hash = sum;
  power = factor;
  return seen < 0x80;
}

/**
 * Reads the record that begins at `start` of the window, which holds `limit` bytes. Returns its length; 0
 * where it is not whole in there, none of a plain message, or has what is not for here: a delay, a
 * property twice, names that are not ASCII.
 */
export function scanRecord(state: usize, start: i32, limit: i32): i32 {
  const window = state + WINDOW;
  const record = window + start;
  if (limit - start < 91) return 0;
  const recordBytes = load32(record);
  const magic = load32(record + 4);
  if (magic != 0xdaa320a7 || recordBytes < 91 || recordBytes > limit - start) return 0;
  const end = record + recordBytes;
  const sysFlag = load32(record + 36);
  // A transaction's, or addresses of IPv6.
  if ((sysFlag & 0x3c) != 0) return 0;
  const bodyBytes = load32(record + 84);
  if (bodyBytes < 0 || bodyBytes > recordBytes - 91) return 0;
  const topic = record + 88 + bodyBytes + 1;
  const topicEnd = topic + load<u8>(topic - 1);
  if (topicEnd + 2 > end) return 0;
  let at = topicEnd + 2;
  if (at + bswap<u16>(load<u16>(topicEnd)) != end) return 0;
  store<i32>(state, load32(record + 12), RECORD_QUEUE_ID);
  store<i32>(state, <i32>(topic - window), RECORD_TOPIC_START);
  store<i32>(state, <i32>(topicEnd - window), RECORD_TOPIC_END);
  store<f64>(state, <f64>bswap<i64>(load<i64>(record + 20)), RECORD_QUEUE_OFFSET);
  store<f64>(state, <f64>bswap<i64>(load<i64>(record + 28)), RECORD_PHYSICAL_OFFSET);
  store<f64>(state, <f64>bswap<i64>(load<i64>(record + 56)), RECORD_STORE_TIMESTAMP);
  let hasTags = false;
  let hasUniqueKey = false;
  let keys: usize = 0;
  let keysEnd: usize = 0;
  while (at < end) {
    const name = at;
    const nameEnd = find(NAME_END, name, end);
    const value = nameEnd + 1;
    const valueEnd = find(VALUE_END, value, end);
    at = valueEnd + 1;
    if (valueEnd <= value) continue;
    const nameBytes = nameEnd - name;
    if (nameBytes == 8) {
      if (load<u64>(name) != 0x59454b5f51494e55) continue;
      if (hasUniqueKey || !hashAscii(value, valueEnd)) return 0;
      hasUniqueKey = true;
      store<i32>(state, hash, RECORD_UNIQUE_KEY_HASH);
      store<i32>(state, power, RECORD_UNIQUE_KEY_POWER);
    } else if (nameBytes == 4) {
      const letters = load<u32>(name);
      // TAGS
      if (letters == 0x53474154) {
        if (hasTags || !hashAscii(value, valueEnd)) return 0;
        hasTags = true;
        store<i32>(state, hash, RECORD_TAGS_HASH);
      } else if (letters == 0x5359454b) {
        // KEYS
        if (keys != 0) return 0;
        keys = value;
        keysEnd = valueEnd;
      }
    } else if (nameBytes == 5 && load<u32>(name) == 0x414c4544 && load<u8>(name, 4) == 0x59) return 0;
  }
  store<i32>(state, hasTags, RECORD_HAS_TAGS);
  store<i32>(state, hasUniqueKey, RECORD_HAS_UNIQUE_KEY);
  store<i32>(state, keys == 0 ? 0 : <i32>(keys - window), RECORD_KEYS_START);
  store<i32>(state, keys == 0 ? 0 : <i32>(keysEnd - window), RECORD_KEYS_END);
  return recordBytes;
}

// The state of a reactor, by byte: what stands between the numbers of an answer to a send, each with its
// length, and where answers are written.
export const ANSWER_PART_COUNT: i32 = 5;
/** Lengths of the parts. */
export const ANSWER_PARTS_BYTES: i32 = 0;
/** The parts, in places of 512. */
export const ANSWER_PARTS: i32 = 512;
export const ANSWER_PART_PLACE: i32 = 512;
export const ANSWERS: i32 = 4096;
export const ANSWERS_BYTES: i32 = 65536;
export const ANSWER_STATE_BYTES: i32 = ANSWERS + ANSWERS_BYTES + 4096;

@inline
function putPart(state: usize, part: i32, at: usize): usize {
  const bytes = load<i32>(state + (part << 2), ANSWER_PARTS_BYTES);
  copy(at, state + ANSWER_PARTS + part * ANSWER_PART_PLACE, bytes);
  return at + bytes;
}

/** 16 upper-case hex digits. */
@inline
function putHex(value: i64, at: usize): usize {
  const bytes = i64x2.splat(bswap<i64>(value));
  const high = i8x16.shr_u(bytes, 4);
  const low = v128.and(bytes, i8x16.splat(0x0f));
  const nibbles = i8x16.shuffle(
    high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
  );
  const digits = i8x16(
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46,
  );
  v128.store(at, i8x16.swizzle(digits, nibbles));
  return at + 16;
}

/** Decimal digits. */
function putDecimal(value: i64, from: usize): usize {
  let at = from;
  let rest = <u64>value;
  if (value < 0) {
    store<u8>(at++, MINUS);
    rest = <u64>-value;
  }
  let count: usize = 1;
  for (let bound: u64 = 10; rest >= bound && count < 19; bound *= 10) count++;
  const end = at + count;
  let digit = end;
  while (rest > 0xffffffff) {
    const quotient = rest / 10;
    store<u8>(--digit, <u8>(0x30 + (rest - quotient * 10)));
    rest = quotient;
  }
  let small = <u32>rest;
  while (digit > at) {
    const quotient = small / 10;
    store<u8>(--digit, <u8>(0x30 + (small - quotient * 10)));
    small = quotient;
  }
  return end;
}

/**
 * Writes the answer to a send that went well, with a JSON header, at `offset` of the answers; returns its end.
 * There must be room for 1 KiB and the parts.
 */
export function writeAnswer(
  state: usize,
  offset: i32,
  opaque: i32,
  queueId: i32,
  queueOffset: f64,
  physicalOffset: f64,
): i32 {
  const frame = state + ANSWERS + offset;
  let at = putPart(state, 0, frame + 8);
  at = putHex(<i64>physicalOffset, at);
  at = putPart(state, 1, at);
  at = putDecimal(<i64>queueId, at);
  at = putPart(state, 2, at);
  at = putDecimal(<i64>queueOffset, at);
  at = putPart(state, 3, at);
  at = putDecimal(<i64>opaque, at);
  at = putPart(state, 4, at);
  const bytes = <i32>(at - frame);
  store32(frame, bytes - 4);
  store32(frame + 4, bytes - 8);
  return offset + bytes;
}
