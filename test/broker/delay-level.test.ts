import { describe, expect, it } from 'vitest';
import { delayLevelOf, DelayLevels, interceptDelay } from '../../src/broker/delay-level.ts';

const levels = new DelayLevels('1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h');

describe('delay levels', () => {
  it('reads seconds, minutes, hours and days', () => {
    const few = new DelayLevels('2s 3m 4h 5d');
    expect([1, 2, 3, 4].map((level) => few.delayMs(level))).toEqual([
      2_000, 180_000, 14_400_000, 432_000_000,
    ]);
    expect(few.maxLevel).toBe(4);
    expect(levels.maxLevel).toBe(18);
    expect(levels.dueMs(18, 1_000)).toBe(7_201_000);
  });

  it.each(['', '5', '5x', 's', '-1s', '1s 2'])('refuses "%s"', (text) => {
    expect(() => new DelayLevels(text)).toThrow(/messageDelayLevel/);
  });

  it('sends a delayed message to the queue of its level and keeps where it belongs', () => {
    const properties = new Map([
      ['DELAY', '3'],
      ['TAGS', 'a'],
    ]);
    const destination = interceptDelay({ topic: 'T', queueId: 2 }, properties, levels);
    expect(destination).toEqual({ topic: 'SCHEDULE_TOPIC_XXXX', queueId: 2 });
    expect(Object.fromEntries(properties)).toEqual({
      DELAY: '3',
      TAGS: 'a',
      REAL_TOPIC: 'T',
      REAL_QID: '2',
    });
  });

  it('caps a level above the highest', () => {
    const properties = new Map([['DELAY', '999999999']]);
    expect(interceptDelay({ topic: 'T', queueId: 0 }, properties, levels).queueId).toBe(17);
    expect(properties.get('DELAY')).toBe('18');
  });

  it.each(['0', '-1', 'x', '', '1e3', '99999999999999999999'])(
    'leaves a message with DELAY "%s" alone',
    (value) => {
      const properties = new Map([['DELAY', value]]);
      expect(interceptDelay({ topic: 'T', queueId: 1 }, properties, levels)).toEqual({
        topic: 'T',
        queueId: 1,
      });
      expect([...properties.keys()]).toEqual(['DELAY']);
      expect(levels.cap(delayLevelOf(value))).toBe(0);
    },
  );

  it('lets a level override timer properties', () => {
    const properties = new Map([
      ['DELAY', '1'],
      ['TIMER_DELAY_SEC', '9'],
      ['TIMER_DELAY_MS', '9'],
      ['TIMER_DELIVER_MS', '9'],
    ]);
    interceptDelay({ topic: 'T', queueId: 0 }, properties, levels);
    expect([...properties.keys()]).toEqual(['DELAY', 'REAL_TOPIC', 'REAL_QID']);
  });
});
