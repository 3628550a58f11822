import { describe, expect, it } from 'vitest';
import { HEARTBEAT_BYTES_MAX } from '../../src/broker/heartbeat.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import { bodyOf, ControlHarness } from './control-harness.ts';

const members = (harness: ControlHarness, group: string) =>
  harness.ask(1, {
    code: RequestCode.GET_CONSUMER_LIST_BY_GROUP,
    fields: { consumerGroup: group },
  });

/** Connections that were told since the last look that members of a group changed. */
function notified(harness: ControlHarness): number[] {
  harness.work();
  const told = harness.effects.clientRequests.splice(0);
  for (const { request } of told) {
    expect(request).toMatchObject({ code: RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, flag: 2 });
    expect(request.extFields.get('consumerGroup')).toBe('g');
  }
  return told.map(({ connectionId }) => connectionId).sort((left, right) => left - right);
}

describe('heartbeat', () => {
  it('creates group and retry topic and publishes both before its answer', () => {
    const harness = new ControlHarness();
    harness.effects.order.length = 0;
    const answer = harness.heartbeat(1, { group: 'g', topics: { T: 'a||b' } });
    expect(answer.code).toBe(0);
    expect(Object.fromEntries(answer.extFields)).toEqual({
      IS_SUPPORT_HEART_BEAT_V2: 'true',
      IS_SUB_CHANGE: 'true',
      IS_SUPPORT_MSGPACK_HEADER: 'true',
    });
    expect(harness.effects.order).toContain('topic %RETRY%g');
    expect(harness.effects.order.lastIndexOf('group g')).toBeGreaterThan(-1);
    expect(harness.effects.order.at(-1)).toBe('answer');
    expect(harness.effects.topics.get('%RETRY%g')?.config).toMatchObject({
      readQueueNums: 1,
      writeQueueNums: 1,
      perm: 6,
    });
    const snapshot = harness.effects.groups.get('g');
    expect(snapshot).toMatchObject({ exists: true, consumeEnable: true });
    expect(snapshot?.subscriptions?.get('T')).toMatchObject({
      subString: 'a||b',
      expressionType: 'TAG',
      subVersion: 1,
    });
  });

  it('makes its client a member whom 38 shows at once', () => {
    const harness = new ControlHarness();
    expect(members(harness, 'g')).toMatchObject({
      code: 1,
      remark: 'no consumer for this group, g',
    });
    harness.heartbeat(1, { group: 'g', topics: { T: '*' } });
    harness.heartbeat(2, { group: 'g', topics: { T: '*' } });
    expect(bodyOf(members(harness, 'g'))).toEqual({ consumerIdList: ['client-1', 'client-2'] });
  });

  it('counts a client that is back on a new connection once', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g', clientId: 'same' });
    harness.heartbeat(2, { group: 'g', clientId: 'same' });
    expect(bodyOf(members(harness, 'g'))).toEqual({ consumerIdList: ['same'] });
    harness.control.onConnectionClosed(1);
    expect(bodyOf(harness.ask(2, { code: 38, fields: { consumerGroup: 'g' } }))).toEqual({
      consumerIdList: ['same'],
    });
  });

  it('tells every member when one joins or topics change, once a turn, and not otherwise', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g', topics: { T: '*' } });
    harness.heartbeat(2, { group: 'g', topics: { T: '*' } });
    expect(notified(harness)).toEqual([1, 2]);
    harness.heartbeat(1, { group: 'g', topics: { T: '*' } });
    expect(notified(harness)).toEqual([]);
    harness.heartbeat(1, { group: 'g', topics: { T: 'tag' }, subVersion: 2 });
    expect(notified(harness)).toEqual([]);
    harness.heartbeat(1, { group: 'g', topics: { T: 'tag', U: '*' }, subVersion: 3 });
    expect(notified(harness)).toEqual([1, 2]);
  });

  it('does not tell broadcasting members', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g', messageModel: 'BROADCASTING' });
    expect(notified(harness)).toEqual([]);
  });

  it('does not tell members of a group that wants no notifications', () => {
    const harness = new ControlHarness();
    harness.ask(1, { code: 200, body: { groupName: 'g', notifyConsumerIdsChangedEnable: false } });
    harness.heartbeat(1, { group: 'g' });
    expect(notified(harness)).toEqual([]);
  });

  it('replaces a subscription only by a newer one, and drops topics that it does not mention', () => {
    const harness = new ControlHarness();
    const current = () =>
      [...(harness.effects.groups.get('g')?.subscriptions?.values() ?? [])].map(
        (one) => `${one.topic}:${one.subString}`,
      );
    harness.heartbeat(1, { group: 'g', topics: { T: 'new', U: '*' }, subVersion: 5 });
    harness.heartbeat(2, { group: 'g', topics: { T: 'old', U: '*' }, subVersion: 4 });
    expect(current()).toEqual(['T:new', 'U:*']);
    harness.heartbeat(2, { group: 'g', topics: { T: 'newer' }, subVersion: 6 });
    expect(current()).toEqual(['T:newer']);
  });

  it('refuses a body that is no heartbeat, and goes on', () => {
    const harness = new ControlHarness();
    expect(harness.ask(1, { code: RequestCode.HEART_BEAT, body: 'x' }).code).toBe(1);
    expect(harness.ask(1, { code: RequestCode.HEART_BEAT, body: '[]' }).code).toBe(1);
    expect(harness.heartbeat(1, { group: 'g' }).code).toBe(0);
  });

  it('refuses more groups or subscriptions than its limits', () => {
    const harness = new ControlHarness({
      config: { membershipCountMax: 2, subscriptionCountMax: 2 },
    });
    harness.heartbeat(1, { group: 'a' });
    harness.heartbeat(1, { group: 'b' });
    expect(harness.heartbeat(1, { group: 'b' }).code).toBe(0);
    expect(harness.heartbeat(1, { group: 'c' })).toMatchObject({ code: 1 });
    expect(harness.heartbeat(2, { group: 'a', topics: { T: '*', U: '*', V: '*' } })).toMatchObject({
      code: 1,
    });
    expect(harness.heartbeat(3, { producerGroups: ['p', 'q', 'r'] })).toMatchObject({ code: 1 });
  });

  it('refuses a body that would take long to read, and expressions beyond the limit, by its answer', () => {
    const harness = new ControlHarness();
    const beat = (body: unknown): unknown =>
      harness.ask(1, { code: RequestCode.HEART_BEAT, body }).remark;
    expect(beat({ clientID: 'c', more: 'x'.repeat(HEARTBEAT_BYTES_MAX) })).toMatch(
      /it has more than 524288 bytes/,
    );
    const many = { clientID: 'c', producerDataSet: Array.from({ length: 40_000 }, () => 1) };
    expect(beat(many)).toMatch(/JSON has more than 32768 values/);
    const long = harness.heartbeat(1, { group: 'g', topics: { T: 'x'.repeat(16_385) } });
    expect([long.code, long.remark]).toEqual([
      1,
      'an expression of group g has more than 16384 characters',
    ]);
    expect(harness.heartbeat(1, { group: 'g', topics: { T: 'x'.repeat(16_384) } }).code).toBe(0);
  });

  it('leaves a group alone whose name is illegal, and takes in the rest', () => {
    const harness = new ControlHarness();
    expect(harness.heartbeat(1, { group: '../../etc', producerGroups: ['p'] }).code).toBe(0);
    expect(harness.effects.groups.has('../../etc')).toBe(false);
    expect([...harness.effects.topics.keys()].some((topic) => topic.includes('..'))).toBe(false);
  });
});

describe('heartbeat V2', () => {
  it('keeps subscriptions of a beat without them, and asks for them where it knows none', () => {
    const harness = new ControlHarness();
    const flag = (answer: { extFields: Map<string, string> }) =>
      answer.extFields.get('IS_SUB_CHANGE');
    expect(flag(harness.heartbeat(1, { group: 'g', topics: { T: '*' }, fingerprint: 7 }))).toBe(
      'false',
    );
    expect(flag(harness.heartbeat(1, { group: 'g', fingerprint: 7, withoutSub: true }))).toBe(
      'false',
    );
    expect(harness.effects.groups.get('g')?.subscriptions?.has('T')).toBe(true);
    expect(flag(harness.heartbeat(1, { group: 'g', fingerprint: 8, withoutSub: true }))).toBe(
      'true',
    );
    expect(flag(harness.heartbeat(2, { group: 'h', fingerprint: 7, withoutSub: true }))).toBe(
      'true',
    );
    expect(
      flag(harness.heartbeat(1, { group: 'g', topics: { T: '*', U: '*' }, fingerprint: 9 })),
    ).toBe('true');
    expect(harness.effects.groups.get('g')?.subscriptions?.has('U')).toBe(true);
  });
});

describe('leaving', () => {
  it('by request removes that client and tells the others', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g', topics: { T: '*' } });
    harness.heartbeat(2, { group: 'g', topics: { T: '*' } });
    notified(harness);
    const answer = harness.ask(1, {
      code: RequestCode.UNREGISTER_CLIENT,
      fields: { clientID: 'client-1', consumerGroup: 'g', producerGroup: 'p' },
    });
    expect(answer.code).toBe(0);
    expect(notified(harness)).toEqual([2]);
    expect(bodyOf(members(harness, 'g'))).toEqual({ consumerIdList: ['client-2'] });
  });

  it('of the last member takes the subscriptions away, and keeps the group', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g', topics: { T: '*' } });
    harness.control.onConnectionClosed(1);
    expect(harness.effects.groups.get('g')).toMatchObject({ exists: true, subscriptions: null });
    expect(harness.ask(2, { code: 38, fields: { consumerGroup: 'g' } }).code).toBe(1);
  });

  it('with a connection tells the others of all its groups', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g' });
    harness.heartbeat(2, { group: 'g' });
    notified(harness);
    harness.control.onConnectionClosed(2);
    expect(notified(harness)).toEqual([1]);
  });

  it('happens after 120 s without a heartbeat, and closes the connection', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g' });
    harness.heartbeat(2, { producerGroups: ['p'] });
    harness.clock.advance(110_000);
    harness.heartbeat(3, { group: 'g' });
    notified(harness);
    harness.clock.advance(10_001);
    expect(notified(harness)).toEqual([3]);
    expect(new Set(harness.effects.closed)).toEqual(new Set([1, 2]));
    expect(harness.ask(3, { code: 38, fields: { consumerGroup: 'g' } }).body.toString()).toContain(
      'client-3',
    );
  });

  it('does not happen to a client that goes on sending heartbeats', () => {
    const harness = new ControlHarness();
    for (let beat = 0; beat < 10; beat++) {
      harness.heartbeat(1, { group: 'g', producerGroups: ['p'] });
      harness.clock.advance(60_000);
      harness.work();
    }
    expect(harness.effects.closed).toEqual([]);
  });
});

describe('check of a client config', () => {
  const check = (harness: ControlHarness, expressionType: string, subString = 'a > 1') =>
    harness.ask(1, {
      code: RequestCode.CHECK_CLIENT_CONFIG,
      body: {
        clientId: 'c',
        group: 'g',
        namespace: '',
        subscriptionData: { topic: 'T', subString, expressionType },
      },
    });

  it('passes tags, and SQL only where it is enabled', () => {
    expect(check(new ControlHarness(), 'TAG').code).toBe(0);
    expect(check(new ControlHarness(), 'SQL92')).toMatchObject({
      code: 1,
      remark: 'The broker does not support consumer to filter message by SQL92',
    });
    expect(
      check(new ControlHarness({ config: { enablePropertyFilter: true } }), 'SQL92').code,
    ).toBe(0);
  });

  it('refuses what is too long, also where that shows by the length of the body alone', () => {
    const harness = new ControlHarness({ config: { enablePropertyFilter: true } });
    const refusal = {
      code: 23,
      remark: "parse the consumer's subscription failed: more than 16384 characters",
    };
    for (const expressionType of ['SQL92', ''])
      expect(check(harness, expressionType, ' '.repeat(1_000_000))).toMatchObject(refusal);
    expect(check(harness, 'SQL92', ' '.repeat(16_385))).toMatchObject(refusal);
    // Each character may take six bytes of the body.
    const longest = `a = '${'\u0001'.repeat(16_384 - 6)}'`;
    expect(check(harness, 'SQL92', longest).code).toBe(0);
  });
});
