import { expect, test } from 'vitest';
import {
  familyText,
  histogramLines,
  metricFamilies,
  metricLine,
} from '../../src/base/prometheus-text.ts';

test('labels are escaped, so that no value begins a line or ends its label', () => {
  expect(metricLine('m', { a: 'x"y\\z\nm 1', b: 2, c: true }, 3)).toBe(
    'm{a="x\\"y\\\\z\\nm 1",b="2",c="true"} 3\n',
  );
  expect(metricLine('m', {}, 0.5)).toBe('m 0.5\n');
});

test('a histogram counts up, and its last bucket holds all', () => {
  expect(histogramLines('h', { a: 'b' }, [1, 10], [2, 0, 3], 99)).toEqual([
    'h_bucket{a="b",le="1"} 2\n',
    'h_bucket{a="b",le="10"} 2\n',
    'h_bucket{a="b",le="+Inf"} 5\n',
    'h_sum{a="b"} 99\n',
    'h_count{a="b"} 5\n',
  ]);
});

test('families have one name each, and no line ends inside of their help', () => {
  const names = metricFamilies.map(([name]) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const family of metricFamilies) {
    expect(familyText(family, []).split('\n')).toHaveLength(3);
    expect(family[0]).toMatch(/^(rocketmq|millrace|process)_[a-z_]+$/);
  }
});
