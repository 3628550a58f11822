import { describe, expect, it } from 'vitest';
import { RequestCode } from '../../src/protocol/codes.ts';
import { bodyOf, ControlHarness } from './control-harness.ts';

const create = (topic: string, fields: Record<string, string> = {}) => ({
  code: RequestCode.UPDATE_AND_CREATE_TOPIC,
  fields: {
    topic,
    defaultTopic: 'TBW102',
    readQueueNums: '4',
    writeQueueNums: '2',
    perm: '6',
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: '0',
    order: 'false',
    ...fields,
  },
});

describe('create and change a topic (17)', () => {
  it('publishes it, and tells the name servers, before the answer', () => {
    const harness = new ControlHarness();
    const toldCount = harness.effects.changedTopics.length;
    expect(harness.ask(1, create('T', { order: 'true', perm: '4' })).code).toBe(0);
    expect(harness.effects.order.slice(-2)).toEqual(['topic T', 'answer']);
    expect(harness.effects.changedTopics.slice(toldCount)).toEqual(['T']);
    expect(harness.effects.topics.get('T')?.config).toMatchObject({
      readQueueNums: 4,
      writeQueueNums: 2,
      perm: 4,
      order: true,
    });
    expect(harness.control.topicConfig('T')).toMatchObject({ perm: 4 });
  });

  it('keeps the id of a topic that it changes', () => {
    const harness = new ControlHarness();
    harness.ask(1, create('T'));
    const before = harness.effects.topics.get('T')?.topicId;
    harness.ask(1, create('T', { writeQueueNums: '9' }));
    expect(harness.effects.topics.get('T')).toMatchObject({
      topicId: before,
      config: { writeQueueNums: 9 },
    });
  });

  it.each([
    [29, 'TBW102', {}],
    [29, 'DefaultCluster', {}],
    [29, 'rmq_sys_mine', {}],
    [29, 'a/b', {}],
    [29, 'x'.repeat(128), {}],
    [1, 'T', { readQueueNums: '-1' }],
    [1, 'T', { writeQueueNums: '65537' }],
    [1, 'T', { perm: '16' }],
    [1, 'T', { topicFilterType: 'X' }],
    [1, 'T', { attributes: '+unknown=1' }],
    [1, 'T', { attributes: '+queue.type=BatchCQ' }],
    [1, 'T', { attributes: '-message.type' }],
    [1, 'T', { attributes: '+message.type=FIFO,+message.type=NORMAL' }],
  ])('is refused with %i for %s %j', (code, topic, fields) => {
    const harness = new ControlHarness();
    const before = new Map(harness.effects.topics);
    expect(harness.ask(1, create(topic, fields)).code).toBe(code);
    expect(harness.effects.topics).toEqual(before);
  });

  it('sets, changes and removes attributes', () => {
    const harness = new ControlHarness();
    const attributes = () =>
      Object.fromEntries(harness.effects.topics.get('T')?.config.attributes ?? []);
    harness.ask(1, create('T', { attributes: '+message.type=FIFO,+queue.type=SimpleCQ' }));
    expect(attributes()).toEqual({ 'message.type': 'FIFO', 'queue.type': 'SimpleCQ' });
    harness.ask(1, create('T', { attributes: '+message.type=DELAY' }));
    expect(attributes()).toEqual({ 'message.type': 'DELAY', 'queue.type': 'SimpleCQ' });
    expect(harness.ask(1, create('T', { attributes: '+queue.type=SimpleCQ' })).code).toBe(1);
    harness.ask(1, create('T', { attributes: '-message.type' }));
    expect(attributes()).toEqual({ 'queue.type': 'SimpleCQ' });
  });
});

describe('delete a topic (215)', () => {
  it('takes its config and the offsets of its groups away', () => {
    const harness = new ControlHarness();
    harness.ask(1, create('T'));
    harness.heartbeat(1, { group: 'g' });
    harness.control.commitOffset('g', 'T', 0, 5);
    const id = harness.effects.topics.get('T')?.topicId;
    expect(harness.ask(1, { code: 215, fields: { topic: 'T' } }).code).toBe(0);
    expect(harness.effects.deletedTopicIds).toEqual([id]);
    expect(harness.ask(1, { code: 351, fields: { topic: 'T' } }).code).toBe(17);
    expect(bodyOf(harness.ask(1, { code: 43 }))['offsetTable']).toEqual({});
  });

  it('does nothing for an unknown one and refuses one of the system', () => {
    const harness = new ControlHarness();
    expect(harness.ask(1, { code: 215, fields: { topic: 'Unknown' } }).code).toBe(0);
    expect(harness.ask(1, { code: 215, fields: { topic: 'TBW102' } }).code).toBe(29);
    expect(harness.effects.deletedTopicIds).toEqual([]);
  });
});

describe('reading topics', () => {
  it('gives all (21) with versions and count, and one (351)', () => {
    const harness = new ControlHarness();
    harness.ask(1, create('T'));
    const all = harness.ask(1, { code: 21 });
    const body = bodyOf(all) as { topicConfigTable: Record<string, unknown> };
    expect(all.extFields.get('totalTopicNum')).toBe(
      String(Object.keys(body.topicConfigTable).length),
    );
    expect(Object.keys(body)).toEqual([
      'dataVersion',
      'mappingDataVersion',
      'topicConfigTable',
      'topicQueueMappingDetailMap',
      'topicQueueMappingInfoMap',
    ]);
    const one = bodyOf(harness.ask(1, { code: 351, fields: { topic: 'T', lo: 'true' } }));
    expect(one).toEqual(body.topicConfigTable['T']);
    expect(one).toEqual({
      attributes: {},
      order: false,
      perm: 6,
      readQueueNums: 4,
      topicFilterType: 'SINGLE_TAG',
      topicName: 'T',
      topicSysFlag: 0,
      writeQueueNums: 2,
    });
  });
});
