import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DescriptorCache } from '../../src/store/descriptor-cache.ts';
import { storeError } from '../../src/store/file-calls.ts';
import { type DerivedFilesHarness, makeHarness } from './derived-files-harness.ts';

function makeFiles(harness: DerivedFilesHarness, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const file = path.join(harness.root, `file${index}`);
    fs.writeFileSync(file, `${index}`);
    return file;
  });
}

describe('descriptor cache', () => {
  it('opens a file once while it is in use, and closes the one that rested longest', () => {
    using harness = makeHarness();
    const [first, second, third] = makeFiles(harness, 3) as [string, string, string];
    const cache = new DescriptorCache(harness.files, 2);
    cache.get(first);
    cache.get(second);
    cache.get(first);
    cache.get(third);
    expect(harness.counts.opens).toBe(3);
    cache.get(first);
    expect(harness.counts.opens).toBe(3);
    cache.get(second);
    expect(harness.counts.opens).toBe(4);
    cache.closeAll();
  });

  it('gives up what only waits when the process is out of descriptors', () => {
    using harness = makeHarness();
    const files = makeFiles(harness, 4);
    const held = new Set<number>();
    const plain = { ...harness.files };
    harness.files.open = (file, create) => {
      if (held.size >= 3)
        throw storeError(Object.assign(new Error('too many'), { code: 'EMFILE' }), 'open');
      const descriptor = plain.open(file, create);
      held.add(descriptor);
      return descriptor;
    };
    harness.files.closeDescriptor = (descriptor) => {
      held.delete(descriptor);
      plain.closeDescriptor(descriptor);
    };
    const cache = new DescriptorCache(harness.files, 256);
    for (const [index, file] of files.entries()) {
      const bytes = Buffer.alloc(1);
      harness.files.readAt(cache.get(file), bytes, 0, 1, 0);
      expect(bytes.toString()).toBe(String(index));
    }
    cache.closeAll();
    expect(held.size).toBe(0);
  });
});
