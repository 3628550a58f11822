/** Where members of a broadcasting group keep how far they are. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileOffsetStorage } from '../../src/client/file-offset-storage.ts';
import { LocalOffsetStore, type OffsetStorage } from '../../src/client/offset-store.ts';
import { pageOffsetStorage } from '../../src/client/page-offset-storage.ts';
import { ScriptedCore } from './scripted-core.ts';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-'));
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true, force: true });
  Reflect.deleteProperty(globalThis, 'localStorage');
});

function installPage(): void {
  const texts = new Map<string, string>();
  const localStorage = {
    getItem: (name: string) => texts.get(name) ?? null,
    setItem: (name: string, text: string) => texts.set(name, text),
  };
  Object.defineProperty(globalThis, 'localStorage', { value: localStorage, configurable: true });
}

const storages: Record<string, () => OffsetStorage> = {
  files: () => new FileOffsetStorage(folder),
  page: () => {
    installPage();
    return pageOffsetStorage();
  },
  memory: () => {
    Object.defineProperty(globalThis, 'localStorage', { value: undefined, configurable: true });
    return pageOffsetStorage();
  },
};

describe.each(Object.entries(storages))('%s', (_name, make) => {
  test('give back what was written last under a name, whatever the name', async () => {
    const storage = make();
    const name = '../screen 1/%RETRY%..\\group';
    expect(await storage.read(name)).toBeNull();
    await storage.write(name, 'first');
    await storage.write(name, 'second');
    await storage.write('other', 'third');
    expect(await storage.read(name)).toBe('second');
  });
});

test('a file stays inside of its folder, and no part of one is left', async () => {
  const storage = new FileOffsetStorage(path.join(folder, 'inner'));
  await storage.write('../../outside', 'x');
  expect(fs.readdirSync(folder)).toEqual(['inner']);
  expect(fs.readdirSync(path.join(folder, 'inner'))).toHaveLength(1);
});

describe('a local offset store', () => {
  const queue = { topic: 'orders', brokerName: 'broker', queueId: 0 };
  const core = new ScriptedCore(({ code }) => ({ code: 0, fields: { offset: code } }));

  test('goes on where the member was, and otherwise where it is told to begin', async () => {
    const storage = new FileOffsetStorage(folder);
    const store = new LocalOffsetStore(core, storage, 'member/group');
    // The scripted broker answers with the request's code: 30 the end, 31 the beginning, 29 a time.
    expect(await store.initialOffset(queue, 'last')).toBe(30);
    expect(await store.initialOffset(queue, 'first')).toBe(31);
    expect(await store.initialOffset(queue, new Date())).toBe(29);
    await store.commit([{ queue, offset: 7 }]);
    const later = new LocalOffsetStore(core, storage, 'member/group');
    expect(await later.initialOffset(queue, 'last')).toBe(7);
    expect(await later.initialOffset({ ...queue, queueId: 1 }, 'last')).toBe(30);
  });

  test('takes a damaged text for none', async () => {
    const storage: OffsetStorage = {
      read: () => Promise.resolve('{"orders@broker@0": -4, "orders@broker@1": '),
      write: () => Promise.resolve(),
    };
    const store = new LocalOffsetStore(core, storage, 'x');
    expect(await store.initialOffset(queue, 'first')).toBe(31);
  });

  test('tells where it can not be written', async () => {
    const storage: OffsetStorage = {
      read: () => Promise.resolve(null),
      write: () => Promise.reject(new Error('disk full')),
    };
    const store = new LocalOffsetStore(core, storage, 'x');
    await expect(store.commit([{ queue, offset: 1 }])).rejects.toThrow(/disk full/);
  });
});
