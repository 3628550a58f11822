/**
 * The order system as a user runs it: a broker, and each service a process of its own, that share one
 * database file. Goal: orders that are paid are shipped, unpaid ones are cancelled, and the stock adds
 * up, though the shop and the stock service are killed on the way. Method: everything is asked over the
 * shop's HTTP; the payment limit is two seconds instead of half an hour.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const root = path.join(import.meta.dirname, '../..');
const INITIAL_STOCK = 100;
const PAYMENT_LIMIT_SECONDS = 2;
const SETTLED_TIMEOUT_MS = 60_000;

let directory: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-orders-'));
});

afterEach(async () => {
  await Promise.all(children.splice(0).reverse().map(kill));
  fs.rmSync(directory, { recursive: true, force: true });
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** Runs until its output matches. */
async function start(words: readonly string[], isReady: RegExp): Promise<ChildProcess> {
  const child = spawn(process.execPath, words, {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (isReady.test(output)) resolve();
      });
    child.once('exit', (code) =>
      reject(new Error(`${words.at(-1)} ended with ${code}: ${output}`)),
    );
  });
  return child;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = net.createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  return Promise.all(
    servers.map((server) => {
      const { port } = server.address() as net.AddressInfo;
      return new Promise<number>((resolve) => server.close(() => resolve(port)));
    }),
  );
}

/** Short times of the broker, so that nobody waits half a minute for a check-back; a small store. */
const settings = [
  'transactionTimeOut=1000',
  'transactionCheckInterval=500',
  'storeKind=plain',
  'mappedFileSizeCommitLog=4194304',
];

test('paid orders ship, unpaid are cancelled and the stock adds up, over killed services', async () => {
  const [brokerPort, nameServerPort, shopPort] = await freePorts(3);
  fs.writeFileSync(path.join(directory, 'broker.conf'), `${settings.join('\n')}\n`);
  const main = path.join(root, 'src/cli/main.ts');
  const store = ['--store-dir', path.join(directory, 'store'), '--config', 'broker.conf'];
  const ports = ['--broker-port', String(brokerPort), '--name-server-port', String(nameServerPort)];
  const inline = ['--web-port', 'off', '--threads', 'inline'];
  await start([main, 'start', ...store, ...ports, ...inline], /"msg":"ready"/);
  const node = ['--conditions=millrace-source', '--disable-warning=ExperimentalWarning'];
  const system = [
    path.join(root, 'examples/order-system/run.ts'),
    '--servers',
    `127.0.0.1:${nameServerPort}`,
    '--port',
    String(shopPort),
    '--payment-limit-seconds',
    String(PAYMENT_LIMIT_SECONDS),
    '--service',
  ];
  const startService = (name: string, ...more: string[]): Promise<ChildProcess> =>
    start([...node, ...system, name, ...more], new RegExp(`^${name} runs$`, 'm'));
  const ask = async (place: string, body?: object): Promise<[number, Record<string, unknown>]> => {
    const request = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const response = await fetch(`http://127.0.0.1:${shopPort}/${place}`, request);
    return [response.status, (await response.json()) as Record<string, unknown>];
  };
  const order = async (count: number): Promise<string> => {
    const [status, answer] = await ask('orders', { item: 'book', count });
    expect(status).toBe(201);
    return String(answer['id']);
  };

  let shop = await startService('shop', '--stock', `book=${INITIAL_STOCK}`);
  let stock = await startService('stock');
  await startService('cancel');
  await startService('shipping');

  const paid: string[] = [];
  const unpaid: string[] = [];
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < 4; index++) {
      const id = await order(index + 1);
      if (index % 2 === 0) {
        expect(await ask(`orders/${id}/pay`, {})).toEqual([200, { paid: true }]);
        paid.push(id);
      } else unpaid.push(id);
    }
    // A customer whose shop dies under an order: it is in the database and told of, or neither.
    const cut = ask('orders', { item: 'book', count: 1 }).catch(() => null);
    await kill(round % 2 === 0 ? shop : stock);
    await cut;
    if (round % 2 === 0) shop = await startService('shop');
    else stock = await startService('stock');
  }

  const settled = async (): Promise<Record<string, unknown>> => {
    const statuses = async (ids: string[]): Promise<unknown[]> =>
      Promise.all(
        ids.map(async (id) => {
          const [, answer] = await ask(`orders/${id}`);
          return answer['shipped'] === true ? 'shipped' : answer['status'];
        }),
      );
    const [, { count }] = await ask('stock/book');
    return { paid: await statuses(paid), unpaid: await statuses(unpaid), stock: count };
  };
  // Per round orders of 1 and 3 books are paid; what was cut off is cancelled like all unpaid ones.
  await expect.poll(settled, { timeout: SETTLED_TIMEOUT_MS, interval: 200 }).toEqual({
    paid: paid.map(() => 'shipped'),
    unpaid: unpaid.map(() => 'cancelled'),
    stock: INITIAL_STOCK - 3 * 4,
  });
}, 120_000);
