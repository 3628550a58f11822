/** Short forms of cases of one node that take seconds. */
import { describe, expect, test, vi } from 'vitest';
import { clockCases } from './clock-cases.ts';
import { offsetCases } from './offset-cases.ts';
import { slowDiskCases } from './slow-disk-cases.ts';
import { transactionCases } from './transaction-cases.ts';

vi.setConfig({ testTimeout: 120_000 });

describe('a broker', () => {
  test.each([...clockCases, ...offsetCases, ...transactionCases, ...slowDiskCases])(
    '$name: holds what docs/reliability.md says',
    ({ run }) => {
      // Each throws what it finds.
      expect(run({ seed: 11, isLong: false, progress: () => {} })).not.toBe('');
    },
  );
});
