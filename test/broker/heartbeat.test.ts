import { describe, expect, it } from 'vitest';
import { decodeHeartbeat } from '../../src/broker/heartbeat.ts';

const decode = (text: string) => decodeHeartbeat(Buffer.from(text));

describe('heartbeat body', () => {
  it('is read as the Java client writes it', () => {
    const beat = decode(
      '{"clientID":"10.0.0.1@4711#1","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919],"expressionType":"TAG","subString":"TagA || TagB","subVersion":1700000000000,"tagsSet":["TagA","TagB"],"topic":"T"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"p"}],"withoutSub":false}',
    );
    expect(beat).toEqual({
      clientId: '10.0.0.1@4711#1',
      producerGroups: ['p'],
      consumers: [
        {
          group: 'g',
          consumeType: 'CONSUME_PASSIVELY',
          messageModel: 'CLUSTERING',
          consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
          subscriptions: [
            {
              topic: 'T',
              expressionType: 'TAG',
              subString: 'TagA || TagB',
              subVersion: 1_700_000_000_000,
              tagsSet: ['TagA', 'TagB'],
            },
          ],
          unitMode: false,
        },
      ],
      fingerprint: 0,
      withoutSubscriptions: false,
    });
  });

  it('is read as the Go client writes it: no fingerprint, codeSet of strings, null sets', () => {
    const beat = decode(
      '{"clientID":"c","producerDataSet":null,"consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_PASSIVELY","messageModel":"BroadCasting","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"classFilterMode":false,"topic":"T","subString":"*","tagsSet":[],"codeSet":["42"],"subVersion":5,"expressionType":"TAG"}],"unitMode":false}]}',
    );
    expect(beat).toMatchObject({ fingerprint: 0, withoutSubscriptions: false, producerGroups: [] });
    expect(beat.consumers[0]).toMatchObject({
      messageModel: 'BROADCASTING',
      subscriptions: [{ topic: 'T', subString: '*' }],
    });
  });

  it('takes enum numbers and leaves out groups and subscriptions without a name', () => {
    const beat = decode(
      '{"clientID":"c","consumerDataSet":[{"groupName":"g","messageModel":0,"consumeType":0,"subscriptionDataSet":[{"subString":"*"},7,null]},{"groupName":""},{}],"producerDataSet":[{},{"groupName":"p"}]}',
    );
    expect(beat.consumers).toHaveLength(1);
    expect(beat.consumers[0]).toMatchObject({
      messageModel: 'BROADCASTING',
      consumeType: 'CONSUME_ACTIVELY',
      subscriptions: [],
    });
    expect(beat.producerGroups).toEqual(['p']);
  });

  it.each(['', 'x', '[]', 'null', '{}', '{"clientID":""}', '{"clientID":5}'])(
    'refuses %j',
    (text) => {
      expect(() => decode(text)).toThrow();
    },
  );
});
