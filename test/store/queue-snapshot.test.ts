/**
 * Where queues end, stored in one file: a start that takes them from there finds the same as one that
 * reads each queue's files, also where a crash has left more in the files than the snapshot says.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ConsumeQueue } from '../../src/store/consume-queue.ts';
import { ConsumeQueueStore } from '../../src/store/consume-queue-store.ts';
import { ConsumeQueueUnits, UNIT_BYTES } from '../../src/store/consume-queue-units.ts';
import { decodeQueueSnapshot, type QueueSnapshot } from '../../src/store/queue-snapshot.ts';
import {
  type DerivedFilesHarness,
  makeHarness,
  makeListeningLogger,
} from './derived-files-harness.ts';

const FILE_UNITS = 1000;
const RECORD_BYTES = 100;

function makeStore(harness: DerivedFilesHarness): ConsumeQueueStore {
  return new ConsumeQueueStore({
    files: harness.files,
    directory: path.join(harness.root, 'consumequeue'),
    deletedTopics: harness.deletedTopics,
    fileBytes: FILE_UNITS * UNIT_BYTES,
    logger: makeListeningLogger(),
  });
}

function fill(queue: ConsumeQueue, count: number, shift = 0): void {
  const from = queue.maxOffset;
  for (let offset = from; offset < from + count; offset++)
    queue.append(offset, offset * RECORD_BYTES + shift, RECORD_BYTES, 0, offset);
}

function snapshotOf(store: ConsumeQueueStore): QueueSnapshot {
  const snapshot = decodeQueueSnapshot(store.snapshot(1000, 2000));
  if (snapshot === null) throw new Error('a snapshot that was just made is not believed');
  return snapshot;
}

/** Every queue with all that can be read from it. */
function contentOf(store: ConsumeQueueStore): string[] {
  const units = new ConsumeQueueUnits(100);
  return [...store.queues()]
    .map((queue) => {
      const read: number[] = [];
      for (let offset = queue.minOffset; offset < queue.maxOffset;) {
        const count = queue.read(offset, 100, units);
        if (count === 0) break;
        read.push(...units.physicalOffset.subarray(0, count));
        offset += count;
      }
      return `${queue.topic} ${queue.queueId} ${queue.minOffset} ${queue.maxOffset} ${read.join()}`;
    })
    .sort();
}

/** What a start finds that reads every file. */
function contentOnFile(harness: DerivedFilesHarness): string[] {
  const store = makeStore(harness);
  store.load();
  const content = contentOf(store);
  store.close();
  return content;
}

function filledStore(harness: DerivedFilesHarness): ConsumeQueueStore {
  const store = makeStore(harness);
  fill(store.getOrCreate('a', 0), 3);
  fill(store.getOrCreate('a', 5), FILE_UNITS + 7);
  fill(store.getOrCreate('%RETRY%gruppe-ü', 1), FILE_UNITS);
  store.writePending();
  return store;
}

describe('a snapshot of the queues', () => {
  it('says of every queue what its files say, and opens none of them', () => {
    using harness = makeHarness();
    const store = filledStore(harness);
    // The second time the queue finds out what it begins with now.
    for (let time = 0; time < 2; time++) store.getOrCreate('a', 5).expireBelow(40 * RECORD_BYTES);
    const snapshot = snapshotOf(store);
    expect(snapshot).toMatchObject({ position: 1000, end: 2000 });
    const restored = makeStore(harness);
    const opens = harness.counts.opens;
    expect(restored.restore(snapshot, false)).toBe(true);
    restored.truncateTo((FILE_UNITS + 7) * RECORD_BYTES);
    restored.expireBelow(0);
    expect(harness.counts.opens).toBe(opens);
    expect(contentOf(restored)).toEqual(contentOf(store));
    expect(restored.isSettled).toBe(true);
  });

  it('leaves out units that are not written yet', () => {
    using harness = makeHarness();
    const store = filledStore(harness);
    const written = contentOf(store);
    fill(store.getOrCreate('a', 0), 4);
    fill(store.getOrCreate('b', 0), 4);
    const restored = makeStore(harness);
    restored.restore(snapshotOf(store), false);
    expect(contentOf(restored)).toEqual(written);
  });

  it('is believed only whole', () => {
    using harness = makeHarness();
    const store = makeStore(harness);
    fill(store.getOrCreate('topic', 0), 3);
    store.writePending();
    const bytes = store.snapshot(1000, 2000);
    expect(decodeQueueSnapshot(undefined)).toBeNull();
    for (let at = 0; at < bytes.length; at++) {
      expect(decodeQueueSnapshot(bytes.subarray(0, at))).toBeNull();
      for (const bit of [1, 128]) {
        const flipped = Buffer.from(bytes);
        flipped[at] ^= bit;
        expect(decodeQueueSnapshot(flipped)).toBeNull();
      }
    }
  });

  it('is not taken where one of its topics is gone', () => {
    using harness = makeHarness();
    const snapshot = snapshotOf(filledStore(harness));
    fs.rmSync(path.join(harness.root, 'consumequeue', 'a'), { recursive: true });
    const restored = makeStore(harness);
    expect(restored.restore(snapshot, false)).toBe(false);
    expect([...restored.queues()]).toEqual([]);
  });

  it('counts a record that does not follow: the topic was made again since', () => {
    using harness = makeHarness();
    const snapshot = snapshotOf(filledStore(harness));
    const restored = makeStore(harness);
    restored.restore(snapshot, true);
    const queue = restored.getOrCreate('a', 0);
    // Read again from the log: it is known already.
    queue.append(2, 2 * RECORD_BYTES, RECORD_BYTES, 0, 0);
    expect(restored.mismatchCount).toBe(0);
    queue.append(0, 5000, RECORD_BYTES, 0, 0);
    expect(restored.mismatchCount).toBe(1);
    queue.append(9, 6000, RECORD_BYTES, 0, 0);
    expect(restored.mismatchCount).toBe(2);
  });
});

describe('a snapshot of queues that a crash has left with more than it says', () => {
  /** Units that the log has lost: behind the end, in a file more, and of queues that were new. */
  function addRemains(store: ConsumeQueueStore): void {
    fill(store.getOrCreate('a', 0), 8, 77);
    fill(store.getOrCreate('a', 5), FILE_UNITS, 77);
    fill(store.getOrCreate('a', 6), 8, 77);
    fill(store.getOrCreate('new', 0), 8, 77);
    store.writePending();
    store.close();
  }

  it('has the rest cleared little by little', () => {
    using harness = makeHarness();
    const store = filledStore(harness);
    const snapshot = snapshotOf(store);
    const before = contentOf(store);
    addRemains(store);
    const restored = makeStore(harness);
    expect(restored.restore(snapshot, true)).toBe(true);
    expect(contentOf(restored)).toEqual(before);
    for (let round = 0; !restored.isSettled; round++) {
      expect(round).toBeLessThan(20);
      restored.settle(1);
    }
    restored.close();
    const empty = ['a 6 0 0 ', 'new 0 0 0 '];
    expect(contentOnFile(harness)).toEqual([...before, ...empty].sort());
  });

  it('has it cleared before something is written there', () => {
    using harness = makeHarness();
    const store = filledStore(harness);
    const snapshot = snapshotOf(store);
    addRemains(store);
    const restored = makeStore(harness);
    restored.restore(snapshot, true);
    for (const [topic, queueId] of [
      ['a', 0],
      ['a', 5],
      ['a', 6],
      ['new', 0],
    ] as const)
      fill(restored.getOrCreate(topic, queueId), 2, 11);
    const content = contentOf(restored);
    restored.writePending();
    restored.close();
    expect(contentOnFile(harness)).toEqual(content);
  });
});

describe('the place of a queue whose topic was deleted', () => {
  it('goes to another queue, which who still holds the first one does not change', () => {
    using harness = makeHarness();
    const store = makeStore(harness);
    const deleted = store.getOrCreate('deleted', 0);
    fill(deleted, 5);
    store.deleteTopic('deleted');
    const next = store.getOrCreate('next', 0);
    fill(next, 2);
    expect(next.place).toBe(deleted.place);
    deleted.append(5, 500, RECORD_BYTES, 0, 0);
    deleted.writePending();
    expect(deleted).toMatchObject({ minOffset: 5, maxOffset: 5 });
    expect(contentOf(store)).toEqual(['next 0 0 2 0,100']);
    store.writePending();
    store.close();
    expect(contentOnFile(harness)).toEqual(['next 0 0 2 0,100']);
  });
});
