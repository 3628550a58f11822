/**
 * Records of long sends that are made in the slot of their frame, around the body: byte for byte those that
 * are made in the ring, within their slot, and every slot is free again.
 */
import crypto from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { binary, plain, replaced, withoutStamps } from './send-frames.ts';
import { WorkerBench, type WorkerBenchOptions } from './worker-bench.ts';

const KIB = 1024;
const short = { count: 3, bytes: 132 * KIB };
const address = Uint8Array.of(10, 0, 0, 2);
const address6 = Uint8Array.from({ length: 16 }, (_, index) => index + 1);
const body = Buffer.alloc(40_000, 'body of a long message; ');

function benchWith(options: WorkerBenchOptions): WorkerBench {
  const bench = new WorkerBench(false, {
    ringBytes: 512 * KIB,
    bodyBytesMax: 128 * KIB,
    ...options,
  });
  bench.topic('TopicA', 1);
  bench.topic('T'.repeat(127), 2);
  bench.topic('T'.repeat(200), 3);
  bench.topic('RMQ_SYS_TRANS_HALF_TOPIC', 4);
  bench.topic('SCHEDULE_TOPIC_XXXX', 5);
  bench.topic('rmq_sys_wheel_timer', 6);
  bench.worker.doWork(0);
  return bench;
}

/** What fits a message of a test that fails, and differs where any byte does. */
function summaryOf(bytes: Buffer): string {
  const text = withoutStamps(bytes);
  const sum = crypto.createHash('sha256').update(text, 'latin1').digest('hex');
  return `${text.slice(0, 300)} … ${text.slice(-300)} ${sum}`;
}

/** How many of the frames had their records made where they stood. */
function compare(frames: readonly Buffer[], hostBytes = address): number {
  const inSlots = benchWith({ short });
  const inRing = benchWith({});
  for (const [index, frame] of frames.entries()) {
    const [made, expected] = [inSlots, inRing].map((bench) => {
      bench.offerFrame(index, frame, hostBytes);
      bench.worker.doWork(1001);
      return bench.outputs().map((outputs) => outputs.map(summaryOf));
    });
    expect(made).toEqual(expected);
    expect(inSlots.freeSlotCount).toBe(short.count);
  }
  expect(inRing.inFrameCount).toBe(0);
  return inSlots.inFrameCount;
}

const long = (change?: (header: string) => string): Buffer => plain(change, body.length);

describe('a record in its frame', () => {
  test.each([
    ['a plain send', undefined],
    ['a topic of 127 bytes', replaced('TopicA', 'T'.repeat(127))],
    ['a topic of 200 bytes', replaced('TopicA', 'T'.repeat(200))],
    ['no UNIQ_KEY', replaced('UNIQ_KEY', 'UNIQ_KEX')],
    ['no properties', replaced(/"i":"[^"]*",/, '')],
    ['many properties', replaced('AC11000200', 'k'.repeat(30_000))],
    ['a delay', replaced('TAGS\\u0001TagA', 'DELAY\\u00012')],
    ['a timer', replaced('TAGS\\u0001TagA', 'TIMER_DELAY_SEC\\u00013')],
    ['a transaction', replaced('TAGS\\u0001TagA', 'TRAN_MSG\\u0001true')],
    [
      'a transaction that names other things too',
      replaced('TAGS\\u0001TagA', 'TRAN_MSG\\u0001true\\u0002REAL_TOPIC\\u0001x'),
    ],
    ['a name that the broker uses', replaced('TAGS\\u0001TagA', 'CLUSTER\\u0001mine')],
    ['other escapes', replaced('TagA', 'Tag\\u00e4 \\ud83d\\ude00\\n')],
    [
      'a header with much behind what is read',
      replaced('"version":461', `"z":"${'z'.repeat(5000)}"`),
    ],
  ])('is that of the ring: %s', (_name, change) => {
    expect(compare([long(change)])).toBe(1);
    expect(compare([long(change)], address6)).toBe(1);
  });

  test('may begin before its frame, where the header is shorter than its head', () => {
    const frame = binary(body, { b: 'TopicA', e: '1' });
    expect(frame.length - body.length).toBeLessThan(88);
    expect(compare([frame])).toBe(1);
    expect(compare([frame], address6)).toBe(1);
    expect(compare([binary(body)])).toBe(1);
  });

  test.each([
    ['a broken escape', replaced('TagA', 'Tag\\u00z1')],
    ['properties that are too long', replaced('AC11000200', 'k'.repeat(32_700))],
    ['a queue that is not there', replaced('"e":"3"', '"e":"9"')],
    ['no topic', replaced('"b":"TopicA",', '')],
  ])('is none where the send is refused: %s', (_name, change) => {
    expect(compare([long(change), long()])).toBe(1);
  });

  test('is made in the ring where the slot has no room for it, or none is free', () => {
    const head = plain(undefined, 1).length - 1;
    const frames = [33, 64, 100, 126, 130, 131].map((kib) => plain(undefined, kib * KIB - head));
    expect(compare(frames)).toBe(4);
    const bench = benchWith({ short });
    for (let index = 0; index < 5; index++) bench.offerFrame(index, long(), address);
    bench.worker.doWork(1001);
    expect(bench.freeSlotCount).toBe(0);
    expect(bench.outputs()[0]).toHaveLength(5);
    expect(bench.inFrameCount).toBe(3);
    expect(bench.freeSlotCount).toBe(3);
  });

  test('is made where control has made the topic meanwhile', () => {
    const bench = benchWith({ short });
    bench.offerFrame(1, long(replaced('TopicA', 'TopicNew')), address);
    bench.worker.doWork(1001);
    expect(bench.freeSlotCount).toBe(2);
    bench.topic('TopicNew', 9);
    expect(bench.returnFrame()).toBe(true);
    bench.worker.doWork(1002);
    expect(bench.outputs()[0]).toHaveLength(1);
    expect(bench.inFrameCount).toBe(1);
    expect(bench.freeSlotCount).toBe(3);
  });
});
