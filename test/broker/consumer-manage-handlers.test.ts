import { describe, expect, it } from 'vitest';
import { RequestCode } from '../../src/protocol/codes.ts';
import { bodyOf, ControlHarness } from './control-harness.ts';

const topicConfig = {
  defaultTopic: 'TBW102',
  perm: '6',
  topicFilterType: 'SINGLE_TAG',
  order: 'false',
};

function opened(): ControlHarness {
  const harness = new ControlHarness();
  harness.ask(1, {
    code: 17,
    fields: { ...topicConfig, topic: 'T', readQueueNums: '4', writeQueueNums: '4' },
  });
  harness.heartbeat(1, { group: 'g', topics: { T: '*' } });
  return harness;
}

const query = (fields: Record<string, string> = {}) => ({
  code: RequestCode.QUERY_CONSUMER_OFFSET,
  fields: { topic: 'T', consumerGroup: 'g', queueId: '0', ...fields },
});
const update = (fields: Record<string, string> = {}) => ({
  code: RequestCode.UPDATE_CONSUMER_OFFSET,
  fields: { topic: 'T', consumerGroup: 'g', queueId: '0', commitOffset: '5', ...fields },
});

describe('stored offset (14)', () => {
  it('is what was committed last', () => {
    const harness = opened();
    harness.tellOneway(1, update());
    expect(harness.ask(1, query()).extFields.get('offset')).toBe('5');
    harness.control.commitOffset('g', 'T', 0, 9);
    expect(harness.ask(1, query()).extFields.get('offset')).toBe('9');
    harness.control.commitOffset('g', 'T', 0, 7);
    expect(harness.ask(1, query()).extFields.get('offset')).toBe('9');
    harness.tellOneway(1, update({ commitOffset: '2' }));
    expect(harness.ask(1, query()).extFields.get('offset')).toBe('2');
  });

  it('is a question to the dispatcher where nothing is stored', () => {
    const harness = opened();
    const request = harness.tell(1, query({ queueId: '1' }));
    const question = { kind: 'queue-start', topic: 'T', queueId: 1 };
    expect(harness.effects.questions).toEqual([{ connectionId: 1, request, question }]);
  });

  it('is not found at once where the client wants no zero, or the topic is unknown', () => {
    const harness = opened();
    expect(harness.ask(1, query({ setZeroIfNotFound: 'false' })).code).toBe(22);
    expect(harness.ask(1, query({ topic: 'Unknown' })).code).toBe(22);
    expect(harness.effects.questions).toEqual([]);
  });

  it('refuses a request without a field, or with one that is no number', () => {
    const harness = opened();
    expect(harness.ask(1, { code: 14, fields: { topic: 'T', consumerGroup: 'g' } })).toMatchObject({
      code: 1,
      remark: 'the custom field <queueId> is null',
    });
    expect(harness.ask(1, query({ queueId: '1e3' })).code).toBe(1);
  });
});

describe('commit (15)', () => {
  it.each([
    [26, { consumerGroup: 'unknown' }],
    [17, { topic: 'Unknown' }],
    [29, { queueId: '4' }],
    [29, { queueId: '-1' }],
    [29, { commitOffset: '-1' }],
    [1, { commitOffset: '9007199254740993' }],
  ])('is refused with %i for %j', (code, fields) => {
    const harness = opened();
    expect(harness.ask(1, update(fields)).code).toBe(code);
    expect(harness.ask(1, query({ setZeroIfNotFound: 'false' })).code).toBe(22);
  });

  it('with a pull of a negative or inexact offset is dropped', () => {
    const harness = opened();
    harness.control.commitOffset('g', 'T', 0, -1);
    harness.control.commitOffset('g', 'T', 0, 2 ** 53);
    expect(harness.ask(1, query({ setZeroIfNotFound: 'false' })).code).toBe(22);
  });

  it('shows in the list of all offsets', () => {
    const harness = opened();
    harness.tellOneway(1, update({ queueId: '2' }));
    expect(bodyOf(harness.ask(1, { code: 43 }))).toMatchObject({
      offsetTable: { 'T@g': { 2: 5 } },
    });
  });

  it('reaches the file with the next save, five seconds apart, and only after a change', () => {
    const harness = opened();
    harness.work();
    harness.effects.persistCount = 0;
    harness.tellOneway(1, update());
    harness.clock.advance(4_999);
    harness.work();
    expect(harness.effects.files.has('consumerOffset.json')).toBe(false);
    harness.clock.advance(1);
    harness.work();
    expect(harness.effects.files.get('consumerOffset.json')).toContain('"T@g":{"0":5}');
    harness.clock.advance(5_000);
    harness.work();
    expect(harness.effects.persistCount).toBe(1);
  });
});

describe('queue locks (41, 42)', () => {
  const queue = (queueId: number, topic = 'T') => ({ brokerName: 'broker-a', queueId, topic });
  const lock = (harness: ControlHarness, clientId: string, mqSet: unknown[]) =>
    bodyOf(
      harness.ask(1, {
        code: 41,
        body: { clientId, consumerGroup: 'g', mqSet, onlyThisBroker: false },
      }),
    )['lockOKMQSet'];

  it('answers exactly the queues that this client holds', () => {
    const harness = opened();
    expect(lock(harness, 'a', [queue(0), queue(1)])).toEqual([queue(0), queue(1)]);
    expect(lock(harness, 'b', [queue(1), queue(2)])).toEqual([queue(2)]);
    harness.tellOneway(1, {
      code: 42,
      body: { clientId: 'a', consumerGroup: 'g', mqSet: [queue(1)] },
    });
    expect(lock(harness, 'b', [queue(0), queue(1)])).toEqual([queue(1)]);
  });

  it('does not give out queues that do not exist', () => {
    const harness = opened();
    expect(lock(harness, 'a', [queue(4), queue(-1), queue(0, 'Unknown'), 7, null])).toEqual([]);
  });

  it('gives a queue to the next client 60 s after the last renewal', () => {
    const harness = opened();
    lock(harness, 'a', [queue(0)]);
    harness.clock.advance(60_001);
    expect(lock(harness, 'b', [queue(0)])).toEqual([queue(0)]);
  });
});
