/** Files of deleted topics: moved at once, removed little by little; on real files, and on a disk that fails. */
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { DeletedTopics } from '../../src/store/deleted-topics.ts';
import { makeHarness } from './derived-files-harness.ts';
import { FaultyFiles } from './faulty-files.ts';

/** `consumequeue/<topic>` with so many queues of two files. */
function makeTopic(root: string, topic: string, queueCount: number): string {
  const directory = path.join(root, 'consumequeue', topic);
  for (let queueId = 0; queueId < queueCount; queueId++) {
    fs.mkdirSync(`${directory}/${queueId}`, { recursive: true });
    for (const name of ['0', '6000000']) fs.writeFileSync(`${directory}/${queueId}/${name}`, name);
  }
  return directory;
}

/** Files and directories, at any depth. */
const countOf = (directory: string): number =>
  fs.existsSync(directory) ? fs.readdirSync(directory, { recursive: true }).length : 0;

test('what is taken is gone from its place, and removed a few at a time', () => {
  using harness = makeHarness();
  const place = path.join(harness.root, 'deleted');
  const topic = makeTopic(harness.root, 'big', 10);
  fs.writeFileSync(path.join(topic, 'notes.txt'), 'of somebody else');
  const kept = makeTopic(harness.root, 'kept', 1);
  const deleted = new DeletedTopics(harness.files, place);
  deleted.take(topic);
  expect(fs.existsSync(topic)).toBe(false);
  // The topic, its queues, their files, and the foreign one.
  expect(countOf(place)).toBe(1 + 10 + 20 + 1);
  let before = countOf(place);
  let turns = 0;
  for (; deleted.removeSome(4); turns++) {
    expect(before - countOf(place)).toBeLessThanOrEqual(4);
    before = countOf(place);
  }
  expect(turns).toBeGreaterThan(8);
  expect(countOf(place)).toBe(0);
  expect(countOf(kept)).toBe(3);
});

test('one is removed like the others that comes while they are', () => {
  using harness = makeHarness();
  const place = path.join(harness.root, 'deleted');
  const deleted = new DeletedTopics(harness.files, place);
  const remover = new DeletedTopics(harness.files, place);
  for (const topic of ['first', 'second']) {
    deleted.take(makeTopic(harness.root, topic, 3));
    remover.removeSome(5);
  }
  while (remover.removeSome(5));
  expect(countOf(place)).toBe(0);
  expect(remover.removeSome(5)).toBe(false);
});

test('what a start finds there is removed, and nothing takes its name', () => {
  using harness = makeHarness();
  const place = path.join(harness.root, 'deleted');
  new DeletedTopics(harness.files, place).take(makeTopic(harness.root, 'before', 2));
  const deleted = new DeletedTopics(harness.files, place);
  deleted.take(makeTopic(harness.root, 'after', 2));
  expect(fs.readdirSync(place)).toHaveLength(2);
  while (deleted.removeSome(100));
  expect(countOf(place)).toBe(0);
});

test('a topic without files leaves none', () => {
  using harness = makeHarness();
  const deleted = new DeletedTopics(harness.files, path.join(harness.root, 'deleted'));
  deleted.take(path.join(harness.root, 'consumequeue', 'none'));
  expect(deleted.removeSome(1)).toBe(false);
});

function faulty(): { files: FaultyFiles; deleted: DeletedTopics } {
  const files = new FaultyFiles();
  files.makeDirectory('/store/consumequeue/topic/0');
  files.closeDescriptor(files.open('/store/consumequeue/topic/0/0', true));
  return { files, deleted: new DeletedTopics(files, '/store/deleted') };
}

test('on a full disk, which takes no directory, the files are removed at once', () => {
  const { files, deleted } = faulty();
  files.failure = { call: files.callCount + 1, fault: 'ENOSPC', isLasting: true, only: /^make / };
  deleted.take('/store/consumequeue/topic');
  expect(files.files()).toEqual([]);
});

test('where the file system is read-only they stay', () => {
  const { files, deleted } = faulty();
  files.failure = { call: files.callCount + 1, fault: 'EROFS', isLasting: true };
  deleted.take('/store/consumequeue/topic');
  expect(files.files()).toEqual(['/store/consumequeue/topic/0/0']);
});
