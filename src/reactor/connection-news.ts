/**
 * @agent reactor
 *
 * What control hears of connections: each opens with the first request that control serves for it, and
 * ends once.
 */
import type { FrameProxy } from '../workers/frame-proxy.ts';
import { connectionPayload } from '../workers/reactor-proxy.ts';
import { type ConnectionOpened, MessageType } from '../workers/ring-messages.ts';
import type { Connection } from './connection.ts';

export class ConnectionNews {
  readonly #toControl: FrameProxy;
  /** Closed connections of which control must still be told. */
  readonly #closed: Connection[] = [];

  constructor(toControl: FrameProxy) {
    this.#toControl = toControl;
  }

  /** False where there is no room for the news. */
  tellOpened(connection: Connection): boolean {
    if (connection.isKnownToControl) return true;
    const opened: ConnectionOpened = {
      id: connection.id,
      listener: connection.listener,
      remoteAddress: connection.remoteAddress,
      localAddress: connection.localAddress,
    };
    connection.isKnownToControl = this.#toControl.offerMessage(
      MessageType.CONNECTION_OPENED,
      Buffer.from(JSON.stringify(opened)),
    );
    return connection.isKnownToControl;
  }

  onClosed(connection: Connection): void {
    if (connection.isKnownToControl) this.#closed.push(connection);
  }

  /** Tells of ends as far as there is room; returns of how many. */
  tellClosed(): number {
    let count = 0;
    while (this.#closed.length > 0) {
      const payload = connectionPayload(this.#closed[0].id);
      if (!this.#toControl.offerMessage(MessageType.CONNECTION_CLOSED, payload)) break;
      this.#closed.shift();
      count++;
    }
    return count;
  }
}
