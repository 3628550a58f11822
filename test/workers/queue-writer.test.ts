/** The queue writer and the files of deleted topics; batches are tested with the dispatcher that makes them. */
import { expect, test } from 'vitest';
import { Doorbell } from '../../src/ring/doorbell.ts';
import { allocateRings, SpscRingConsumer } from '../../src/ring/spsc-ring.ts';
import { DeletedTopics } from '../../src/store/deleted-topics.ts';
import { PositionSlot, StorePositions } from '../../src/store/store-positions.ts';
import { QueueWriter } from '../../src/workers/queue-writer.ts';
import { makeListeningLogger } from '../store/derived-files-harness.ts';
import { FaultyFiles } from '../store/faulty-files.ts';

const TOPIC = '/store/consumequeue/topic';

function start() {
  const files = new FaultyFiles();
  for (let queueId = 0; queueId < 20; queueId++) {
    files.makeDirectory(`${TOPIC}/${queueId}`);
    files.closeDescriptor(files.open(`${TOPIC}/${queueId}/0`, true));
  }
  const positions = new StorePositions();
  const logger = makeListeningLogger();
  const rings = allocateRings([['ring', 64 * 1024]], (bytes) => new SharedArrayBuffer(bytes));
  const writer = new QueueWriter({
    inbound: new SpscRingConsumer(rings[0][1]),
    files,
    directory: '/store/consumequeue',
    deletedTopics: new DeletedTopics(files, '/store/deleted'),
    positions,
    logger,
    dispatcherDoorbell: new Doorbell(Doorbell.allocate(), null),
  });
  return { files, positions, logger, writer };
}

function deleteTopic(files: FaultyFiles, positions: StorePositions): void {
  new DeletedTopics(files, '/store/deleted').take(TOPIC);
  positions.publish(PositionSlot.TOPICS_DELETED, 1);
}

test('removes them a few in each turn, and then has nothing to do', () => {
  const { files, positions, writer } = start();
  while (writer.doWork() > 0);
  deleteTopic(files, positions);
  let turns = 0;
  for (; writer.doWork() > 0; turns++) expect(files.files().length).toBeLessThanOrEqual(20);
  expect(turns).toBeGreaterThan(3);
  expect(files.files()).toEqual([]);
  expect(writer.doWork()).toBe(0);
});

test('removes at its start what the last broker has left', () => {
  const { files, writer } = start();
  new DeletedTopics(files, '/store/deleted').take(TOPIC);
  while (writer.doWork() > 0);
  expect(files.files()).toEqual([]);
});

test('leaves them where they can not be removed, says so, and lives', () => {
  const { files, positions, logger, writer } = start();
  while (writer.doWork() > 0);
  deleteTopic(files, positions);
  files.failure = { call: files.callCount + 1, fault: 'EIO', isLasting: true };
  while (writer.doWork() > 0);
  expect(files.files()).toHaveLength(20);
  expect(logger.messages).toEqual(['files of deleted topics stay until the next start']);
});
