/** One connection against real sockets: what becomes of requests when answers are late, lost or odd. */
import net, { type AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { clientActivity } from '../../src/client/client-activity.ts';
import { ClientError } from '../../src/client/client-error.ts';
import { CODEC_JSON } from '../../src/client/frame-codec.ts';
import '../../src/client/index.ts';
import { currentPlatform } from '../../src/client/platform.ts';
import {
  RemotingConnection,
  type RemotingConnectionOptions,
} from '../../src/client/remoting-connection.ts';
import { encodeAnswer, encodeRequest, FLAG_ONEWAY } from '../../src/protocol/remoting-command.ts';
import { type FrameServer, startFrameServer } from './frame-server.ts';

type OnFrame = Parameters<typeof startFrameServer>[0];

async function serve(onFrame: OnFrame): Promise<FrameServer> {
  const server = await startFrameServer(onFrame);
  onTestFinished(() => server.close());
  return server;
}

function connect(
  address: string,
  options: Partial<RemotingConnectionOptions> = {},
): RemotingConnection {
  const connection = new RemotingConnection({
    address,
    transport: currentPlatform().transport,
    codec: CODEC_JSON,
    onRequest: () => {},
    onClosed: () => {},
    ...options,
  });
  onTestFinished(() => connection.close(new ClientError('CLOSED', 'the test is over')));
  return connection;
}

const echo: OnFrame = (request, socket) => {
  socket.write(encodeAnswer(request, { code: request.code, body: request.body }));
};

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'answered',
    (error: unknown) => (ClientError.is(error) ? error.code : error),
  );

describe('requests', () => {
  test('are matched with answers that come in another order', async () => {
    const held: (() => void)[] = [];
    const server = await serve((request, socket, id) => {
      held.push(() => echo(request, socket, id));
      if (held.length === 3) for (const answer of held.reverse()) answer();
    });
    const connection = connect(server.address);
    const answers = await Promise.all([1, 2, 3].map((code) => connection.request({ code })));
    expect(answers.map(({ code }) => code)).toEqual([1, 2, 3]);
    expect(server.connectionCount()).toBe(1);
  });

  test('of one turn are one write', async () => {
    const chunks: number[] = [];
    const server = net.createServer((socket) => {
      socket.on('data', (chunk) => chunks.push(chunk.length));
      socket.on('error', () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const connection = connect(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    await expect.poll(() => connection.isOpen).toBe(true);
    const settled = Promise.all(
      [1, 2, 3].map((code) => codeOf(connection.request({ code, timeoutMs: 200 }))),
    );
    expect(await settled).toEqual(['TIMEOUT', 'TIMEOUT', 'TIMEOUT']);
    expect(chunks).toHaveLength(1);
    connection.close(new ClientError('CLOSED', 'done'));
  });

  test('keep their bytes when they outgrow the output, before and after it connects', async () => {
    const server = await serve(echo);
    const connection = connect(server.address);
    const bodies = [10, 20_000, 70_000, 600_000, 5].map((bytes) =>
      Uint8Array.from({ length: bytes }, (_, index) => (index * 31 + bytes) & 0xff),
    );
    for (const when of ['connecting', 'open']) {
      const answers = await Promise.all(
        bodies.map((body) => connection.request({ code: 1, body })),
      );
      for (const [index, { body }] of answers.entries())
        expect([when, Buffer.compare(body, bodies[index])]).toEqual([when, 0]);
    }
  });

  test('end at their own limits, and the connection serves on', async () => {
    const server = await serve((request, socket, id) => {
      if (request.code !== 1) echo(request, socket, id);
    });
    const connection = connect(server.address);
    const startedMs = performance.now();
    const long = codeOf(connection.request({ code: 1, timeoutMs: 400 }));
    const short = codeOf(connection.request({ code: 1, timeoutMs: 100 }));
    expect(await short).toBe('TIMEOUT');
    const shortMs = performance.now() - startedMs;
    expect(shortMs).toBeGreaterThanOrEqual(100);
    expect(shortMs).toBeLessThan(390);
    expect((await connection.request({ code: 2 })).code).toBe(2);
    expect(await long).toBe('TIMEOUT');
    expect(connection.inFlightCount).toBe(0);
  });

  test('are left by an abort, before and while they are on their way', async () => {
    const server = await serve(() => {});
    const connection = connect(server.address);
    const controller = new AbortController();
    const reason = new Error('enough');
    const asked = connection.request({ code: 1, signal: controller.signal });
    const outcome = asked.catch((error: unknown) => error);
    await expect.poll(() => server.received.length).toBe(1);
    controller.abort(reason);
    expect(await outcome).toMatchObject({ code: 'ABORTED', cause: reason });
    expect(connection.inFlightCount).toBe(0);
    expect(await codeOf(connection.request({ code: 1, signal: controller.signal }))).toBe(
      'ABORTED',
    );
    expect(server.received).toHaveLength(1);
  });

  test('fail all together when the connection is lost', async () => {
    const server = await serve((request, socket) => {
      if (request.code === 2) socket.destroy();
    });
    const closed: [string, boolean][] = [];
    const connection = connect(server.address, {
      onClosed: (error, wasOpen) => closed.push([error.code, wasOpen]),
    });
    const outcomes = [1, 1, 2].map((code) => codeOf(connection.request({ code })));
    expect(await Promise.all(outcomes)).toEqual(Array(3).fill('CONNECTION_FAILED'));
    expect(closed).toEqual([['CONNECTION_FAILED', true]]);
    expect(await codeOf(connection.request({ code: 3 }))).toBe('CONNECTION_FAILED');
  });

  test('fail where nobody listens', async () => {
    const server = await serve(echo);
    await server.close();
    const closed: boolean[] = [];
    const connection = connect(server.address, {
      onClosed: (_error, wasOpen) => closed.push(wasOpen),
    });
    await expect(connection.request({ code: 1 })).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      canRetry: true,
    });
    expect(closed).toEqual([false]);
  });

  test('fail when what comes is no remoting protocol', async () => {
    const server = await serve((_request, socket) => {
      socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    const connection = connect(server.address);
    expect(await codeOf(connection.request({ code: 1 }))).toBe('PROTOCOL_ERROR');
    expect(connection.isClosed).toBe(true);
  });

  test('are counted while they are open, but not a pull that may be held', async () => {
    const held: (() => void)[] = [];
    const server = await serve((request, socket, id) => {
      held.push(() => echo(request, socket, id));
    });
    const connection = connect(server.address);
    const before = clientActivity.pendingCount;
    const asked = [
      connection.request({ code: 1 }),
      connection.request({ code: 2, mayBeHeld: true }),
    ];
    expect(clientActivity.pendingCount).toBe(before + 1);
    await expect.poll(() => held.length).toBe(2);
    for (const answer of held) answer();
    await Promise.all(asked);
    expect(clientActivity.pendingCount).toBe(before);
  });
});

test('a TCP connection is listed with its own counts while it is open', async () => {
  const server = await serve(echo);
  const known = new Set(clientActivity.connections);
  const connection = connect(server.address);
  await connection.request({ code: 1 });
  const own = [...clientActivity.connections].find((one) => !known.has(one));
  if (own === undefined) throw new Error('it is not listed');
  expect(own.remotePort).toBe(server.port);
  expect(own.bytesWritten).toBeGreaterThan(50);
  expect(own.bytesRead).toBeGreaterThan(50);
  connection.close(new ClientError('CLOSED', 'done'));
  await expect.poll(() => clientActivity.connections.has(own)).toBe(false);
});

test('what was said before a close still goes out', async () => {
  const server = await serve(() => {});
  const connection = connect(server.address);
  await expect.poll(() => connection.isOpen).toBe(true);
  connection.tell({ code: 15, body: new Uint8Array(300_000) });
  connection.close(new ClientError('CLOSED', 'done'));
  await expect.poll(() => server.received.length).toBe(1);
  expect(server.received[0].body).toHaveLength(300_000);
  expect(server.received[0].flag).toBe(FLAG_ONEWAY);
});

test('a request of the server is served, and answered where an answer is wanted', async () => {
  const answers: [number, string | null][] = [];
  const server = await serve((request, socket) => {
    if (request.flag === 1) answers.push([request.opaque, request.remark]);
    else {
      const extFields: [string, string][] = [['consumerGroup', 'g']];
      socket.write(encodeRequest({ code: 40, opaque: 7, extFields, flag: FLAG_ONEWAY }));
      socket.write(encodeRequest({ code: 307, opaque: 8, extFields }));
    }
  });
  const asked: [number, string | undefined][] = [];
  const connection = connect(server.address, {
    onRequest: (request) => {
      asked.push([request.code, request.fields.get('consumerGroup')]);
      request.answer({ code: 0, remark: 'done "so"' });
    },
  });
  connection.tell({ code: 34 });
  await expect.poll(() => answers).toEqual([[8, 'done "so"']]);
  expect(asked).toEqual([
    [40, 'g'],
    [307, 'g'],
  ]);
});
