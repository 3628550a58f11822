/** When a timed message is to come, by the clock of the broker that is sent it. */
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { wantedDeliverMs } from '../../src/broker/timer-message.ts';

const settings = { timerWheelEnable: true, timerMaxDelaySec: 10 };

function wanted(name: string, value: number, clock: ManualClock): number | null {
  return wantedDeliverMs(new Map([[name, String(value)]]), clock, settings);
}

describe('the time that a sender asks for', () => {
  const exact = new ManualClock(5_000);
  const cut = new ManualClock(5_000, 1);

  it('is counted from now, by a clock that cuts its time from the end of the millisecond', () => {
    expect(wanted('TIMER_DELAY_MS', 250, exact)).toBe(5_250);
    expect(wanted('TIMER_DELAY_MS', 250, cut)).toBe(5_251);
    expect(wanted('TIMER_DELAY_SEC', 1, exact)).toBe(6_000);
    expect(wanted('TIMER_DELAY_SEC', 1, cut)).toBe(6_001);
  });

  it('is itself where a time is named', () => {
    expect(wanted('TIMER_DELIVER_MS', 5_001, cut)).toBe(5_001);
    expect(wanted('TIMER_DELIVER_MS', 5_000, cut)).toBe(null);
  });

  it.each([exact, cut])('may be as far off as the longest delay, and no further', (clock) => {
    const longest = 5_000 + 10_000 + clock.cutMs;
    expect(wanted('TIMER_DELAY_SEC', 10, clock)).toBe(longest);
    expect(wanted('TIMER_DELAY_MS', 10_000, clock)).toBe(longest);
    expect(wanted('TIMER_DELAY_MS', 10_001, clock)).toBe(NaN);
    expect(wanted('TIMER_DELIVER_MS', 15_001, clock)).toBe(NaN);
    expect(wanted('TIMER_DELAY_MS', 0, clock)).toBe(null);
  });
});
