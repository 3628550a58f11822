import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { type BrokerControlConfig, defaultControlConfig } from '../../src/broker/control-config.ts';
import { defaultGroupConfig } from '../../src/broker/subscription-group-config.ts';
import { SubscriptionGroupTable } from '../../src/broker/subscription-group-table.ts';
import { storeHost } from './control-harness.ts';

const open = (config: Partial<BrokerControlConfig> = {}): SubscriptionGroupTable =>
  new SubscriptionGroupTable({
    config: { ...defaultControlConfig, storeHost, ...config },
    wallClock: new ManualClock(1),
    logger: silentLogger,
    refusals: new Refusals(silentLogger, () => 0),
    onChanged: () => {},
  });

describe('consumer group configurations', () => {
  it('has the groups of tools and system from the start', () => {
    const table = open({ autoCreateSubscriptionGroup: false });
    for (const group of ['TOOLS_CONSUMER', 'SELF_TEST_C_GROUP', 'CID_RMQ_SYS_TRANS']) {
      expect(table.get(group)).toBeDefined();
    }
    expect(table.find('mine')).toMatchObject({ code: 26 });
  });

  it('creates a group on demand, with the defaults of RocketMQ', () => {
    const table = open();
    expect(table.find('mine')).toMatchObject({
      retryMaxTimes: 16,
      retryQueueNums: 1,
      consumeEnable: true,
    });
    expect(table.isDirty).toBe(true);
  });

  it.each(['', '../x', 'a b', 'x'.repeat(121)])(
    'does not create a group under the name %j',
    (name) => {
      expect(open().find(name)).toMatchObject({ code: 26 });
    },
  );

  it('refuses groups above the limit', () => {
    const table = open({ subscriptionGroupCountMax: 9 });
    expect(table.find('a')).toMatchObject({ groupName: 'a' });
    expect(table.find('b')).toMatchObject({ code: 1 });
    expect(table.update({ ...defaultGroupConfig('a'), retryMaxTimes: 3 })).toMatchObject({
      retryMaxTimes: 3,
    });
  });

  it('brings its groups back from the file, with what only RocketMQ reads', () => {
    const stored = `{"dataVersion":{"counter":3,"stateVersion":0,"timestamp":9},"forbiddenTable":{"g":{"T":1}},
      "subscriptionGroupTable":{"g":{"attributes":{"k":"v"},"brokerId":0,"consumeBroadcastEnable":true,
      "consumeEnable":false,"consumeFromMinEnable":true,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,
      "groupName":"g","groupRetryPolicy":{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":1}},
      "groupSysFlag":0,"notifyConsumerIdsChangedEnable":false,"retryMaxTimes":2,"retryQueueNums":4,
      "subscriptionDataSet":[{"topic":"T"}],"whichBrokerWhenConsumeSlowly":1},"../x":{"groupName":"../x"}}}`;
    const table = open();
    table.load(stored);
    const expected = JSON.parse(stored) as { subscriptionGroupTable: Record<string, unknown> };
    const again = JSON.parse(table.store()) as typeof expected;
    expect(again.subscriptionGroupTable['g']).toEqual(expected.subscriptionGroupTable['g']);
    expect(again.subscriptionGroupTable['../x']).toBeUndefined();
    expect(again).toMatchObject({ dataVersion: { counter: 3 }, forbiddenTable: { g: { T: 1 } } });
  });
});
