/**
 * Question: what does a client pay to write the header of a send and to read the header of its answer,
 * with the MessagePack written for this one shape and with msgpackr? And how do JSON headers compare?
 * Machine: any; compare rows of one run.
 * Command: node bench/client/message-pack.bench.ts
 */
import { Packr, Unpackr } from 'msgpackr';
import { Bench } from 'tinybench';
import {
  CODEC_JSON,
  CODEC_MESSAGE_PACK,
  type HeaderCodec,
  writeFrameHead,
} from '../../src/client/frame-codec.ts';
import { FrameReader } from '../../src/client/frame-reader.ts';
import '../../src/client/index.ts';
import { SendTemplate } from '../../src/client/send-template.ts';

const packr = new Packr({ useRecords: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false });

const template = new SendTemplate({
  group: 'shop',
  topic: 'orders',
  brokerName: 'broker-a',
  isBatch: false,
});
const request = {
  queueId: 1,
  sysFlag: 0,
  bornTimestampMs: 1_795_421_373_987,
  flag: 0,
  idPrefix: '7F0000014DCA30946E09730C1E23',
  idCounter: 7,
  properties: ['TAGS', 'TagA'],
  body: new Uint8Array(128),
};
const fields = {
  a: 'shop',
  b: 'orders',
  c: 'TBW102',
  d: '4',
  e: '1',
  f: '0',
  g: '1795421373987',
  h: '0',
  i: 'UNIQ_KEY\x017F0000014DCA30946E09730C1E230007\x02TAGS\x01TagA\x02',
  m: 'false',
  n: 'broker-a',
};
const answerFields = {
  MSG_REGION: 'DefaultRegion',
  TRACE_ON: 'true',
  msgId: '7F00000100002A9F000000000000016C',
  queueId: '1',
  queueOffset: '1234567',
};
const target = new Uint8Array(4096);

function frameOf(header: Uint8Array, codec: HeaderCodec): Uint8Array {
  const frame = new Uint8Array(8 + header.length);
  frame.set(header, 8);
  writeFrameHead(frame, 0, codec, frame.length, frame.length);
  return frame;
}

const packed = packr.pack([0, 1, 123_456, 479, null, answerFields]);
const packedFrame = frameOf(packed, CODEC_MESSAGE_PACK);
const jsonText = JSON.stringify({
  code: 0,
  extFields: answerFields,
  flag: 1,
  language: 'JAVA',
  opaque: 123_456,
  serializeTypeCurrentRPC: 'JSON',
  version: 479,
});
const jsonFrame = frameOf(Buffer.from(jsonText), CODEC_JSON);
const reader = new FrameReader();
let kept: unknown = null;

/** What the answer to a send is read for. */
function readAnswer(frame: Uint8Array): void {
  reader.read(frame, 4, frame.length);
  kept = reader.hexAt(reader.findField('msgId'));
  kept = reader.integerAt(reader.findField('queueOffset'));
}

const bench = new Bench({ time: 500 });
bench
  .add('write a send, own MessagePack', () => {
    kept = template.writeInto(target, 0, 123_456, CODEC_MESSAGE_PACK, request);
  })
  .add('write a send, msgpackr', () => {
    const header = packr.pack([310, 0, 123_456, 479, null, fields]);
    target.set(header, 8);
    target.set(request.body, 8 + header.length);
    const end = 8 + header.length + request.body.length;
    writeFrameHead(target, 0, CODEC_MESSAGE_PACK, 8 + header.length, end);
  })
  .add('write a send, JSON', () => {
    kept = template.writeInto(target, 0, 123_456, CODEC_JSON, request);
  })
  .add('read an answer, own MessagePack', () => readAnswer(packedFrame))
  .add('read an answer, msgpackr', () => {
    const [, , , , , table] = unpackr.unpack(packed) as [0, 0, 0, 0, 0, typeof answerFields];
    kept = table.msgId;
    kept = Number(table.queueOffset);
  })
  .add('read an answer, JSON', () => readAnswer(jsonFrame))
  .add('read an answer, JSON.parse', () => {
    const header = JSON.parse(jsonText) as { extFields: typeof answerFields };
    kept = header.extFields.msgId;
    kept = Number(header.extFields.queueOffset);
  });
await bench.run();
console.table(
  bench.tasks.map(({ name, result }) => ({
    name,
    'median ns': 'latency' in result ? Math.round(result.latency.p50 * 1e6) : Number.NaN,
  })),
);
if (kept === null) throw new Error('nothing was read');
