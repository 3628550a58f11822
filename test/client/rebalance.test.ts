/**
 * When queues are divided, and when the old division stays.
 */
import { afterEach, expect, test } from 'vitest';
import { averagely } from '../../src/client/allocate-strategy.ts';
import { ClientError } from '../../src/client/client-error.ts';
import { Rebalancer } from '../../src/client/rebalance.ts';
import { delay, until } from './consumer-broker.ts';
import { type Script, ScriptedCore } from './scripted-core.ts';

const members =
  (...ids: string[]): Script =>
  () => ({ code: 0, body: JSON.stringify({ consumerIdList: ids }) });

const rebalancers: Rebalancer[] = [];
afterEach(async () => {
  await Promise.all(rebalancers.splice(0).map((rebalancer) => rebalancer.close()));
});

function make(core: ScriptedCore, options: { topics?: string[]; isBroadcasting?: boolean } = {}) {
  const divisions: string[] = [];
  const errors: ClientError[] = [];
  const rebalancer = new Rebalancer({
    core,
    group: 'stock',
    isBroadcasting: options.isBroadcasting ?? false,
    strategy: averagely,
    topics: () => options.topics ?? ['orders'],
    apply: (topic, queues) => {
      divisions.push(`${topic} ${queues.map(({ queueId }) => queueId).join()}`);
      return Promise.resolve(true);
    },
    retain: () => Promise.resolve(),
    onError: (error) => errors.push(error),
  });
  rebalancers.push(rebalancer);
  return { rebalancer, divisions, errors };
}

test('each member takes its part', async () => {
  const core = new ScriptedCore(members('member-2', 'member-1'));
  core.addTopic('orders', 4);
  const { rebalancer, divisions } = make(core);
  await rebalancer.round();
  expect(divisions).toEqual(['orders 0,1']);
});

test('the old division stays while the members can not be asked', async () => {
  const core = new ScriptedCore(members('member-1'));
  core.addTopic('orders', 4);
  const { rebalancer, divisions, errors } = make(core);
  await rebalancer.round();
  core.script = () => Promise.reject(new ClientError('CONNECTION_FAILED', 'gone'));
  await rebalancer.round();
  await rebalancer.round();
  expect(divisions).toEqual(['orders 0,1,2,3']);
  expect(errors.map(({ code }) => code)).toEqual(['CONNECTION_FAILED']);
});

test('a broker that does not know this member is told of it, and not believed', async () => {
  let isTold = false;
  const core = new ScriptedCore(() =>
    isTold
      ? { code: 0, body: '{"consumerIdList":["member-0","member-1"]}' }
      : { code: 0, body: '{"consumerIdList":["member-0"]}' },
  );
  core.addTopic('orders', 4);
  const { rebalancer, divisions } = make(core);
  await rebalancer.round();
  expect(divisions).toEqual([]);
  isTold = true;
  const before = core.heartbeatCount;
  await until('divided', () => divisions.length > 0);
  expect(divisions).toEqual(['orders 2,3']);
  expect(core.heartbeatCount).toBeGreaterThan(before);
});

test('a lost connection is followed by a heartbeat and a round', async () => {
  const core = new ScriptedCore(members('member-1'));
  core.addTopic('orders', 1);
  const { rebalancer, divisions } = make(core);
  await rebalancer.round();
  const before = core.heartbeatCount;
  core.disconnect();
  await until('again', () => divisions.length === 2);
  expect(core.heartbeatCount).toBe(before + 1);
});

test('one topic that is missing holds up no other, and is told once', async () => {
  const core = new ScriptedCore(members('member-1'));
  core.addTopic('orders', 1);
  const { rebalancer, divisions, errors } = make(core, { topics: ['missing', 'orders'] });
  await rebalancer.round();
  await rebalancer.round();
  expect(divisions).toEqual(['orders 0', 'orders 0']);
  expect(errors.map(({ code }) => code)).toEqual(['TOPIC_NOT_FOUND']);
  core.addTopic('missing', 1);
  await until('found', () => divisions.includes('missing 0'));
});

test('every member of a broadcasting group takes all, and asks nobody', async () => {
  const core = new ScriptedCore(members());
  core.addTopic('orders', 2);
  const { rebalancer, divisions } = make(core, { isBroadcasting: true });
  await rebalancer.round();
  expect(divisions).toEqual(['orders 0,1']);
  expect(core.asked).toEqual([]);
});

test('after close nothing is divided any more', async () => {
  const core = new ScriptedCore(members('member-1'));
  core.addTopic('orders', 1);
  const { rebalancer, divisions } = make(core);
  await rebalancer.close();
  rebalancer.trigger();
  rebalancer.reconnect();
  await delay(200);
  expect(divisions).toEqual([]);
});
