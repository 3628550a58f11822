/**
 * @agent reactor
 *
 * Opens ports before the process is ready to serve them: a port that is taken is found at once, and a
 * client that connects early waits instead of being refused.
 */
import net from 'node:net';
import { listenFailed } from '../base/errors.ts';

export interface OpenListener {
  readonly server: net.Server;
  readonly listener: number;
  readonly port: number;
  /** Takes accepted sockets, which come paused; sockets from before it was set wait in `early`. */
  onSocket: (socket: net.Socket) => void;
  readonly early: net.Socket[];
}

const BACKLOG = 4096;

/** @throws BrokerError LISTEN_FAILED naming the address and the flag that changes it */
export async function openListener(
  address: string,
  port: number,
  listener: number,
  flag: string,
): Promise<OpenListener> {
  const server = net.createServer({ pauseOnConnect: true, noDelay: true });
  const early: net.Socket[] = [];
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(listenFailed({ address, port }, flag, cause)),
    );
    server.listen({ port, host: address, backlog: BACKLOG }, resolve);
  });
  const bound = server.address();
  const open: OpenListener = {
    server,
    listener,
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    early,
    onSocket: (socket) => early.push(socket),
  };
  server.on('connection', (socket) => open.onSocket(socket));
  return open;
}
