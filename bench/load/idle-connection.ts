/**
 * A connection that says nothing; what a server asks it is not answered either.
 */
import { type ConnectionOwner, LoadConnection } from './load-connection.ts';
import type { ThreadState } from './thread-state.ts';

export class IdleConnection implements ConnectionOwner {
  readonly #state: ThreadState;
  #connection: LoadConnection | null = null;

  constructor(state: ThreadState) {
    this.#state = state;
  }

  async connect(): Promise<void> {
    const { plan, pool } = this.#state;
    this.#connection = await LoadConnection.connectWith(plan.broker, pool, this, () => {});
  }

  close(): void {
    this.#connection?.close();
  }

  onTurnEnd(): void {}

  onLost(reason: string): void {
    this.#state.fail(`an idle connection: ${reason}`);
  }
}
