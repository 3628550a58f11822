/**
 * Rules that a reader may doubt, each with its outcome in RocketMQ. That all others agree too is what
 * the interop suite shows, beside the stock filter.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSql, SQL_LENGTH_MAX } from '../../src/broker/sql-expression.ts';
import { compileSql } from '../../src/broker/sql-filter.ts';
import { SqlError } from '../../src/broker/sql-tokens.ts';
import { encodeProperties } from '../../src/protocol/message-properties.ts';

function matches(sql: string, properties: Record<string, string> = {}): boolean {
  const bytes = Buffer.from(encodeProperties(new Map(Object.entries(properties))));
  return compileSql(sql).matches(bytes, 0, bytes.length);
}

describe('an SQL92 filter', () => {
  test.each([
    ['a > 5', { a: '6' }, true],
    ['a > 5', { a: '5' }, false],
    ["a >= 5 AND b = 'x'", { a: '5', b: 'x' }, true],
    ['a between 1 and 3 or c is not null', { a: '9', c: '' }, false],
    ['a between 1 and 3 or c is not null', { a: '9', c: '1' }, true],
    ["a IN ('x', 'it''s')", { a: "it's" }, true],
    ["a NOT IN ('x')", { a: 'y' }, true],
    ["a CONTAINS 'b' and not a startswith 'b'", { a: 'abc' }, false],
    ["a CONTAINS 'b' and (not (a startswith 'b'))", { a: 'abc' }, true],
    ['-- note\n a /* b */ = 1', { a: '1' }, true],
    ['$x_1 = 1e3', { $x_1: '1000' }, true],
  ])('%s of %j', (sql, properties, expected) => {
    expect(matches(sql, properties as Record<string, string>)).toBe(expected);
  });

  test('a missing property is unknown: neither the condition nor its opposite holds', () => {
    for (const sql of ['a > 5', 'NOT (a > 5)', "a NOT IN ('x')", 'a <> 5'])
      expect(matches(sql)).toBe(false);
    expect(matches('a > 5 OR b = 1', { b: '1' })).toBe(true);
    expect(matches('a = b')).toBe(true);
  });

  test('text that is no number beside one is a fault, which no OR behind it heals', () => {
    expect(matches('a > 5 OR b = 1', { a: 'x', b: '1' })).toBe(false);
    expect(matches('b = 1 OR a > 5', { a: 'x', b: '1' })).toBe(true);
    expect(matches('NOT (a > 5)', { a: 'x' })).toBe(false);
    expect(matches('a = 5', { a: '5.0' })).toBe(false);
    expect(matches('a = 5.0', { a: ' 5 ' })).toBe(true);
    expect(matches('-5 <> a', { a: '-7' })).toBe(true);
  });

  test('integers of 64 bits are compared exactly', () => {
    expect(matches('a = 9223372036854775807', { a: '9223372036854775807' })).toBe(true);
    expect(matches('a < 9223372036854775807', { a: '9223372036854775806' })).toBe(true);
    expect(matches('a < 9223372036854775807', { a: '9223372036854775808' })).toBe(false);
  });

  test('the last of two properties of one name counts', () => {
    const bytes = Buffer.from('a\x011\x02a\x012\x02broken\x02b\x01\x02');
    expect(compileSql('a = 2 AND b IS NULL').matches(bytes, 0, bytes.length)).toBe(true);
  });

  test.each([
    ['a >', /a value or a property is expected instead of "the end" at character 4/],
    ['a = 1 b', /an operator is expected instead of "b" at character 7/],
    ["a > 'x'", /only numbers and properties have an order, for > at character 3/],
    ['a = NULL', /use IS NULL at character 3/],
    ["a = 'x", /a string that does not end at character 5/],
    ['5', /a condition is expected at character 1/],
    ['a BETWEEN 3 AND 1', /from the smaller value to the larger one/],
    ['a = 9223372036854775808', /beyond 64 bits/],
    ['a # 1', /"#" does not belong here at character 3/],
    ['', /a value or a property is expected/],
  ])('refuses %j and says where', (sql, message) => {
    expect(() => parseSql(sql)).toThrow(SqlError);
    expect(() => parseSql(sql)).toThrow(message);
  });

  test('reads a list of 2000 values, and none that is twice as long', () => {
    const list = (count: number): string =>
      `a IN (${Array.from({ length: count }, (_, index) => `'${index}'`).join(',')})`;
    expect(matches(list(2000), { a: '1999' })).toBe(true);
    expect(() => parseSql(list(2200))).toThrow(/more than 4096 words, values and signs/);
    expect(() => parseSql(list(4000))).toThrow(/more than 16384 characters/);
  });

  test.each([
    ["a = 'x''", /a string that does not end at character 8/],
    ["a = '''", /a string that does not end at character 7/],
    ["a = 'x'' b", /a string that does not end at character 8/],
    ['a = 1 /* b', /"\/" does not belong here at character 7/],
    ['a = 1 /*/ b', /"\/" does not belong here at character 7/],
    ['a = 1 -- b', /an operator is expected instead of "-"/],
    ['a = 07', /an operator is expected instead of "7" at character 6/],
    ['a = 1e', /an operator is expected instead of "e" at character 6/],
    ['a = .', /"." does not belong here at character 5/],
    [`a = ${'9'.repeat(10_000)}`, /an integer beyond 64 bits at character 5/],
  ])('cuts %j as RocketMQ does', (sql, message) => {
    expect(() => parseSql(sql)).toThrow(message);
  });

  test.each([
    'a=1--x\r\n',
    '\ta/**/=/* * **/1\f',
    'a=1/*-*/or/*-*/b=2',
    'A IS NULL and a = 01.0e0',
    'a=1.e0',
    'a = 1--\n',
  ])('reads %j', (sql) => {
    expect(matches(sql, { a: '1' })).toBe(true);
  });

  test('refuses what is made to cost time, at once', () => {
    const many = Array.from({ length: 100_000 }, () => 'a = 1').join(' OR ');
    const hostile = [
      many,
      many.slice(0, SQL_LENGTH_MAX - 4),
      '('.repeat(SQL_LENGTH_MAX),
      'NOT '.repeat(16_000),
      `/*${'*'.repeat(SQL_LENGTH_MAX - 10)}`,
      "'".repeat(SQL_LENGTH_MAX - 1),
      `-- ${' '.repeat(SQL_LENGTH_MAX - 10)}`,
    ];
    for (const sql of hostile) expect(() => parseSql(sql)).toThrow(SqlError);
  });

  test('a message that takes long to look at does not pass', () => {
    const long = { a: `${'a'.repeat(32_000)}b` };
    const passes = (sql: string): boolean => matches(sql, long);
    expect(passes("a CONTAINS 'aab' AND a STARTSWITH 'aaa'")).toBe(true);
    expect(passes("a CONTAINS 'x' OR a CONTAINS 'aab'")).toBe(false);
    expect(passes(`${"a STARTSWITH 'b' OR ".repeat(10)}a ENDSWITH 'ab'`)).toBe(true);
    const bytes = Buffer.from(encodeProperties(new Map(Object.entries(long))));
    const search = compileSql(
      "a CONTAINS 'x' OR a CONTAINS 'y' OR b CONTAINS 'z' OR a CONTAINS 'b'",
    );
    expect([search.matches(bytes, 0, bytes.length), search.hasGivenUp]).toEqual([false, true]);
    expect([search.matches(bytes, 0, 0), search.hasGivenUp]).toEqual([false, false]);
  });

  test('finds each of many properties, and of a name that occurs twice the last', () => {
    const names = Array.from({ length: 200 }, (_, index) => `p${index}`);
    const properties = Object.fromEntries(names.map((name, index) => [name, `v${index}`]));
    const conditions = names.map((name, index) => `${name} = 'v${index}'`);
    expect(matches(conditions.join(' AND '), properties)).toBe(true);
    expect(matches([...conditions, "p7 = 'v8'"].join(' AND '), properties)).toBe(false);
    const twice = Buffer.from('a\x01first\x02b\x01x\x02a\x01last\x02');
    expect(compileSql("a = 'last' AND b = 'x'").matches(twice, 0, twice.length)).toBe(true);
  });

  test('no text makes it throw anything but SqlError, and no properties anything at all', () => {
    const piece = fc.oneof(
      fc.constantFrom('a', 'AND', 'OR', 'NOT', '(', ')', "'x'", '5', '=', '>', 'IN', 'IS', 'NULL'),
      fc.string({ maxLength: 3 }),
    );
    const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(' '));
    fc.assert(
      fc.property(text, fc.uint8Array({ maxLength: 40 }), (sql, properties) => {
        let filter;
        try {
          filter = compileSql(sql);
        } catch (error) {
          expect(error).toBeInstanceOf(SqlError);
          return;
        }
        expect(typeof filter.matches(Buffer.from(properties), 0, properties.length)).toBe(
          'boolean',
        );
      }),
    );
  });
});
