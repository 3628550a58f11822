import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { type BrokerControlConfig, defaultControlConfig } from '../../src/broker/control-config.ts';
import type { TopicEntry } from '../../src/broker/control-effects.ts';
import { plainTopicConfig, type Refusal, TopicTable } from '../../src/broker/topic-table.ts';
import { Perm } from '../../src/protocol/perm.ts';
import { storeHost } from './control-harness.ts';

function open(options: { config?: Partial<BrokerControlConfig>; text?: string } = {}) {
  const published: TopicEntry[] = [];
  const table = new TopicTable({
    config: { ...defaultControlConfig, storeHost, ...options.config },
    wallClock: new ManualClock(1_000),
    logger: silentLogger,
    refusals: new Refusals(silentLogger, () => 0),
    onChanged: (entry) => published.push(entry),
    onDeleted: () => {},
  });
  table.load(options.text, 18);
  return { table, published };
}

const wish = (topic: string, defaultTopic = 'TBW102', defaultTopicQueueNums = 4) => ({
  topic,
  defaultTopic,
  defaultTopicQueueNums,
  remoteAddress: '127.0.0.1:1',
  topicSysFlag: 0,
});

const created = (result: TopicEntry | Refusal): TopicEntry => {
  if ('remark' in result) throw new Error(result.remark);
  return result;
};

describe('topics of the system', () => {
  it('exist from the start, with the queues and permissions that clients and tools rely on', () => {
    const { table } = open();
    const shape = (topic: string) => {
      const config = table.get(topic)?.config;
      return [config?.readQueueNums, config?.writeQueueNums, config?.perm];
    };
    expect(shape('TBW102')).toEqual([8, 8, 7]);
    expect(shape('DefaultCluster')).toEqual([16, 16, 7]);
    expect(shape('broker-a')).toEqual([1, 1, 7]);
    expect(shape('SELF_TEST_TOPIC')).toEqual([1, 1, 6]);
    expect(shape('BenchmarkTest')).toEqual([1024, 1024, 6]);
    expect(shape('SCHEDULE_TOPIC_XXXX')).toEqual([18, 18, 6]);
    expect(shape('RMQ_SYS_TRANS_HALF_TOPIC')).toEqual([1, 1, 6]);
    expect(shape('RMQ_SYS_TRANS_OP_HALF_TOPIC')).toEqual([1, 1, 6]);
    expect(shape('OFFSET_MOVED_EVENT')).toEqual([1, 1, 6]);
    expect(shape('DefaultCluster_REPLY_TOPIC')).toEqual([1, 1, 6]);
    expect(shape('rmq_sys_REVIVE_LOG_DefaultCluster')).toEqual([8, 8, 6]);
    expect(shape('rmq_sys_wheel_timer')).toEqual([1, 1, 6]);
    expect(shape('TRANS_CHECK_MAX_TIME_TOPIC')).toEqual([undefined, undefined, undefined]);
  });

  it('are not sent to by clients', () => {
    const { table } = open();
    for (const topic of ['SCHEDULE_TOPIC_XXXX', 'RMQ_SYS_TRANS_HALF_TOPIC', 'SELF_TEST_TOPIC']) {
      expect(table.get(topic)?.sendForbidden).toBe(true);
      expect(table.createForSend(wish(topic))).toMatchObject({ code: 16 });
    }
    expect(table.get('BenchmarkTest')?.sendForbidden).toBe(false);
  });
});

describe('a topic created by its first send', () => {
  it('gets the smaller of the two queue counts and loses the inherit bit', () => {
    const { table, published } = open();
    const few = created(table.createForSend(wish('Few', 'TBW102', 4)));
    expect([few.config.readQueueNums, few.config.writeQueueNums, few.config.perm]).toEqual([
      4, 4, 6,
    ]);
    expect(created(table.createForSend(wish('Many', 'TBW102', 100))).config.writeQueueNums).toBe(8);
    expect(published.at(-1)?.config.topicName).toBe('Many');
    expect(created(table.createForSend(wish('Few', 'TBW102', 8)))).toBe(few);
  });

  it('is refused where the default topic is unknown or hands nothing on', () => {
    const { table } = open();
    table.update(plainTopicConfig('Plain', 4));
    expect(table.createForSend(wish('T', 'Unknown'))).toMatchObject({ code: 17 });
    expect(table.createForSend(wish('T', 'Plain'))).toMatchObject({
      code: 17,
      remark: 'topic[T] not exist, apply first please!',
    });
    expect(table.get('T')).toBeUndefined();
  });

  it('is refused where auto-creation is off, even if a stored TBW102 would allow it', () => {
    const stored = open().table.store();
    const { table } = open({ config: { autoCreateTopicEnable: false }, text: stored });
    expect(table.get('TBW102')?.config.perm).toBe(7);
    expect(table.createForSend(wish('T'))).toMatchObject({ code: 17 });
  });

  it.each(['', ' ', '../x', 'a/b', 'a.b', 'a\0b', 'tópic', 'a b', 'x'.repeat(128)])(
    'is refused with INVALID_PARAMETER under the name %j',
    (name) => {
      const { table } = open();
      expect(table.createForSend(wish(name))).toMatchObject({ code: 29 });
    },
  );

  it('is refused with no queues at all', () => {
    expect(open().table.createForSend(wish('T', 'TBW102', 0))).toMatchObject({ code: 29 });
  });

  it('is refused above the limit, while existing topics go on', () => {
    const { table } = open({ config: { topicCountMax: 2 } });
    created(table.createForSend(wish('A')));
    created(table.createForGroup({ topic: '%RETRY%g', queueNums: 1 }));
    expect(table.createForSend(wish('B'))).toMatchObject({ code: 1 });
    expect(table.createForGroup({ topic: '%RETRY%h', queueNums: 1 })).toMatchObject({ code: 1 });
    created(table.createForSend(wish('A')));
    created(table.update(plainTopicConfig('A', 2)));
  });
});

describe('topic ids', () => {
  it('are dense, stay with a topic through changes, and are never given twice', () => {
    const { table } = open();
    const ids = [...table.entries()].map((entry) => entry.topicId);
    expect(ids).toEqual(ids.map((_, index) => index));
    const first = created(table.createForSend(wish('T')));
    expect(first.topicId).toBe(ids.length);
    expect(created(table.update(plainTopicConfig('T', 9))).topicId).toBe(first.topicId);
    table.delete('T');
    expect(created(table.createForSend(wish('T'))).topicId).toBe(first.topicId + 1);
  });
});

describe('topics.json', () => {
  it('brings back topics, attributes and the version', () => {
    const { table } = open();
    created(table.createForSend(wish('T')));
    table.update({
      ...plainTopicConfig('__proto__', 3),
      attributes: new Map([['message.type', 'FIFO']]),
    });
    expect(table.isDirty).toBe(true);
    const text = table.store();
    expect(table.isDirty).toBe(false);
    const again = open({ text }).table;
    expect(again.isDirty).toBe(false);
    expect(again.get('__proto__')?.config.attributes.get('message.type')).toBe('FIFO');
    expect(again.get('T')?.config).toEqual(table.get('T')?.config);
    expect(again.dataVersion).toEqual(table.dataVersion);
    expect(again.size).toBe(table.size);
  });

  it('is read as RocketMQ writes it, bad names aside', () => {
    const text = `{"dataVersion":{"counter":7,"stateVersion":0,"timestamp":5},"topicConfigTable":{
      "Old":{"attributes":{},"order":true,"perm":4,"readQueueNums":3,"topicFilterType":"MULTI_TAG","topicName":"Old","topicSysFlag":1,"writeQueueNums":2},
      "../x":{"topicName":"../x","readQueueNums":1,"writeQueueNums":1,"perm":6}}}`;
    const { table } = open({ text });
    expect(table.get('Old')?.config).toMatchObject({
      order: true,
      perm: Perm.READ,
      readQueueNums: 3,
      writeQueueNums: 2,
    });
    expect(table.get('../x')).toBeUndefined();
    expect(table.get('TBW102')).toBeDefined();
  });

  it('changes its version with every change', () => {
    const { table } = open();
    const before = table.dataVersion.counter;
    created(table.createForSend(wish('T')));
    expect(table.dataVersion.counter).toBe(before + 1);
    created(table.createForSend(wish('T')));
    expect(table.dataVersion.counter).toBe(before + 1);
  });
});
