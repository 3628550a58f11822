/**
 * @agent reactor
 *
 * What a clock that is moved by hand needs of a broker whose agents are all on this thread: when something
 * becomes due, and whether all that could be done has been done.
 */
import type { ConnectionTransfer } from '../reactor/connection.ts';
import type { Reactor } from '../reactor/reactor.ts';
import type { EventLoopRunner } from '../ring/agent-runner.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import type { OpenListener } from './listeners.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';

export interface Timekeeping {
  /** Has the agents look at the clock, and at everything else, within this turn of the event loop. */
  wake(): void;
  /** Wall-clock time at which an agent has something to do; Infinity for never. */
  nextWallDeadlineMs(): number;
  /** What the agents have still to do without being asked or waiting for a time; null: nothing. */
  pending(): string | null;
  connections(): Iterable<Transfer>;
}

/** What has gone over a connection, by the ports of its ends. */
export interface Transfer extends ConnectionTransfer {
  localPort: number;
}

export function* transfersOf(
  reactor: Reactor,
  listeners: readonly OpenListener[],
): Generator<Transfer> {
  const ports = new Map(listeners.map(({ listener, port }) => [listener, port]));
  // The web port is none of these, and 0 is nobody's port: its clients count as those of elsewhere.
  for (const transfer of reactor.transfers())
    yield { ...transfer, localPort: ports.get(transfer.listener) ?? 0 };
}

export function pendingIn(
  rings: readonly SpscRingConsumer[],
  runner: EventLoopRunner,
  positions: StorePositions,
): string | null {
  if (!runner.isIdle) return 'agents at work';
  if (!rings.every((ring) => ring.isEmpty)) return 'messages between agents';
  if (positions.load(PositionSlot.WANTED_MINIMUM) > positions.load(PositionSlot.MINIMUM))
    return 'segments to be deleted';
  return null;
}
