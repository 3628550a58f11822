/**
 * The kernel makes of every request what TypeScript makes of it, byte for byte: of those that clients send,
 * of all that is rare, and of what is broken.
 */
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import {
  binary,
  frameOf,
  plain,
  plainHeader,
  replaced,
  withoutStamps,
} from '../workers/send-frames.ts';
import { WorkerBench } from '../workers/worker-bench.ts';

/** What both make of the frames; the number of records that the kernel wrote itself. */
function compare(frames: readonly Buffer[], hostBytes = Uint8Array.of(10, 0, 0, 2)): number {
  const benches = [true, false].map((hasKernel) => {
    const bench = new WorkerBench(hasKernel);
    bench.topic('TopicA', 1);
    bench.topic('T'.repeat(127), 2);
    bench.topic('RMQ_SYS_TRANS_HALF_TOPIC', 3);
    bench.topic('SCHEDULE_TOPIC_XXXX', 4);
    return bench;
  });
  const [quick, plain] = benches as [WorkerBench, WorkerBench];
  for (const [index, frame] of frames.entries()) {
    const [made, expected] = benches.map((bench) => {
      // A connection of its own: one whose topic is not there would wait from then on.
      bench.offerFrame(index, frame, hostBytes);
      bench.worker.doWork(1001);
      return bench.outputs().map((outputs) => outputs.map(withoutStamps));
    });
    const isSame = JSON.stringify(made) === JSON.stringify(expected);
    if (!isSame) expect({ frame: frame.toString('latin1'), made }).toEqual({ frame: '', expected });
  }
  expect(plain.quickCount).toBe(0);
  return quick.quickCount;
}

describe('the kernel of sends', () => {
  test('writes plain sends, of every length of body', () => {
    const frames = Array.from({ length: 300 }, (_, index) => plain(undefined, 1 + index * 9));
    expect(compare(frames)).toBe(frames.length);
  });

  test('writes them for an address of IPv6', () => {
    const hostBytes = Uint8Array.from({ length: 16 }, (_, index) => index + 1);
    expect(compare([plain()], hostBytes)).toBe(1);
  });

  test('writes properties of every length, and what ends in the middle of a step', () => {
    const frames = Array.from({ length: 200 }, (_, index) =>
      plain(replaced('AC11000200', `${'k'.repeat(index)}\\u0002X\\u0001y`)),
    );
    expect(compare(frames)).toBe(frames.length);
  });

  test('writes them where the header is spaced out, in another order, or has fields that nobody knows', () => {
    const frames = [
      plain((header) => JSON.stringify(JSON.parse(header), null, 2)),
      plain(replaced('"a":"group",', '"unknown" : "x", "a" : "group" ,')),
      plain(replaced('"d":"4"', '"d":4,"z":null,"y":true')),
      plain(replaced('"c":"TBW102"', '"c":"TB\\\\W\\"102"')),
      plain(replaced('"language":"JAVA",', '"language":"JAVA","remark":null,')),
      plain(replaced('TopicA', 'T'.repeat(127))),
    ];
    expect(compare(frames)).toBe(frames.length);
  });

  test('notices that a sender does not wait for the disk', () => {
    expect(compare([plain(replaced('WAIT\\u0001true', 'WAIT\\u0001false'))])).toBe(1);
    expect(compare([plain(replaced('WAIT\\u0001true', 'WAIT\\u0001falsehood'))])).toBe(1);
  });

  test.each([
    ['no UNIQ_KEY', replaced('UNIQ_KEY', 'UNIQ_KEX')],
    ['no properties', replaced(/"i":"[^"]*",/, '')],
    ['a delay', replaced('TAGS\\u0001TagA', 'DELAY\\u00013')],
    ['a timer', replaced('TAGS\\u0001TagA', 'TIMER_DELAY_SEC\\u00013')],
    ['a transaction', replaced('TAGS\\u0001TagA', 'TRAN_MSG\\u0001true')],
    ['a name that the broker uses', replaced('TAGS\\u0001TagA', 'CLUSTER\\u0001mine')],
    ['another escape', replaced('TagA', 'Tag\\u00e4 \\ud83d\\ude00\\n')],
    ['a broken escape', replaced('TagA', 'Tag\\u00z1')],
    ['a cut escape', replaced('TagA"', 'TagA\\u00"')],
  ])('leaves %s to the worker', (_name, change) => {
    expect(compare([plain(change)])).toBe(0);
  });

  test.each([
    ['a second extFields', replaced('"flag":0', '"extFields":{"b":"X"},"flag":0')],
    ['no opaque', replaced('"opaque":77,', '')],
    ['a number too long', replaced('"opaque":77', '"opaque":77777777777')],
    ['a number that is none', replaced('"e":"3"', '"e":"3x"')],
    ['a queue that is not there', replaced('"e":"3"', '"e":"9"')],
    ['a topic that is not there', replaced('TopicA', 'TopicB')],
    ['a string without an end', replaced('"version":461}', '"version":"461}')],
    ['no brace at the end', replaced('"version":461}', '"version":461')],
    ['something behind it', replaced('"version":461}', '"version":461}x')],
  ])('refuses %s as the worker does', (_name, change) => {
    expect(compare([plain(change), plain()])).toBe(1);
  });

  test('makes of what is broken anywhere what the worker makes of it', () => {
    const random = seededRandom(20_261_128);
    const pick = (count: number): number => Math.floor(random() * count);
    const pieces = [
      '"',
      '\\',
      ',',
      ':',
      '{',
      '}',
      '\\u0001',
      '\\u0002',
      '\\u00',
      ' ',
      '9',
      '-',
      '',
    ];
    const frames = Array.from({ length: 4000 }, () => {
      let header = plainHeader;
      for (let count = 1 + pick(3); count > 0; count--) {
        const at = pick(header.length);
        header = header.slice(0, at) + pieces[pick(pieces.length)] + header.slice(at + pick(3));
      }
      return frameOf(Buffer.from(header), Buffer.alloc(1 + pick(200), 'b'));
    });
    const quickCount = compare(frames);
    // Some changes leave a send plain, some do not: both are tried.
    expect(quickCount).toBeGreaterThan(100);
    expect(quickCount).toBeLessThan(3900);
  });

  test('writes sends with a binary header', () => {
    expect(compare([binary()])).toBe(1);
  });
});
