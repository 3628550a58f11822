/** Ends of transactions while the disk is full, and what waits behind them. */
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
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

const NEEDS_SPACE = /^(create|allocate|write|make) /;
const HALF_COUNT = 30;
const DECISIONS = { commit: 8, rollback: 12 };

test.each(['commit', 'rollback'] as const)(
  'a %s that finds no room on a full disk is refused, and no pull waits behind it',
  (decision) => {
    const files = new FaultyFiles();
    const wallClock = new ManualClock(Date.UTC(2024, 0, 1));
    files.nowMs = () => wallClock.nowMs();
    const broker = new InlineBroker({
      files,
      wallClock,
      random: seededRandom(1),
      logger: silentLogger,
      flush: 'async',
      segmentBytes: 64 * 1024,
      isLagging: false,
    });
    const client = broker.connect();
    const codes = new Map<string, number>();
    const begin = (name: string, request: RawRequest): void =>
      client.request(request, ({ code }) => codes.set(name, code));
    const ask = (request: RawRequest): RemotingCommand => {
      const answers: RemotingCommand[] = [];
      client.request(request, (answer) => answers.push(answer));
      broker.settle();
      expect(answers).toHaveLength(1);
      return answers[0];
    };
    ask(sendRequest({ topic: 'T', body: 'plain', queueId: 0 }));
    ask(heartbeatRequest('c', 'g', 'T'));
    const ends = Array.from({ length: HALF_COUNT }, (_, index): RawRequest => {
      const properties = { TRAN_MSG: 'true', PGROUP: 'producers' };
      const body = String(index).padEnd(500);
      const half = ask(sendRequest({ topic: 'T', body, queueId: 1, properties }));
      return {
        code: 37,
        fields: {
          producerGroup: 'producers',
          tranStateTableOffset: index,
          commitLogOffset: Number(`0x${half.extFields.get('msgId')?.slice(-16)}`),
          commitOrRollback: DECISIONS[decision],
          fromTransactionCheck: 'false',
          msgId: '',
          transactionId: '',
        },
      };
    });
    // More than the ring to the writer holds become due once the disk is full.
    const delayed = sendRequest({
      topic: 'T',
      body: Buffer.alloc(2048),
      queueId: 2,
      properties: { DELAY: '2' },
    });
    for (let count = 0; count < 60; count++) expect(ask(delayed).code).toBe(0);
    files.failure = {
      call: files.callCount + 1,
      fault: 'ENOSPC',
      isLasting: true,
      only: NEEDS_SPACE,
    };
    for (let count = 0; count < 40; count++)
      ask(sendRequest({ topic: 'T', body: Buffer.alloc(2048), queueId: 2 }));
    broker.advance(6000);
    for (const [index, end] of ends.entries()) begin(`end ${index}`, end);
    begin('pull', pullRequest('g', 'T', 0, 0));
    broker.advance(2000);
    // The first ones wait in the ring.
    expect(codes.get('pull')).toBe(0);
    expect(codes.get(`end ${HALF_COUNT - 1}`)).toBe(14);
    expect(new Set(codes.values())).toEqual(new Set([0, 14]));

    files.failure = null;
    broker.advance(10_000);
    expect(codes.size).toBe(HALF_COUNT + 1);
    for (const end of ends) expect(ask(end)).toMatchObject({ code: 0 });
    const found = readRecords(ask(pullRequest('g', 'T', 1, 0)).body).map(({ body }) => body.trim());
    const all = ends.map((_, index) => String(index));
    expect(found.toSorted()).toEqual(decision === 'commit' ? all.toSorted() : []);
  },
);
