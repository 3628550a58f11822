/**
 * Our client beside the stock Java client: each reads what the other sent, and both divide one group's
 * queues. The Java end is BesideScenarios.java.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { type JavaProcess, startJava } from '../apache-rocketmq.ts';
import {
  consume,
  nameServer,
  newConsumer,
  newProducer,
  newTopic,
  pause,
  run,
  sendNumbered,
  until,
} from './harness.ts';
import { CHINESE, LARGE, PROPERTY } from './send-scenarios.ts';

let javaCount = 0;

function startScenario(scenario: string): JavaProcess {
  return startJava({
    main: 'millrace.Scenarios',
    arguments: [nameServer, scenario],
    directory: path.join(process.cwd(), 'java'),
    heapMb: 256,
    name: `beside-${++javaCount}`,
  });
}

async function passed(java: JavaProcess): Promise<void> {
  await java.ended;
  const output = java.output();
  assert(/^PASS /m.test(output), /^FAIL .*/m.exec(output)?.[0] ?? output.slice(-1000));
}

export async function javaReads(): Promise<void> {
  const topic = await newTopic('JavaReads');
  await using producer = newProducer();
  await producer.send({ topic, body: LARGE, tag: 'large' });
  await producer.send({
    topic,
    body: CHINESE,
    tag: '标签',
    keys: '订单号',
    properties: { 属性名: PROPERTY },
  });
  await producer.sendBatch(
    Array.from({ length: 10 }, (_, number) => ({
      topic,
      body: `batch ${number}`,
      tag: 'batch',
      keys: `key${number}`,
    })),
  );
  await producer.send({ topic, body: 'later', tag: 'later', delayMs: 2000 });
  await passed(startScenario(`beside-receive:${topic}`));
}

export async function javaWrites(): Promise<void> {
  const topic = await newTopic('JavaWrites');
  await passed(startScenario(`beside-send:${topic}`));
  const received = await consume(topic, '*', 13);
  const tagged = (tag: string): typeof received => received.filter((each) => each.tag === tag);
  const [large] = tagged('large');
  assert(large.text() === LARGE, 'a compressed body came back changed');
  const [chinese] = tagged('标签');
  assert.equal(chinese.text(), CHINESE);
  assert.deepEqual(chinese.keys, ['订单号']);
  assert.equal(chinese.properties['属性名'], PROPERTY);
  const batch = tagged('batch');
  assert.equal(batch.length, 10, 'messages of a batch');
  for (const message of batch)
    assert.deepEqual(message.keys, [`key${message.text().slice('batch '.length)}`]);
  assert.equal(tagged('later')[0].text(), 'later');
}

/** Both use the same strategy, and so agree who has which queues. */
export async function mixedGroup(): Promise<void> {
  const topic = await newTopic('Mixed');
  const group = `mixed_${run}`;
  const file = path.join(process.cwd(), `mixed-${run}.txt`);
  const java = startScenario(`beside-member:${topic}:${group}:${file}`);
  const ours: string[] = [];
  const theirs = (): string[] =>
    fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim().split('\n') : [];
  try {
    await using consumer = newConsumer({ group });
    consumer.subscribe(topic);
    await consumer.run((message) => {
      ours.push(`${message.queue.queueId} ${message.text()}`);
    });
    await using producer = newProducer();
    let sent = 0;
    // Both have queues once both receive.
    const deadline = Date.now() + 60_000;
    while (theirs().length === 0 || consumer.assignment.length !== 2) {
      assert(Date.now() < deadline, `the queues were not divided: ${consumer.assignment.length}`);
      await sendNumbered(producer, topic, `try ${sent++}`, 4);
      await pause(100);
    }
    const before = { ours: ours.length, theirs: theirs().length };
    await sendNumbered(producer, topic, 'both', 80);
    const fresh = (): string[] =>
      [...ours.slice(before.ours), ...theirs().slice(before.theirs)].filter((line) =>
        line.includes(' both '),
      );
    await until(
      () => fresh().length >= 80,
      () => `only ${fresh().length} of 80 messages came`,
    );
    await pause(500);
    const queuesOf = (lines: string[]): Set<string> =>
      new Set(lines.filter((line) => line.includes(' both ')).map((line) => line.split(' ')[0]));
    assert.equal(fresh().length, 80, 'messages received by both together');
    assert.equal(queuesOf(ours).size, 2, 'queues of ours');
    assert.equal(queuesOf(theirs()).size, 2, 'queues of the Java consumer');
    assert.equal(new Set([...queuesOf(ours), ...queuesOf(theirs())]).size, 4, 'queues of both');
    fs.writeFileSync(`${file}.over`, '');
    await passed(java);
    // What it had is taken over.
    await until(
      () => consumer.assignment.length === 4,
      () => 'the queues of the Java consumer were not taken over',
    );
  } finally {
    java.kill();
  }
}
