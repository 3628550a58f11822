/**
 * @agent dispatcher, control
 *
 * Cuts an SQL92 expression into words, values and signs. A stranger's text comes here first, so nothing
 * takes more than a step for each character, and the number of tokens is bounded.
 *
 * ```
 * space    " " \t \n \r \f | "--" … end of line | "/*" … "*" "/"
 * decimal  1.5 | 1. | .5 | each with an exponent | 1e5
 * integer  0 | 12 | 12L
 * string   '…', "''" in it stands for a quote
 * name     letter, "_" or "$", then digits too; a word where it is one of the grammar
 * sign     <> >= <= = < > ( ) , + -
 * ```
 * Source: the tokens of SelectorParser.jj.
 */

/** An expression that can't be used; the message says why and at which character, from 1. */
export class SqlError extends Error {
  constructor(what: string, position: number) {
    super(`${what} at character ${position + 1}`);
    this.name = 'SqlError';
  }
}

export type TokenKind = 'word' | 'name' | 'string' | 'integer' | 'decimal' | 'sign' | 'end';

export interface Token {
  kind: TokenKind;
  /** Upper case of a word; the content of a string. */
  text: string;
  position: number;
}

/** Lists with some 2000 values are below it. */
const TOKEN_COUNT_MAX = 4096;

const words = new Set(
  'NOT AND OR BETWEEN IN TRUE FALSE NULL IS CONTAINS STARTSWITH ENDSWITH'.split(' '),
);
const WORD_CHARACTERS_MIN = 2;
const WORD_CHARACTERS_MAX = 10;

const TAB = 0x09;
const LINE_FEED = 0x0a;
const FORM_FEED = 0x0c;
const RETURN = 0x0d;
const SPACE = 0x20;
const DOLLAR = 0x24;
const QUOTE = 0x27;
const STAR = 0x2a;
const PLUS = 0x2b;
const MINUS = 0x2d;
const POINT = 0x2e;
const SLASH = 0x2f;
const ZERO = 0x30;
const NINE = 0x39;
const LESS = 0x3c;
const EQUAL = 0x3d;
const GREATER = 0x3e;
const UNDERSCORE = 0x5f;
const UPPER_CASE = 0x20;
const LETTER_A = 0x61;
const LETTER_E = 0x65;
const LETTER_L = 0x6c;
const LETTER_Z = 0x7a;

/**
 * The tokens of an expression, read as they are asked for: one that is refused early costs no more than
 * what was read of it.
 */
export class SqlTokens {
  readonly #text: string;
  readonly #read: Token[] = [];
  /** Behind it no line ends, so `--` opens no comment. */
  #lastLineEnd = Infinity;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** @throws SqlError where no token begins that could be the one of this index. */
  at(index: number): Token {
    while (this.#read.length <= index) this.#read.push(this.#next());
    return this.#read[index];
  }

  #next(): Token {
    const text = this.#text;
    const position = this.#skipSpace();
    if (position >= text.length) return { kind: 'end', text: 'the end', position };
    if (this.#read.length >= TOKEN_COUNT_MAX)
      throw new SqlError(`more than ${TOKEN_COUNT_MAX} words, values and signs`, position);
    const unit = text.charCodeAt(position);
    if (unit === QUOTE) return this.#string(position);
    if (isNameStart(unit)) return this.#name(position);
    if (isDigit(unit) || (unit === POINT && isDigit(text.charCodeAt(position + 1))))
      return this.#number(position);
    const sign = signAt(text, position);
    if (sign === '') throw new SqlError(`"${text[position]}" does not belong here`, position);
    this.#position = position + sign.length;
    return { kind: 'sign', text: sign, position };
  }

  /** The place of the next character that is no space, and in no comment. */
  #skipSpace(): number {
    const text = this.#text;
    let at = this.#position;
    for (;;) {
      const unit = text.charCodeAt(at);
      if (isSpace(unit)) at++;
      else if (unit === MINUS && text.charCodeAt(at + 1) === MINUS) {
        const end = this.#lineEnd(at + 2);
        if (end < 0) return at;
        at = end;
      } else if (unit === SLASH && text.charCodeAt(at + 1) === STAR) {
        const end = text.indexOf('*/', at + 2);
        // The stroke then stands for itself, and belongs nowhere.
        if (end < 0) return at;
        at = end + 2;
      } else return at;
    }
  }

  /** The place where the line ends, or -1 where none ends any more. That is looked for only once. */
  #lineEnd(from: number): number {
    const text = this.#text;
    if (from >= this.#lastLineEnd) return -1;
    for (let at = from; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      if (unit === LINE_FEED || unit === RETURN) return at;
    }
    this.#lastLineEnd = from;
    return -1;
  }

  #string(position: number): Token {
    const text = this.#text;
    /** The last quote that stands twice. */
    let lastPair = -1;
    let end = position + 1;
    for (; end < text.length; end++) {
      if (text.charCodeAt(end) !== QUOTE) continue;
      if (text.charCodeAt(end + 1) !== QUOTE) break;
      lastPair = end++;
    }
    // Without an end, the string ends at the first of two quotes, and another one without an end follows.
    if (end >= text.length) end = lastPair;
    if (end < 0) throw new SqlError('a string that does not end', position);
    this.#position = end + 1;
    const content = text.slice(position + 1, end);
    return {
      kind: 'string',
      text: lastPair < 0 ? content : content.replaceAll("''", "'"),
      position,
    };
  }

  #name(position: number): Token {
    const text = this.#text;
    let end = position + 1;
    while (isNameStart(text.charCodeAt(end)) || isDigit(text.charCodeAt(end))) end++;
    this.#position = end;
    const name = text.slice(position, end);
    if (name.length >= WORD_CHARACTERS_MIN && name.length <= WORD_CHARACTERS_MAX) {
      const upper = name.toUpperCase();
      if (words.has(upper)) return { kind: 'word', text: upper, position };
    }
    return { kind: 'name', text: name, position };
  }

  #number(position: number): Token {
    const text = this.#text;
    const digitsEnd = skipDigits(text, position);
    let end = digitsEnd;
    if (text.charCodeAt(end) === POINT) end = skipDigits(text, end + 1);
    end = skipExponent(text, end);
    const isInteger = end === digitsEnd;
    if (isInteger) {
      // Nothing follows the nought of an integer: 07 is 0 and 7.
      if (text.charCodeAt(position) === ZERO) end = position + 1;
      else if ((text.charCodeAt(end) | UPPER_CASE) === LETTER_L) end++;
    }
    this.#position = end;
    return { kind: isInteger ? 'integer' : 'decimal', text: text.slice(position, end), position };
  }
}

function signAt(text: string, position: number): string {
  const unit = text.charCodeAt(position);
  const next = text.charCodeAt(position + 1);
  switch (unit) {
    case LESS:
      if (next === GREATER) return '<>';
      return next === EQUAL ? '<=' : '<';
    case GREATER:
      return next === EQUAL ? '>=' : '>';
    case EQUAL:
      return '=';
    default:
      return '(),+-'.includes(text[position]) ? text[position] : '';
  }
}

function isSpace(unit: number): boolean {
  return (
    unit === SPACE || unit === TAB || unit === LINE_FEED || unit === RETURN || unit === FORM_FEED
  );
}

function isDigit(unit: number): boolean {
  return unit >= ZERO && unit <= NINE;
}

/** ASCII letters, as in the grammar of RocketMQ. */
function isNameStart(unit: number): boolean {
  const lower = unit | UPPER_CASE;
  return (lower >= LETTER_A && lower <= LETTER_Z) || unit === UNDERSCORE || unit === DOLLAR;
}

function skipDigits(text: string, at: number): number {
  while (isDigit(text.charCodeAt(at))) at++;
  return at;
}

/** The place behind an exponent; the same place where there is none, or none with digits. */
function skipExponent(text: string, at: number): number {
  if ((text.charCodeAt(at) | UPPER_CASE) !== LETTER_E) return at;
  const sign = text.charCodeAt(at + 1);
  const digits = at + (sign === PLUS || sign === MINUS ? 2 : 1);
  return isDigit(text.charCodeAt(digits)) ? skipDigits(text, digits) : at;
}
