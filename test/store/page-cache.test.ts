/** What the kernel has in memory of a segment after it was told to forget it; of a real file, asked by mincore(2). */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createMappedFiles } from '../../src/store/mapped-files.ts';
import { posix } from '../../src/store/posix.ts';

const CAPACITY = 32 * 1024 * 1024;
const PAGE_BYTES = 4096;
const TMPFS_MAGIC = 0x01021994;

const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');

let root: string;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-pages-'));
});

afterEach(() => {
  fs.rmSync(root, { recursive: true, force: true });
});

/** Share of the first `bytes` of a file that are in memory. */
function residentShare(file: string, bytes: number): number {
  const mincore = koffi.load('libc.so.6').func('int mincore(void *, size_t, void *)');
  const descriptor = fs.openSync(file, 'r');
  const address = posix().map(descriptor, bytes, true);
  fs.closeSync(descriptor);
  const pages = Buffer.alloc(bytes / PAGE_BYTES);
  expect(mincore(address, bytes, pages)).toBe(0);
  posix().unmap(address, bytes);
  return pages.filter((page) => (page & 1) === 1).length / pages.length;
}

test.runIf(process.platform === 'linux')(
  'pages stay while a thread has them mapped, and go once it has let go of them',
  () => {
    const files = createMappedFiles();
    const file = path.join(root, 'segment');
    const writer = files.createSegment(file, CAPACITY);
    writer.write(Buffer.alloc(CAPACITY, 7), 0, CAPACITY, 0);
    writer.sync(0, CAPACITY);
    const reader = files.openSegment(file, CAPACITY);
    expect(reader.bytes.every((byte) => byte === 7)).toBe(true);
    writer.dropPages?.(0, CAPACITY);
    expect(residentShare(file, CAPACITY)).toBe(1);

    const half = CAPACITY / 2;
    reader.unmapPages?.(0, half);
    writer.dropPages?.(0, half);
    // A file system that is memory has nowhere else to keep them.
    const isMemory = fs.statfsSync(root).type === TMPFS_MAGIC;
    expect(residentShare(file, half)).toBeCloseTo(isMemory ? 1 : 0, 1);
    expect(residentShare(file, CAPACITY)).toBeCloseTo(isMemory ? 1 : 0.5, 1);
    expect(reader.bytes.every((byte) => byte === 7)).toBe(true);
    reader.close();
    writer.close();
  },
);
