import { describe, expect, test } from 'vitest';
import { UnitSlots } from '../../src/store/queue-table.ts';

describe('slots for units', () => {
  test('are as long as asked for, or twice that, and none is given twice', () => {
    const slots = new UnitSlots(160);
    const taken = new Set<number>();
    const places = new Map<Buffer, { start: number; end: number }[]>();
    for (const bytes of [1, 160, 161, 320, 640, 1000, 5000, 10_240]) {
      for (let count = 0; count < 300; count++) {
        const slot = slots.take(bytes);
        expect(taken.has(slot)).toBe(false);
        taken.add(slot);
        const start = slots.baseOf(slot);
        const end = start + slots.bytesOf(slot);
        expect(end - start).toBeGreaterThanOrEqual(bytes);
        expect(end - start).toBeLessThan(Math.max(161, bytes * 2));
        const buffer = slots.bufferOf(slot);
        expect(end).toBeLessThanOrEqual(buffer.length);
        const others = places.get(buffer) ?? [];
        expect(others.some((other) => start < other.end && other.start < end)).toBe(false);
        places.set(buffer, [...others, { start, end }]);
      }
    }
    expect(slots.take(10_241)).toBe(-1);
  });

  test('are taken again, and the memory goes with the last one of a size', () => {
    const slots = new UnitSlots(160);
    const [first, second] = [slots.take(500), slots.take(500)];
    const buffer = slots.bufferOf(first);
    slots.give(second);
    expect(slots.take(500)).toBe(second);
    expect(slots.bufferOf(second)).toBe(buffer);
    slots.give(first);
    slots.give(second);
    expect(slots.bufferOf(slots.take(500))).not.toBe(buffer);
  });
});
