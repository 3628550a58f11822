/**
 * Question: what does the CRC of a body cost, by its length, and what the CRC over a whole record that a
 * key turns on?
 * Machine: any; compare the rows of one run.
 * Command: node bench/protocol/checksum.bench.ts
 */
import { Bench } from 'tinybench';
import { crc32Masked, welcomeNativeCrc32 } from '../../src/protocol/crc32.ts';
import { PROPERTY_CRC_BYTES, writePropertyCrc } from '../../src/protocol/property-crc.ts';
import { encodeHost, encodeRecord } from '../../src/protocol/record-encoder.ts';

const host = encodeHost('127.0.0.1', 10911);
// As a broker on mapped files does.
welcomeNativeCrc32();
const lengths = [128, 1024, 64 * 1024, 1024 * 1024];
const bench = new Bench({ time: 300 });
let sum = 0;
for (const bodyBytes of lengths) {
  const body = Buffer.alloc(bodyBytes, 0x61);
  bench.add(`body of ${bodyBytes} B`, () => {
    sum += crc32Masked(body);
  });
}
for (const bodyBytes of lengths.slice(0, 2)) {
  const record = encodeRecord({
    topic: 'BenchTopic',
    queueId: 3,
    flag: 0,
    sysFlag: 0,
    bornTimestampMs: 1_700_000_000_000,
    bornHost: host,
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.alloc(bodyBytes, 0x61),
    properties: Buffer.alloc(100 + PROPERTY_CRC_BYTES, 0x62),
  });
  bench.add(`record around a body of ${bodyBytes} B`, () => {
    writePropertyCrc(record, 0, record.length);
  });
}
await bench.run();
console.table(
  bench.tasks.map(({ name, result }) => ({
    name,
    'us (median)':
      'latency' in result ? Number((result.latency.p50 * 1000).toFixed(3)) : result.state,
  })),
);
if (sum === 0) throw new Error('nothing was summed up');
