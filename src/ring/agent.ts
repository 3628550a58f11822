/**
 * @agent any
 *
 * The contract between an agent and whatever runs it. An agent owns its state alone and is reached
 * only through rings; which thread runs it, and beside which other agents, is the runner's choice.
 */
export interface Agent {
  readonly name: string;
  /**
   * One turn of the duty cycle: does what can be done now, without waiting, and returns how many
   * items it handled; 0 means that it may sleep. `nowMs` is monotonic time.
   */
  doWork(nowMs: number): number;
  /** Once before them: shows other agents what events have brought. */
  beginTurns?(): void;
  /** Once after the turns that an event loop gives its agents in a row: what is better done for all of them at once. */
  endTurns?(): void;
  /** Monotonic time at which the agent wants to run even if nobody wakes it; Infinity for never. */
  nextDeadlineMs(): number;
  /**
   * Wall-clock time at which the agent has something to do; Infinity for never, absent where it does
   * nothing by the calendar. For a clock that is moved by hand: it stops at these times.
   */
  nextWallDeadlineMs?(): number;
  /** The broker is stopping: hands on what the agent still holds. Turns go on until nothing is left. */
  prepareClose?(): void;
  /** Called once, on the agent's own thread, after its last turn. Talks to nobody any more. */
  close(): void;
}

/** Returned by `claim` and the proxies when a ring is full: the caller keeps the item and tries again. */
export const BACK_PRESSURED = -1;
