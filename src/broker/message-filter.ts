/**
 * @agent dispatcher
 *
 * What of a topic's messages a subscription wants: by tag, which the ConsumeQueue unit tells, or by an
 * SQL92 expression over properties, which only the record tells.
 *
 * Source: ExpressionType.java, FilterAPI.java, ConsumerFilterManager.java.
 */
import { ResponseCode } from '../protocol/codes.ts';
import { SQL_LENGTH_MAX } from './sql-expression.ts';
import { compileSql, type SqlFilter } from './sql-filter.ts';
import { SqlError } from './sql-tokens.ts';
import { compileTagExpression, type TagFilter } from './tag-filter.ts';

export const TAG_EXPRESSION = 'TAG';
export const SQL_EXPRESSION = 'SQL92';

/** Longest expression of either kind that is looked at, in UTF-16 units. RocketMQ has no limit; a guess. */
export const EXPRESSION_LENGTH_MAX = SQL_LENGTH_MAX;
/** No expression within the limit takes more bytes in JSON: each unit may be written as \uXXXX. */
export const EXPRESSION_BYTES_MAX = 6 * EXPRESSION_LENGTH_MAX;

export interface MessageFilter {
  readonly tags: TagFilter;
  /** Null for a subscription by tag. */
  readonly sql: SqlFilter | null;
}

/** Why an expression can't be used: the answer to who sent it. */
export interface FilterFault {
  readonly code: number;
  readonly remark: string;
}

const everyTag = compileTagExpression('*');

/** Compiles a subscription of either kind; an empty kind is TAG. */
export function compileFilter(
  expressionType: string | null,
  expression: string,
): MessageFilter | FilterFault {
  if (expression.length > EXPRESSION_LENGTH_MAX) return expressionTooLong;
  if (isTagExpression(expressionType)) return { tags: compileTagExpression(expression), sql: null };
  if (expressionType !== SQL_EXPRESSION) return unsupportedExpression(expressionType);
  try {
    return { tags: everyTag, sql: compileSql(expression) };
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    return parseFailed(error.message);
  }
}

function parseFailed(why: string): FilterFault {
  return {
    code: ResponseCode.SUBSCRIPTION_PARSE_FAILED,
    remark: `parse the consumer's subscription failed: ${why}`,
  };
}

/** The refusal of an expression by its length alone. */
export const expressionTooLong = parseFailed(`more than ${EXPRESSION_LENGTH_MAX} characters`);

/** The refusal of expressions of a type that there is not, or that is not enabled. */
export function unsupportedExpression(expressionType: string | null): FilterFault {
  return {
    code: ResponseCode.SYSTEM_ERROR,
    remark: `The broker does not support consumer to filter message by ${(expressionType ?? '').slice(0, 64)}`,
  };
}

export function isTagExpression(expressionType: string | null): boolean {
  return expressionType === null || expressionType === '' || expressionType === TAG_EXPRESSION;
}

export function isFilterFault(filter: MessageFilter | FilterFault): filter is FilterFault {
  return 'remark' in filter;
}
