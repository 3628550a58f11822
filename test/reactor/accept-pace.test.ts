import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { AcceptPace } from '../../src/reactor/accept-pace.ts';

describe('the pace at which connections come in', () => {
  const open = (perSecond: number) => {
    let nowMs = 0;
    let waited = 0;
    const entered: number[] = [];
    const pace = new AcceptPace({ perSecond, nowMs: () => nowMs, onWait: () => waited++ });
    const sockets = new Map<number, { destroyed: boolean; destroy: () => void }>();
    const take = (from: number, to: number): void => {
      for (let index = from; index < to; index++) {
        const socket = {
          destroyed: false,
          destroy: () => {
            socket.destroyed = true;
          },
        };
        sockets.set(index, socket);
        pace.take(socket, () => entered.push(index));
      }
    };
    const at = async (ms: number): Promise<number> => {
      nowMs = ms;
      await pause(40);
      return entered.length;
    };
    return { pace, entered, sockets, take, at, waitedCount: () => waited };
  };

  it('lets a second’s worth in at once, and the rest in their order, none refused', async () => {
    const { pace, entered, take, at, waitedCount } = open(100);
    take(0, 250);
    expect(entered.length).toBe(100);
    expect([pace.waitingCount, waitedCount()]).toEqual([150, 150]);
    expect(await at(500)).toBe(150);
    // One that comes now does not overtake those that wait.
    take(250, 251);
    expect(await at(1500)).toBe(250);
    expect(await at(2500)).toBe(251);
    expect(entered).toEqual(Array.from({ length: 251 }, (_, index) => index));
    expect(pace.waitingCount).toBe(0);
  });

  it('gives no turn to those that have gone', async () => {
    const { entered, sockets, take, at } = open(10);
    take(0, 30);
    for (let index = 10; index < 20; index++) sockets.get(index)?.destroy();
    expect(await at(1000)).toBe(20);
    expect(entered.slice(10)).toEqual(Array.from({ length: 10 }, (_, index) => index + 20));
  });

  it('sends away who waits when it ends', () => {
    const { pace, entered, sockets, take } = open(2);
    take(0, 4);
    pace.close();
    expect([...sockets.values()].map(({ destroyed }) => destroyed)).toEqual([
      false,
      false,
      true,
      true,
    ]);
    expect(entered).toEqual([0, 1]);
  });
});
