/**
 * Recoveries that the crash explorer has shown to be wrong, each by itself.
 */
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { FaultyFiles } from '../store/faulty-files.ts';
import {
  endRequest,
  heartbeatRequest,
  physicalOffsetOf,
  pullRequest,
  type RawRequest,
  sendRequest,
} from '../workers/raw-client.ts';
import { readRecords } from '../workers/test-broker.ts';
import { checkHistory } from './checker.ts';
import { InlineBroker } from './inline-broker.ts';
import type { InlineClient } from './inline-client.ts';
import { Workload } from './workload.ts';

const START_MS = Date.UTC(2024, 0, 1);

function start(files: FaultyFiles, nowMs: number, flush: 'sync' | 'async' = 'sync'): InlineBroker {
  return new InlineBroker({
    files,
    wallClock: new ManualClock(nowMs),
    random: seededRandom(1),
    logger: silentLogger,
    flush,
    segmentBytes: 64 * 1024,
    // Under asynchronous flush it matters when what is synced.
    isLagging: flush === 'sync',
  });
}

function ask(broker: InlineBroker, client: InlineClient, request: RawRequest): RemotingCommand {
  const answers: RemotingCommand[] = [];
  client.request(request, (answer) => answers.push(answer));
  broker.settle();
  return answers[0];
}

const createTopic = (topic: string): RawRequest => ({
  code: 17,
  fields: { topic, readQueueNums: 1, writeQueueNums: 1, perm: 6, topicFilterType: 'SINGLE_TAG' },
});

const sendHalf = (id: string): RawRequest =>
  sendRequest({
    topic: 'Orders',
    body: id,
    properties: { TRAN_MSG: 'true', PGROUP: 'producers', UNIQ_KEY: `key-${id}` },
  });

const placeOf = (half: RemotingCommand): unknown[] => [
  half.extFields.get('queueOffset'),
  physicalOffsetOf(half),
];

const end = (half: RemotingCommand, decision: 8 | 12): RawRequest =>
  endRequest(half, 'producers', decision);

describe('after a crash', () => {
  test.each([
    ['a delay level', { DELAY: '1' }],
    ['a time', { TIMER_DELIVER_MS: String(START_MS + 900) }],
  ])('a message with %s finds its topic, of which nothing else is on the disk', (_, when) => {
    const files = new FaultyFiles();
    const broker = start(files, START_MS);
    const client = broker.connect();
    // The second within half a second: its table waits to be stored.
    ask(broker, client, createTopic('First'));
    ask(broker, client, createTopic('Second'));
    const sent = ask(
      broker,
      client,
      sendRequest({ topic: 'Second', body: 'late', properties: when }),
    );
    expect(sent.code).toBe(0);
    const next = files.losePower({ unitBytes: 4096, isKept: () => false });
    expect(next.readFile('/store/config/topics.json')?.toString()).not.toContain('Second');
    broker.kill();
    const again = start(next, START_MS + 2000);
    again.advance(2000);
    const reader = again.connect();
    ask(again, reader, heartbeatRequest('c', 'readers', 'Second'));
    const pulled = ask(again, reader, pullRequest('readers', 'Second', 0, 0));
    expect(readRecords(pulled.body).map(({ body }) => body)).toEqual(['late']);
    again.kill();
  });

  test.each([
    ['commit', 8],
    ['rollback', 12],
  ] as const)('the %s of a half that is lost does not decide the one at its place', (_, gone) => {
    const files = new FaultyFiles();
    const broker = start(files, START_MS, 'async');
    const client = broker.connect();
    ask(broker, client, createTopic('Orders'));
    ask(broker, client, sendRequest({ topic: 'Orders', body: 'first' }));
    // The round of timers that it begins has the log synced; what comes right after it waits for the interval.
    ask(broker, client, sendHalf('other'));
    const lost = ask(broker, client, sendHalf('lost'));
    expect(lost.code).toBe(0);
    const next = files.losePower({ unitBytes: 4096, isKept: () => false });
    broker.kill();
    const again = start(next, START_MS + 3000, 'async');
    const producer = again.connect();
    const half = ask(again, producer, sendHalf('next'));
    expect(half.code).toBe(0);
    expect(placeOf(half)).toEqual(placeOf(lost));
    ask(again, producer, heartbeatRequest('c', 'readers', 'Orders'));
    const bodies = (): string[] =>
      readRecords(ask(again, producer, pullRequest('readers', 'Orders', 0, 0)).body).map(
        ({ body }) => body,
      );
    expect(ask(again, producer, end(lost, gone)).code).toBe(1);
    expect(bodies()).toEqual(['first']);
    expect(ask(again, producer, end(half, 8)).code).toBe(0);
    expect(bodies()).toEqual(['first', 'next']);
    again.kill();
  });

  test('a kill at any call, and then the loss of power, loses nothing', () => {
    const files = new FaultyFiles();
    const wallClock = new ManualClock(START_MS);
    const workload = new Workload(seededRandom(2), 'a');
    const killed: { files: FaultyFiles; workload: Workload; nowMs: number }[] = [];
    const begin = (): InlineBroker => {
      const broker = start(files, START_MS);
      workload.attach(broker);
      return broker;
    };
    const broker = begin();
    files.onCall = () => {
      const fork = new Workload(seededRandom(3), `b${killed.length}.`, workload);
      killed.push({ files: files.killProcess(), workload: fork, nowMs: wallClock.nowMs() });
    };
    for (let queueId = 0; queueId < 3; queueId++) workload.sendPlain(queueId);
    broker.advance(1500);
    wallClock.advance(1500);
    files.onCall = null;
    broker.kill();
    expect(killed.length).toBeGreaterThan(20);
    for (const one of killed) {
      one.workload.events.push({ type: 'death', death: 'process', atMs: one.nowMs });
      const second = start(one.files, one.nowMs);
      one.workload.attach(second);
      // Long enough for the checkpoint to say that all of it is on the disk.
      second.advance(5000);
      second.kill();
      const nowMs = one.nowMs + 5000;
      one.workload.events.push({ type: 'death', death: 'power', atMs: nowMs });
      const third = start(one.files.losePower({ unitBytes: 4096, isKept: () => false }), nowMs);
      one.workload.attach(third);
      for (let queueId = 0; queueId < 3; queueId++) one.workload.sendPlain(queueId);
      third.advance(100);
      one.workload.dump(true);
      third.kill();
      expect(checkHistory(one.workload.events, { flush: 'sync' })).toEqual([]);
    }
  });
});
