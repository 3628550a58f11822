/**
 * A connection of the generator to a NATS server: says who it is, subscribes, and waits until the
 * server has taken it (PONG); answers the server's own PINGs.
 */
import { type BlockPool, type ConnectionOwner, LoadConnection } from '../load-connection.ts';
import type { Endpoint } from '../load-options.ts';
import { CONNECT, PING, PONG } from './nats-frames.ts';
import { NatsReader } from './nats-reader.ts';

export async function connectNats(
  endpoint: Endpoint,
  pool: BlockPool,
  owner: ConnectionOwner,
  options: {
    /** SUB operations. */
    readonly subscriptions: string;
    readonly onMessage: (reader: NatsReader) => void;
  },
): Promise<LoadConnection> {
  let onReady = (): void => {};
  const ready = new Promise<void>((resolve) => {
    onReady = resolve;
  });
  const reader = new NatsReader({
    onMessage: options.onMessage,
    onPing: () => writeText(connection, PONG),
    onPong: () => onReady(),
  });
  const connection = await LoadConnection.connectWith(endpoint, pool, owner, reader.feed);
  writeText(connection, CONNECT + options.subscriptions + PING);
  await ready;
  return connection;
}

/** Puts an operation into the next write, and writes. */
export function writeText(connection: LoadConnection, text: string): void {
  const at = connection.claim(text.length);
  connection.commit(connection.output.write(text, at, 'latin1'));
  connection.flush();
}
