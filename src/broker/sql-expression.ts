/**
 * @agent dispatcher, control
 *
 * Parses an SQL92 subscription. The grammar and its rules of types are RocketMQ's, which took them from
 * ActiveMQ's selectors; what they allow and refuse is kept, also where a database would differ.
 *
 * ```
 * or         = and { OR and }
 * and        = equality { AND equality }
 * equality   = comparison { ("=" | "<>") comparison | IS [NOT] NULL }
 * comparison = unary { (">" | ">=" | "<" | "<=") unary | [NOT] BETWEEN unary AND unary
 *                    | [NOT] IN "(" string { "," string } ")" | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) string }
 * unary      = ("+" | "-" | NOT) unary | primary
 * primary    = string | integer | decimal | TRUE | FALSE | NULL | name | "(" or ")"
 * ```
 * Source: SelectorParser.jj, ComparisonExpression.java, UnaryExpression.java, ConstantExpression.java.
 */
import { SqlError, SqlTokens, type Token, type TokenKind } from './sql-tokens.ts';

/** A number of an expression has the Java class that its text gives it, which says how it is compared. */
export interface SqlNumber {
  readonly type: 'int' | 'long' | 'double';
  readonly value: number;
  /** Of a long, exact. */
  readonly exact: bigint;
}

export type SqlConstant = string | boolean | null | SqlNumber;
export type OrderOperator = '>' | '>=' | '<' | '<=';
export type TextOperator = 'CONTAINS' | 'STARTSWITH' | 'ENDSWITH';

export type SqlExpression =
  | { kind: 'constant'; value: SqlConstant }
  /** `index` is the place of the name in `ParsedSql.names`. */
  | { kind: 'property'; name: string; index: number }
  | { kind: 'negate'; of: SqlExpression }
  | { kind: 'and' | 'or'; parts: SqlExpression[] }
  | { kind: 'not'; of: SqlExpression }
  /** A property where a condition is wanted: a string is not true. */
  | { kind: 'cast'; of: SqlExpression }
  | { kind: 'equal'; left: SqlExpression; right: SqlExpression }
  | { kind: 'order'; operator: OrderOperator; left: SqlExpression; right: SqlExpression }
  | { kind: 'in'; index: number; values: ReadonlySet<string>; isNot: boolean }
  | { kind: 'text'; operator: TextOperator; of: SqlExpression; search: string; isNot: boolean };

export interface ParsedSql {
  /** Its value is true, false or unknown. */
  readonly condition: SqlExpression;
  /** Properties that it asks for, each once. */
  readonly names: readonly string[];
  /** What it costs to evaluate: comparisons, words between them, values of its lists aside. */
  readonly operationCount: number;
}

/**
 * Bounds of what a stranger can have compiled, on the thread that answers sends, and evaluated for every
 * message. A length of 16 for each operation; the most of all three takes 0.5 ms.
 */
export const SQL_LENGTH_MAX = 16 * 1024;
const DEPTH_MAX = 100;
const OPERATION_COUNT_MAX = 1024;

const textOperators: ReadonlySet<string> = new Set(['CONTAINS', 'STARTSWITH', 'ENDSWITH']);

const INT_MAX = 2147483647;
const LONG_MAX = 9223372036854775807n;
const LONG_DIGITS_MAX = 19;

/** @throws SqlError */
export function parseSql(text: string): ParsedSql {
  if (text.length > SQL_LENGTH_MAX)
    throw new SqlError(`more than ${SQL_LENGTH_MAX} characters`, SQL_LENGTH_MAX);
  return new SqlParser(new SqlTokens(text)).parse();
}

class SqlParser {
  readonly #tokens: SqlTokens;
  readonly #names = new Map<string, number>();
  #at = 0;
  #depth = 0;
  #operationCount = 0;

  constructor(tokens: SqlTokens) {
    this.#tokens = tokens;
  }

  parse(): ParsedSql {
    const start = this.#token;
    const condition = asCondition(this.#or(), start);
    if (this.#token.kind !== 'end') throw this.#unexpected('an operator');
    return { condition, names: [...this.#names.keys()], operationCount: this.#operationCount };
  }

  get #token(): Token {
    return this.#tokens.at(this.#at);
  }

  #unexpected(wanted: string): SqlError {
    const { text, position } = this.#token;
    return new SqlError(`${wanted} is expected instead of "${text.slice(0, 32)}"`, position);
  }

  #takes(kind: TokenKind, text: string): boolean {
    const token = this.#token;
    if (token.kind !== kind || token.text !== text) return false;
    this.#at++;
    return true;
  }

  /** Like `takes`, for NOT before another word. */
  #takesNot(isNext: (word: string) => boolean): boolean {
    const { kind, text } = this.#token;
    if (kind !== 'word' || text !== 'NOT') return false;
    const next = this.#tokens.at(this.#at + 1);
    if (next === undefined || next.kind !== 'word' || !isNext(next.text)) return false;
    this.#at++;
    return true;
  }

  #expect(kind: TokenKind, text: string): void {
    if (!this.#takes(kind, text)) throw this.#unexpected(text);
  }

  #string(): string {
    const token = this.#token;
    if (token.kind !== 'string') throw this.#unexpected("a string in '…'");
    this.#at++;
    return token.text;
  }

  #count(at: Token): void {
    if (++this.#operationCount > OPERATION_COUNT_MAX)
      throw new SqlError(`more than ${OPERATION_COUNT_MAX} operations`, at.position);
  }

  #or(): SqlExpression {
    return this.#chain('OR', 'or', () => this.#chain('AND', 'and', () => this.#equality()));
  }

  #chain(word: string, kind: 'and' | 'or', operand: () => SqlExpression): SqlExpression {
    let start = this.#token;
    const first = operand();
    if (this.#token.kind !== 'word' || this.#token.text !== word) return first;
    const parts = [asCondition(first, start)];
    for (;;) {
      const operator = this.#token;
      if (!this.#takes('word', word)) return { kind, parts };
      this.#count(operator);
      start = this.#token;
      parts.push(asCondition(operand(), start));
    }
  }

  #equality(): SqlExpression {
    let left = this.#comparison();
    for (;;) {
      const operator = this.#token;
      if (this.#takes('sign', '=')) left = equal(left, this.#comparison(), operator);
      else if (this.#takes('sign', '<>'))
        left = { kind: 'not', of: equal(left, this.#comparison(), operator) };
      else if (this.#takes('word', 'IS')) {
        const isNot = this.#takes('word', 'NOT');
        this.#expect('word', 'NULL');
        const isNull: SqlExpression = {
          kind: 'equal',
          left,
          right: { kind: 'constant', value: null },
        };
        left = isNot ? { kind: 'not', of: isNull } : isNull;
      } else return left;
      this.#count(operator);
    }
  }

  #comparison(): SqlExpression {
    let left = this.#unary();
    for (;;) {
      const token = this.#token;
      if (token.kind === 'sign' && isOrderOperator(token.text)) {
        this.#at++;
        left = order(token.text, left, this.#unary(), token);
      } else {
        const isNot = this.#takesNot(
          (word) => word === 'BETWEEN' || word === 'IN' || textOperators.has(word),
        );
        const operator = this.#token;
        if (operator.kind !== 'word') return left;
        if (this.#takes('word', 'BETWEEN')) left = this.#between(left, isNot, operator);
        else if (this.#takes('word', 'IN')) left = this.#in(left, isNot, operator);
        else if (textOperators.has(operator.text)) {
          this.#at++;
          const text = operator.text as TextOperator;
          left = { kind: 'text', operator: text, of: left, search: this.#string(), isNot };
        } else return left;
      }
      this.#count(token);
    }
  }

  #between(value: SqlExpression, isNot: boolean, at: Token): SqlExpression {
    const low = this.#unary();
    this.#expect('word', 'AND');
    const high = this.#unary();
    if (isNot) {
      const parts = [order('<', value, low, at), order('>', value, high, at)];
      return { kind: 'or', parts };
    }
    const parts = [order('>=', value, low, at), order('<=', value, high, at)];
    const from = numberOf(low);
    const to = numberOf(high);
    if (from !== null && to !== null && compareNumbers(to, from) < 0)
      throw new SqlError('BETWEEN goes from the smaller value to the larger one', at.position);
    return { kind: 'and', parts };
  }

  #in(property: SqlExpression, isNot: boolean, at: Token): SqlExpression {
    if (property.kind !== 'property')
      throw new SqlError('IN takes a property on its left', at.position);
    this.#expect('sign', '(');
    const values = new Set([this.#string()]);
    while (this.#takes('sign', ',')) values.add(this.#string());
    this.#expect('sign', ')');
    return { kind: 'in', index: property.index, values, isNot };
  }

  #unary(): SqlExpression {
    const token = this.#token;
    if (++this.#depth > DEPTH_MAX)
      throw new SqlError(`more than ${DEPTH_MAX} levels`, token.position);
    const found = this.#signed(token);
    this.#depth--;
    return found;
  }

  #signed(token: Token): SqlExpression {
    if (this.#takes('sign', '+')) return this.#unary();
    if (this.#takes('sign', '-')) return { kind: 'negate', of: this.#unary() };
    if (this.#takes('word', 'NOT')) {
      const start = this.#token;
      this.#count(token);
      return { kind: 'not', of: asCondition(this.#unary(), start) };
    }
    return this.#primary(token);
  }

  #primary(token: Token): SqlExpression {
    if (this.#takes('sign', '(')) {
      const inner = this.#or();
      this.#expect('sign', ')');
      return inner;
    }
    const found = this.#literal(token);
    if (found === null) throw this.#unexpected('a value or a property');
    this.#at++;
    return found;
  }

  #literal(token: Token): SqlExpression | null {
    const constant = (value: SqlConstant): SqlExpression => ({ kind: 'constant', value });
    switch (token.kind) {
      case 'string':
        return constant(token.text);
      case 'integer':
        return constant(integerOf(token));
      case 'decimal':
        return constant(decimalOf(token));
      case 'name': {
        let index = this.#names.get(token.text);
        if (index === undefined) {
          index = this.#names.size;
          this.#names.set(token.text, index);
        }
        return { kind: 'property', name: token.text, index };
      }
      case 'word':
        if (token.text === 'TRUE') return constant(true);
        if (token.text === 'FALSE') return constant(false);
        return token.text === 'NULL' ? constant(null) : null;
      default:
        return null;
    }
  }
}

function integerOf(token: Token): SqlNumber {
  const digits = token.text.replace(/[lL]$/, '');
  // Of thousands of digits it takes long to make a number.
  const exact = digits.length > LONG_DIGITS_MAX ? LONG_MAX + 1n : BigInt(digits);
  if (exact > LONG_MAX) throw new SqlError('an integer beyond 64 bits', token.position);
  return { type: exact <= INT_MAX ? 'int' : 'long', value: Number(exact), exact };
}

function decimalOf(token: Token): SqlNumber {
  const value = Number(token.text);
  // RocketMQ takes the smallest positive double for the smallest double: 0.0 is refused there too.
  if (!Number.isFinite(value) || value === 0)
    throw new SqlError(`${token.text} is not within 4.9E-324 and 1.8E308`, token.position);
  return { type: 'double', value, exact: 0n };
}

function isOrderOperator(text: string): text is OrderOperator {
  return text === '>' || text === '>=' || text === '<' || text === '<=';
}

function numberOf(expression: SqlExpression): SqlNumber | null {
  const isNumber =
    expression.kind === 'constant' &&
    typeof expression.value === 'object' &&
    expression.value !== null;
  return isNumber ? (expression.value as SqlNumber) : null;
}

function isCondition(expression: SqlExpression): boolean {
  switch (expression.kind) {
    case 'property':
    case 'negate':
      return false;
    case 'constant':
      return typeof expression.value === 'boolean' || expression.value === null;
    default:
      return true;
  }
}

function asCondition(expression: SqlExpression, at: Token): SqlExpression {
  if (isCondition(expression)) return expression;
  if (expression.kind === 'property') return { kind: 'cast', of: expression };
  throw new SqlError('a condition is expected', at.position);
}

function equal(left: SqlExpression, right: SqlExpression, at: Token): SqlExpression {
  for (const side of [left, right]) {
    if (side.kind === 'constant' && side.value === null)
      throw new SqlError('NULL can not be compared; use IS NULL', at.position);
  }
  const isTruthWithValue =
    left.kind === 'constant' &&
    right.kind === 'constant' &&
    typeof left.value === 'boolean' &&
    typeof right.value !== 'boolean';
  if (isTruthWithValue)
    throw new SqlError('a truth value can not be compared with another value', at.position);
  return { kind: 'equal', left, right };
}

function order(
  operator: OrderOperator,
  left: SqlExpression,
  right: SqlExpression,
  at: Token,
): SqlExpression {
  for (const side of [left, right]) {
    if (isCondition(side) || (side.kind === 'constant' && numberOf(side) === null))
      throw new SqlError(`only numbers and properties have an order, for ${operator}`, at.position);
  }
  return { kind: 'order', operator, left, right };
}

/** Of two numbers, each of its Java class: -1, 0 or 1. */
export function compareNumbers(left: SqlNumber, right: SqlNumber): number {
  if (left.type === 'double' || right.type === 'double')
    return compareDoubles(left.value, right.value);
  return left.exact < right.exact ? -1 : left.exact > right.exact ? 1 : 0;
}

/** Java's Double.compareTo: NaN is above all and equal to itself, -0 is below 0. */
export function compareDoubles(left: number, right: number): number {
  if (left < right) return -1;
  if (left > right) return 1;
  if (Object.is(left, right)) return 0;
  if (Number.isNaN(left)) return 1;
  if (Number.isNaN(right)) return -1;
  return Object.is(left, -0) ? -1 : 1;
}
