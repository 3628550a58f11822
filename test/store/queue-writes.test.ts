/** Units that another writes to their files, while queues go on. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConsumeQueueUnits, UNIT_BYTES } from '../../src/store/consume-queue-units.ts';
import { ConsumeQueueStore } from '../../src/store/consume-queue-store.ts';
import { decodeQueueSnapshot } from '../../src/store/queue-snapshot.ts';
import { writeEntry } from '../../src/store/queue-writes.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import {
  type DerivedFilesHarness,
  makeHarness,
  makeListeningLogger,
} from './derived-files-harness.ts';

const FILE_UNITS = 100;
const FILE_BYTES = FILE_UNITS * UNIT_BYTES;
const RECORD_BYTES = 100;

class Setting implements Disposable {
  readonly harness: DerivedFilesHarness = makeHarness();
  readonly directory = path.join(this.harness.root, 'consumequeue');
  store = this.#open();
  /** Where the next record stands in the log. */
  position = 0;

  #open(): ConsumeQueueStore {
    const { files, deletedTopics } = this.harness;
    const logger = makeListeningLogger();
    const store = new ConsumeQueueStore({
      files,
      directory: this.directory,
      deletedTopics,
      fileBytes: FILE_BYTES,
      logger,
    });
    store.load();
    return store;
  }

  reopen(): void {
    this.store.close();
    this.store = this.#open();
  }

  append(topic: string, queueId: number, count = 1): void {
    const queue = this.store.getOrCreate(topic, queueId);
    for (let left = count; left > 0; left--, this.position += RECORD_BYTES)
      queue.append(queue.maxOffset, this.position, RECORD_BYTES, 0, queue.maxOffset);
  }

  /** Writes entries of a batch as the other does, all of them or the first ones. */
  write(batch: Buffer | null, countMax = Infinity): void {
    if (batch === null) return;
    const place = { files: this.harness.files, directory: this.directory, fileBytes: FILE_BYTES };
    let at = 0;
    for (let count = 0; at < batch.length && count < countMax; count++)
      at = writeEntry(place, batch, at);
  }

  /** Places of the records that a queue knows, from its first to its last. */
  places(topic: string, queueId: number): number[] {
    const queue = this.store.queue(topic, queueId);
    const places: number[] = [];
    const units = new ConsumeQueueUnits(64);
    for (let offset = queue?.minOffset ?? 0; offset < (queue?.maxOffset ?? 0);) {
      const count = queue?.read(offset, 64, units) ?? 0;
      for (let index = 0; index < count; index++) places.push(units.physicalOffset[index]);
      offset += count;
    }
    return places;
  }

  [Symbol.dispose](): void {
    this.store.close();
    this.harness[Symbol.dispose]();
  }
}

describe('units that were handed over', () => {
  it('are found at the next start, in files that were made for them, and what came since is not', () => {
    using setting = new Setting();
    setting.append('topic', 0, 250);
    setting.append('other', 3, 2);
    setting.store.startRound(setting.position);
    const batch = setting.store.handOver();
    setting.append('topic', 0, 5);
    setting.write(batch);
    setting.store.confirm();
    expect(setting.store.handOver()).toBeNull();
    const files = setting.store.takeUnsynced().filter((file) => file.includes('topic/0/0'));
    expect(files.map((file) => path.basename(file))).toEqual([
      '00000000000000000000',
      '00000000000000002000',
      '00000000000000004000',
    ]);
    expect(setting.places('topic', 0)).toHaveLength(255);
    setting.reopen();
    expect(setting.store.queue('topic', 0)?.maxOffset).toBe(250);
    expect(setting.places('other', 3)).toEqual([25_000, 25_100]);
  });

  it('stay in memory, and count as not written, until they are confirmed', () => {
    using setting = new Setting();
    const { store } = setting;
    setting.append('topic', 0, 10);
    store.writePending();
    setting.append('topic', 0, 90);
    store.startRound(setting.position);
    const batch = store.handOver();
    const places = setting.places('topic', 0);
    const endOf = (): number | undefined =>
      decodeQueueSnapshot(store.snapshot(0, 0))?.topics[0].queues[0].numbers.endOffset;
    expect(endOf()).toBe(10);
    // Nothing is on file, and it is read all the same.
    while (!store.continueRound(10));
    expect(setting.places('topic', 0)).toEqual(places);
    setting.write(batch);
    store.confirm();
    expect(endOf()).toBe(100);
    for (let rounds = 0; rounds < 3; rounds++) store.writePending();
    expect(setting.places('topic', 0)).toEqual(places);
  });

  it('wait again where they found no space, in front of what came since', () => {
    using setting = new Setting();
    const { store } = setting;
    for (let queueId = 0; queueId < 300; queueId++) setting.append('topic', queueId);
    store.startRound(setting.position);
    const batch = store.handOver();
    // Queue 0 gets another, and one that waits for a later batch, too.
    setting.append('topic', 0);
    setting.append('topic', 200);
    setting.write(batch, 20);
    store.giveBack();
    expect(store.isHandedOver).toBe(false);
    // The round writes 128 queues: the place of the first behind them, in the order of their first records.
    expect(store.startRound(setting.position)).toBe(128 * RECORD_BYTES);
    for (let next = store.handOver(); next !== null; next = store.handOver()) {
      setting.write(next);
      store.confirm();
    }
    setting.reopen();
    expect(setting.places('topic', 0)).toEqual([0, 300 * RECORD_BYTES]);
    expect(setting.places('topic', 127)).toEqual([127 * RECORD_BYTES]);
    expect(setting.places('topic', 128)).toEqual([]);
  });

  it('do not bring back the files of a topic that is deleted meanwhile, nor lose those of the next of its name', () => {
    using setting = new Setting();
    const { store } = setting;
    setting.append('topic', 0, 3);
    setting.append('kept', 0, 3);
    store.startRound(setting.position);
    const batch = store.handOver();
    store.deleteTopic('topic');
    // So many that a queue writes its buffer without waiting for a round.
    setting.append('topic', 1, 5000);
    const places = setting.places('topic', 1);
    setting.write(batch);
    store.confirm();
    store.startRound(Infinity);
    for (let next = store.handOver(); next !== null; next = store.handOver()) {
      setting.write(next);
      store.confirm();
    }
    setting.reopen();
    expect(setting.store.queue('topic', 0)).toBeUndefined();
    expect(setting.places('topic', 1)).toEqual(places);
    expect(setting.places('kept', 0)).toHaveLength(3);
  });

  it('go to files that retention takes only afterwards', () => {
    using setting = new Setting();
    const { store } = setting;
    setting.append('topic', 0, 250);
    store.startRound(setting.position);
    const batch = store.handOver();
    store.expireBelow(220 * RECORD_BYTES);
    setting.write(batch);
    store.confirm();
    expect(store.queue('topic', 0)?.minOffset).toBe(220);
    expect(setting.harness.files.list(`${setting.directory}/topic/0`)).toEqual([
      '00000000000000004000',
    ]);
  });

  it.each(Array.from({ length: 30 }, (_, index) => index + 1))(
    'are whole in any order of appends, batches, refusals, direct writes and rests: seed %d',
    (seed) => {
      using setting = new Setting();
      const { store } = setting;
      const random = seededRandom(seed);
      const expected = new Map<number, number[]>();
      let batch: Buffer | null = null;
      for (let step = 0; step < 300; step++) {
        const chance = random();
        if (chance < 0.6) {
          const queueId = Math.floor(random() * 5);
          const count = random() < 0.02 ? 4500 : 1 + Math.floor(random() * 20);
          const places = expected.get(queueId) ?? [];
          for (let index = 0; index < count; index++)
            places.push(setting.position + index * RECORD_BYTES);
          expected.set(queueId, places);
          setting.append('topic', queueId, count);
        } else if (batch !== null) {
          const isRefused = random() < 0.3;
          setting.write(batch, isRefused ? Math.floor(random() * 3) : Infinity);
          if (isRefused) store.giveBack();
          else store.confirm();
          batch = isRefused ? null : store.handOver();
        } else if (chance < 0.8) {
          store.startRound(setting.position);
          batch = store.handOver();
        } else while (!store.continueRound(1 + Math.floor(random() * 4)));
      }
      if (batch !== null) store.giveBack();
      for (const [queueId, places] of expected)
        expect(setting.places('topic', queueId)).toEqual(places);
      store.writePending();
      setting.reopen();
      for (const [queueId, places] of expected)
        expect(setting.places('topic', queueId)).toEqual(places);
    },
  );
});
