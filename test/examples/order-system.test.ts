/**
 * The order system against a broker in this process, whose clock the test moves by half an hour. Goal:
 * paid orders ship, unpaid ones are cancelled and their stock comes back, and messages that come twice
 * change nothing.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type CreateService,
  startCreateService,
} from '../../examples/order-system/create-service.ts';
import { startCancelService } from '../../examples/order-system/cancel-service.ts';
import { OrderDatabase } from '../../examples/order-system/order-database.ts';
import {
  type Order,
  ORDERS,
  PAYMENT_CHECKS,
  type Service,
} from '../../examples/order-system/order-events.ts';
import {
  type PaymentService,
  startPaymentService,
} from '../../examples/order-system/payment-service.ts';
import { startShippingService } from '../../examples/order-system/shipping-service.ts';
import { startStockService } from '../../examples/order-system/stock-service.ts';
import { Consumer, Producer } from '../../src/client/index.ts';
import { type EmbeddedBroker, startBroker, VirtualWallClock } from '../../src/testing/index.ts';

let clock: VirtualWallClock;
let broker: EmbeddedBroker;
let database: OrderDatabase;
let createService: CreateService;
let paymentService: PaymentService;
let running: Service[];

beforeEach(async () => {
  clock = new VirtualWallClock();
  broker = await startBroker({ clock, seed: 7, topics: [ORDERS, PAYMENT_CHECKS] });
  database = new OrderDatabase(':memory:');
  database.fillStock('book', 10);
  const options = { servers: broker.nameServer, database };
  createService = await startCreateService(options);
  paymentService = await startPaymentService(options);
  running = [
    createService,
    paymentService,
    await startCancelService(options),
    await startStockService(options),
    await startShippingService(options),
  ];
});

afterEach(async () => {
  await Promise.all(running.map((service) => service.close()));
  await broker.close();
  database.close();
});

const order = (id: string, count = 1): Order => ({ id, item: 'book', count });

describe('after half an hour', () => {
  test('what was paid ships, what was not is cancelled and its stock comes back', async () => {
    await createService.createOrder(order('paid', 2));
    await createService.createOrder(order('unpaid', 3));
    expect(await paymentService.pay('paid')).toBe(true);
    await clock.advance('29m');
    expect(database.order('unpaid')?.status).toBe('unpaid');
    expect(database.stock('book')).toBe(5);
    expect(database.isShipped('paid')).toBe(true);

    await clock.advance('1m');
    expect(database.order('paid')?.status).toBe('paid');
    expect(database.order('unpaid')?.status).toBe('cancelled');
    expect(database.stock('book')).toBe(8);
    expect(database.isShipped('unpaid')).toBe(false);
  });

  test('a cancelled order can not be paid any more', async () => {
    await createService.createOrder(order('late'));
    await clock.advance('30m');
    expect(await paymentService.pay('late')).toBe(false);
    await clock.advance('1m');
    expect(database.isShipped('late')).toBe(false);
    expect(database.stock('book')).toBe(10);
  });
});

test('messages that come twice change nothing', async () => {
  await using producer = new Producer({ servers: broker.nameServer, group: 'again' });
  const again = async (step: string, one: Order): Promise<void> => {
    const message = { topic: ORDERS, tag: step, keys: one.id, body: JSON.stringify(one) };
    await producer.send(message);
    await producer.send(message);
  };
  await createService.createOrder(order('paid', 2));
  await createService.createOrder(order('unpaid', 3));
  await paymentService.pay('paid');
  await again('created', order('paid', 2));
  await again('created', order('unpaid', 3));
  await again('paid', order('paid', 2));
  await clock.advance('30m');
  await again('cancelled', order('unpaid', 3));
  await clock.advance('30m');
  expect(database.stock('book')).toBe(8);
  expect(database.order('paid')?.status).toBe('paid');
  expect(database.order('unpaid')?.status).toBe('cancelled');
});

test('an order whose answer was lost is settled by asking', async () => {
  // As if the process had died between its database and the commit: the broker asks the group.
  await using dying = new Producer({ servers: broker.nameServer, group: 'create-service' });
  const message = (one: Order) => ({
    topic: ORDERS,
    tag: 'created',
    keys: one.id,
    body: JSON.stringify(one),
  });
  await dying.sendInTransaction(message(order('stored')), () => {
    database.addOrder(order('stored'));
    return 'unknown';
  });
  await dying.sendInTransaction(message(order('never')), () => 'unknown');
  await dying.close();
  await clock.advance('5m');
  expect(database.stock('book')).toBe(9);
  await clock.advance('1h');
  expect(database.order('stored')?.status).toBe('cancelled');
  expect(database.order('never')).toBeUndefined();
  expect(database.stock('book')).toBe(10);
});

test('the steps of an order are there for others to follow', async () => {
  const steps: string[] = [];
  await using consumer = new Consumer({
    servers: broker.nameServer,
    group: 'audit',
    from: 'first',
  });
  consumer.subscribe(ORDERS);
  await consumer.run((message) => {
    steps.push(`${message.keys.join(',')} ${message.tag}`);
  });
  await createService.createOrder(order('a'));
  await createService.createOrder(order('b'));
  await paymentService.pay('a');
  await clock.advance('30m');
  expect(steps.sort()).toEqual(['a created', 'a paid', 'a shipped', 'b cancelled', 'b created']);
});
