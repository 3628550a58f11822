import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ConsumeQueue } from '../../src/store/consume-queue.ts';
import { ConsumeQueueUnits, UNIT_BYTES } from '../../src/store/consume-queue-units.ts';
import { ConsumeQueueStore } from '../../src/store/consume-queue-store.ts';
import {
  type DerivedFilesHarness,
  makeHarness,
  makeListeningLogger,
} from './derived-files-harness.ts';

const FILE_UNITS = 1000;
const FILE_BYTES = FILE_UNITS * UNIT_BYTES;
const RECORD_BYTES = 100;

function openStore(
  harness: DerivedFilesHarness,
  options: { descriptorCountMax?: number; logger?: ReturnType<typeof makeListeningLogger> } = {},
): ConsumeQueueStore {
  const store = new ConsumeQueueStore({
    files: harness.files,
    directory: path.join(harness.root, 'consumequeue'),
    deletedTopics: harness.deletedTopics,
    fileBytes: FILE_BYTES,
    logger: makeListeningLogger(),
    ...options,
  });
  store.load();
  return store;
}

function fill(queue: ConsumeQueue, count: number): void {
  const from = queue.maxOffset;
  for (let offset = from; offset < from + count; offset++)
    queue.append(offset, offset * RECORD_BYTES, RECORD_BYTES, 0, offset);
}

/** Queue 0 of a topic, known to the store. */
function queueOf(store: ConsumeQueueStore, topic = 'topic'): ConsumeQueue {
  const queue = store.queue(topic, 0);
  if (queue === undefined) throw new Error(`no queue of ${topic}`);
  return queue;
}

const relativePaths = (harness: DerivedFilesHarness, paths: string[]): string[] =>
  paths.map((file) => path.relative(harness.root, file) + (file.endsWith('/') ? '/' : '')).sort();

describe('consume queue store', () => {
  it('finds every queue again, and continues its offsets', () => {
    using harness = makeHarness();
    let store = openStore(harness);
    for (const topic of ['a', '%RETRY%group', 'b']) {
      for (const queueId of [0, 7]) fill(store.getOrCreate(topic, queueId), 10 + queueId);
    }
    store.writePending();
    store.close();
    store = openStore(harness);
    const found = [...store.queues()].map(
      ({ topic, queueId, maxOffset }) => `${topic} ${queueId} ${maxOffset}`,
    );
    expect(found.sort()).toEqual([
      '%RETRY%group 0 10',
      '%RETRY%group 7 17',
      'a 0 10',
      'a 7 17',
      'b 0 10',
      'b 7 17',
    ]);
    store.close();
  });

  it.each([0, 1, 199, 200, 201, 731, FILE_UNITS - 1, FILE_UNITS, FILE_UNITS + 1, 2 * FILE_UNITS])(
    'finds the end of a queue of %i units',
    (count) => {
      using harness = makeHarness();
      let store = openStore(harness);
      fill(store.getOrCreate('topic', 0), count);
      store.writePending();
      store.close();
      store = openStore(harness);
      expect(store.queue('topic', 0)?.maxOffset ?? 0).toBe(count);
      store.close();
    },
  );

  it('names what is to be synced: files, and directories that have got entries', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    fill(store.getOrCreate('topic', 0), 10);
    expect(store.takeUnsynced()).toEqual([]);
    expect(store.writePending()).toBe(10 * UNIT_BYTES);
    expect(relativePaths(harness, store.takeUnsynced())).toEqual([
      'consumequeue/',
      'consumequeue/topic/',
      'consumequeue/topic/0/',
      'consumequeue/topic/0/00000000000000000000',
    ]);
    expect(store.takeUnsynced()).toEqual([]);
    fill(queueOf(store), 1);
    store.writePending();
    expect(relativePaths(harness, store.takeUnsynced())).toEqual([
      'consumequeue/topic/0/00000000000000000000',
    ]);
    store.close();
  });

  it('writes a round in pieces: what was buffered at its start, and not what came since', () => {
    using harness = makeHarness();
    let store = openStore(harness);
    const queues = Array.from({ length: 10 }, (_, queueId) => store.getOrCreate('topic', queueId));
    for (const queue of queues) fill(queue, 5);
    store.startRound(Infinity);
    let pieceCount = 1;
    while (!store.continueRound(3)) {
      // One of those that are written already, and a new one.
      fill(queues[0], 1);
      fill(store.getOrCreate('late', pieceCount), 1);
      pieceCount++;
    }
    expect(pieceCount).toBeGreaterThan(3);
    const files = store.takeUnsynced().filter((file) => !file.endsWith('/'));
    expect(relativePaths(harness, files)).toEqual(
      queues.map((queue) => `consumequeue/topic/${queue.queueId}/00000000000000000000`),
    );
    expect(store.writePending()).toBe((pieceCount - 1) * 2 * UNIT_BYTES);
    store.close();
    store = openStore(harness);
    expect(store.queue('topic', 0)?.maxOffset).toBe(5 + pieceCount - 1);
    store.close();
  });

  describe('where many queues have something to write', () => {
    const MIB = 1024 * 1024;
    const place = (index: number): number => index * 1000;

    function openWith(harness: DerivedFilesHarness, queueCount: number) {
      const store = openStore(harness);
      const append = (index: number, physicalOffset: number): void => {
        const queue = store.getOrCreate('topic', index);
        queue.append(queue.maxOffset, physicalOffset, 100, 0, 0);
      };
      for (let index = 0; index < queueCount; index++) append(index, place(index));
      const writeRound = (end: number): number => {
        const holds = store.startRound(end);
        while (!store.continueRound(100));
        return holds;
      };
      const isWritten = (index: number): boolean =>
        harness.files.readFile(
          path.join(harness.root, 'consumequeue', 'topic', `${index}`, '0'.repeat(20)),
        ) !== undefined;
      return { store, append, writeRound, isWritten };
    }

    it('writes those that wait longest, so many that each has its turn within 1 GiB of log', () => {
      using harness = makeHarness();
      const { store, append, writeRound, isWritten } = openWith(harness, 1500);
      // One that waits already gets another: its place is that of its first.
      append(0, place(1500));
      expect(writeRound(place(1501))).toBe(place(128));
      expect([isWritten(0), isWritten(127), isWritten(128)]).toEqual([true, true, false]);
      // What comes now is behind those that wait.
      append(0, place(1502));
      // A quarter of 1373, and what is begun of one.
      const quarter = place(1501) + 256 * MIB;
      expect(writeRound(quarter)).toBe(place(128 + 344));
      expect([isWritten(471), isWritten(472)]).toEqual([true, false]);
      // Hardly any log: as many as without.
      expect(writeRound(quarter + 1000)).toBe(place(472 + 128));
      // All that is left, with 1 GiB since.
      const end = quarter + 1000 + 1024 * MIB;
      expect(writeRound(end)).toBe(end);
      expect(isWritten(1499)).toBe(true);
      expect(store.writePending()).toBe(0);
      store.close();
    });

    it('writes all that lag far behind, as after a start', () => {
      using harness = makeHarness();
      const { store, writeRound, isWritten } = openWith(harness, 1500);
      const far = 1024 * MIB + place(1300);
      expect(writeRound(far)).toBe(place(1300));
      expect([isWritten(1299), isWritten(1300)]).toEqual([true, false]);
      expect(writeRound(far)).toBe(place(1428));
      expect(writeRound(far)).toBe(far);
      expect(isWritten(1499)).toBe(true);
      store.close();
    });
  });

  it('finds the same after a clean stop without listing, and lists queues that have more than one file', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    fill(store.getOrCreate('short', 0), 3);
    const perFile = FILE_BYTES / UNIT_BYTES;
    fill(store.getOrCreate('long', 1), perFile + 1);
    store.writePending();
    store.close();
    const listed: string[] = [];
    const plain = { ...harness.files };
    harness.files.list = (directory) => {
      listed.push(path.relative(path.join(harness.root, 'consumequeue'), directory));
      return plain.list(directory);
    };
    const again = new ConsumeQueueStore({
      files: harness.files,
      directory: path.join(harness.root, 'consumequeue'),
      deletedTopics: harness.deletedTopics,
      fileBytes: FILE_BYTES,
      logger: makeListeningLogger(),
    });
    again.load(true);
    expect(listed.sort()).toEqual(['', 'long', 'long/1', 'short']);
    expect(again.queue('short', 0)).toMatchObject({ minOffset: 0, maxOffset: 3 });
    expect(again.queue('long', 1)).toMatchObject({ minOffset: 0, maxOffset: perFile + 1 });
    again.close();
  });

  it('syncs at close what nobody took for it', () => {
    using harness = makeHarness();
    const synced: string[] = [];
    const plain = { ...harness.files };
    harness.files.syncDescriptor = (descriptor) => {
      synced.push(fs.readlinkSync(`/proc/self/fd/${descriptor}`));
      plain.syncDescriptor(descriptor);
    };
    harness.files.syncDirectory = (directory) => {
      synced.push(directory);
      plain.syncDirectory(directory);
    };
    const store = openStore(harness);
    fill(store.getOrCreate('taken', 0), 10);
    store.writePending();
    store.takeUnsynced();
    fill(store.getOrCreate('left', 0), 10);
    store.writePending();
    store.close();
    expect(relativePaths(harness, synced)).toEqual([
      'consumequeue/',
      'consumequeue/left/',
      'consumequeue/left/0/',
      'consumequeue/left/0/00000000000000000000',
    ]);
  });

  it('needs no more descriptors than it may have, however many queues it writes', () => {
    using harness = makeHarness();
    const openFiles = (): number => fs.readdirSync('/proc/self/fd').length;
    const store = openStore(harness, { descriptorCountMax: 4 });
    const before = openFiles();
    for (let queueId = 0; queueId < 50; queueId++) fill(store.getOrCreate('topic', queueId), 2);
    store.writePending();
    expect(openFiles() - before).toBeLessThanOrEqual(4);
    store.close();
    expect(openFiles()).toBe(before);
  });

  it.each(['', '.', '..', 'a/b', '/etc', 'a\0b'])('refuses the topic name %j', (topic) => {
    using harness = makeHarness();
    const store = openStore(harness);
    expect(() => store.getOrCreate(topic, 0)).toThrow(/no topic name/);
    expect([...store.queues()]).toEqual([]);
    store.close();
  });

  it('ignores foreign files and directories, and says so', () => {
    using harness = makeHarness();
    const directory = path.join(harness.root, 'consumequeue');
    fs.mkdirSync(path.join(directory, 'topic', 'notes'), { recursive: true });
    fs.mkdirSync(path.join(directory, 'topic', '007'));
    fs.writeFileSync(path.join(directory, 'README'), 'mine');
    const logger = makeListeningLogger();
    const store = openStore(harness, { logger });
    expect([...store.queues()]).toEqual([]);
    expect(logger.messages).toHaveLength(3);
    store.close();
  });

  it('brings a file that a crash left short to its size', () => {
    using harness = makeHarness();
    let store = openStore(harness);
    fill(store.getOrCreate('topic', 0), 10);
    store.writePending();
    store.close();
    const file = path.join(harness.root, 'consumequeue/topic/0/00000000000000000000');
    fs.truncateSync(file, 4 * UNIT_BYTES + 3);
    store = openStore(harness);
    expect(queueOf(store).maxOffset).toBe(4);
    expect(fs.statSync(file).size).toBe(FILE_BYTES);
    store.close();
  });

  it('refuses files of a larger size, naming the key of the configuration', () => {
    using harness = makeHarness();
    const directory = path.join(harness.root, 'consumequeue/topic/0');
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(path.join(directory, '0'.repeat(20)), Buffer.alloc(FILE_BYTES * 2));
    expect(() => openStore(harness)).toThrow(/mappedFileSizeConsumeQueue/);
  });
});

describe('truncation of consume queues', () => {
  it('drops units at and past the end of the log, and never the place where offsets go on', () => {
    using harness = makeHarness();
    let store = openStore(harness);
    fill(store.getOrCreate('topic', 0), 2500);
    fill(store.getOrCreate('other', 0), 10);
    store.truncateTo(1000 * RECORD_BYTES);
    expect([queueOf(store).maxOffset, queueOf(store, 'other').maxOffset]).toEqual([1000, 10]);
    store.truncateTo(0);
    expect([queueOf(store).maxOffset, queueOf(store, 'other').maxOffset]).toEqual([0, 0]);
    store.close();
    store = openStore(harness);
    expect(queueOf(store).maxOffset).toBe(0);
    fill(queueOf(store), 3);
    expect(queueOf(store).maxOffset).toBe(3);
    store.close();
  });

  it('finds the last good unit before a hole that a loss of power left', () => {
    using harness = makeHarness();
    let store = openStore(harness);
    fill(store.getOrCreate('topic', 0), 900);
    store.writePending();
    store.close();
    // Units from 300 on were not synced: one page did not reach the disk, later ones did.
    const file = path.join(harness.root, 'consumequeue/topic/0/00000000000000000000');
    const descriptor = fs.openSync(file, 'r+');
    fs.writeSync(descriptor, Buffer.alloc(200 * UNIT_BYTES), 0, 200 * UNIT_BYTES, 350 * UNIT_BYTES);
    fs.closeSync(descriptor);
    store = openStore(harness);
    store.truncateTo(300 * RECORD_BYTES, true);
    expect(queueOf(store).maxOffset).toBe(300);
    const bytes = fs.readFileSync(file);
    expect(bytes.length).toBe(FILE_BYTES);
    expect(bytes.subarray(300 * UNIT_BYTES).every((byte) => byte === 0)).toBe(true);
    store.close();
  });

  it('clears what stands behind the end after a crash, though the end is right', () => {
    using harness = makeHarness();
    let store = openStore(harness);
    fill(store.getOrCreate('topic', 0), 900);
    store.writePending();
    store.close();
    const file = path.join(harness.root, 'consumequeue/topic/0/00000000000000000000');
    const descriptor = fs.openSync(file, 'r+');
    fs.writeSync(descriptor, Buffer.alloc(20 * UNIT_BYTES), 0, 20 * UNIT_BYTES, 100 * UNIT_BYTES);
    fs.writeSync(descriptor, Buffer.alloc(300 * UNIT_BYTES), 0, 300 * UNIT_BYTES, 500 * UNIT_BYTES);
    fs.closeSync(descriptor);
    store = openStore(harness);
    expect(queueOf(store).maxOffset).toBe(100);
    store.truncateTo(100 * RECORD_BYTES, true);
    expect(
      fs
        .readFileSync(file)
        .subarray(100 * UNIT_BYTES)
        .every((byte) => byte === 0),
    ).toBe(true);
    store.close();
  });
});

describe('retention of consume queues', () => {
  it('raises the first offset to the first record that is left, and deletes files wholly below', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    fill(store.getOrCreate('topic', 0), 2500);
    store.writePending();
    const directory = path.join(harness.root, 'consumequeue/topic/0');
    store.expireBelow(1500 * RECORD_BYTES - 1);
    expect(queueOf(store).minOffset).toBe(1500);
    expect(fs.readdirSync(directory)).toHaveLength(2);
    store.expireBelow(1500 * RECORD_BYTES + 1);
    expect(queueOf(store).minOffset).toBe(1501);
    store.close();
  });

  it('keeps the last file of a queue whose messages are all gone, so that offsets never start again', () => {
    using harness = makeHarness();
    let store = openStore(harness);
    fill(store.getOrCreate('topic', 0), 2000);
    store.writePending();
    store.expireBelow(Number.MAX_SAFE_INTEGER);
    expect([queueOf(store).minOffset, queueOf(store).maxOffset]).toEqual([2000, 2000]);
    expect(fs.readdirSync(path.join(harness.root, 'consumequeue/topic/0'))).toHaveLength(1);
    store.close();
    store = openStore(harness);
    store.expireBelow(Number.MAX_SAFE_INTEGER);
    expect([queueOf(store).minOffset, queueOf(store).maxOffset]).toEqual([2000, 2000]);
    store.close();
  });

  it('comes to all queues little by little, to the newest minimum, whenever that is told', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    // Of each record a message goes to each queue, one after the other.
    const queues = Array.from({ length: 50 }, (_, queueId) => store.getOrCreate('topic', queueId));
    for (const queue of queues) fill(queue, 10);
    store.writePending();
    const at = (minOffset: number): number =>
      queues.filter((queue) => queue.minOffset === minOffset).length;
    expect(store.isExpiring).toBe(false);
    store.beginExpiry(2 * RECORD_BYTES);
    expect(store.isExpiring).toBe(true);
    expect(at(2)).toBe(0);
    expect(store.expireSome(20)).toBe(true);
    expect(at(2)).toBe(20);
    store.beginExpiry(5 * RECORD_BYTES);
    expect(store.expireSome(40)).toBe(true);
    expect([at(0), at(2), at(5)]).toEqual([0, 10, 40]);
    expect(store.expireSome(40)).toBe(false);
    expect(at(5)).toBe(50);
    expect(store.isExpiring).toBe(false);
    store.close();
  });

  it('does not read the files of queues whose bounds it knows', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    for (let queueId = 0; queueId < 20; queueId++) fill(store.getOrCreate('topic', queueId), 10);
    store.writePending();
    store.writePending();
    store.expireBelow(1);
    const reads = harness.counts.reads;
    store.expireBelow(2);
    store.expireBelow(Number.MAX_SAFE_INTEGER);
    expect(harness.counts.reads - reads).toBeLessThanOrEqual(20);
    store.close();
  });
});

describe('deletion of a topic', () => {
  it('removes its files; what still holds a queue of it reads and writes nothing', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    fill(queue, 10);
    fill(store.getOrCreate('other', 0), 10);
    store.writePending();
    fill(queue, 5);
    store.deleteTopic('topic');
    expect(store.queue('topic', 0)).toBeUndefined();
    expect(queue.read(0, 32, new ConsumeQueueUnits(32))).toBe(0);
    fill(queue, 5);
    queue.append(queue.maxOffset + 5, 0, RECORD_BYTES, 0, 0);
    store.writePending();
    expect(fs.readdirSync(path.join(harness.root, 'consumequeue'))).toEqual(['other']);
    fill(store.getOrCreate('topic', 0), 2);
    expect(queueOf(store).maxOffset).toBe(2);
    store.close();
  });
});
