/**
 * @agent any
 *
 * Takes orders. An order and the message that tells of it are one transaction: the message is stored
 * but not delivered, the order goes into the database, then the message is committed. Where this
 * process dies in between, the broker asks any producer of the group, and the database knows.
 */
import { Producer } from 'millrace/client';
import { type Order, ORDERS, type Service, type ServiceOptions } from './order-events.ts';

export interface CreateService extends Service {
  /** Done when the order is in the database and everybody will hear of it. */
  createOrder(order: Order): Promise<void>;
}

export async function startCreateService(options: ServiceOptions): Promise<CreateService> {
  const { servers, database } = options;
  const producer = new Producer({
    servers,
    group: 'create-service',
    checkTransaction: (message) => {
      const { id } = message.json() as Order;
      return database.order(id) === undefined ? 'rollback' : 'commit';
    },
  });
  await producer.start();
  return {
    createOrder: async (order) => {
      const message = {
        topic: ORDERS,
        tag: 'created',
        keys: order.id,
        body: JSON.stringify(order),
      };
      await producer.sendInTransaction(message, () => {
        database.addOrder(order);
        return 'commit';
      });
    },
    close: () => producer.close(),
  };
}
