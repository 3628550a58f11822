/**
 * The dispatcher derives the same from every record, with its kernel and without: of those that clients
 * send, of all that is rare, and of what lies across the ends of its window.
 */
import { expect, test } from 'vitest';
import { DelayLevels } from '../../src/broker/delay-level.ts';
import { DISPATCH_STATE_BYTES, DispatchKernel } from '../../src/kernel/dispatch-kernel.ts';
import { allocateKernelMemory, type KernelMemory } from '../../src/kernel/kernel-memory.ts';
import { javaTextHash } from '../../src/protocol/java-string-hash.ts';
import { recordHead, writeLong } from '../../src/protocol/message-record.ts';
import { encodeHost, encodeRecord, type RecordFields } from '../../src/protocol/record-encoder.ts';
import {
  RecordDispatcher,
  type RecordDispatcherOptions,
} from '../../src/workers/record-dispatcher.ts';

const SEGMENT_BYTES = 4 << 20;
const isTold = new Set(['RMQ_SYS_TRANS_HALF_TOPIC', 'rmq_sys_wheel_timer']);

const v4 = encodeHost('10.1.2.3', 1234);
const plainFields: RecordFields = {
  topic: 'TopicA',
  queueId: 3,
  flag: 0,
  sysFlag: 0,
  bornTimestampMs: 1_764_300_000_000,
  bornHost: v4,
  storeHost: v4,
  reconsumeTimes: 0,
  preparedTransactionOffset: 0,
  body: Buffer.from('body'),
  properties: Buffer.from('UNIQ_KEY\x01AC110002\x02WAIT\x01true\x02TAGS\x01TagA\x02'),
};

/** Everything that the derived files, statistics and timers are told of records. */
function derive(log: Buffer, kernel: DispatchKernel | null): string[] {
  const told: string[] = [];
  const say = (what: string, ...values: unknown[]): void => {
    told.push(`${what} ${JSON.stringify(values)}`);
  };
  const options = {
    kernel,
    segments: { segmentBytes: SEGMENT_BYTES, segmentAt: () => ({ bytes: log }) },
    topics: {
      topicOfRecord: (bytes: Buffer, start: number, end: number) => {
        const topic = bytes.toString('utf8', start, end);
        return {
          topic,
          indexSeed: javaTextHash(`${topic}#`),
          waited: [],
          isTold: isTold.has(topic),
        };
      },
      queueOfRecord: ({ topic }: { topic: string }, queueId: number) => ({
        append: (...values: unknown[]) => say('unit', topic, queueId, ...values),
      }),
    },
    index: { put: (...values: unknown[]) => say('index', ...values) },
    statistics: {
      onPut: ({ topic }: { topic: string }, bytes: number) => say('put', topic, bytes),
    },
    delayLevels: new DelayLevels('1s 5s 10s'),
    onTimerRecord: (topic: string, view: { start: number; physicalOffset: number }) =>
      say('told', topic, view.start, view.physicalOffset),
    position: 0,
    damage: [],
  } as unknown as RecordDispatcherOptions;
  const records = new RecordDispatcher(options);
  // In steps that end anywhere.
  for (let step = 1; records.position < log.length; step = 1 + ((step * 5) % 97))
    say('count', records.dispatch(log.length, step), records.lastTimestampMs);
  // Keys of one record come in no order that matters.
  return told.toSorted();
}

let scanned = 0;

class CountedKernel extends DispatchKernel {
  override scanRecord(start: number): number {
    const bytes = super.scanRecord(start);
    if (bytes > 0) scanned++;
    return bytes;
  }
}

/** Compares what both derive; how many of the records the kernel has read. */
function compare(records: readonly Partial<RecordFields>[]): number {
  let position = 0;
  const log = Buffer.concat(
    records.map((fields, index) => {
      const record = encodeRecord({ ...plainFields, ...fields });
      writeLong(record, 7 + index, recordHead.queueOffset);
      writeLong(record, position, recordHead.physicalOffset);
      const bornHostBytes = fields.bornHost?.length ?? 8;
      writeLong(record, 1_764_300_000_000 + index, recordHead.totalBytes + bornHostBytes);
      position += record.length;
      return record;
    }),
  );
  const memory = allocateKernelMemory(DISPATCH_STATE_BYTES) as KernelMemory;
  scanned = 0;
  const quick = derive(log, new CountedKernel(memory, 0));
  expect(quick).toEqual(derive(log, null));
  return scanned;
}

const properties = (text: string): { properties: Buffer } => ({ properties: Buffer.from(text) });

test('it reads plain records, of every length of body', () => {
  const records = Array.from({ length: 2000 }, (_, index) => ({
    body: Buffer.alloc(1 + (index % 3500)),
    topic: `Topic${'x'.repeat(index % 100)}`,
  }));
  expect(compare(records)).toBe(records.length);
});

test('it finds tags and keys, whatever stands before and behind them', () => {
  const records = Array.from({ length: 400 }, (_, index) =>
    properties(
      `${'p'.repeat(index % 40)}\x01${'v'.repeat(index % 37)}\x02TAGS\x01${'t'.repeat(index % 23)}\x02` +
        `KEYS\x01${'one two  three '.slice(0, index % 16)}\x02UNIQ_KEY\x01${'u'.repeat(index % 41)}\x02`,
    ),
  );
  expect(compare(records)).toBe(records.length);
});

test.each([
  ['none at all', properties('')],
  ['no end of the last', properties('UNIQ_KEY\x01abc\x02TAGS\x01t')],
  ['no value', properties('UNIQ_KEY\x01\x02TAGS')],
  ['names that only begin so', properties('TAGSX\x01a\x02UNIQ_KEYS\x01b\x02KEY\x01c\x02')],
])('it reads properties with %s', (_name, fields) => {
  expect(compare([fields, {}, fields])).toBe(3);
});

test.each([
  ['a delay', { topic: 'SCHEDULE_TOPIC_XXXX', ...properties('DELAY\x012\x02UNIQ_KEY\x01a\x02') }],
  ['a rollback', { sysFlag: 12 }],
  ['a commit', { sysFlag: 8 }],
  ['tags that are not ASCII', properties('TAGS\x01grün\x02UNIQ_KEY\x01a\x02')],
  ['a key that is not ASCII', properties('UNIQ_KEY\x01schlüssel\x02')],
  ['tags twice', properties('TAGS\x01a\x02TAGS\x01b\x02')],
  ['a key twice', properties('UNIQ_KEY\x01a\x02UNIQ_KEY\x01b\x02')],
  ['a long topic', { topic: 't'.repeat(200) }],
  ['IPv6', { bornHost: encodeHost('2001:db8::1', 99) }],
  ['a long body', { body: Buffer.alloc(5000) }],
])('it leaves %s to the dispatcher', (_name, fields) => {
  expect(compare([{}, fields, {}])).toBe(2);
});

test('who is told of a topic sees its records', () => {
  expect(compare([{ topic: 'rmq_sys_wheel_timer' }, {}])).toBe(2);
});

test('long records between short ones, and short ones across the ends of the window', () => {
  const records = Array.from({ length: 300 }, (_, index) => ({
    body: Buffer.alloc(index % 17 === 0 ? 20_000 + index : 1 + ((index * 131) % 3000)),
  }));
  expect(compare(records)).toBeGreaterThan(250);
});
