import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { compiledKernel } from '../../assembly/compile.ts';

test('the kernel that is committed is what its source compiles to', { timeout: 60_000 }, () => {
  const file = path.join(import.meta.dirname, '../../src/kernel/kernel-code.ts');
  expect(fs.readFileSync(file, 'utf8')).toBe(compiledKernel());
});
