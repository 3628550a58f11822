/**
 * An order system on one broker, as an application would write it: an order is placed in a transaction, takes
 * stock once however often its message comes, and is cancelled when it was not paid within 30 minutes. Its
 * listeners fail now and then, by the seed, so that messages come again.
 */
import { type ClientError, Consumer, Producer } from '../../src/client/index.ts';
import { startBroker, VirtualWallClock } from '../../src/testing/index.ts';

export interface ShopOutcome {
  /** What became of each order. */
  orders: Record<string, string>;
  stock: number;
  /** What happened, with minutes and seconds since the start, in the order in which it was seen. */
  events: string[];
  /** Real time that 30 minutes took. */
  advanceMs: number;
}

const STOCK = 100;
const PAY_WITHIN_MS = 30 * 60_000;
const ORDER_COUNT = 6;

/** By seed, order and delivery: a third of the first deliveries fail. */
function fails(seed: number, id: string, attempt: number): boolean {
  let hash = seed;
  for (const character of `${id} ${attempt}`)
    hash = Math.imul(hash ^ character.charCodeAt(0), 0x9e37_79b1) >>> 0;
  return attempt < 3 && hash % 3 === 0;
}

export async function runShop(seed: number): Promise<ShopOutcome> {
  const clock = new VirtualWallClock();
  const startMs = clock.nowMs();
  await using broker = await startBroker({ clock, seed, topics: ['orders', 'unpaid'] });
  const servers = broker.nameServer;
  const orders = new Map<string, 'placed' | 'paid' | 'cancelled'>();
  const taken = new Set<string>();
  const events: string[] = [];
  const note = (what: string): void => {
    const seconds = (clock.nowMs() - startMs) / 1000;
    events.push(`${Math.floor(seconds / 60)}m${seconds % 60}s ${what}`);
  };
  const problems: string[] = [];
  const onError = (error: ClientError): void => {
    if (error.code !== 'LISTENER_FAILED') problems.push(error.message);
  };

  await using stock = new Consumer({ servers, group: 'stock', from: 'first', onError });
  stock.subscribe('orders');
  await stock.run((message) => {
    const id = message.text();
    if (fails(seed, id, message.deliveryAttempt)) throw new Error('the stock service is down');
    if (!taken.has(id)) note(`stock taken for ${id}`);
    taken.add(id);
  });
  await using timeouts = new Consumer({ servers, group: 'timeouts', from: 'first', onError });
  timeouts.subscribe('unpaid');
  await timeouts.run((message) => {
    const id = message.text();
    if (orders.get(id) !== 'placed') return;
    if (fails(~seed, id, message.deliveryAttempt)) throw new Error('the order service is down');
    orders.set(id, 'cancelled');
    taken.delete(id);
    note(`${id} cancelled`);
  });
  await using producer = new Producer({
    servers,
    group: 'shop',
    checkTransaction: (message) => (orders.has(message.text()) ? 'commit' : 'rollback'),
    onError,
  });
  for (let index = 0; index < ORDER_COUNT; index++) {
    const id = `order-${index}`;
    await producer.sendInTransaction({ topic: 'orders', body: id, keys: id }, () => {
      orders.set(id, 'placed');
      // The service dies before it says how it went: the broker asks.
      return index % 3 === 2 ? 'unknown' : 'commit';
    });
    await producer.send({ topic: 'unpaid', body: id, keys: id, delayMs: PAY_WITHIN_MS });
  }
  await clock.advance('10m');
  for (const id of ['order-1', 'order-4']) {
    orders.set(id, 'paid');
    note(`${id} paid`);
  }
  const beganMs = performance.now();
  await clock.advance('30m');
  const advanceMs = performance.now() - beganMs;
  if (problems.length > 0) throw new Error(problems.join('; '));
  const stockLeft = STOCK - taken.size;
  return { orders: Object.fromEntries(orders), stock: stockLeft, events, advanceMs };
}
