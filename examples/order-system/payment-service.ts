/**
 * @agent any
 *
 * Takes payments. "It is paid" in the database and the message that says so are one transaction, as in
 * create-service.ts; an order that was cancelled first is not paid any more.
 */
import { Producer } from 'millrace/client';
import { type Order, ORDERS, type Service, type ServiceOptions } from './order-events.ts';

export interface PaymentService extends Service {
  /** False where there is nothing to pay: no such order, or it was cancelled. */
  pay(id: string): Promise<boolean>;
}

export async function startPaymentService(options: ServiceOptions): Promise<PaymentService> {
  const { servers, database } = options;
  const producer = new Producer({
    servers,
    group: 'payment-service',
    checkTransaction: (message) => {
      const { id } = message.json() as Order;
      return database.order(id)?.status === 'paid' ? 'commit' : 'rollback';
    },
  });
  await producer.start();
  return {
    pay: async (id) => {
      const order = database.order(id);
      if (order === undefined) return false;
      const message = { topic: ORDERS, tag: 'paid', keys: id, body: JSON.stringify(order) };
      let isPaid = false;
      await producer.sendInTransaction(message, () => {
        isPaid = database.settle(id, 'paid') === 'paid';
        return isPaid ? 'commit' : 'rollback';
      });
      return isPaid;
    },
    close: () => producer.close(),
  };
}
