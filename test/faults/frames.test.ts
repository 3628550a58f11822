/** Frames that fuzzing has shown to end the broker, each by itself. */
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { FaultyFiles } from '../store/faulty-files.ts';
import { sendRequest } from '../workers/raw-client.ts';
import { InlineBroker } from './inline-broker.ts';

test('a send to a new topic with a header that is not quite JSON costs its connection, and nothing else', () => {
  const broker = new InlineBroker({
    files: new FaultyFiles(),
    wallClock: new ManualClock(Date.UTC(2024, 0, 1)),
    random: seededRandom(1),
    logger: silentLogger,
    flush: 'async',
    segmentBytes: 1024 * 1024,
  });
  // Found by fuzz-frames: the scanner finds what a worker needs; the decoder refuses the escape behind it.
  const fields = '"a":"p","b":"NewTopic","c":"TBW102","d":"4","e":"0","f":"0","g":"1","h":"0"';
  const header = Buffer.from(
    `{"code":310,"extFields":{${fields},"i":"KEYS\\q","j":"0","k":"false","m":"false"},"flag":0,"language":"JAVA","opaque":1,"serializeTypeCurrentRPC":"JSON","version":479}`,
  );
  const head = Buffer.alloc(8);
  head.writeInt32BE(4 + header.length, 0);
  head.writeInt32BE(header.length, 4);
  const bad = broker.connect();
  bad.send(Buffer.concat([head, header]));
  broker.settle();
  expect(bad.closed).not.toBeNull();
  const good = broker.connect();
  const codes: number[] = [];
  good.request(sendRequest({ topic: 'T', body: 'x' }), (answer) => codes.push(answer.code));
  broker.settle();
  expect(codes).toEqual([0]);
  broker.kill();
});
