/** Ends of halves whose part of the log is about to go: a copy has taken their place. */
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { PositionSlot } from '../../src/store/store-positions.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { FaultyFiles } from '../store/faulty-files.ts';
import {
  heartbeatRequest,
  pullRequest,
  type RawRequest,
  sendRequest,
} from '../workers/raw-client.ts';
import { readRecords } from '../workers/test-broker.ts';
import { InlineBroker } from './inline-broker.ts';

const SEGMENT_BYTES = 64 * 1024;
const COMMIT = 8;

test('a commit of a half that was moved is not acknowledged, and one of its copy brings the message', () => {
  const wallClock = new ManualClock(Date.UTC(2024, 0, 1));
  const files = new FaultyFiles();
  files.nowMs = () => wallClock.nowMs();
  const broker = new InlineBroker({
    files,
    wallClock,
    random: seededRandom(1),
    logger: silentLogger,
    flush: 'async',
    segmentBytes: SEGMENT_BYTES,
    isLagging: false,
  });
  const client = broker.connect();
  const ask = (request: RawRequest): RemotingCommand => {
    const answers: RemotingCommand[] = [];
    client.request(request, (answer) => answers.push(answer));
    broker.settle();
    expect(answers).toHaveLength(1);
    return answers[0];
  };
  const end = (queueOffset: number, physicalOffset: number): number =>
    ask({
      code: 37,
      fields: {
        producerGroup: 'producers',
        tranStateTableOffset: queueOffset,
        commitLogOffset: physicalOffset,
        commitOrRollback: COMMIT,
        fromTransactionCheck: 'false',
        msgId: '',
        transactionId: '',
      },
    }).code;
  const bodies = (): string[] =>
    readRecords(ask(pullRequest('g', 'T', 1, 0)).body).map(({ body }) => body);

  ask(sendRequest({ topic: 'T', body: 'plain', queueId: 0 }));
  ask(heartbeatRequest('c', 'g', 'T'));
  const properties = { TRAN_MSG: 'true', PGROUP: 'producers' };
  const half = ask(sendRequest({ topic: 'T', body: 'half', queueId: 1, properties }));
  const halfPhysical = Number(`0x${half.extFields.get('msgId')?.slice(-16)}`);
  const filling = sendRequest({ topic: 'T', body: Buffer.alloc(8192), queueId: 0 });
  for (let count = 0; count < 20; count++) ask(filling);
  const copyPhysical = broker.positions.load(PositionSlot.APPENDED);

  broker.positions.publish(PositionSlot.WANTED_MINIMUM, SEGMENT_BYTES);
  broker.advance(1000);
  expect(broker.positions.load(PositionSlot.MOVED)).toBe(SEGMENT_BYTES);
  expect(end(0, halfPhysical)).toBe(1);
  expect(bodies()).toEqual([]);
  expect(end(1, copyPhysical)).toBe(0);
  expect(bodies()).toEqual(['half']);
  expect(end(1, copyPhysical)).toBe(0);
  expect(bodies()).toEqual(['half']);
});
