/**
 * @agent any
 *
 * Cancels what was not paid in time. Each new order is sent to itself half an hour ahead; the broker
 * keeps it until then, whatever happens to this process. A message that comes twice finds the order
 * settled; one that could not be sent makes the listener throw, and comes again.
 */
import { Consumer, Producer } from 'millrace/client';
import {
  type Order,
  ORDERS,
  PAYMENT_CHECKS,
  type Service,
  type ServiceOptions,
} from './order-events.ts';

const PAYMENT_LIMIT_MS = 30 * 60_000;

export interface CancelOptions extends ServiceOptions {
  /** Half an hour, unless said. */
  readonly paymentLimitMs?: number;
}

export async function startCancelService(options: CancelOptions): Promise<Service> {
  const { servers, database, paymentLimitMs = PAYMENT_LIMIT_MS } = options;
  const producer = new Producer({ servers, group: 'cancel-service' });
  await producer.start();

  const created = new Consumer({ servers, group: 'cancel-service', from: 'first' });
  created.subscribe(ORDERS, 'created');
  await created.run(async ({ body, keys }) => {
    await producer.send({ topic: PAYMENT_CHECKS, keys, body, delayMs: paymentLimitMs });
  });

  const due = new Consumer({ servers, group: 'cancel-service-due', from: 'first' });
  due.subscribe(PAYMENT_CHECKS);
  await due.run(async (message) => {
    const order = message.json() as Order;
    if (database.settle(order.id, 'cancelled') !== 'cancelled') return;
    const { body, keys } = message;
    await producer.send({ topic: ORDERS, tag: 'cancelled', keys, body });
  });

  return {
    close: async () => {
      await Promise.all([created.close(), due.close()]);
      await producer.close();
    },
  };
}
