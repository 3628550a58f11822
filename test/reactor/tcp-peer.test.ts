/**
 * Sockets as the reactor has them: bytes come and go whole and in order, whether Node's streams are passed
 * by or not, and never over the connection of somebody else.
 */
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { Connection } from '../../src/reactor/connection.ts';
import { BufferPool } from '../../src/reactor/buffer-pool.ts';
import type { Peer } from '../../src/reactor/peer.ts';
import { acceptSocket } from '../../src/reactor/tcp-peer.ts';

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

interface Accepted {
  readonly peer: Peer;
  readonly socket: net.Socket;
  readonly received: Buffer[];
  isClosed: boolean;
}

/** A port whose connections are kept; `prepare` sees a socket before the reactor does. */
async function listen(
  onInput: (accepted: Accepted, bytes: Buffer) => void,
  prepare: (socket: net.Socket) => void = () => {},
): Promise<{ port: number; accepted: Accepted[] }> {
  const accepted: Accepted[] = [];
  const buffers = new BufferPool(16 * 1024 * 1024);
  const byConnection = new Map<Connection, Accepted>();
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    prepare(socket);
    const reactor = {
      accept: (peer: Peer) => {
        const connection = new Connection({
          id: 1,
          listener: 0,
          peer,
          nowMs: 0,
          inputBuffers: buffers,
          outputBuffers: buffers,
        });
        const one: Accepted = { peer, socket, received: [], isClosed: false };
        accepted.push(one);
        byConnection.set(connection, one);
        return connection;
      },
      readBuffer: Buffer.allocUnsafeSlow(256 * 1024),
      headBuffer: Buffer.allocUnsafeSlow(2048),
      onInput: (connection: Connection, chunk: Buffer, bytes = chunk.length) =>
        onInput(byConnection.get(connection) as Accepted, chunk.subarray(0, bytes)),
      beginLongFrame: () => false,
      onRest: () => {},
      onClosed: (connection: Connection) => {
        (byConnection.get(connection) as Accepted).isClosed = true;
      },
    };
    acceptSocket(reactor, socket, 0);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stops.push(() => {
    for (const { socket } of accepted) socket.destroy();
    server.close();
  });
  return { port: (server.address() as net.AddressInfo).port, accepted };
}

async function connect(port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1');
  stops.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

async function until(condition: () => boolean | undefined): Promise<void> {
  for (let count = 0; condition() !== true; count++) {
    if (count > 1000) throw new Error('it does not happen');
    await setTimeout(5);
  }
}

/** Bytes that say where they stand. */
function numbered(bytes: number): Buffer {
  const block = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) block.writeInt32BE(at, at);
  return block;
}

const withoutSlots = (socket: net.Socket): void => {
  Object.defineProperty((socket as unknown as { _handle: object })._handle, 'useUserBuffer', {
    value: undefined,
  });
};

const keep = (accepted: Accepted, bytes: Buffer): void => {
  accepted.received.push(Buffer.from(bytes));
};

test('this Node lets streams be passed by', async () => {
  const { port, accepted } = await listen(keep);
  await connect(port);
  await until(() => accepted.length > 0);
  expect(accepted[0].socket.listenerCount('data')).toBe(0);
});

describe.each([
  ['passed by', () => {}],
  ['in use', withoutSlots],
])('with streams %s', (_name, prepare) => {
  test('all bytes come, in order, and the end of them', async () => {
    const { port, accepted } = await listen(keep, prepare);
    const socket = await connect(port);
    const sent = numbered(3_000_000);
    for (let at = 0, step = 1; at < sent.length; at += step, step = 1 + ((step * 7) % 70_001))
      socket.write(sent.subarray(at, at + step));
    socket.end();
    await until(() => accepted[0]?.isClosed);
    expect(Buffer.concat(accepted[0].received).equals(sent)).toBe(true);
  });

  test('nothing comes while it is paused', async () => {
    const { port, accepted } = await listen((one, bytes) => {
      keep(one, bytes);
      one.peer.pause();
    }, prepare);
    const socket = await connect(port);
    socket.write('first');
    await until(() => accepted[0]?.received.length === 1);
    socket.write('second');
    await setTimeout(100);
    expect(accepted[0].received.length).toBe(1);
    accepted[0].peer.resume();
    await until(() => accepted[0].received.length === 2);
    expect(String(Buffer.concat(accepted[0].received))).toBe('firstsecond');
  });

  test('who does not read gets all of it later, in order', async () => {
    const { port, accepted } = await listen(keep, prepare);
    const socket = await connect(port);
    socket.pause();
    await until(() => accepted.length > 0);
    const { peer } = accepted[0];
    const sent = numbered(16_000_000);
    let isWritten = false;
    for (let at = 0; at < sent.length; at += 100_000) {
      const isTaken = peer.write(sent.subarray(at, at + 100_000), () => {
        isWritten = true;
      });
      expect(isTaken).toBe(peer.pendingBytes === 0);
    }
    expect(peer.pendingBytes).toBeGreaterThan(0);
    const received: Buffer[] = [];
    socket.on('data', (bytes: Buffer) => received.push(bytes));
    socket.resume();
    await until(() => isWritten && peer.pendingBytes === 0);
    expect(peer.bytesWritten).toBe(sent.length);
    peer.end();
    await once(socket, 'end');
    expect(Buffer.concat(received).equals(sent)).toBe(true);
  });

  test('a peer that is gone takes nothing, also where its descriptor is used again', async () => {
    const { port, accepted } = await listen(keep, prepare);
    const first = await connect(port);
    await until(() => accepted.length === 1);
    accepted[0].peer.destroy('asked');
    first.destroy();
    const others = await Promise.all(Array.from({ length: 8 }, () => connect(port)));
    const received: Buffer[] = [];
    for (const other of others) other.on('data', (bytes: Buffer) => received.push(bytes));
    await until(() => accepted.length === 9);
    accepted[0].peer.write(Buffer.from('not for you'), () => {});
    await setTimeout(50);
    expect(received).toEqual([]);
  });
});

test('what was read before the reactor had the socket comes first', async () => {
  const { port, accepted } = await listen(keep, (socket) => socket.unshift(Buffer.from('before')));
  const socket = await connect(port);
  socket.write(', after');
  await until(() => Buffer.concat(accepted[0]?.received ?? []).length === 13);
  expect(String(Buffer.concat(accepted[0].received))).toBe('before, after');
});

test('what a client sent before it was gone is read, although an answer to it fails', async () => {
  const { port, accepted } = await listen((one, bytes) => one.received.push(Buffer.from(bytes)));
  const socket = await connect(port);
  await until(() => accepted.length === 1);
  const [one] = accepted;
  // All in one turn: nothing is read before the second answer finds the connection closed.
  socket.write('commit');
  socket.resetAndDestroy();
  for (let answer = 0; answer < 3; answer++) one.peer.write(Buffer.from('answer'), () => {});
  await until(() => one.isClosed);
  expect(Buffer.concat(one.received).toString()).toBe('commit');
});
