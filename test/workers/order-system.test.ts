/**
 * What timed and transactional messages are for: a shop. An order and its message are made in one
 * transaction; an order that is not paid within 30 minutes is cancelled by a timed message; stock is
 * taken once for an order, however often its message comes. The calendar is the test's, so half an
 * hour takes no time; the broker is stopped and started in between.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import {
  endRequest,
  heartbeatRequest,
  pullRequest,
  RawClient,
  type RawRequest,
  sendRequest,
} from './raw-client.ts';
import { readRecords, startTestBroker } from './test-broker.ts';

const ORDERS = 'Orders';
const TIMEOUTS = 'OrderTimeouts';
const SHOP = 'shop';
const MINUTE_MS = 60_000;
const STOCK = 10;

let root: string;
let broker: BrokerProcess;
let client: RawClient;
const clock = new ManualClock(Date.UTC(2026, 10, 11, 20, 0, 0));

async function start(): Promise<void> {
  broker = await startTestBroker(root, { threads: 'inline' }, clock);
  client = await RawClient.connect(broker.ready.brokerPort);
  await client.request(heartbeatRequest('stock', 'stock-service', ORDERS));
  await client.request(heartbeatRequest('timeouts', 'timeout-service', TIMEOUTS));
}

async function stop(): Promise<void> {
  client.close();
  await broker.close();
}

beforeEach(async () => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-'));
  await start();
});

afterEach(async () => {
  await stop();
  fs.rmSync(root, { recursive: true, force: true });
});

/** Every message of a queue, from its beginning: so each comes again with each call. */
async function bodies(group: string, topic: string): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const answer = await client.request(pullRequest(group, topic, 0, found.length));
    if (answer.code !== 0) return found;
    found.push(...readRecords(answer.body).map(({ body }) => body));
  }
}

async function until(check: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    if (await check()) return;
    await pause(20);
  }
  throw new Error('it did not come to that');
}

test('a shop sells what it has, once, and takes back what is not paid for', async () => {
  const orders = new Map<string, 'placed' | 'paid' | 'cancelled'>();
  const taken = new Set<string>();
  const end = (half: RemotingCommand, decision: number): RawRequest =>
    endRequest(half, SHOP, decision);
  /** Places an order: `fails` where its local transaction does; `dies` before it ends the other. */
  const order = async (id: string, outcome: 'works' | 'fails' | 'dies'): Promise<void> => {
    const properties = { TRAN_MSG: 'true', PGROUP: SHOP, UNIQ_KEY: id };
    const half = await client.request(sendRequest({ topic: ORDERS, body: id, properties }));
    expect(half.code).toBe(0);
    if (outcome === 'fails') {
      client.oneway(end(half, 12));
      return;
    }
    orders.set(id, 'placed');
    const timer = { TIMER_DELAY_SEC: '1800' };
    const sent = await client.request(
      sendRequest({ topic: TIMEOUTS, body: id, properties: timer }),
    );
    expect(sent.code).toBe(0);
    if (outcome === 'dies') return;
    client.oneway(end(half, 8));
    // A producer that is not sure says it again.
    client.oneway(end(half, 8));
  };
  const serveStock = async (): Promise<void> => {
    for (const id of await bodies('stock-service', ORDERS)) taken.add(id);
  };
  const serveTimeouts = async (): Promise<void> => {
    for (const id of await bodies('timeout-service', TIMEOUTS)) {
      if (orders.get(id) !== 'placed') continue;
      orders.set(id, 'cancelled');
      taken.delete(id);
    }
  };

  await order('paid', 'works');
  await order('unpaid', 'works');
  await order('refused', 'fails');
  await order('unsure', 'dies');
  await until(async () => (await bodies('stock-service', ORDERS)).length === 2);
  expect(await bodies('stock-service', ORDERS)).toEqual(['paid', 'unpaid']);
  await serveStock();
  await serveStock();
  expect(STOCK - taken.size).toBe(8);

  await stop();
  clock.advance(29 * MINUTE_MS);
  await start();
  orders.set('paid', 'paid');
  // The shop is back, and asked what became of the order that it said nothing about.
  client.serve(39, (request) => {
    expect(request.extFields.get('transactionId')).toBe('unsure');
    const { fields } = end(request, orders.has('unsure') ? 8 : 12) as {
      fields: Record<string, string | number>;
    };
    client.oneway({
      code: 37,
      fields: {
        ...fields,
        tranStateTableOffset: request.extFields.get('tranStateTableOffset') ?? '',
        commitLogOffset: request.extFields.get('commitLogOffset') ?? '',
        fromTransactionCheck: 'true',
      },
    });
    return { code: 0 };
  });
  const shop = JSON.stringify({ clientID: 'shop', producerDataSet: [{ groupName: SHOP }] });
  await client.request({ code: 34, body: Buffer.from(shop) });
  clock.advance(40_000);
  await until(async () => (await bodies('stock-service', ORDERS)).length === 3);
  await serveStock();
  expect([...taken]).toEqual(['paid', 'unpaid', 'unsure']);

  clock.advance(19_999);
  await pause(1500);
  expect(await bodies('timeout-service', TIMEOUTS)).toEqual([]);
  clock.advance(1);
  await until(async () => (await bodies('timeout-service', TIMEOUTS)).length === 3);
  await serveTimeouts();
  expect(Object.fromEntries(orders)).toEqual({
    paid: 'paid',
    unpaid: 'cancelled',
    unsure: 'cancelled',
  });
  expect(STOCK - taken.size).toBe(9);
});
