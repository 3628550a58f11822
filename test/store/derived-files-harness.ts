/**
 * A temporary store directory with plain files, and file calls that can be made to fail: for tests of
 * the derived files.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BrokerError } from '../../src/base/errors.ts';
import { DeletedTopics } from '../../src/store/deleted-topics.ts';
import { createPlainFiles } from '../../src/store/plain-files.ts';
import type { StoreFiles } from '../../src/store/segment.ts';

export interface DerivedFilesHarness extends Disposable {
  readonly root: string;
  readonly files: StoreFiles;
  readonly deletedTopics: DeletedTopics;
  /** Calls of `readAt` and `open` so far. */
  readonly counts: { reads: number; opens: number };
  /** While true, writes and new files fail as on a full disk. */
  isFull: boolean;
}

export function makeHarness(): DerivedFilesHarness {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-store-'));
  const plain = createPlainFiles();
  const counts = { reads: 0, opens: 0 };
  const refuseWhenFull = (): void => {
    if (harness.isFull) throw new BrokerError('STORE_NO_SPACE', 'the disk of this test is full');
  };
  const files: StoreFiles = {
    ...plain,
    open(file, create) {
      counts.opens++;
      if (create) refuseWhenFull();
      return plain.open(file, create);
    },
    readAt(descriptor, target, targetOffset, bytes, position) {
      counts.reads++;
      return plain.readAt(descriptor, target, targetOffset, bytes, position);
    },
    writeAt(descriptor, source, from, to, position) {
      refuseWhenFull();
      plain.writeAt(descriptor, source, from, to, position);
    },
  };
  const harness: DerivedFilesHarness = {
    root,
    files,
    deletedTopics: new DeletedTopics(files, path.join(root, 'deleted')),
    counts,
    isFull: false,
    [Symbol.dispose]: () => fs.rmSync(root, { recursive: true, force: true }),
  };
  return harness;
}

/** Collects the messages of warnings and errors. */
export function makeListeningLogger() {
  const messages: string[] = [];
  const listen = (_fields: object, message: string): void => void messages.push(message);
  return { messages, debug() {}, info() {}, warn: listen, error: listen };
}
