import { describe, expect, it } from 'vitest';
import { RequestCode } from '../../src/protocol/codes.ts';
import { decodeProperties } from '../../src/protocol/message-properties.ts';
import {
  RecordKind,
  RecordView,
  SysFlag,
  writeLong,
  recordHead,
} from '../../src/protocol/message-record.ts';
import {
  encodeHost,
  encodeRecord,
  fieldsOf,
  type RecordFields,
} from '../../src/protocol/record-encoder.ts';
import { ControlHarness, storeHost } from './control-harness.ts';

const bornHost = encodeHost('192.168.7.7', 4711);
const messageOffset = 1_000;
/** Store host 10.0.0.9:10911 and offset 1000. */
const messageId = '0A00000900002A9F00000000000003E8';

/** Puts a stored message where send-backs look for it. */
function putMessage(
  harness: ControlHarness,
  changes: Partial<RecordFields> & { text?: string } = {},
): void {
  const { text = 'TAGS\x01a\x02UNIQ_KEY\x01K\x02', ...fields } = changes;
  const record = encodeRecord({
    topic: 'T',
    queueId: 3,
    flag: 9,
    sysFlag: 0,
    bornTimestampMs: 123_456,
    bornHost,
    storeHost,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from('hello'),
    properties: Buffer.from(text),
    ...fields,
  });
  writeLong(record, messageOffset, recordHead.physicalOffset);
  harness.effects.records.set(messageOffset, record);
}

const sendBack = (fields: Record<string, string> = {}, version?: number) => ({
  code: RequestCode.CONSUMER_SEND_MSG_BACK,
  fields: {
    offset: String(messageOffset),
    group: 'g',
    delayLevel: '0',
    originMsgId: messageId,
    originTopic: 'T',
    unitMode: 'false',
    ...fields,
  },
  ...(version === undefined ? {} : { version }),
});

/** The last record handed to the writer, taken apart. */
function lastAppend(harness: ControlHarness) {
  const append = harness.effects.appends.at(-1);
  if (append === undefined) throw new Error('nothing was appended');
  const view = new RecordView();
  expect(view.read(append.draft.record, 0, append.draft.record.length, true)).toBe(
    RecordKind.MESSAGE,
  );
  const fields = fieldsOf(view);
  expect(view.queueId).toBe(append.draft.queueId);
  expect(harness.effects.topics.get(fields.topic)?.topicId).toBe(append.draft.topicId);
  return {
    fields,
    properties: Object.fromEntries(decodeProperties(Buffer.from(fields.properties).toString())),
    answerTo: append.answerTo,
  };
}

describe('send-back (36)', () => {
  it('stores the message for its retry topic, at the third delay level first', () => {
    const harness = new ControlHarness();
    putMessage(harness);
    const request = harness.tell(1, sendBack());
    const { fields, properties, answerTo } = lastAppend(harness);
    expect(answerTo).toEqual({ connectionId: 1, request });
    expect(fields).toMatchObject({
      topic: 'SCHEDULE_TOPIC_XXXX',
      queueId: 2,
      flag: 9,
      bornTimestampMs: 123_456,
      reconsumeTimes: 1,
    });
    expect(Buffer.from(fields.body).toString()).toBe('hello');
    expect(Buffer.from(fields.bornHost)).toEqual(bornHost);
    expect(Buffer.from(fields.storeHost)).toEqual(storeHost);
    expect(properties).toEqual({
      TAGS: 'a',
      UNIQ_KEY: 'K',
      RETRY_TOPIC: 'T',
      WAIT: 'false',
      DELAY: '3',
      ORIGIN_MESSAGE_ID: messageId,
      REAL_TOPIC: '%RETRY%g',
      REAL_QID: '0',
    });
    expect(harness.effects.topics.has('%RETRY%g')).toBe(true);
  });

  it('keeps original topic and first id through further retries, a level higher each time', () => {
    const harness = new ControlHarness();
    putMessage(harness, {
      topic: '%RETRY%g',
      reconsumeTimes: 2,
      text: 'RETRY_TOPIC\x01T\x02ORIGIN_MESSAGE_ID\x01FIRST\x02DELAY\x014\x02REAL_TOPIC\x01%RETRY%g\x02REAL_QID\x010\x02',
    });
    harness.tell(1, sendBack());
    const { fields, properties } = lastAppend(harness);
    expect(fields.reconsumeTimes).toBe(3);
    expect(properties).toMatchObject({
      RETRY_TOPIC: 'T',
      ORIGIN_MESSAGE_ID: 'FIRST',
      DELAY: '5',
      REAL_TOPIC: '%RETRY%g',
    });
  });

  it('takes the delay level that the client asks for', () => {
    const harness = new ControlHarness();
    putMessage(harness);
    harness.tell(1, sendBack({ delayLevel: '7' }));
    expect(lastAppend(harness).fields.queueId).toBe(6);
    harness.tell(1, sendBack({ delayLevel: '1000000000' }));
    expect(lastAppend(harness).fields.queueId).toBe(17);
  });

  it('keeps compression and commit flags', () => {
    const harness = new ControlHarness();
    putMessage(harness, { sysFlag: SysFlag.COMPRESSED | SysFlag.TRANSACTION_COMMIT });
    harness.tell(1, sendBack());
    expect(lastAppend(harness).fields.sysFlag).toBe(
      SysFlag.COMPRESSED | SysFlag.TRANSACTION_COMMIT,
    );
  });

  it.each([
    ['after sixteen tries', 16, {}],
    ['after as many tries as the client allows', 3, { maxReconsumeTimes: '3' }],
    ['when the client asks for it', 0, { delayLevel: '-1' }],
  ])('makes a dead letter %s, without delay', (_when, reconsumeTimes, fields) => {
    const harness = new ControlHarness();
    putMessage(harness, { reconsumeTimes });
    harness.tell(1, sendBack(fields));
    const stored = lastAppend(harness);
    expect(stored.fields).toMatchObject({
      topic: '%DLQ%g',
      queueId: 0,
      reconsumeTimes: reconsumeTimes + 1,
    });
    expect(stored.properties['DELAY']).toBe('0');
    expect(harness.effects.topics.get('%DLQ%g')?.config).toMatchObject({
      perm: 6,
      writeQueueNums: 1,
    });
  });

  it('retries one below the limit, and once more where the client allows more than the group', () => {
    const harness = new ControlHarness();
    putMessage(harness, { reconsumeTimes: 15 });
    harness.tell(1, sendBack());
    expect(lastAppend(harness).fields.topic).toBe('SCHEDULE_TOPIC_XXXX');
    putMessage(harness, { reconsumeTimes: 16 });
    harness.tell(1, sendBack({ maxReconsumeTimes: '20' }));
    expect(lastAppend(harness).fields).toMatchObject({ topic: 'SCHEDULE_TOPIC_XXXX', queueId: 17 });
  });

  it('ignores the limit of a client older than 3.4.9', () => {
    const harness = new ControlHarness();
    putMessage(harness, { reconsumeTimes: 3 });
    harness.tell(1, sendBack({ maxReconsumeTimes: '3' }, 120));
    expect(lastAppend(harness).fields.topic).toBe('SCHEDULE_TOPIC_XXXX');
  });

  it("follows its group's own retry limit and queues", () => {
    const harness = new ControlHarness();
    harness.ask(1, { code: 200, body: { groupName: 'g', retryMaxTimes: 1, retryQueueNums: 4 } });
    putMessage(harness);
    harness.tell(1, sendBack());
    // random() is 0.5: the third of four queues.
    expect(lastAppend(harness).properties).toMatchObject({ REAL_TOPIC: '%RETRY%g', REAL_QID: '2' });
    putMessage(harness, { reconsumeTimes: 1 });
    harness.tell(1, sendBack());
    expect(lastAppend(harness).fields.topic).toBe('%DLQ%g');
  });

  it('succeeds and stores nothing for a group without retry queues', () => {
    const harness = new ControlHarness();
    harness.ask(1, { code: 200, body: { groupName: 'g', retryQueueNums: 0 } });
    putMessage(harness);
    expect(harness.ask(1, sendBack()).code).toBe(0);
    expect(harness.effects.appends).toEqual([]);
  });

  it('fails where no message starts at the offset', () => {
    const harness = new ControlHarness();
    expect(harness.ask(1, sendBack())).toMatchObject({
      code: 1,
      remark: 'look message by offset failed, 1000',
    });
    putMessage(harness);
    const record = harness.effects.records.get(messageOffset) as Buffer;
    harness.effects.records.set(1_001, record);
    expect(harness.ask(1, sendBack({ offset: '1001' })).code).toBe(1);
    expect(harness.ask(1, sendBack({ offset: '-1' })).code).toBe(1);
    // A byte of the body, which the CRC covers.
    record[90] = record[90] ^ 1;
    expect(harness.ask(1, sendBack()).code).toBe(1);
  });

  it('is refused for a group that does not exist and may not be created', () => {
    const harness = new ControlHarness({ config: { autoCreateSubscriptionGroup: false } });
    putMessage(harness);
    expect(harness.ask(1, sendBack()).code).toBe(26);
  });

  it('waits for room, in order, and is refused when too many wait', () => {
    const harness = new ControlHarness({ config: { pendingAppendCountMax: 2 } });
    putMessage(harness);
    harness.effects.hasRoom = false;
    const first = harness.tell(1, sendBack());
    const second = harness.tell(2, sendBack());
    expect(harness.ask(3, sendBack()).code).toBe(2);
    expect(harness.control.nextDeadlineMs()).toBe(harness.clock.nowMs());
    harness.work();
    harness.effects.hasRoom = true;
    harness.work();
    expect(harness.effects.appends.map(({ answerTo }) => answerTo?.request)).toEqual([
      first,
      second,
    ]);
  });

  it('does not overtake one that still waits for room', () => {
    const harness = new ControlHarness();
    putMessage(harness);
    harness.effects.hasRoom = false;
    const first = harness.tell(1, sendBack());
    harness.effects.hasRoom = true;
    const second = harness.tell(2, sendBack());
    harness.work();
    expect(harness.effects.appends.map(({ answerTo }) => answerTo?.request)).toEqual([
      first,
      second,
    ]);
  });

  it('asked oneway is answered by nobody', () => {
    const harness = new ControlHarness();
    putMessage(harness);
    harness.tellOneway(1, sendBack());
    expect(lastAppend(harness).answerTo).toBeNull();
  });
});

describe('send to %RETRY%group', () => {
  const text =
    'RETRY_TOPIC\x01T\x02RECONSUME_TIME\x011\x02MAX_RECONSUME_TIMES\x0116\x02DELAY\x014\x02UNIQ_KEY\x01K\x02POP_CK\x01x\x02';
  const send = (fields: Record<string, string> = {}, body = 'hello') => ({
    code: RequestCode.SEND_MESSAGE_V2,
    fields: {
      a: 'CLIENT_INNER_PRODUCER',
      b: '%RETRY%g',
      c: 'TBW102',
      d: '4',
      e: '0',
      f: '12',
      g: '99',
      h: '5',
      i: text,
      j: '1',
      k: 'false',
      l: '16',
      m: 'false',
      ...fields,
    },
    body,
  });

  it('is stored for the retry topic, delayed, with what the broker adds to sends', () => {
    const harness = new ControlHarness();
    harness.connect(1);
    const request = harness.tell(1, send());
    const { fields, properties, answerTo } = lastAppend(harness);
    expect(answerTo).toEqual({ connectionId: 1, request });
    expect(fields).toMatchObject({
      topic: 'SCHEDULE_TOPIC_XXXX',
      queueId: 3,
      flag: 5,
      reconsumeTimes: 1,
      bornTimestampMs: 99,
    });
    // The transaction bits that the client sent are not its to set.
    expect(fields.sysFlag).toBe(0);
    expect(Buffer.from(fields.bornHost)).toEqual(encodeHost('192.168.1.1', 50001));
    expect(properties).toMatchObject({
      RETRY_TOPIC: 'T',
      UNIQ_KEY: 'K',
      REAL_TOPIC: '%RETRY%g',
      REAL_QID: '0',
      MSG_REGION: 'DefaultRegion',
      TRACE_ON: 'true',
      CLUSTER: 'DefaultCluster',
    });
    expect(properties).not.toHaveProperty('POP_CK');
  });

  it('understands the long header names, and gives a key to a message without one', () => {
    const harness = new ControlHarness();
    harness.tell(1, {
      code: RequestCode.SEND_MESSAGE,
      fields: {
        producerGroup: 'p',
        topic: '%RETRY%g',
        defaultTopic: 'TBW102',
        defaultTopicQueueNums: '4',
        queueId: '0',
        sysFlag: '0',
        bornTimestamp: '1',
        flag: '0',
        properties: 'DELAY\x013\x02',
        reconsumeTimes: '1',
      },
      body: 'x',
    });
    expect(lastAppend(harness).properties['UNIQ_KEY']).toMatch(/^[0-9A-F]{32}$/);
  });

  it.each([
    ['beyond the limit', { j: '17' }, '%DLQ%g'],
    ['at the limit', { j: '16' }, 'SCHEDULE_TOPIC_XXXX'],
    ['beyond a limit of its own', { j: '3', l: '2' }, '%DLQ%g'],
  ])('%s goes to %s', (_when, fields, topic) => {
    const harness = new ControlHarness();
    harness.tell(1, send(fields));
    expect(lastAppend(harness).fields.topic).toBe(topic);
  });

  it('of a group that consumes in order becomes a dead letter, until its locks have expired', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g' });
    const lock = {
      clientId: 'c',
      consumerGroup: 'g',
      mqSet: [{ brokerName: 'b', queueId: 0, topic: '%RETRY%g' }],
    };
    harness.ask(1, { code: 41, body: lock });
    harness.tell(1, send());
    expect(lastAppend(harness)).toMatchObject({
      fields: { topic: '%DLQ%g' },
      properties: { DELAY: '-1' },
    });
    harness.clock.advance(60_001);
    harness.tell(1, send());
    expect(lastAppend(harness).fields.topic).toBe('SCHEDULE_TOPIC_XXXX');
  });

  it.each([
    [13, send({}, '')],
    [13, send({}, 'x'.repeat(101))],
    [26, send({ b: '%RETRY%../x' })],
    [1, send({ b: 'Plain' })],
    [13, send({ i: `K\x01${'v'.repeat(32_766)}\x02` })],
  ])('is refused with %i where it is illegal', (code, request) => {
    const harness = new ControlHarness({ config: { maxMessageSize: 100 } });
    expect(harness.ask(1, request).code).toBe(code);
    expect(harness.effects.appends).toEqual([]);
  });
});
