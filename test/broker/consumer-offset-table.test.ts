import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { CommitOutcome, ConsumerOffsetTable } from '../../src/broker/consumer-offset-table.ts';

const open = (text?: string): ConsumerOffsetTable => {
  const table = new ConsumerOffsetTable(new ManualClock(5_000));
  if (text !== undefined) table.load(text);
  return table;
};

describe('consumer offsets', () => {
  it('keeps offsets by topic, group and queue', () => {
    const table = open();
    table.commit('T', 'g', 0, 5);
    table.commit('T', 'g', 1, 6);
    table.commit('T', 'h', 0, 7);
    expect(table.query('T', 'g', 0)).toBe(5);
    expect(table.query('T', 'g', 1)).toBe(6);
    expect(table.query('T', 'h', 0)).toBe(7);
    expect(table.query('T', 'h', 1)).toBeNull();
    expect(table.groupsOf('T')).toEqual(['g', 'h']);
  });

  it('is not lowered by a pull that comes late, but by a client that seeks back', () => {
    const table = open();
    table.commitByPull('T', 'g', 0, 10);
    expect(table.commitByPull('T', 'g', 0, 9)).toBe(CommitOutcome.NOT_NEWER);
    expect(table.query('T', 'g', 0)).toBe(10);
    table.commit('T', 'g', 0, 3);
    expect(table.query('T', 'g', 0)).toBe(3);
  });

  it('shows a reset at once and ignores commits until it is taken', () => {
    const table = open();
    table.commit('T', 'g', 0, 10);
    table.assignReset('T', 'g', 0, 2);
    expect(table.query('T', 'g', 0)).toBe(2);
    expect(table.commit('T', 'g', 0, 11)).toBe(CommitOutcome.RESET_PENDING);
    expect(table.commitByPull('T', 'g', 0, 12)).toBe(CommitOutcome.RESET_PENDING);
    expect(table.query('T', 'g', 0)).toBe(2);
    expect(table.takeReset('T', 'g', 0)).toBe(2);
    expect(table.takeReset('T', 'g', 0)).toBeNull();
    expect(table.query('T', 'g', 0)).toBe(2);
    expect(table.commit('T', 'g', 0, 4)).toBe(CommitOutcome.STORED);
  });

  it('survives in its file, and is dirty only after a change', () => {
    const table = open();
    expect(table.isDirty).toBe(false);
    table.commit('T', 'g', 3, 1_234_567_890_123);
    expect(table.isDirty).toBe(true);
    const text = table.store();
    expect(table.isDirty).toBe(false);
    table.commit('T', 'g', 3, 1_234_567_890_123);
    expect(table.isDirty).toBe(false);
    expect(JSON.parse(text)).toEqual({
      dataVersion: { counter: 1, stateVersion: 0, timestamp: 5_000 },
      offsetTable: { 'T@g': { 3: 1_234_567_890_123 } },
    });
    expect(open(text).query('T', 'g', 3)).toBe(1_234_567_890_123);
  });

  it('reads the bare numeric keys that RocketMQ writes, and skips what is no offset', () => {
    const table = open(
      '{"dataVersion":{"counter":1},"offsetTable":{"T@g":{0:123,1:-1,2:"x"},"odd":{0:1}}}',
    );
    expect([0, 1, 2].map((queueId) => table.query('T', 'g', queueId))).toEqual([123, null, null]);
    expect(Object.keys((JSON.parse(table.json()) as { offsetTable: object }).offsetTable)).toEqual([
      'T@g',
    ]);
  });

  it('lowers offsets beyond the end of their queue and lists them', () => {
    const table = open();
    table.commit('T', 'g', 0, 10);
    table.commit('T', 'g', 1, 10);
    table.commit('Gone', 'g', 0, 10);
    const ends = new Map([
      ['T0', 4],
      ['T1', 10],
    ]);
    const clamped = table.clampTo((topic, queueId) => ends.get(`${topic}${queueId}`) ?? null);
    expect(clamped).toEqual([{ topic: 'T', group: 'g', queueId: 0, from: 10, to: 4 }]);
    expect([
      table.query('T', 'g', 0),
      table.query('T', 'g', 1),
      table.query('Gone', 'g', 0),
    ]).toEqual([4, 10, 10]);
    expect(table.isDirty).toBe(true);
  });

  it('forgets a topic, or a group, and no other of a similar name', () => {
    const table = open();
    for (const topic of ['T', 'TT'])
      for (const group of ['g', 'gg']) table.commit(topic, group, 0, 1);
    table.assignReset('T', 'g', 0, 1);
    table.removeTopic('T');
    expect([table.query('T', 'g', 0), table.query('T', 'gg', 0)]).toEqual([null, null]);
    expect(table.query('TT', 'g', 0)).toBe(1);
    table.removeGroup('g');
    expect([table.query('TT', 'g', 0), table.query('TT', 'gg', 0)]).toEqual([null, 1]);
  });
});
