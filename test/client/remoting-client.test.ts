/** The client against real sockets: answers cut at any byte, out of order, late, or never. */
import type net from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { RemotingClient } from '../../src/client/remoting-client.ts';
import {
  encodeAnswer,
  encodeRequest,
  FLAG_ONEWAY,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';
import { type FrameServer, startFrameServer } from './frame-server.ts';

const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const resource of opened.splice(0)) await resource.close();
});

async function serve(
  onFrame: (request: RemotingCommand, socket: net.Socket) => void,
): Promise<FrameServer> {
  const server = await startFrameServer(onFrame);
  opened.push(server);
  return server;
}

function connectTo(
  address: string,
  options: Partial<ConstructorParameters<typeof RemotingClient>[0]> = {},
): RemotingClient {
  const client = new RemotingClient({ address, ...options });
  opened.unshift(client);
  return client;
}

const echo = (request: RemotingCommand, socket: net.Socket): boolean =>
  socket.write(encodeAnswer(request, { code: request.code, body: request.body }));

describe('requests', () => {
  test('are matched with answers that come in another order', async () => {
    const held: RemotingCommand[] = [];
    const server = await serve((request, socket) => {
      held.push(request);
      if (held.length === 3) for (const one of held.reverse()) echo(one, socket);
    });
    const client = connectTo(server.address);
    const answers = await Promise.all([1, 2, 3].map((code) => client.request({ code })));
    expect(answers.map(({ code }) => code)).toEqual([1, 2, 3]);
    expect(server.connectionCount()).toBe(1);
  });

  test('are answered by frames that arrive byte by byte and frames that stick together', async () => {
    const held: RemotingCommand[] = [];
    const server = await serve((request, socket) => {
      held.push(request);
      if (held.length < 2) return;
      const bytes = Buffer.concat(
        held.map((one) => encodeAnswer(one, { code: one.code, body: Buffer.alloc(300, 1) })),
      );
      const writeFrom = (at: number): void => {
        if (at >= bytes.length) return;
        // All but the last few hundred bytes one by one, each in a turn of its own.
        const end = at < 450 ? at + 1 : bytes.length;
        socket.write(bytes.subarray(at, end), () => setImmediate(() => writeFrom(end)));
      };
      writeFrom(0);
    });
    const client = connectTo(server.address);
    const answers = await Promise.all([7, 8].map((code) => client.request({ code })));
    expect(answers.map(({ code, body }) => [code, body.length])).toEqual([
      [7, 300],
      [8, 300],
    ]);
  });

  test('carry and bring back bodies of megabytes', async () => {
    const server = await serve(echo);
    const body = Buffer.alloc(5 * 1024 * 1024, 'abc');
    const answer = await connectTo(server.address).request({ code: 1, body });
    expect(answer.body.equals(body)).toBe(true);
  });

  test('without an answer fail with the address, and others go on', async () => {
    const server = await serve((request, socket) => {
      if (request.code !== 1) echo(request, socket);
    });
    const client = connectTo(server.address);
    await expect(client.request({ code: 1, timeoutMs: 50 })).rejects.toMatchObject({
      code: 'REMOTING_FAILED',
      message: `${server.address} did not answer request 1 within 50 ms`,
    });
    expect((await client.request({ code: 2 })).code).toBe(2);
  });

  test('that are oneway leave nothing to wait for', async () => {
    const server = await serve((request, socket) => {
      if ((request.flag & FLAG_ONEWAY) === 0)
        socket.write(encodeAnswer(request, { code: server.received.length }));
    });
    const client = connectTo(server.address);
    await client.oneway({ code: 5 });
    expect((await client.request({ code: 6 })).code).toBe(2);
    expect(server.received.map(({ code }) => code)).toEqual([5, 6]);
  });
});

describe('connections', () => {
  test('that are lost fail what waits, and the next request makes a new one', async () => {
    let lostCount = 0;
    const server = await serve((request, socket) => {
      if (request.code === 1) socket.destroy();
      else echo(request, socket);
    });
    const client = connectTo(server.address, { onDisconnected: () => lostCount++ });
    const both = await Promise.allSettled([
      client.request({ code: 1 }),
      client.request({ code: 1 }),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(lostCount).toBe(1);
    expect((await client.request({ code: 2 })).code).toBe(2);
    expect(server.connectionCount()).toBe(2);
  });

  test.each(['nonsense', '127.0.0.1:0', '127.0.0.1:70000', ':1', '127.0.0.1:1'])(
    'to %s fail with its name',
    async (address) => {
      const client = connectTo(address);
      for (const attempt of [client.request({ code: 1 }), client.oneway({ code: 1 })])
        await expect(attempt).rejects.toMatchObject({
          code: 'REMOTING_FAILED',
          message: expect.stringContaining(`${address} can not be reached`) as string,
        });
    },
  );

  test.each([
    ['a length below a header', Buffer.from([0, 0, 0, 1, 0])],
    ['a length beyond the limit', Buffer.from([0x7f, 0, 0, 0])],
    ['a header that is none', Buffer.from([0, 0, 0, 6, 0, 0, 0, 2, 0x7b, 0x7b])],
  ])('that bring %s are closed', async (_what, bytes) => {
    const server = await serve((_request, socket) => void socket.write(bytes));
    await expect(connectTo(server.address).request({ code: 1 })).rejects.toMatchObject({
      code: 'REMOTING_FAILED',
      message: expect.stringMatching(/ sent a /) as string,
    });
  });

  test('of a closed client are refused, while connecting too', async () => {
    const server = await serve(echo);
    const client = connectTo(server.address);
    const pending = client.request({ code: 1 });
    client.close();
    await expect(pending).rejects.toMatchObject({ code: 'REMOTING_FAILED' });
    await expect(client.request({ code: 1 })).rejects.toThrow('the client is closed');
    expect(server.received).toEqual([]);
  });
});

test('a request of the server reaches its handler and is not taken for an answer', async () => {
  const server = await serve((request, socket) => {
    socket.write(encodeRequest({ code: 40, opaque: request.opaque }));
    echo(request, socket);
  });
  const asked: number[] = [];
  const client = connectTo(server.address, { onRequest: ({ code }) => void asked.push(code) });
  expect((await client.request({ code: 9 })).code).toBe(9);
  expect(asked).toEqual([40]);
});
