import { describe, expect, it } from 'vitest';
import { ControlHarness } from './control-harness.ts';

const remarkOf = (harness: ControlHarness): string | null =>
  harness.ask(3, { code: 203, fields: { consumerGroup: 'g' } }).remark;

describe('members that subscribe differently', () => {
  it('are named with what they subscribe to, in answers, until one changes or leaves', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g', topics: { T: 'a || b', '%RETRY%g': '*' } });
    harness.heartbeat(2, { group: 'g', topics: { T: 'b||a' } });
    expect(remarkOf(harness)).toBeNull();
    const beat = harness.heartbeat(2, { group: 'g', topics: { T: 'c' }, subVersion: 2 });
    const conflict =
      'members of consumer group g subscribe differently, so that messages may be missed: ' +
      'client-1 to [T a || b] | client-2 to [T c]';
    expect([beat.code, beat.remark]).toEqual([0, conflict]);
    expect(remarkOf(harness)).toBe(conflict);
    expect(harness.ask(3, { code: 38, fields: { consumerGroup: 'g' } }).remark).toBe(conflict);
    harness.heartbeat(2, { group: 'g', topics: { T: 'a || b' }, subVersion: 3 });
    expect(remarkOf(harness)).toBeNull();
    harness.heartbeat(2, { group: 'g', topics: { T: 'a || b', U: '*' }, subVersion: 4 });
    expect(remarkOf(harness)).toContain('client-2 to [T a || b; U *]');
    harness.control.onConnectionClosed(2);
    expect(remarkOf(harness)).toBeNull();
  });

  it('names eight of many, and leaves out members that have not said what they subscribe to', () => {
    const harness = new ControlHarness();
    harness.heartbeat(1, { group: 'g', topics: { T: '*' } });
    for (let count = 0; count < 10; count++)
      harness.heartbeat(2, { group: 'g', clientId: `many-${count}`, topics: { T: 'a' } });
    expect(remarkOf(harness)).toContain('many-7 and 2 more to [T a]');
    harness.control.onConnectionClosed(2);
    harness.connect(2);
    harness.heartbeat(2, { group: 'g', fingerprint: 7, withoutSub: true });
    expect(remarkOf(harness)).toBeNull();
  });
});
