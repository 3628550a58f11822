import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileTagExpression } from '../../src/broker/tag-filter.ts';

/** Java's String.hashCode, the obvious way. */
function javaHash(text: string): number {
  let hash = 0n;
  for (let index = 0; index < text.length; index++)
    hash = hash * 31n + BigInt(text.charCodeAt(index));
  return Number(BigInt.asIntN(32, hash));
}

const passes = (expression: string | null, tag: string): boolean => {
  const hash = javaHash(tag);
  return compileTagExpression(expression).matches(hash < 0 ? -1 : 0, hash);
};

describe('tag filter', () => {
  it.each([['*'], [''], [null]])('passes everything for %j', (expression) => {
    const filter = compileTagExpression(expression);
    expect(filter.matchesAll).toBe(true);
    expect(filter.matches(0, 0)).toBe(true);
  });

  it('passes each of several tags, trimmed, and no other', () => {
    expect(passes('TagA || TagB||TagC ', 'TagA')).toBe(true);
    expect(passes('TagA || TagB||TagC ', 'TagB')).toBe(true);
    expect(passes('TagA || TagB||TagC ', 'TagC')).toBe(true);
    expect(passes('TagA || TagB||TagC ', 'TagD')).toBe(false);
    expect(compileTagExpression('TagA').matches(0, 0)).toBe(false);
  });

  it('knows the hash that Java gives (2598919 for "TagA")', () => {
    expect(compileTagExpression('TagA').matches(0, 2598919)).toBe(true);
  });

  it('matches hashes of either sign and characters outside of ASCII', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 40 }),
        (texts) => {
          const tags = texts
            .map((text) => text.replaceAll('|', '').trim())
            .filter((tag) => tag !== '' && tag !== '*');
          fc.pre(tags.length > 0);
          for (const tag of tags) expect(passes(tags.join(' || '), tag)).toBe(true);
        },
      ),
    );
  });

  it('passes nothing where an expression names no tag', () => {
    expect(compileTagExpression('||').matchesAll).toBe(false);
    expect(compileTagExpression('||').matches(0, 0)).toBe(false);
  });
});
