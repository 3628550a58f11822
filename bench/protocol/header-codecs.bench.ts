/**
 * Question: what does the header of a send cost in each of its three forms, through the scanner of the hot
 * path, through the general decoder, to encode in general, and as the answer to a send?
 * Machine: any; compare the rows of one run.
 * Command: node bench/protocol/header-codecs.bench.ts
 */
import { Bench } from 'tinybench';
import { decodeFrame, encodeRequest } from '../../src/protocol/remoting-command.ts';
import { RequestScanner } from '../../src/protocol/request-scanner.ts';
import { AnswerEncoder } from '../../src/reactor/answer-encoder.ts';

/** As the Java client sends one (code 310), properties with their separators. */
const request = {
  code: 310,
  opaque: 123_456,
  extFields: [
    ['a', 'producer-group'],
    ['b', 'TopicTest'],
    ['c', 'TBW102'],
    ['d', '4'],
    ['e', '3'],
    ['f', '0'],
    ['g', '1700000000000'],
    ['h', '0'],
    [
      'i',
      'UNIQ_KEY\u00017F0000011A2B18B4AAC200000000000C\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002',
    ],
    ['j', '0'],
    ['k', 'false'],
    ['m', 'false'],
    ['n', 'broker-a'],
  ] as [string, string][],
  body: Buffer.alloc(128, 0x61),
};
const names = ['JSON', 'ROCKETMQ', 'MessagePack'];
const bench = new Bench({ time: 500 });
const scanner = new RequestScanner();
const encoder = new AnswerEncoder(Buffer.alloc(8, 10), 'DefaultRegion', true);
const target = Buffer.alloc(1024);
for (const serializeType of [0, 1, 2] as const) {
  const name = names[serializeType];
  const frame = encodeRequest({ ...request, serializeType });
  const answer = { opaque: 123_456, serializeType, code: 0, queueId: 3, queueOffset: 1_234_567 };
  const send = {
    ...answer,
    offsets: Float64Array.of(99_000_000),
    first: 0,
    count: 1,
    extra: new Uint8Array(0),
    extraStart: 0,
    extraEnd: 0,
    isPlain: false,
  };
  bench.add(`${name}: scan (${frame.length - 136} B)`, () => {
    if (!scanner.scan(frame, 4, frame.length)) throw new Error('not scanned');
  });
  bench.add(`${name}: decode`, () => void decodeFrame(frame.subarray(4)));
  bench.add(`${name}: encode`, () => void encodeRequest({ ...request, serializeType }));
  bench.add(`${name}: answer to a send`, () => void encoder.writeSend(target, 0, send));
}
await bench.run();
console.table(
  bench.tasks.map(({ name, result }) => ({
    name,
    'us (median)':
      'latency' in result ? Number((result.latency.p50 * 1000).toFixed(3)) : result.state,
  })),
);
