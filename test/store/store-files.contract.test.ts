/**
 * What the store may rely on, whichever files it runs on: one suite for mapped, plain and faulty files.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { createMappedFiles } from '../../src/store/mapped-files.ts';
import { createPlainFiles } from '../../src/store/plain-files.ts';
import type { StoreFiles } from '../../src/store/segment.ts';
import { FaultyFiles } from './faulty-files.ts';

const CAPACITY = 64 * 1024;

const memory = new FaultyFiles();

describe.each([
  ['mapped', createMappedFiles],
  ['plain', createPlainFiles],
  ['temporary plain', () => createPlainFiles({ isTemporary: true })],
  ['faulty', () => memory],
] as const)('%s files', (kind, make) => {
  let files: StoreFiles;
  let root: string;
  const at = (name: string): string => path.join(root, name);
  const codeOf = (call: () => unknown): unknown => {
    try {
      call();
    } catch (error) {
      return (error as { code?: unknown }).code;
    }
    return 'no error';
  };

  beforeEach(() => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-files-'));
    files = make();
    files.makeDirectory(root);
  });

  afterEach(() => {
    fs.rmSync(root, { recursive: true, force: true });
  });

  describe('segments', () => {
    test('a new one has its whole size, and is zero', () => {
      const segment = files.createSegment(at('0'), CAPACITY);
      expect(segment.capacityBytes).toBe(CAPACITY);
      expect(segment.bytes.equals(Buffer.alloc(CAPACITY))).toBe(true);
      expect(files.sizeOf(at('0'))).toBe(CAPACITY);
      segment.close();
    });

    test('what was published is there when the file is opened anew', () => {
      const segment = files.createSegment(at('0'), CAPACITY);
      segment.bytes.write('first', 5000);
      segment.publish(5000, 5005);
      segment.close();
      const again = files.openSegment(at('0'), CAPACITY);
      expect(again.bytes.toString('utf8', 5000, 5005)).toBe('first');
      expect(again.bytes.subarray(5005).every((byte) => byte === 0)).toBe(true);
      again.close();
    });

    test('what was written is seen at once by all that have the file open, and when it is opened anew', () => {
      const writer = files.createSegment(at('0'), CAPACITY);
      const reader = files.openSegment(at('0'), CAPACITY);
      // Records come from memory that threads share.
      const shared = Buffer.from(new SharedArrayBuffer(64));
      shared.write('.a record.');
      writer.write(shared, 1, 9, 4092);
      writer.write(Buffer.from('another'), 0, 7, 4100);
      const seen = [writer, reader].map(({ bytes }) => bytes.toString('utf8', 4092, 4107));
      expect(seen).toEqual(['a recordanother', 'a recordanother']);
      writer.close();
      reader.close();
      const again = files.openSegment(at('0'), CAPACITY);
      expect(again.bytes.toString('utf8', 4092, 4107)).toBe('a recordanother');
      expect(again.bytes.subarray(4107).every((byte) => byte === 0)).toBe(true);
      again.close();
    });

    test('what another thread writes is there when it says so, also when the file was closed meanwhile', async () => {
      const segment = files.createSegment(at('0'), CAPACITY);
      const reader = files.openSegment(at('0'), CAPACITY);
      // Plain files are for one thread.
      expect(segment.beginWrite === undefined).toBe(kind.endsWith('plain'));
      if (segment.beginWrite === undefined) {
        segment.close();
        reader.close();
        return;
      }
      const shared = Buffer.from(new SharedArrayBuffer(64));
      shared.write('a record');
      const write = (position: number): Promise<unknown> =>
        new Promise((resolve) =>
          segment.beginWrite?.(
            [shared.subarray(0, 8), Buffer.from(' and more')],
            position,
            resolve,
          ),
        );
      const writes = [write(4092), write(100)];
      segment.close();
      if (files instanceof FaultyFiles) while (files.hasDeferredWrite) files.makeDeferredWrite();
      expect(await Promise.all(writes)).toEqual([null, null]);
      for (const from of [100, 4092])
        expect(reader.bytes.toString('utf8', from, from + 17)).toBe('a record and more');
      reader.close();
    });

    test('what was synced is there without having been published', () => {
      const segment = files.createSegment(at('0'), CAPACITY);
      segment.bytes.write('synced', 4090);
      segment.sync(4090, 4096);
      segment.close();
      const again = files.openSegment(at('0'), CAPACITY);
      expect(again.bytes.toString('utf8', 4090, 4096)).toBe('synced');
      again.close();
    });

    test('two that have one file open see the same bytes at once, also after one has closed', () => {
      const writer = files.createSegment(at('0'), CAPACITY);
      const reader = files.openSegment(at('0'), CAPACITY);
      writer.bytes.write('seen', 100);
      expect(reader.bytes.toString('utf8', 100, 104)).toBe('seen');
      writer.close();
      writer.close();
      reader.bytes.write('more', 200);
      reader.sync(200, 204);
      expect(reader.bytes.toString('utf8', 100, 104)).toBe('seen');
      reader.close();
    });

    test('a closed one has no bytes left', () => {
      const segment = files.createSegment(at('0'), CAPACITY);
      segment.close();
      expect(segment.bytes.length).toBe(0);
    });

    test('preparing changes nothing', () => {
      const segment = files.createSegment(at('0'), CAPACITY);
      segment.bytes.fill(7);
      segment.prepare(100, 20_000);
      expect(segment.bytes.every((byte) => byte === 7)).toBe(true);
      segment.close();
    });

    test('pages that are let go of, and that the page cache is to forget, are read again as they were', () => {
      const segment = files.createSegment(at('0'), CAPACITY);
      segment.write(Buffer.alloc(CAPACITY, 7), 0, CAPACITY, 0);
      segment.bytes.fill(8, 5000, 6000);
      segment.unmapPages?.(0, CAPACITY / 2);
      segment.dropPages?.(0, CAPACITY);
      segment.publish(5000, 6000);
      segment.sync(0, CAPACITY);
      segment.unmapPages?.(0, CAPACITY);
      segment.dropPages?.(8192, CAPACITY);
      expect(segment.bytes.subarray(5000, 6000).every((byte) => byte === 8)).toBe(true);
      expect(segment.bytes.subarray(6000).every((byte) => byte === 7)).toBe(true);
      segment.close();
    });

    test('one that exists is not created again', () => {
      files.createSegment(at('0'), CAPACITY).close();
      expect(codeOf(() => files.createSegment(at('0'), CAPACITY))).toBe('STORE_IO');
      expect(files.sizeOf(at('0'))).toBe(CAPACITY);
    });

    test('one of another size is refused before it is touched', () => {
      files.createSegment(at('0'), CAPACITY).close();
      expect(codeOf(() => files.openSegment(at('0'), CAPACITY * 2))).toBe('STORE_DAMAGED');
      expect(codeOf(() => files.openSegment(at('0'), CAPACITY / 2))).toBe('STORE_DAMAGED');
    });

    test('one that is not there is an error', () => {
      expect(codeOf(() => files.openSegment(at('none'), CAPACITY))).toBe('STORE_IO');
    });

    test('a deleted one stays readable to whoever has it open; its path is free', () => {
      const old = files.createSegment(at('0'), CAPACITY);
      old.bytes.write('old', 0);
      files.remove(at('0'));
      const fresh = files.createSegment(at('0'), CAPACITY);
      expect(old.bytes.toString('utf8', 0, 3)).toBe('old');
      expect(fresh.bytes.readInt32BE(0)).toBe(0);
      old.close();
      const other = files.openSegment(at('0'), CAPACITY);
      fresh.bytes.write('new', 0);
      expect(other.bytes.toString('utf8', 0, 3)).toBe('new');
      fresh.close();
      other.close();
    });

    test('one that cannot be allocated leaves no file behind', () => {
      expect(codeOf(() => files.createSegment(at('huge'), 2 ** 60))).toMatch(/^STORE_/);
      expect(files.exists(at('huge'))).toBe(false);
    });
  });

  describe('small files', () => {
    test('a directory lists its names in order, and one that is not there lists none', () => {
      for (const name of ['b', 'a', 'c']) files.replaceFile(at(name), Buffer.from(name));
      expect(files.list(root)).toEqual(['a', 'b', 'c']);
      expect(files.list(at('none'))).toEqual([]);
    });

    test('a directory moves with all in it, and one that is not there does not', () => {
      files.makeDirectory(at('from'));
      files.replaceFile(at('from/f'), Buffer.from('content'));
      files.makeDirectory(at('place'));
      files.rename(at('from'), at('place/to'));
      expect(files.exists(at('from'))).toBe(false);
      expect(files.list(at('place'))).toEqual(['to']);
      expect(files.readFile(at('place/to/f'))?.toString()).toBe('content');
      expect(codeOf(() => files.rename(at('from'), at('place/again')))).toBe('STORE_IO');
    });

    test('a file is read whole, and replaced whole', () => {
      expect(files.readFile(at('f'))).toBeUndefined();
      files.replaceFile(at('f'), Buffer.from('a long first content'));
      files.replaceFile(at('f'), Buffer.from('second'));
      expect(files.readFile(at('f'))?.toString()).toBe('second');
      expect(files.list(root)).toEqual(['f']);
    });

    test('reads end where the file ends; writes make it longer', () => {
      const descriptor = files.open(at('f'), true);
      files.writeAt(descriptor, Buffer.from('xabcdefx'), 1, 7, 10);
      expect(files.sizeOf(at('f'))).toBe(16);
      const target = Buffer.alloc(20, '.');
      expect(files.readAt(descriptor, target, 2, 10, 12)).toBe(4);
      expect(target.toString('utf8', 0, 8)).toBe('..cdef..');
      expect(files.readAt(descriptor, target, 0, 10, 100)).toBe(0);
      files.truncate(descriptor, 12);
      expect(files.sizeOf(at('f'))).toBe(12);
      files.syncDescriptor(descriptor);
      files.syncDirectory(root);
      // Of a temporary store all is synced that has to be.
      expect(files.syncFileSystem(root)).toBe(['mapped', 'temporary plain'].includes(kind));
      files.closeDescriptor(descriptor);
    });

    test('a file is made only where that is asked for', () => {
      expect(codeOf(() => files.open(at('f'), false))).toBe('STORE_IO');
      expect(files.exists(at('f'))).toBe(false);
      expect(codeOf(() => files.sizeOf(at('f')))).toBe('STORE_IO');
    });

    test('removing takes a directory with all in it, and asks nothing of what is not there', () => {
      files.makeDirectory(at('d/e'));
      files.replaceFile(at('d/e/f'), Buffer.from('x'));
      files.remove(at('d'));
      files.remove(at('d'));
      expect(files.exists(at('d/e/f'))).toBe(false);
      expect(files.list(root)).toEqual([]);
    });

    test('a file that is unlinked is gone at once, also for whoever asks for it by that name again', () => {
      files.replaceFile(at('f'), Buffer.from('old'));
      files.unlink(at('f'));
      files.unlink(at('f'));
      expect(files.exists(at('f'))).toBe(false);
      files.replaceFile(at('f'), Buffer.from('new'));
      expect(files.readFile(at('f'))?.toString()).toBe('new');
    });

    test('the space of the file system is known', () => {
      const { totalBytes, availableBytes } = files.space(root);
      expect(totalBytes).toBeGreaterThanOrEqual(availableBytes);
      expect(availableBytes).toBeGreaterThan(0);
    });
  });
});

test('a part of a mapped segment that somebody still holds holds nothing after closing, and is no crash', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-files-'));
  try {
    const segment = createMappedFiles().createSegment(path.join(root, '0'), CAPACITY);
    const held = segment.bytes.subarray(100, 200).fill(7);
    segment.close();
    expect(held.includes(7)).toBe(false);
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
});

test('memory that showed a closed segment shows the next one, and is never detached', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-files-'));
  try {
    const files = createMappedFiles();
    const first = files.createSegment(path.join(root, '0'), CAPACITY);
    const { bytes } = first;
    bytes.fill(7);
    first.close();
    const second = files.createSegment(path.join(root, '1'), CAPACITY);
    const third = files.openSegment(path.join(root, '0'), CAPACITY);
    expect(second.bytes).toBe(bytes);
    expect(first.bytes).toHaveLength(0);
    expect(second.bytes.equals(Buffer.alloc(CAPACITY))).toBe(true);
    expect(third.bytes.equals(Buffer.alloc(CAPACITY, 7))).toBe(true);
    second.write(Buffer.from('abc'), 0, 3, 5000);
    second.sync(0, CAPACITY);
    expect(fs.readFileSync(path.join(root, '1'), 'latin1').slice(5000, 5003)).toBe('abc');
    expect(second.bytes.toString('latin1', 5000, 5003)).toBe('abc');
    second.close();
    third.close();
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
});

test('what an unlinked file held is freed, and its descriptor closed', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-files-'));
  const isIn = (descriptor: string): boolean => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(root);
    } catch {
      // Closed meanwhile.
      return false;
    }
  };
  try {
    const files = createMappedFiles();
    for (let index = 0; index < 600; index++) {
      files.replaceFile(path.join(root, String(index)), Buffer.alloc(4096));
      files.unlink(path.join(root, String(index)));
    }
    expect(fs.readdirSync(root)).toEqual([]);
    await vi.waitFor(() => expect(fs.readdirSync('/proc/self/fd').filter(isIn)).toEqual([]));
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
});

test('a sparse file, as another broker may leave it, is made whole before it is mapped', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-files-'));
  try {
    const file = path.join(root, '0');
    fs.writeFileSync(file, 'content');
    fs.truncateSync(file, CAPACITY);
    expect(fs.statSync(file).blocks * 512).toBeLessThan(CAPACITY);
    const segment = createMappedFiles().openSegment(file, CAPACITY);
    expect(fs.statSync(file).blocks * 512).toBeGreaterThanOrEqual(CAPACITY);
    expect(segment.bytes.toString('utf8', 0, 7)).toBe('content');
    segment.close();
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
});

test('nothing of a closed segment stays mapped or open', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-files-'));
  const file = path.join(root, '0');
  const countMaps = (): number => fs.readFileSync('/proc/self/maps', 'utf8').split(file).length - 1;
  const countDescriptors = (): number => fs.readdirSync('/proc/self/fd').length;
  try {
    const files = createMappedFiles();
    files.createSegment(file, CAPACITY).close();
    const descriptors = countDescriptors();
    const open = Array.from({ length: 50 }, () => files.openSegment(file, CAPACITY));
    expect(countMaps()).toBe(50);
    expect(countDescriptors()).toBe(descriptors);
    for (const segment of open) segment.close();
    expect(countMaps()).toBe(0);
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
});

/** A file system of 4 MiB, where this process may mount one. */
function mountSmall(): string | undefined {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-small-'));
  const mount = ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', directory];
  if (spawnSync('mount', mount, { stdio: 'ignore' }).status === 0) return directory;
  fs.rmdirSync(directory);
  return undefined;
}

test('plain segments have the age that their own clock says, also after they were closed', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-files-'));
  const file = path.join(root, '0');
  try {
    const wallClock = new ManualClock(1_000_000);
    const files = createPlainFiles({ wallClock });
    const segment = files.createSegment(file, CAPACITY);
    expect(files.modifiedMs(file)).toBe(1_000_000);
    wallClock.advance(5000);
    segment.publish(0, 8);
    wallClock.advance(5000);
    segment.sync(0, 8);
    expect(files.modifiedMs(file)).toBe(1_005_000);
    segment.close();
    expect(files.modifiedMs(file)).toBe(1_005_000);
    const again = files.openSegment(file, CAPACITY);
    expect(files.modifiedMs(file)).toBe(1_005_000);
    again.close();
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
});

describe.each([
  ['mapped', createMappedFiles],
  ['plain', createPlainFiles],
  ['temporary plain', () => createPlainFiles({ isTemporary: true })],
] as const)('%s files on a full disk', (_kind, make) => {
  test('a segment without room is refused, and leaves nothing behind', ({ skip }) => {
    const root = mountSmall();
    if (root === undefined) return skip('may not mount a small file system');
    try {
      const files = make();
      const segment = files.createSegment(path.join(root, '0'), 3 * 1024 * 1024);
      segment.bytes.fill(7);
      segment.sync(0, segment.capacityBytes);
      const full = expect.objectContaining({ code: 'STORE_NO_SPACE' }) as unknown;
      expect(() => files.createSegment(path.join(root, '1'), 3 * 1024 * 1024)).toThrow(full);
      expect(files.list(root)).toEqual(['0']);
      const long = Buffer.alloc(2 * 1024 * 1024, 1);
      files.replaceFile(path.join(root, 'f'), Buffer.from('old'));
      expect(() => files.replaceFile(path.join(root, 'f'), long)).toThrow(full);
      expect(files.readFile(path.join(root, 'f'))?.toString()).toBe('old');
      expect(files.list(root)).toEqual(['0', 'f']);
      segment.close();
    } finally {
      spawnSync('umount', [root]);
      fs.rmSync(root, { recursive: true, force: true });
    }
    return undefined;
  });
});
