/**
 * What every scenario of our own client uses: clients of this run, topics, waiting, checking.
 */
import assert from 'node:assert/strict';
import {
  type ConsumedMessage,
  Consumer,
  type ConsumerOptions,
  type OutgoingMessage,
  Producer,
  type ReceivedMessage,
  type SendResult,
} from '../../../src/client/index.ts';
import { RemotingClient } from '../../../src/client/remoting-client.ts';
import { RequestCode } from '../../../src/protocol/codes.ts';

/** Makes topics and groups of this run unlike those of any other. */
export const run = process.hrtime.bigint().toString(36);
export const [, , nameServer = ''] = process.argv;
let groupCount = 0;

/** Of the broker under test, as the suite has set it; see broker-settings.ts. */
export function setting(variable: string, standard: number): number {
  return Number(process.env[variable] ?? standard);
}

/** A topic of four queues, which has its route already. */
export async function newTopic(name: string): Promise<string> {
  const topic = `Node${name}_${run}`;
  const extFields: [string, string][] = [
    ['topic', topic],
    ['defaultTopic', 'TBW102'],
    ['readQueueNums', '4'],
    ['writeQueueNums', '4'],
    ['perm', '6'],
    ['topicFilterType', 'SINGLE_TAG'],
    ['topicSysFlag', '0'],
    ['order', 'false'],
  ];
  const broker = /"(127\.0\.0\.1:\d+)"/.exec((await routeOf('TBW102')) ?? '')?.[1] ?? '';
  const answer = await ask(broker, RequestCode.UPDATE_AND_CREATE_TOPIC, extFields);
  assert.equal(answer.code, 0, 'answer to a new topic');
  for (const end = Date.now() + 20_000; (await routeOf(topic)) === undefined; await pause(20))
    assert(Date.now() < end, 'a new topic has no route');
  return topic;
}

async function routeOf(topic: string): Promise<string | undefined> {
  const answer = await ask(nameServer, RequestCode.GET_ROUTEINFO_BY_TOPIC, [['topic', topic]]);
  return answer.code === 0 ? answer.body.toString() : undefined;
}

async function ask(
  address: string,
  code: number,
  extFields: [string, string][],
): Promise<{ code: number; body: Buffer }> {
  const client = new RemotingClient({ address });
  try {
    return await client.request({ code, extFields });
  } finally {
    client.close();
  }
}

/** Trouble in the background is printed; a scenario that suffers from it fails by what it misses. */
export const onError = (error: Error): void => console.log(`client: ${error.message}`);

export function newProducer(
  options: Partial<ConstructorParameters<typeof Producer>[0]> = {},
): Producer {
  return new Producer({ servers: nameServer, group: `producer_${run}`, onError, ...options });
}

/** Sends "prefix 0", "prefix 1" and so on, each acknowledged before the next. */
export async function sendNumbered(
  producer: Producer,
  topic: string,
  prefix: string,
  count: number,
  more: (number: number) => Partial<OutgoingMessage> = () => ({}),
): Promise<SendResult[]> {
  const results: SendResult[] = [];
  for (let number = 0; number < count; number++) {
    const keys = [`key${number}`];
    results.push(
      await producer.send({ topic, body: `${prefix} ${number}`, keys, ...more(number) }),
    );
    assert.equal(results.at(-1)?.status, 'ok');
  }
  return results;
}

export function numbered(prefix: string, count: number, first = 0): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix} ${first + index}`);
}

/** A group that begins at the first message, unless an option says otherwise. */
export function newConsumer(options: Partial<ConsumerOptions> = {}): Consumer {
  const group = `group_${++groupCount}_${run}`;
  return new Consumer({ servers: nameServer, group, from: 'first', onError, ...options });
}

/** Reads a topic as a new group; holds when exactly so many messages come. */
export async function consume(
  topic: string,
  expression: string | { sql: string },
  count: number,
  options: Partial<ConsumerOptions> = {},
): Promise<ReceivedMessage[]> {
  const received: ConsumedMessage[] = [];
  await using consumer = newConsumer(options);
  consumer.subscribe(topic, expression);
  await consumer.run((message) => {
    received.push(message);
  });
  await until(
    () => received.length >= count,
    () => `only ${received.length} of ${count} messages came`,
  );
  await pause(300);
  assert.equal(received.length, count, 'messages received');
  return received;
}

/** The bodies are these, each once, in any order. */
export function equalBodies(
  received: readonly ReceivedMessage[],
  expected: readonly string[],
): void {
  assert.deepEqual(received.map((message) => message.text()).sort(), [...expected].sort());
}

export async function until(
  holds: () => boolean,
  what: () => string,
  limitMs = 40_000,
): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!holds()) {
    if (Date.now() > deadline) assert.fail(`${what()} (after ${limitMs} ms)`);
    await pause(20);
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
