/** A server of remoting frames on a free port of this machine, for tests of clients. */
import net, { type AddressInfo } from 'node:net';
import { decodeFrame, type RemotingCommand } from '../../src/protocol/remoting-command.ts';

export interface FrameServer {
  readonly address: string;
  readonly port: number;
  /** Every request so far. */
  readonly received: RemotingCommand[];
  /** Connections accepted so far. */
  connectionCount(): number;
  /** Ends connections but goes on to accept others. */
  disconnectAll(): void;
  close(): Promise<void>;
}

export async function startFrameServer(
  onFrame: (request: RemotingCommand, socket: net.Socket, connectionId: number) => void,
  options: { port?: number; onClose?: (connectionId: number) => void } = {},
): Promise<FrameServer> {
  const received: RemotingCommand[] = [];
  const sockets = new Set<net.Socket>();
  let connectionCount = 0;
  const server = net.createServer((socket) => {
    const connectionId = ++connectionCount;
    sockets.add(socket);
    let input = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      options.onClose?.(connectionId);
    });
    socket.on('data', (chunk: Buffer) => {
      input = Buffer.concat([input, chunk]);
      while (input.length >= 4 && input.length >= 4 + input.readInt32BE(0)) {
        const end = 4 + input.readInt32BE(0);
        const request = decodeFrame(input.subarray(4, end));
        input = input.subarray(end);
        received.push(request);
        onFrame(request, socket, connectionId);
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const disconnectAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    address: `127.0.0.1:${port}`,
    port,
    received,
    connectionCount: () => connectionCount,
    disconnectAll,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        disconnectAll();
      }),
  };
}
