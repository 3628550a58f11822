/**
 * @agent any
 *
 * Reads and prints JSON as fastjson 1.x writes it: besides the standard, map keys may be bare numbers
 * (`{0:12}`) or whole objects (`{{"brokerName":"b"}:1}`). Objects come back without a prototype, so
 * that no name from outside can reach one; a map with object keys comes back as an array of
 * [key, value] pairs. Depth is bounded.
 */
import { BrokerError } from '../base/errors.ts';

const DEPTH_MAX = 64;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Parses no text of more values than `valueCountMax`, which bounds what a stranger's text costs.
 * @throws BrokerError FRAME_INVALID where the text is not of that form, with the place.
 */
export function parseFastjson(text: string, valueCountMax = Infinity): unknown {
  checkJsonSize(text, valueCountMax);
  try {
    // The standard parser is many times quicker, and most bodies are standard.
    return withoutPrototypes(JSON.parse(text) as unknown);
  } catch {
    const parser = new Parser(text);
    return parser.parse();
  }
}

/**
 * Prints a table whose keys are numbers or objects, which no standard JSON has: `{0:12}`,
 * `{{"brokerName":"b","queueId":0,"topic":"t"}:12}`. Fields of a key are sorted by name, as fastjson
 * sorts those of a bean. Values come as JSON text, so that tables can be nested.
 */
export function printFastjsonTable(
  entries: Iterable<readonly [key: object | number | string, value: string]>,
): string {
  const fields: string[] = [];
  for (const [key, value] of entries) {
    const keyText =
      typeof key === 'object' ? JSON.stringify(key, Object.keys(key).sort()) : JSON.stringify(key);
    fields.push(`${keyText}:${value}`);
  }
  return `{${fields.join(',')}}`;
}

/** A double as Java prints it: with a point. */
export function printDouble(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/**
 * Refuses brackets that nest beyond the limit, and more values than there may be: there are at most
 * one more than commas and opening brackets outside of strings. A parser takes many times as long.
 * @throws BrokerError FRAME_INVALID
 */
export function checkJsonSize(text: string, valueCountMax: number): void {
  let depth = 0;
  let valueCount = 1;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit === QUOTE) {
      index = stringEnd(text, index + 1);
      continue;
    }
    if (unit === CLOSE_OBJECT || unit === CLOSE_ARRAY) depth--;
    const opens = unit === OPEN_OBJECT || unit === OPEN_ARRAY;
    if (!opens && unit !== COMMA) continue;
    if (opens && ++depth > DEPTH_MAX)
      throw new BrokerError('FRAME_INVALID', `JSON is nested deeper than ${DEPTH_MAX} levels`);
    if (++valueCount > valueCountMax)
      throw new BrokerError('FRAME_INVALID', `JSON has more than ${valueCountMax} values`);
  }
}

/** The place of the quote that ends a string, or of the end of the text. Looks at few of its characters. */
function stringEnd(text: string, start: number): number {
  for (let from = start; ;) {
    const quote = text.indexOf('"', from);
    if (quote < 0) return text.length;
    let backslashes = quote;
    while (backslashes > from && text.charCodeAt(backslashes - 1) === BACKSLASH) backslashes--;
    if ((quote - backslashes) % 2 === 0) return quote;
    from = quote + 1;
  }
}

/** Takes the prototype of every object in `value` away; what JSON.parse made is known to nobody else. */
function withoutPrototypes(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    for (const item of value) withoutPrototypes(item);
    return value;
  }
  Object.setPrototypeOf(value, null);
  for (const key in value) withoutPrototypes((value as Record<string, unknown>)[key]);
  return value;
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): unknown {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#text.length) this.#fail('the end');
    return value;
  }

  #fail(expected: string): never {
    throw new BrokerError('FRAME_INVALID', `JSON has no ${expected} at character ${this.#at}`);
  }

  #skipSpace(): void {
    while (this.#at < this.#text.length && ' \n\r\t'.includes(this.#text.charAt(this.#at)))
      this.#at++;
  }

  #next(): string {
    this.#skipSpace();
    return this.#text.charAt(this.#at);
  }

  #take(character: string): void {
    if (this.#next() !== character) this.#fail(`"${character}"`);
    this.#at++;
  }

  #value(depth: number): unknown {
    if (depth > DEPTH_MAX) this.#fail('end of nesting');
    const first = this.#next();
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#array(depth);
    if (first === '"') return this.#string();
    const word = /[-+.\w]{1,32}/y;
    word.lastIndex = this.#at;
    const found = word.exec(this.#text)?.[0];
    if (found === undefined) this.#fail('value');
    this.#at += found.length;
    if (found === 'true') return true;
    if (found === 'false') return false;
    if (found === 'null') return null;
    const number = Number(found);
    if (!Number.isFinite(number)) this.#fail('value');
    return number;
  }

  #object(depth: number): unknown {
    this.#take('{');
    const fields = Object.create(null) as Record<string, unknown>;
    const pairs: [unknown, unknown][] = [];
    while (this.#next() !== '}') {
      const key = this.#value(depth + 1);
      this.#take(':');
      const value = this.#value(depth + 1);
      if (typeof key === 'object' && key !== null) pairs.push([key, value]);
      else fields[String(key)] = value;
      if (this.#next() !== '}') this.#take(',');
    }
    this.#at++;
    return pairs.length > 0 ? pairs : fields;
  }

  #array(depth: number): unknown[] {
    this.#take('[');
    const values: unknown[] = [];
    while (this.#next() !== ']') {
      values.push(this.#value(depth + 1));
      if (this.#next() !== ']') this.#take(',');
    }
    this.#at++;
    return values;
  }

  #string(): string {
    const text = /"(?:[^"\\]|\\.)*"/y;
    text.lastIndex = this.#at;
    const found = text.exec(this.#text)?.[0];
    if (found === undefined) this.#fail('end of a string');
    this.#at += found.length;
    try {
      return JSON.parse(found) as string;
    } catch {
      return this.#fail('well-formed string');
    }
  }
}
