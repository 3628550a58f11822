/**
 * Goal: with our own clients in the same process, everything that follows from a due time has happened when
 * `advance` resolves, whatever the listeners take for it. Method: real producers and consumers, and no waiting in
 * the tests but for `advance`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Admin, Consumer, Producer, RetryLater } from '../../src/client/index.ts';
import { startBroker, VirtualWallClock } from '../../src/testing/index.ts';

const secondsSince = (clock: VirtualWallClock): (() => number) => {
  const startMs = clock.nowMs();
  return () => (clock.nowMs() - startMs) / 1000;
};

test('waits for listeners that take their time, and for what they send', async () => {
  const clock = new VirtualWallClock();
  await using broker = await startBroker({ clock, topics: ['first', 'second'] });
  const servers = broker.nameServer;
  await using producer = new Producer({ servers, group: 'chain' });
  await using first = new Consumer({ servers, group: 'first', from: 'first' });
  await using second = new Consumer({ servers, group: 'second', from: 'first' });
  const seen: string[] = [];
  first.subscribe('first');
  await first.run(async (message) => {
    await pause(30);
    await producer.send({ topic: 'second', body: `${message.text()} and on` });
    await pause(30);
    seen.push('first');
  });
  second.subscribe('second');
  await second.run(async (message) => {
    await pause(60);
    seen.push(message.text());
  });
  await producer.send({ topic: 'first', body: 'due', delayMs: 3_600_000 });
  await clock.advance('1h');
  expect(seen.sort()).toEqual(['due and on', 'first']);
});

test('drives the retries of a consumer to the dead letters, each at its time', async () => {
  const clock = new VirtualWallClock();
  await using broker = await startBroker({ clock, topics: ['work'] });
  const servers = broker.nameServer;
  await using producer = new Producer({ servers, group: 'boss' });
  await using consumer = new Consumer({ servers, group: 'workers', from: 'first', maxAttempts: 4 });
  const seconds = secondsSince(clock);
  const attempts: string[] = [];
  consumer.subscribe('work');
  await consumer.run((message) => {
    attempts.push(`${message.deliveryAttempt}: ${seconds()} s`);
    throw new RetryLater();
  });
  await producer.send({ topic: 'work', body: 'hopeless' });
  await clock.settle();
  expect(attempts).toEqual(['1: 0 s']);
  await clock.advance('1d');
  expect(attempts).toEqual(['1: 0 s', '2: 10 s', '3: 40 s', '4: 100 s']);
  await using undertaker = new Consumer({ servers, group: 'undertakers', from: 'first' });
  const dead: string[] = [];
  undertaker.subscribe('%DLQ%workers');
  await undertaker.run((message) => void dead.push(message.text()));
  await clock.settle();
  expect(dead).toEqual(['hopeless']);
});

test('asks a producer what became of its transaction, until it knows', async () => {
  const clock = new VirtualWallClock();
  await using broker = await startBroker({ clock, topics: ['orders'] });
  const servers = broker.nameServer;
  const seconds = secondsSince(clock);
  const asked: number[] = [];
  await using producer = new Producer({
    servers,
    group: 'shop',
    checkTransaction: () => {
      asked.push(seconds());
      return asked.length < 3 ? 'unknown' : 'commit';
    },
  });
  await using consumer = new Consumer({ servers, group: 'stock', from: 'first' });
  const received: string[] = [];
  consumer.subscribe('orders');
  await consumer.run((message) => void received.push(`${message.text()} after ${seconds()} s`));
  await producer.sendInTransaction({ topic: 'orders', body: 'order' }, () => 'unknown');
  await clock.advance('1h');
  expect(asked).toEqual([6, 36, 66]);
  expect(received).toEqual(['order after 66 s']);
});

test('lets two brokers that keep the same time work for each other', async () => {
  const clock = new VirtualWallClock();
  await using left = await startBroker({ clock, topics: ['ball'] });
  await using right = await startBroker({ clock, topics: ['ball'] });
  const seconds = secondsSince(clock);
  const bounces: string[] = [];
  await using stack = new AsyncDisposableStack();
  for (const [name, from, to] of [
    ['left', left, right],
    ['right', right, left],
  ] as const) {
    const producer = stack.use(new Producer({ servers: to.nameServer, group: name }));
    const consumer = stack.use(
      new Consumer({ servers: from.nameServer, group: name, from: 'first' }),
    );
    consumer.subscribe('ball');
    await consumer.run(async () => {
      bounces.push(`${name} ${seconds()} s`);
      await producer.send({ topic: 'ball', body: 'ball', delayMs: 60_000 });
    });
  }
  await using serve = new Producer({ servers: left.nameServer, group: 'serve' });
  await serve.send({ topic: 'ball', body: 'ball' });
  await clock.advance('3m');
  expect(bounces).toEqual(['left 0 s', 'right 60 s', 'left 120 s', 'right 180 s']);
});

test('consumers that take messages by hand count until they acknowledge', async () => {
  const clock = new VirtualWallClock(undefined, { settleTimeoutMs: 300 });
  await using broker = await startBroker({ clock, topics: ['work'] });
  const servers = broker.nameServer;
  await using producer = new Producer({ servers, group: 'boss' });
  await using consumer = new Consumer({ servers, group: 'workers', from: 'first' });
  consumer.subscribe('work');
  const messages = consumer.messages();
  await producer.send({ topic: 'work', body: 'one', delayMs: 1000 });
  const next = messages.next();
  await expect(clock.advance('1m')).rejects.toThrow(/piece\(s\) of work of clients/);
  const { value } = await next;
  await value?.ack();
  await clock.advance('1m');
  await messages.return?.();
});

test('an administrator in the same process moves the clock as one elsewhere does', async () => {
  const clock = new VirtualWallClock(0);
  await using broker = await startBroker({ clock, topics: ['work'] });
  const servers = broker.nameServer;
  await using producer = new Producer({ servers, group: 'boss' });
  await using consumer = new Consumer({ servers, group: 'workers', from: 'first' });
  await using admin = new Admin({ servers });
  const received: string[] = [];
  consumer.subscribe('work');
  await consumer.run((message) => void received.push(message.text()));
  await producer.send({ topic: 'work', body: 'due', delayMs: 60_000 });
  expect(await admin.advanceClock(60_000)).toEqual({ wallMs: 60_000 });
  expect(received).toEqual(['due']);
});
