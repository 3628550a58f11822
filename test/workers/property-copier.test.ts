import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PropertyCopier } from '../../src/workers/property-copier.ts';

function copy(
  text: string,
  escaped: boolean,
): { copier: PropertyCopier; copied: string | null; target: Buffer } {
  const source = Buffer.from(text);
  const target = Buffer.alloc(source.length + 16);
  const copier = new PropertyCopier();
  const end = copier.copy(source, 0, source.length, escaped, target, 8);
  return { copier, copied: end < 0 ? null : target.toString('utf8', 8, end), target };
}

describe('the property copier', () => {
  test('undoes any escape that JSON knows', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        const asciiOnly = JSON.stringify(text)
          .slice(1, -1)
          .replaceAll(
            /[\u0080-\uffff]/g,
            (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
          );
        const wanted = text === '' || text.endsWith('\x02') ? text : `${text}\x02`;
        expect(copy(asciiOnly, true).copied).toBe(wanted.toWellFormed());
        expect(copy(text, false).copied).toBe(wanted.toWellFormed());
      }),
    );
  });

  test('closes the string where the sender has not', () => {
    expect(copy('K\x01v', false).copied).toBe('K\x01v\x02');
    expect(copy('K\x01v\x02', false).copied).toBe('K\x01v\x02');
    expect(copy('', false).copied).toBe('');
  });

  test.each(['\\u00', '\\u00zz', '\\q', '\\'])('refuses the broken escape %s', (text) => {
    expect(copy(text, true).copied).toBeNull();
  });

  test('notices the properties that matter, as names only', () => {
    expect(copy('UNIQ_KEY\x01id\x02', false).copier.hasUniqueKey).toBe(true);
    expect(copy('K\x01UNIQ_KEY\x02', false).copier.hasUniqueKey).toBe(false);
    expect(copy('DELAY\x013\x02', false).copier.needsRewrite).toBe(true);
    expect(copy('K\\u0001v\\u0002TRAN_MSG\\u0001true', true).copier.hasTransaction).toBe(true);
    expect(copy('DELAYED\x013\x02', false).copier.needsRewrite).toBe(false);
    const half = 'TRAN_MSG\x01true\x02UNIQ_KEY\x01id\x02';
    const isPlain = (text: string): boolean => {
      const { copier, target } = copy(text, false);
      return copier.isPlainHalf(target);
    };
    expect(isPlain(half)).toBe(true);
    expect(isPlain('TRAN_MSG\x01true\x02')).toBe(false);
    expect(isPlain(half.replace('true', 'truth'))).toBe(false);
    expect(isPlain(`${half}DELAY\x013\x02`)).toBe(false);
    expect(isPlain(`${half}REAL_QID\x013\x02`)).toBe(false);
    const no = copy('K\x01v\x02WAIT\x01false\x02', false);
    expect(no.copier.isWaitFalse(no.target)).toBe(true);
    const yes = copy('WAIT\x01true\x02', false);
    expect(yes.copier.isWaitFalse(yes.target)).toBe(false);
    const none = copy('K\x01false\x02', false);
    expect(none.copier.isWaitFalse(none.target)).toBe(false);
  });
});
