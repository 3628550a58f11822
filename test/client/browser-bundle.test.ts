/** What a page has to load for `millrace/browser`, with all that it exports. */
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, test } from 'vitest';

const GZIP_BYTES_MAX = 30_000;

test('the bundle for browsers needs nothing of Node and is small', async () => {
  const { outputFiles, warnings } = await build({
    entryPoints: [path.join(import.meta.dirname, '../../src/client/browser.ts')],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
  });
  expect(warnings).toEqual([]);
  const [{ contents, text }] = outputFiles;
  expect(text).toContain('DecompressionStream');
  expect(text).not.toMatch(/node:|\bBuffer\b|\bprocess\.|\brequire\b/);
  const gzipBytes = gzipSync(contents, { level: 9 }).length;
  expect(gzipBytes).toBeLessThanOrEqual(GZIP_BYTES_MAX);
});
