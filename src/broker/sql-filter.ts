/**
 * @agent dispatcher, control
 *
 * An SQL92 subscription, ready to be asked of stored records. A condition is true, false or unknown, as
 * in SQL, or ends in a fault, where RocketMQ's evaluation ends in an exception: a number is compared
 * with text that is none. Only true lets a message pass.
 *
 * Values of properties are text. Beside a number of the expression they are read as Java reads that
 * number's class (an integer beside an integer: "5.0" is a fault), between two properties an order is
 * that of their doubles, and equality that of their text.
 *
 * Source: ComparisonExpression.java, UnaryExpression.java, LogicExpression.java, ExpressionMessageFilter.java.
 */
import { randomInt } from 'node:crypto';
import { ByteTable } from '../protocol/byte-table.ts';
import {
  compareDoubles,
  compareNumbers,
  parseSql,
  type OrderOperator,
  type SqlConstant,
  type SqlExpression,
  type SqlNumber,
} from './sql-expression.ts';

/**
 * Characters that one message's evaluation searches for text, or reads as a number: 0.5 ms at the worst, and
 * half as much again as properties can hold. A message that would take more does not pass.
 */
const TEXT_LENGTH_MAX = 48 * 1024;

/** What a character of properties that are short, and wanted, costs beside one that is searched. */
const PROPERTY_WEIGHT = 2;

/** Nobody can choose names that collide. */
const SEED = randomInt(2 ** 31);

const NAME_END = 1;
const VALUE_END = 2;

export interface SqlFilter {
  /** What it costs to ask it of a message, in operations of 10 to 100 ns. */
  readonly operationCount: number;
  /** What the last message has cost besides: characters looked at, each 10 ns at the worst. */
  textLength: number;
  /** The last message did not pass because it would have taken more than a message may. */
  hasGivenUp: boolean;
  /** Whether the property string `bytes[start, end)` is that of a message that passes. */
  matches(bytes: Buffer, start: number, end: number): boolean;
}

const Outcome = { FALSE: 0, TRUE: 1, UNKNOWN: 2, FAULT: 3 } as const;
type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** The value of an operand that ended in a fault. */
const FAULT = Symbol('fault');
type Value = SqlConstant | typeof FAULT;
type Values = readonly (string | null)[];
type Condition = (values: Values) => Outcome;
type Operand = (values: Values) => Value;

/** Result of a comparison that is none; others are -1, 0 and 1. */
const NO_ORDER = 2;

/** @throws SqlError */
export function compileSql(text: string): SqlFilter {
  const { condition, names, operationCount } = parseSql(text);
  const test = conditionOf(condition);
  const places = new ByteTable<number>(SEED);
  for (const [index, name] of names.entries()) places.set(name, index);
  const values = names.map((): string | null => null);
  const ranges = new Int32Array(names.length * 2);
  return {
    operationCount,
    textLength: 0,
    hasGivenUp: false,
    matches(bytes, start, end) {
      findProperties(bytes, start, end, places, ranges);
      for (let index = 0; index < values.length; index++) {
        const valueEnd = ranges[index * 2 + 1];
        values[index] = valueEnd === 0 ? null : bytes.toString('utf8', ranges[index * 2], valueEnd);
      }
      textLeft = TEXT_LENGTH_MAX;
      const outcome = test(values);
      this.textLength = (end - start) * PROPERTY_WEIGHT + TEXT_LENGTH_MAX - textLeft;
      this.hasGivenUp = textLeft < 0;
      return outcome === Outcome.TRUE;
    },
  };
}

/** Of `TEXT_LENGTH_MAX`, in the evaluation that goes on. */
let textLeft = 0;

/** False where an evaluation has looked at too much text. */
function mayRead(text: string): boolean {
  textLeft -= text.length;
  return textLeft >= 0;
}

/** Puts where the value of each wanted property begins and ends, 0 where there is none; of a name that occurs twice the last one counts. */
function findProperties(
  bytes: Buffer,
  start: number,
  end: number,
  places: ByteTable<number>,
  ranges: Int32Array,
): void {
  ranges.fill(0);
  for (let at = start; at < end; at++) {
    const nameStart = at;
    while (at < end && bytes[at] !== NAME_END && bytes[at] !== VALUE_END) at++;
    // Something without a separator is skipped.
    if (at >= end || bytes[at] === VALUE_END) continue;
    const nameEnd = at;
    while (at < end && bytes[at] !== VALUE_END) at++;
    if (at === nameEnd + 1 || nameEnd === nameStart) continue;
    const index = places.get(bytes, nameStart, nameEnd);
    if (index === undefined) continue;
    ranges[index * 2] = nameEnd + 1;
    ranges[index * 2 + 1] = at;
  }
}

function conditionOf(expression: SqlExpression): Condition {
  switch (expression.kind) {
    case 'and':
      return chain(expression.parts.map(conditionOf), Outcome.FALSE, Outcome.TRUE);
    case 'or':
      return chain(expression.parts.map(conditionOf), Outcome.TRUE, Outcome.FALSE);
    case 'not': {
      const of = conditionOf(expression.of);
      return (values) => negated[of(values)];
    }
    case 'cast': {
      // A property is text, and text is not true.
      const of = operandOf(expression.of);
      return (values) => (of(values) === null ? Outcome.UNKNOWN : Outcome.FALSE);
    }
    case 'equal':
      return equality(operandOf(expression.left), operandOf(expression.right));
    case 'order':
      return ordering(expression.operator, operandOf(expression.left), operandOf(expression.right));
    case 'in': {
      const { index, values: list, isNot } = expression;
      return (values) => {
        const value = values[index];
        return value === null ? Outcome.UNKNOWN : outcomeOf(list.has(value) !== isNot);
      };
    }
    case 'text':
      return textCondition(expression);
    default: {
      const of = operandOf(expression);
      return (values) => asOutcome(of(values));
    }
  }
}

const negated: readonly Outcome[] = [Outcome.TRUE, Outcome.FALSE, Outcome.UNKNOWN, Outcome.FAULT];

function outcomeOf(isTrue: boolean): Outcome {
  return isTrue ? Outcome.TRUE : Outcome.FALSE;
}

function asOutcome(value: Value): Outcome {
  if (value === FAULT) return Outcome.FAULT;
  return value === null ? Outcome.UNKNOWN : outcomeOf(value === true);
}

/** AND and OR: `decisive` ends the walk, and so does a fault. */
function chain(parts: readonly Condition[], decisive: Outcome, otherwise: Outcome): Condition {
  return (values) => {
    let outcome = otherwise;
    for (let index = 0; index < parts.length; index++) {
      const part = parts[index](values);
      if (part === decisive || part === Outcome.FAULT) return part;
      if (part === Outcome.UNKNOWN) outcome = Outcome.UNKNOWN;
    }
    return outcome;
  };
}

function operandOf(expression: SqlExpression): Operand {
  switch (expression.kind) {
    case 'constant': {
      const { value } = expression;
      return () => value;
    }
    case 'property': {
      const { index } = expression;
      return (values) => values[index];
    }
    case 'negate': {
      const of = operandOf(expression.of);
      return (values) => {
        const value = of(values);
        if (value === FAULT) return FAULT;
        return isNumber(value) ? opposite(value) : null;
      };
    }
    default: {
      const condition = conditionOf(expression);
      return (values) => truthValues[condition(values)];
    }
  }
}

const truthValues: readonly Value[] = [false, true, null, FAULT];

function isNumber(value: Value): value is SqlNumber {
  return typeof value === 'object' && value !== null;
}

function opposite({ type, value, exact }: SqlNumber): SqlNumber {
  return { type, value: -value, exact: -exact };
}

function equality(left: Operand, right: Operand): Condition {
  return (values) => {
    const leftValue = left(values);
    const rightValue = right(values);
    if (leftValue === FAULT || rightValue === FAULT) return Outcome.FAULT;
    if (leftValue === rightValue) return Outcome.TRUE;
    if (leftValue === null) return Outcome.UNKNOWN;
    if (rightValue === null) return Outcome.FALSE;
    const compared = compareValues(leftValue, rightValue);
    return compared === NO_ORDER ? Outcome.FAULT : outcomeOf(compared === 0);
  };
}

function ordering(operator: OrderOperator, left: Operand, right: Operand): Condition {
  const isWanted = orderTests[operator];
  return (values) => {
    const leftValue = left(values);
    if (leftValue === FAULT) return Outcome.FAULT;
    if (leftValue === null) return Outcome.UNKNOWN;
    const rightValue = right(values);
    if (rightValue === FAULT) return Outcome.FAULT;
    if (rightValue === null) return Outcome.UNKNOWN;
    const compared =
      typeof leftValue === 'string' && typeof rightValue === 'string'
        ? compareDoubleTexts(leftValue, rightValue)
        : compareValues(leftValue, rightValue);
    return compared === NO_ORDER ? Outcome.FAULT : outcomeOf(isWanted(compared));
  };
}

const orderTests: Record<OrderOperator, (compared: number) => boolean> = {
  '>': (compared) => compared > 0,
  '>=': (compared) => compared >= 0,
  '<': (compared) => compared < 0,
  '<=': (compared) => compared <= 0,
};

function textCondition(expression: Extract<SqlExpression, { kind: 'text' }>): Condition {
  const { operator, search, isNot } = expression;
  const of = operandOf(expression.of);
  return (values) => {
    // Neither no text nor anything but text has, or has not, what is asked for.
    if (search === '') return Outcome.FALSE;
    const value = of(values);
    if (value === FAULT) return Outcome.FAULT;
    if (typeof value !== 'string') return Outcome.FALSE;
    if (operator === 'CONTAINS' && !mayRead(value)) return Outcome.FAULT;
    const isFound =
      operator === 'CONTAINS'
        ? value.includes(search)
        : operator === 'STARTSWITH'
          ? value.startsWith(search)
          : value.endsWith(search);
    return outcomeOf(isFound !== isNot);
  };
}

/** -1, 0 or 1; NO_ORDER where text is not what the other side makes of it. */
function compareValues(
  left: Exclude<SqlConstant, null>,
  right: Exclude<SqlConstant, null>,
): number {
  if (typeof left === 'string') {
    if (typeof right === 'string') return left === right ? 0 : left < right ? -1 : 1;
    if (typeof right === 'boolean') return compareBooleans(left.toLowerCase() === 'true', right);
    return compareText(left, right);
  }
  if (typeof left === 'boolean') {
    if (typeof right === 'boolean') return compareBooleans(left, right);
    return typeof right === 'string' ? NO_ORDER : -1;
  }
  if (typeof right === 'boolean') return -1;
  if (typeof right !== 'string') return compareNumbers(left, right);
  const compared = compareText(right, left);
  return compared === NO_ORDER ? NO_ORDER : -compared;
}

function compareBooleans(left: boolean, right: boolean): number {
  return Number(left) - Number(right);
}

/** Text, read as the class of a number, against that number. */
function compareText(text: string, number: SqlNumber): number {
  if (number.type === 'double') {
    const value = doubleOf(text);
    return value === null ? NO_ORDER : compareDoubles(value, number.value);
  }
  if (!/^[+-]?\d{1,40}$/.test(text)) return NO_ORDER;
  const value = Number(text);
  if (number.type === 'int') {
    if (value < -2147483648 || value > 2147483647) return NO_ORDER;
    return Math.sign(value - number.value);
  }
  if (Number.isSafeInteger(value) && Number.isSafeInteger(number.value))
    return Math.sign(value - number.value);
  const exact = BigInt(text.replace(/^\+/, ''));
  if (BigInt.asIntN(64, exact) !== exact) return NO_ORDER;
  return exact < number.exact ? -1 : exact > number.exact ? 1 : 0;
}

function compareDoubleTexts(left: string, right: string): number {
  const leftValue = doubleOf(left);
  const rightValue = doubleOf(right);
  return leftValue === null || rightValue === null
    ? NO_ORDER
    : compareDoubles(leftValue, rightValue);
}

/** Text as Java's Double.valueOf reads it, hexadecimal aside; null where it is no number, or there is too much of it. */
function doubleOf(text: string): number | null {
  if (!mayRead(text)) return null;
  // oxlint-disable-next-line no-control-regex -- Java's trim takes every character up to the space
  const match =
    /^[\0-\x20]*([+-]?)(NaN|Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([fFdD]?)[\0-\x20]*$/.exec(
      text,
    );
  if (match === null) return null;
  const [, sign, digits, suffix] = match;
  if (suffix !== '' && /^[NI]/.test(digits)) return null;
  const value = Number(digits);
  return sign === '-' ? -value : value;
}
