/**
 * What every scenario uses: clients of this run, waiting, checking.
 */
import assert from 'node:assert/strict';
import { Consumer, Message, Producer, type SendResult } from 'ali-ons';
import { RemotingClient } from '../../../src/client/remoting-client.ts';
import { RequestCode } from '../../../src/protocol/codes.ts';

/** Makes topics and groups of this run unlike those of any other. */
const run = process.hrtime.bigint().toString(36);
const [, , nameServer = ''] = process.argv;
let clients = 0;

/** Of the broker under test, as the suite has set it; see broker-settings.ts. */
export function setting(variable: string, standard: number): number {
  return Number(process.env[variable] ?? standard);
}

/** A topic of four queues. The client has no way to make one: where it sends to has to be there. */
export async function newTopic(name: string): Promise<string> {
  const topic = `AliOns${name}_${run}`;
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

function options(): ConstructorParameters<typeof Producer>[0] {
  return {
    producerGroup: `producer_${run}`,
    nameSrv: nameServer,
    // Only asked where the address of the name server comes by HTTP.
    httpclient: {},
    // A machine may have none but the loopback address, which the client does not consider.
    clientIP: '127.0.0.1',
    instanceName: `a${++clients}_${run}`,
    pollNameServerInteval: 1000,
    rebalanceInterval: 500,
  };
}

/** Errors that a client reports on the way; a scenario that suffers from one fails by what it misses. */
function printError(error: Error): void {
  console.log(`client: ${error.message}`);
}

export interface Signer {
  accessKey: string;
  secretKey: string;
}

/** One that signs, where there is a signer. */
export async function startProducer(signer?: Signer): Promise<Producer> {
  const producer = new Producer({ ...options(), ...signer });
  producer.on('error', printError);
  await producer.ready();
  return producer;
}

export async function send(producer: Producer, message: Message): Promise<SendResult> {
  const sent = await producer.send(message);
  assert.equal(sent.sendStatus, 'SEND_OK');
  return sent;
}

/** Sends "prefix 0", "prefix 1" and so on. */
export async function sendNumbered(
  producer: Producer,
  topic: string,
  prefix: string,
  count: number,
  tagOf: (number: number) => string = () => 'numbered',
): Promise<SendResult[]> {
  const results: SendResult[] = [];
  for (let number = 0; number < count; number++) {
    const message = new Message(topic, tagOf(number), `${prefix} ${number}`);
    message.keys = [`key${number}`];
    results.push(await send(producer, message));
  }
  return results;
}

export function numbered(prefix: string, count: number, first = 0): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix} ${first + index}`);
}

type Expression = Parameters<Consumer['subscribe']>[1];
type ConsumerOptions = Partial<ConstructorParameters<typeof Consumer>[0]>;

/** Subscribes a group, which begins at the first message unless an option says otherwise. */
export async function startConsumer(
  group: string,
  subscription: { topic: string; expression: Expression },
  listener: (message: Message) => unknown,
  more: ConsumerOptions = {},
): Promise<Consumer> {
  const consumer = new Consumer({
    ...options(),
    consumerGroup: group,
    consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    ...more,
  });
  consumer.on('error', printError);
  // It takes nothing but an asynchronous function.
  const asynchronous = async (message: Message): Promise<unknown> => {
    await Promise.resolve();
    return listener(message);
  };
  consumer.subscribe(subscription.topic, subscription.expression, asynchronous);
  await consumer.ready();
  return consumer;
}

/** Reads a topic as a new group; holds when exactly so many messages come. */
export function consume(topic: string, expression: Expression, count: number): Promise<Message[]> {
  return consumeAs(`group_${++clients}_${topic}`, topic, expression, count);
}

export async function consumeAs(
  group: string,
  topic: string,
  expression: Expression,
  count: number,
): Promise<Message[]> {
  const received: Message[] = [];
  const consumer = await startConsumer(group, { topic, expression }, (message) => {
    received.push(message);
  });
  await until(
    () => received.length >= count,
    () => `only ${received.length} of ${count} messages came`,
  );
  await pause(300);
  await consumer.close();
  assert.equal(received.length, count, 'messages received');
  return received;
}

/** The bodies are these, each once, in any order. */
export function equalBodies(received: readonly Message[], expected: readonly string[]): void {
  assert.deepEqual(received.map(bodyOf).sort(), [...expected].sort());
}

export function bodyOf(message: Message): string {
  return message.body.toString();
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
