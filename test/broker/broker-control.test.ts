import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FLAG_ONEWAY } from '../../src/protocol/remoting-command.ts';
import { bodyOf, ControlHarness } from './control-harness.ts';

const firstSend = (topic: string) => ({ topic, defaultTopic: 'TBW102', defaultTopicQueueNums: 4 });

describe('requests', () => {
  it('of an unknown code are answered with 3', () => {
    const answer = new ControlHarness().ask(1, { code: 65_000 });
    expect(answer).toMatchObject({ code: 3, remark: ' request type 65000 not supported', flag: 1 });
  });

  it('of a connection that has gone are dropped', () => {
    const harness = new ControlHarness();
    harness.control.onConnectionClosed(1);
    harness.tell(1, { code: 34, body: { clientID: 'c', consumerDataSet: [{ groupName: 'g' }] } });
    expect(harness.effects.groups.has('g')).toBe(false);
  });

  it('are answered at most once, never oneway, and never break the broker, whatever they hold', () => {
    const codes = [
      14, 15, 17, 21, 25, 26, 28, 34, 35, 36, 38, 41, 42, 43, 46, 10, 310, 200, 201, 215, 351, 352,
    ];
    const name = fc.constantFrom(
      'topic',
      'group',
      'consumerGroup',
      'queueId',
      'offset',
      'b',
      'e',
      'clientID',
      'commitOffset',
      'delayLevel',
    );
    const value = fc.oneof(
      fc.string(),
      fc.constantFrom('T', 'g', '__proto__', '%RETRY%g', '../x', '0', '-1', '9e99'),
    );
    const body = fc.oneof(
      fc.json(),
      fc.string(),
      fc.constantFrom(
        '{"__proto__":{"x":1}}',
        '{"clientID":"c","consumerDataSet":[null,{"groupName":"__proto__"}]}',
      ),
    );
    const harness = new ControlHarness();
    fc.assert(
      fc.property(
        fc.constantFrom(...codes),
        fc.dictionary(name, value),
        body,
        fc.boolean(),
        (code, fields, text, isOneway) => {
          const before = harness.effects.answers.length;
          const request = harness.request({
            code,
            fields,
            body: text,
            flag: isOneway ? FLAG_ONEWAY : 0,
          });
          harness.control.onRequest(1, request);
          harness.work();
          const answers = harness.effects.answers.slice(before);
          expect(answers.length).toBeLessThanOrEqual(isOneway ? 0 : 1);
          for (const { answer } of answers) expect(answer.opaque).toBe(request.opaque);
          expect(Object.keys(Object.prototype)).toEqual([]);
        },
      ),
      { numRuns: 500 },
    );
    for (const topic of harness.effects.topics.keys()) expect(topic).toMatch(/^[%|a-zA-Z0-9_-]+$/);
    for (const group of harness.effects.groups.keys()) expect(group).toMatch(/^[%|a-zA-Z0-9_-]+$/);
    expect(harness.heartbeat(1, { group: 'after', topics: { T: '*' } }).code).toBe(0);
  });
});

describe('a first send', () => {
  it('creates its topic, published at once', () => {
    const harness = new ControlHarness();
    expect(harness.control.ensureSendTopic(1, firstSend('T'))).toBeNull();
    expect(harness.effects.topics.get('T')?.config.writeQueueNums).toBe(4);
    expect(harness.control.dataVersion.counter).toBeGreaterThan(0);
  });

  it('learns why its topic is not created', () => {
    const harness = new ControlHarness({ config: { autoCreateTopicEnable: false } });
    expect(harness.control.ensureSendTopic(1, firstSend('T'))).toMatchObject({ code: 17 });
    expect(harness.control.ensureSendTopic(1, firstSend('a/b'))).toMatchObject({ code: 29 });
    expect(harness.control.ensureSendTopic(1, firstSend('SCHEDULE_TOPIC_XXXX'))).toMatchObject({
      code: 16,
    });
  });

  it('to a retry topic creates the group as well', () => {
    const harness = new ControlHarness();
    expect(harness.control.ensureSendTopic(1, firstSend('%RETRY%g'))).toBeNull();
    expect(harness.effects.topics.get('%RETRY%g')?.config.writeQueueNums).toBe(1);
    expect(harness.effects.groups.get('g')).toMatchObject({ exists: true, subscriptions: null });
  });
});

describe('the route of a retry topic', () => {
  it('makes the topic exist, of legal groups only', () => {
    const harness = new ControlHarness();
    expect(harness.control.ensureRetryTopic('%RETRY%g')).toBe(true);
    expect(harness.effects.topics.has('%RETRY%g')).toBe(true);
    expect(harness.control.ensureRetryTopic('%RETRY%a/b')).toBe(false);
    expect(harness.control.ensureRetryTopic('Plain')).toBe(false);
    const strict = new ControlHarness({ config: { autoCreateSubscriptionGroup: false } });
    expect(strict.control.ensureRetryTopic('%RETRY%g')).toBe(false);
  });
});

describe('groups', () => {
  it('are published from the file at start', () => {
    const first = new ControlHarness();
    first.ask(1, { code: 200, body: { groupName: 'g', consumeEnable: false } });
    first.control.persistAll();
    const stored = { subscriptionGroups: first.effects.files.get('subscriptionGroup.json') };
    const second = new ControlHarness({ stored });
    expect(second.effects.groups.get('g')).toEqual({
      group: 'g',
      exists: true,
      consumeEnable: false,
      subscriptions: null,
    });
  });

  it('are read one (352) and all (201), and refused under illegal names (200)', () => {
    const harness = new ControlHarness();
    harness.ask(1, { code: 200, body: { groupName: 'g', retryMaxTimes: 3 } });
    const one = bodyOf(harness.ask(1, { code: 352, fields: { group: 'g' } }));
    expect(one).toMatchObject({
      groupName: 'g',
      retryMaxTimes: 3,
      groupRetryPolicy: { type: 'CUSTOMIZED' },
    });
    const all = bodyOf(harness.ask(1, { code: 201 })) as { subscriptionGroupTable: object };
    expect(all.subscriptionGroupTable).toMatchObject({ g: one });
    expect(harness.ask(1, { code: 200, body: { groupName: 'a/b' } }).code).toBe(29);
    expect(harness.ask(1, { code: 200, body: {} }).code).toBe(29);
    expect(harness.ask(1, { code: 352, fields: { group: 'a/b' } }).code).toBe(26);
  });

  it('are deleted (207) with their offsets only where that is asked for', () => {
    const harness = new ControlHarness();
    harness.control.ensureSendTopic(1, firstSend('T'));
    for (const groupName of ['g', 'h']) {
      harness.ask(1, { code: 200, body: { groupName } });
      harness.control.commitOffset(groupName, 'T', 0, 5);
      const fields = { groupName, cleanOffset: String(groupName === 'g') };
      expect(harness.ask(1, { code: 207, fields }).code).toBe(0);
      expect(harness.effects.groups.get(groupName)).toMatchObject({ exists: false });
    }
    expect(bodyOf(harness.ask(1, { code: 43 }))['offsetTable']).toEqual({ 'T@h': { 0: 5 } });
  });

  it('that are switched off are published as such, with their members', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g', topics: { T: '*' } });
    harness.ask(1, { code: 200, body: { groupName: 'g', consumeEnable: false } });
    expect(harness.effects.groups.get('g')).toMatchObject({ exists: true, consumeEnable: false });
    expect(harness.effects.groups.get('g')?.subscriptions?.has('T')).toBe(true);
  });
});

describe('configuration over the network', () => {
  it('is not changed (25)', () => {
    const answer = new ControlHarness().ask(1, { code: 25, body: 'rocketmqHome=/tmp\n' });
    expect(answer.code).toBe(16);
  });

  it('is refused (25) where there is more of it than there are settings', () => {
    const body = 'a=b\n'.repeat(20_000);
    const answer = new ControlHarness().ask(1, { code: 25, body });
    expect(answer).toMatchObject({ code: 1, remark: expect.stringContaining('80000 bytes') });
  });

  it('is shown (26) without secrets, one line a key', () => {
    const harness = new ControlHarness({
      config: {
        visibleConfig: () => [
          ['brokerName', 'b'],
          ['innerSecretKey', 'CANARY'],
          ['aclPassword', 'CANARY'],
          ['note', 'a\nb=c'],
        ],
      },
    });
    const answer = harness.ask(1, { code: 26 });
    expect(answer.body.toString()).toBe('brokerName=b\nnote=a b=c\n');
    expect(JSON.parse(answer.extFields.get('version') ?? '')).toMatchObject({ counter: 0 });
  });

  it('asks the dispatcher to complete its runtime figures (28)', () => {
    const harness = new ControlHarness();
    harness.clock.advance(((25 * 60 + 2) * 60 + 3) * 1000);
    const request = harness.tell(1, { code: 28 });
    const asked = harness.effects.questions.at(-1);
    expect(asked?.request).toBe(request);
    const question = asked?.question;
    if (question?.kind !== 'runtime-info') throw new Error('another question');
    expect(Object.fromEntries(question.table)).toMatchObject({
      brokerVersionDesc: 'V5_3_3',
      brokerActive: 'true',
      sendThreadPoolQueueSize: '0',
      timerEnqueueTps: '0.0',
      runtime: '[ 1 days, 1 hours, 2 minutes, 3 seconds ]',
    });
  });
});

describe('persistence', () => {
  it('writes topics with the next turn, and bursts of them only now and then', () => {
    const harness = new ControlHarness();
    harness.work();
    harness.effects.persistCount = 0;
    harness.clock.advance(1_000);
    for (let index = 0; index < 100; index++) {
      harness.control.ensureSendTopic(1, firstSend(`T${index}`));
      harness.work();
    }
    expect(harness.effects.persistCount).toBe(1);
    expect(harness.control.nextDeadlineMs()).toBe(harness.clock.nowMs() + 500);
    harness.clock.advance(500);
    harness.work();
    expect(harness.effects.persistCount).toBe(2);
    expect(harness.effects.files.get('topics.json')).toContain('"T99"');
    expect(harness.control.nextDeadlineMs()).toBeGreaterThan(harness.clock.nowMs() + 500);
  });

  it('brings everything back after an orderly stop', () => {
    const first = new ControlHarness();
    first.control.ensureSendTopic(1, firstSend('T'));
    first.heartbeat(1, { group: 'g', topics: { T: '*' } });
    first.control.commitOffset('g', 'T', 1, 77);
    first.control.persistAll();
    const { files } = first.effects;
    const second = new ControlHarness({
      stored: {
        topics: files.get('topics.json'),
        subscriptionGroups: files.get('subscriptionGroup.json'),
        consumerOffsets: files.get('consumerOffset.json'),
      },
    });
    expect(second.effects.topics.get('T')?.config).toEqual(first.effects.topics.get('T')?.config);
    expect(second.effects.topics.has('%RETRY%g')).toBe(true);
    const query = { code: 14, fields: { topic: 'T', consumerGroup: 'g', queueId: '1' } };
    expect(second.ask(1, query).extFields.get('offset')).toBe('77');
  });
});

describe('recovery', () => {
  it('brings back a topic that only the log knows, with all its queues', () => {
    const harness = new ControlHarness();
    expect(harness.control.recoverTopic('Lost', 3)).toMatchObject({
      config: { readQueueNums: 3, writeQueueNums: 3 },
    });
    harness.control.ensureSendTopic(1, firstSend('T'));
    expect(harness.control.recoverTopic('T', 2)).toMatchObject({ config: { readQueueNums: 4 } });
    expect(harness.control.recoverTopic('T', 6)).toMatchObject({
      config: { readQueueNums: 6, writeQueueNums: 4 },
    });
  });

  it('lowers offsets beyond the end of their queue', () => {
    const harness = new ControlHarness();
    harness.control.ensureSendTopic(1, firstSend('T'));
    harness.control.commitOffset('g', 'T', 0, 50);
    expect(harness.control.clampOffsets(() => 20)).toEqual([
      { topic: 'T', group: 'g', queueId: 0, from: 50, to: 20 },
    ]);
    const query = { code: 14, fields: { topic: 'T', consumerGroup: 'g', queueId: '0' } };
    expect(harness.ask(1, query).extFields.get('offset')).toBe('20');
  });
});
