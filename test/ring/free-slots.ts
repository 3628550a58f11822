/** Slots of a pool that nobody holds, for tests that see to it that none is lost. */
import { BACK_PRESSURED } from '../../src/ring/agent.ts';
import type { LargeMessagePool } from '../../src/ring/large-message-pool.ts';

/** How many slots `claim` can take from the pool; all are given back. */
export function freeSlotCountOf(pool: LargeMessagePool, claim: () => number): number {
  const slots: number[] = [];
  for (let slot = claim(); slot !== BACK_PRESSURED; slot = claim()) slots.push(slot);
  for (const slot of slots) pool.release(slot);
  return slots.length;
}
