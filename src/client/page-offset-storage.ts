/**
 * @agent any
 *
 * Offsets of broadcasting members in a browser: localStorage, which the pages of a site share and which
 * stays; memory where there is none, as in workers.
 */
import { MemoryOffsetStorage, type OffsetStorage } from './offset-store.ts';

/** Of the Web Storage API, which Node's types leave out. */
interface PageStorage {
  getItem(name: string): string | null;
  setItem(name: string, text: string): void;
}

const PREFIX = 'millrace.offsets.';

export function pageOffsetStorage(): OffsetStorage {
  const storage = pageStorage();
  if (storage === null) return new MemoryOffsetStorage();
  return {
    read: (name) => Promise.resolve(storage.getItem(PREFIX + name)),
    write: (name, text) =>
      new Promise((resolve) => {
        storage.setItem(PREFIX + name, text);
        resolve();
      }),
  };
}

/** Null where there is none; asking for it throws where the user has forbidden it. */
function pageStorage(): PageStorage | null {
  try {
    const { localStorage } = globalThis as { localStorage?: PageStorage };
    return localStorage ?? null;
  } catch {
    return null;
  }
}
