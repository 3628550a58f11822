/** Ends of transactions while the disk is full, and what waits behind them. */
import { expect, test } from 'vitest';
import { needsSpace } from '../store/faulty-files.ts';
import { endRequest, pullRequest, type RawRequest, sendRequest } from '../workers/raw-client.ts';
import { readRecords } from '../workers/test-broker.ts';
import { InlineSession } from './inline-session.ts';

const HALF_COUNT = 30;
const DECISIONS = { commit: 8, rollback: 12 };

test.each(['commit', 'rollback'] as const)(
  'a %s that finds no room on a full disk is refused, and no pull waits behind it',
  (decision) => {
    const session = new InlineSession(1, { isLagging: false });
    const { files, client } = session;
    session.makeTopic('T', 3);
    session.subscribe('g', 'T');
    session.ask(sendRequest({ topic: 'T', body: 'plain', queueId: 0 }));
    const ends = Array.from({ length: HALF_COUNT }, (_, index) => {
      const properties = { TRAN_MSG: 'true', PGROUP: 'producers' };
      const body = String(index).padEnd(500);
      const half = session.ask(sendRequest({ topic: 'T', body, queueId: 1, properties }));
      return endRequest(half, 'producers', DECISIONS[decision]);
    });
    // More than the ring to the writer holds become due once the disk is full.
    const plain = { topic: 'T', body: Buffer.alloc(2048), queueId: 2 };
    const delayed = sendRequest({ ...plain, properties: { DELAY: '2' } });
    for (let count = 0; count < 60; count++) session.expects(delayed, 0);
    files.failure = {
      call: files.callCount + 1,
      fault: 'ENOSPC',
      isLasting: true,
      only: needsSpace,
    };
    for (let count = 0; count < 40; count++) session.ask(sendRequest(plain));
    session.advance(6000);
    const codes = new Map<string, number>();
    const begin = (name: string, request: RawRequest): void =>
      client.request(request, ({ code }) => codes.set(name, code));
    for (const [index, end] of ends.entries()) begin(`end ${index}`, end);
    begin('pull', pullRequest('g', 'T', 0, 0));
    session.advance(2000);
    // The first ones wait in the ring.
    expect(codes.get('pull')).toBe(0);
    expect(codes.get(`end ${HALF_COUNT - 1}`)).toBe(14);
    expect(new Set(codes.values())).toEqual(new Set([0, 14]));

    files.failure = null;
    session.advance(10_000);
    expect(codes.size).toBe(HALF_COUNT + 1);
    for (const end of ends) expect(session.ask(end)).toMatchObject({ code: 0 });
    const pulled = session.ask(pullRequest('g', 'T', 1, 0));
    const found = readRecords(pulled.body).map(({ body }) => body.trim());
    const all = ends.map((_, index) => String(index));
    expect(found.toSorted()).toEqual(decision === 'commit' ? all.toSorted() : []);
    session.end();
  },
);
