import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeProperties,
  encodeProperties,
  findProperty,
  readProperty,
} from '../../src/protocol/message-properties.ts';

const plain = fc
  .string({ unit: 'grapheme', minLength: 1 })
  .filter((text) => !text.includes('\x01') && !text.includes('\x02'));
const propertyMap = fc.uniqueArray(fc.tuple(plain, plain), { selector: ([name]) => name });

describe('property string', () => {
  it('reads what it wrote, in order', () => {
    fc.assert(
      fc.property(propertyMap, (entries) => {
        expect([...decodeProperties(encodeProperties(new Map(entries)))]).toEqual(entries);
      }),
    );
  });

  it('reads each property from the bytes as from the Map', () => {
    fc.assert(
      fc.property(propertyMap, plain, (entries, absent) => {
        const bytes = Buffer.from(`before${encodeProperties(new Map(entries))}`);
        const read = (name: string) => readProperty(bytes, 6, bytes.length, Buffer.from(name));
        for (const [name, value] of entries) expect(read(name)).toBe(value);
        if (!entries.some(([name]) => name === absent)) expect(read(absent)).toBeUndefined();
      }),
    );
  });

  it('tolerates a missing final separator', () => {
    expect([...decodeProperties('TAGS\x01a\x02KEYS\x01k')]).toEqual([
      ['TAGS', 'a'],
      ['KEYS', 'k'],
    ]);
    const bytes = Buffer.from('TAGS\x01a\x02KEYS\x01k');
    expect(readProperty(bytes, 0, bytes.length, Buffer.from('KEYS'))).toBe('k');
  });

  it('skips entries without a name, a value or a separator', () => {
    expect([...decodeProperties('\x01v\x02n\x01\x02nothing\x02a\x01b\x02')]).toEqual([['a', 'b']]);
  });

  it('does not take the end of a longer name, or a value, for a name', () => {
    const bytes = Buffer.from('XTAGS\x01no\x02A\x01TAGS\x02TAGS\x01yes\x02');
    expect(readProperty(bytes, 0, bytes.length, Buffer.from('TAGS'))).toBe('yes');
    expect(findProperty(bytes, 0, 13, Buffer.from('TAGS'))).toBe(-1);
  });
});
