/**
 * Goal: what the generator sends is what the stock Java client sends. Method: frames made with the
 * values of captured ones are equal to them byte for byte.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Decision, EndFrames } from '../../../bench/load/end-frames.ts';
import { PullFrames } from '../../../bench/load/pull-frames.ts';
import { OPAQUE_MIN, SendFrames } from '../../../bench/load/send-frames.ts';
import { decodeFrame, type RemotingCommand } from '../../../src/protocol/remoting-command.ts';

const folder = path.join(import.meta.dirname, '..', '..', 'fixtures', 'frames');

function captured(name: string): Buffer {
  return fs.readFileSync(path.join(folder, `${name}.bin`));
}

/** A captured JSON frame with an opaque of as many digits as the generator's. */
function withOpaque(frame: Buffer, opaque: number): Buffer {
  const { body } = decodeFrame(frame.subarray(4));
  const header = frame
    .toString('latin1', 8, frame.length - body.length)
    .replace(/"opaque":\d+/, `"opaque":${opaque}`);
  const lengths = Buffer.alloc(8);
  lengths.writeInt32BE(4 + header.length + body.length, 0);
  lengths.writeInt32BE(header.length, 4);
  return Buffer.concat([lengths, Buffer.from(header, 'latin1'), body]);
}

function uniqueKeyOf(frame: RemotingCommand): string {
  const properties = (frame.extFields.get('i') ?? '').split('\x02');
  const property = properties.find((text) => text.startsWith('UNIQ_KEY'));
  return property?.split('\x01')[1] ?? '';
}

const sendOptions = {
  codec: 'json' as 'json' | 'rocketmq',
  producerGroup: 'frame-producer',
  topic: 'FrameTopic',
  brokerName: 'broker-a',
  queueId: 3,
  bodyBytes: 128,
  tag: 'TagA',
  uniqueKeyPrefix: '7F000001000000010002ABCD',
};

function sends(options: typeof sendOptions, count: number): Buffer[] {
  const frames = new SendFrames(options);
  return Array.from({ length: count }, (_, index) => {
    const target = Buffer.alloc(10 + frames.frameBytes);
    frames.writeInto(target, 10, OPAQUE_MIN + index, 1_795_421_374_049 + index);
    return target.subarray(10);
  });
}

describe('send frames', () => {
  it('equal those of the client with a JSON header', () => {
    const theirs = captured('json-310-send-oneway');
    const key = uniqueKeyOf(decodeFrame(theirs.subarray(4)));
    const [ours] = sends({ ...sendOptions, uniqueKeyPrefix: key.slice(0, 24) }, 1);
    const expected = withOpaque(theirs, OPAQUE_MIN)
      .toString('latin1')
      .replace('"flag":2', '"flag":0')
      .replace(key, `${key.slice(0, 24)}00000001`);
    expect(ours?.toString('latin1')).toBe(expected);
  });

  it('equal those of the client with a ROCKETMQ header, its message key aside', () => {
    const theirs = decodeFrame(captured('rocketmq-310-send-keys-tag').subarray(4));
    const frame = captured('rocketmq-310-send-keys-tag');
    const [ours = Buffer.alloc(0)] = sends({ ...sendOptions, codec: 'rocketmq', queueId: 2 }, 1);
    const decoded = decodeFrame(ours.subarray(4));
    const variable = (fields: Map<string, string>): [string, string][] =>
      [...fields].filter(([name]) => name !== 'g' && name !== 'i');
    expect(variable(decoded.extFields)).toEqual(variable(theirs.extFields));
    expect(decoded.body).toEqual(theirs.body);
    // Type, code, language and version; then flag and remark.
    expect(ours.subarray(8, 13)).toEqual(frame.subarray(8, 13));
    expect(ours.subarray(17, 25)).toEqual(frame.subarray(17, 25));
    expect(ours.readInt32BE(0)).toBe(ours.length - 4);
  });

  it.each(['json', 'rocketmq'] as const)(
    'differ in opaque, born time and unique key alone (%s)',
    (codec) => {
      // Past the carries of sixteen and two hundred and fifty-six.
      const frames = sends({ ...sendOptions, codec }, 600).map((frame) =>
        decodeFrame(frame.subarray(4)),
      );
      const keys = frames.map(uniqueKeyOf);
      expect(new Set(keys).size).toBe(600);
      expect(keys[599]).toBe(`${sendOptions.uniqueKeyPrefix}00000258`);
      expect(frames.map((frame) => frame.opaque)).toEqual(frames.map((_, index) => 1e6 + index));
      expect(frames.map((frame) => Number(frame.extFields.get('g')))).toEqual(
        frames.map((_, index) => 1_795_421_374_049 + index),
      );
    },
  );
});

describe('frames of messages that wait', () => {
  it.each(['json', 'rocketmq'] as const)('carry a time, or are halves (%s)', (codec) => {
    const timed = new SendFrames({ ...sendOptions, codec, kind: 'timed' });
    const half = new SendFrames({ ...sendOptions, codec, kind: 'half' });
    const target = Buffer.alloc(timed.frameBytes + half.frameBytes);
    for (const dueMs of [1_795_421_374_049, 1_799_999_999_999]) {
      timed.setDue(dueMs);
      timed.writeInto(target, 0, OPAQUE_MIN, 1_795_421_374_000);
      const { extFields, body } = decodeFrame(target.subarray(4, timed.frameBytes));
      expect(extFields.get('i')).toContain(`\x02TIMER_DELIVER_MS\x01${dueMs}\x02`);
      expect([extFields.get('f'), extFields.get('g')]).toEqual(['0', '1795421374000']);
      expect(body.length).toBe(128);
    }
    half.writeInto(target, 0, OPAQUE_MIN, 1_795_421_374_000);
    const { extFields } = decodeFrame(target.subarray(4, half.frameBytes));
    expect(extFields.get('i')).toContain('TRAN_MSG\x01true\x02PGROUP\x01frame-producer\x02');
    expect(extFields.get('f')).toBe('4');
  });

  it.each(['json', 'rocketmq'] as const)('end transactions (%s)', (codec) => {
    const frames = new EndFrames({ ...sendOptions, codec });
    const target = Buffer.alloc(3 + frames.frameBytesMax);
    const end = {
      commitLogOffset: '1099511627777',
      tranStateTableOffset: '0',
      commitOrRollback: Decision.ROLLBACK,
      transactionId: '7F0000010000000100000000000002AB',
    };
    const kinds = [
      { flag: 0, isFromCheck: false },
      { flag: 2, isFromCheck: false },
      { flag: 2, isFromCheck: true },
    ];
    for (const { flag, isFromCheck } of kinds) {
      const bytes =
        flag === 0
          ? frames.writeAnswered(target, 3, 1_000_042, end)
          : frames.writeOneway(target, 3, 1_000_042, end, isFromCheck);
      expect(target.readInt32BE(3)).toBe(bytes - 4);
      const frame = decodeFrame(target.subarray(7, 3 + bytes));
      expect([frame.code, frame.flag, frame.opaque]).toEqual([37, flag, 1_000_042]);
      expect(Object.fromEntries(frame.extFields)).toEqual({
        ...end,
        bname: 'broker-a',
        fromTransactionCheck: String(isFromCheck),
        msgId: end.transactionId,
        producerGroup: 'frame-producer',
        topic: 'FrameTopic',
      });
    }
  });
});

describe('pull frames', () => {
  const pullOptions = {
    codec: 'json' as 'json' | 'rocketmq',
    group: 'frame-consumer',
    expressionType: 'TAG' as const,
    topic: 'FrameTopic',
    brokerName: 'broker-a',
    queueId: 0,
    subscriptionVersion: 0,
  };

  function pull(
    options: typeof pullOptions,
    opaque: number,
    queueOffset: number,
    commitOffset: number,
  ): Buffer {
    const frames = new PullFrames(options);
    const target = Buffer.alloc(3 + frames.frameBytesMax);
    const bytes = frames.writeInto(target, 3, opaque, queueOffset, commitOffset);
    return target.subarray(3, 3 + bytes);
  }

  it('equal those of the client with a JSON header', () => {
    const theirs = captured('json-11-pull');
    const version = decodeFrame(theirs.subarray(4)).extFields.get('subVersion');
    const options = { ...pullOptions, subscriptionVersion: Number(version) };
    expect(pull(options, 1_000_007, 0, 0).toString('latin1')).toBe(
      withOpaque(theirs, 1_000_007).toString('latin1'),
    );
  });

  it('equal those of the client with a ROCKETMQ header, byte for byte', () => {
    const theirs = captured('rocketmq-11-pull');
    const { extFields, opaque } = decodeFrame(theirs.subarray(4));
    const options = {
      ...pullOptions,
      codec: 'rocketmq' as const,
      subscriptionVersion: Number(extFields.get('subVersion')),
    };
    expect(pull(options, opaque, 2, 2)).toEqual(theirs);
  });

  it.each(['json', 'rocketmq'] as const)('carry offsets of any width (%s)', (codec) => {
    for (const offset of [0, 9, 10, 123_456_789, 2 ** 53 - 1]) {
      const frame = pull({ ...pullOptions, codec }, 1_000_001, offset, offset);
      expect(frame.readInt32BE(0)).toBe(frame.length - 4);
      const { extFields, opaque } = decodeFrame(frame.subarray(4));
      expect([extFields.get('queueOffset'), extFields.get('commitOffset'), opaque]).toEqual([
        String(offset),
        String(offset),
        1_000_001,
      ]);
      expect(extFields.get('sysFlag')).toBe(offset > 0 ? '3' : '2');
    }
  });
});
