/**
 * A client that signs, at a broker with users: whose secret is right, whose is wrong, and who has no rights.
 * Names of users, topics and groups are those of client-access.ts.
 */
import assert from 'node:assert/strict';
import { Consumer, Message } from 'ali-ons';
import {
  bodyOf,
  equalBodies,
  numbered,
  pause,
  send,
  type Signer,
  startConsumer,
  startProducer,
  until,
} from './harness.ts';

const TOPIC = 'access';
const GROUP = 'access-group';
const subscription = { topic: TOPIC, expression: '*' };

const app: Signer = { accessKey: 'app', secretKey: process.env['INTEROP_APP_SECRET'] ?? '' };
const outsider: Signer = {
  accessKey: 'outsider',
  secretKey: process.env['INTEROP_OUTSIDER_SECRET'] ?? '',
};

export const accessScenarios = {
  async 'access-right'(): Promise<void> {
    const producer = await startProducer(app);
    const received: Message[] = [];
    let refusals = 0;
    const take = (message: Message): unknown => {
      // What goes back, and its topic, need a signature and rights as well.
      if (bodyOf(message) === 'first 3' && message.reconsumeTimes === 0) {
        refusals++;
        return Consumer.ACTION_RETRY;
      }
      return received.push(message);
    };
    const consumer = await startConsumer(GROUP, subscription, take, app);
    for (const body of numbered('first', 10)) {
      const message = new Message(TOPIC, '标签', body);
      message.keys = ['key ü'];
      message.properties['属性名'] = '属性值 😀 "quoted" \\ / \t';
      await send(producer, message);
    }
    await until(
      () => received.length >= 10,
      () => `only ${received.length} of 10 messages came`,
      60_000,
    );
    await consumer.close();
    equalBodies(received, numbered('first', 10));
    assert.equal(refusals, 1, 'refusals');
    // Where the group stands was committed, with a signature.
    for (const body of numbered('second', 5)) await send(producer, new Message(TOPIC, 'tag', body));
    const rest: Message[] = [];
    const again = await startConsumer(GROUP, subscription, (message) => rest.push(message), app);
    await until(
      () => rest.length >= 5,
      () => `only ${rest.length} of 5 messages came`,
    );
    await pause(200);
    await again.close();
    equalBodies(rest, numbered('second', 5));
    await producer.close();
  },

  async 'access-wrong-secret'(): Promise<void> {
    await refused('access-wrong-secret', { accessKey: 'app', secretKey: 'not the secret' });
  },

  async 'access-no-rights'(): Promise<void> {
    await refused('access-no-rights', outsider);
  },
};

/** Holds when neither a send nor a consumer comes through, and says how the client tells of it. */
async function refused(name: string, signer: Signer): Promise<void> {
  const wanted = await startProducer(app);
  await send(wanted, new Message(TOPIC, 'tag', name));
  await wanted.close();

  const producer = await startProducer(signer);
  const sent = producer.send(new Message(TOPIC, 'tag', 'not wanted'));
  const refusal = await sent.then(() => assert.fail('a send came through'), textOf);
  console.log(`INFO ${name}: send: ${refusal}`);
  // It takes its leave, which is refused as well.
  await producer.close().catch(() => {});

  const group = `${GROUP}-${name}`;
  const received: Message[] = [];
  // It may already be told while it starts.
  const take = (one: Message): unknown => received.push(one);
  const started = await startConsumer(group, subscription, take, signer).catch(textOf);
  if (typeof started === 'string') console.log(`INFO ${name}: consumer: ${started}`);
  await pause(3000);
  if (typeof started !== 'string') await started.close().catch(() => {});
  assert.equal(received.length, 0, 'messages received without rights');

  // There was something to receive: the same group gets it when the right user asks.
  const seen: string[] = [];
  const right = await startConsumer(group, subscription, (one) => seen.push(bodyOf(one)), app);
  await until(
    () => seen.includes(name),
    () => 'the right user does not get what the other was refused',
  );
  await right.close();
  assert(!seen.includes('not wanted'), 'what was refused was stored');
}

function textOf(error: unknown): string {
  assert(error instanceof Error && error.name !== 'AssertionError', error as Error);
  const { code } = error as NodeJS.ErrnoException;
  return `${code === undefined ? '' : `CODE: ${code} `}${error.message}`.replaceAll(/\s+/g, ' ');
}
