/**
 * Administration over WebSocket, where each server speaks for its own broker alone, and of a broker
 * whose clock a test moves.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Admin, Producer } from '../../src/client/index.ts';
import { type EmbeddedBroker, startBroker, VirtualWallClock } from '../../src/testing/index.ts';

describe('over WebSocket', () => {
  let brokers: EmbeddedBroker[];
  let admin: Admin;
  let servers: string;

  beforeAll(async () => {
    brokers = await Promise.all(
      ['left', 'right'].map((brokerName) => startBroker({ brokerName, webPort: 0 })),
    );
    servers = brokers.map(({ webUrl }) => webUrl ?? '').join(';');
    admin = new Admin({ servers });
  });

  afterAll(async () => {
    await admin.close();
    for (const broker of brokers) await broker.close();
  });

  test('all brokers are one cluster: each is asked at its own URL', async () => {
    const names = (await admin.brokers()).map(({ brokerName }) => brokerName);
    expect(names).toEqual(['left', 'right']);
    const made = await admin.createTopic('wide', { queueCount: 2 });
    expect(made.brokers.map(({ brokerName }) => brokerName)).toEqual(['left', 'right']);
    const health = await admin.health();
    expect(health.map(({ address }) => address)).toEqual(brokers.map(({ webUrl }) => webUrl));
  });

  test('messages of all are counted, found and reset', async () => {
    await using producer = new Producer({ servers, group: 'web' });
    const sent = [];
    for (const brokerName of ['left', 'right']) {
      const queue = { topic: 'wide', brokerName, queueId: 0 };
      sent.push(await producer.send({ topic: 'wide', body: brokerName, keys: 'key', queue }));
    }
    const status = await admin.topicStatus('wide');
    expect(status.messageCount).toBe(2);
    expect(status.queues).toHaveLength(4);
    const found = await admin.messagesByKey('wide', 'key');
    expect(found.map((message) => message.text()).sort()).toEqual(['left', 'right']);
    for (const { offsetMessageId, queue } of sent)
      expect((await admin.messageById(offsetMessageId)).text()).toBe(queue.brokerName);
    await admin.createGroup('readers');
    const { queues } = await admin.resetOffset('readers', 'wide', 'last');
    expect(queues.map(({ brokerName, after }) => `${brokerName} ${after}`)).toEqual([
      'left 1',
      'left 0',
      'right 1',
      'right 0',
    ]);
    const { brokers: deleted } = await admin.deleteTopic('wide');
    expect(deleted).toEqual(['left', 'right']);
  });
});

test('a clock that stands is moved, and what was due by then has been delivered', async () => {
  const clock = new VirtualWallClock();
  await using broker = await startBroker({ clock, topics: ['reminders'] });
  await using admin = new Admin({ servers: broker.nameServer });
  await using producer = new Producer({ servers: broker.nameServer, group: 'shop' });
  await producer.send({ topic: 'reminders', body: 'pay', delayMs: 30 * 60_000 });
  const startMs = clock.nowMs();
  await admin.advanceClock(29 * 60_000);
  expect((await admin.topicStatus('reminders')).messageCount).toBe(0);
  const { wallMs } = await admin.advanceClock(60_000);
  expect(wallMs).toBe(startMs + 30 * 60_000);
  expect((await admin.topicStatus('reminders')).messageCount).toBe(1);
});
