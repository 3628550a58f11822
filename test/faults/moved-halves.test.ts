/** Ends of halves whose part of the log is about to go: a copy has taken their place. */
import { expect, test } from 'vitest';
import { PositionSlot } from '../../src/store/store-positions.ts';
import { endRequest, pullRequest, sendRequest } from '../workers/raw-client.ts';
import { readRecords } from '../workers/test-broker.ts';
import { InlineSession } from './inline-session.ts';

const SEGMENT_BYTES = 64 * 1024;
const COMMIT = 8;

test('a commit of a half that was moved is not acknowledged, and one of its copy brings the message', () => {
  const session = new InlineSession(1, { segmentBytes: SEGMENT_BYTES, isLagging: false });
  const { positions } = session.broker;
  const bodies = (): string[] =>
    readRecords(session.ask(pullRequest('g', 'T', 1, 0)).body).map(({ body }) => body);
  session.makeTopic('T', 2);
  session.subscribe('g', 'T');
  const properties = { TRAN_MSG: 'true', PGROUP: 'producers' };
  const half = session.ask(sendRequest({ topic: 'T', body: 'half', queueId: 1, properties }));
  const filling = sendRequest({ topic: 'T', body: Buffer.alloc(8192), queueId: 0 });
  for (let count = 0; count < 20; count++) session.ask(filling);
  const copy = { tranStateTableOffset: 1, commitLogOffset: positions.load(PositionSlot.APPENDED) };

  positions.publish(PositionSlot.WANTED_MINIMUM, SEGMENT_BYTES);
  session.advance(1000);
  expect(positions.load(PositionSlot.MOVED)).toBe(SEGMENT_BYTES);
  expect(session.ask(endRequest(half, 'producers', COMMIT)).code).toBe(1);
  expect(bodies()).toEqual([]);
  expect(session.ask(endRequest(half, 'producers', COMMIT, copy)).code).toBe(0);
  expect(bodies()).toEqual(['half']);
  expect(session.ask(endRequest(half, 'producers', COMMIT, copy)).code).toBe(0);
  expect(bodies()).toEqual(['half']);
  session.end();
});
