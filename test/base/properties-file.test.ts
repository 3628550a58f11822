import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseProperties } from '../../src/base/properties-file.ts';

const pairs = (content: string): [string, string][] =>
  parseProperties(content).map(({ name, text }) => [name, text]);

describe('a properties file', () => {
  test.each([
    ['key=value', [['key', 'value']]],
    ['key = value ', [['key', 'value']]],
    ['key: value', [['key', 'value']]],
    ['key value', [['key', 'value']]],
    ['key', [['key', '']]],
    ['key=', [['key', '']]],
    ['key==value', [['key', '=value']]],
    ['key=a=b:c d', [['key', 'a=b:c d']]],
    ['# no\n  ! no\n\n\t\nkey=yes', [['key', 'yes']]],
    ['key=one,\\\n    two', [['key', 'one,two']]],
    ['key=one\\\r\n# part of it', [['key', 'one# part of it']]],
    [
      'path=C:\\\\\nnext=1',
      [
        ['path', 'C:\\'],
        ['next', '1'],
      ],
    ],
    ['a\\ b\\=c=d', [['a b=c', 'd']]],
    ['key=\\u0041\\t\\x', [['key', 'A\tx']]],
    ['key=last\\', [['key', 'last\\']]],
    ['\uFEFFkey=value', [['key', 'value']]],
  ])('%j', (content, expected) => {
    expect(pairs(content)).toEqual(expected);
  });

  test('counts lines from 1, also behind continued ones', () => {
    expect(parseProperties('# a\nfirst=1\\\n2\nsecond=3').map(({ line }) => line)).toEqual([2, 4]);
  });

  test('gives back what was escaped the way Java stores it', () => {
    const word = fc.string({ minLength: 1, maxLength: 12 }).filter((text) => text.trim() === text);
    const escaped = (text: string): string => text.replaceAll(/[\\=:#!\s]/g, '\\$&');
    fc.assert(
      fc.property(word, word, (name, text) => {
        expect(pairs(`${escaped(name)}=${escaped(text)}`)).toEqual([[name, text]]);
      }),
    );
  });
});
