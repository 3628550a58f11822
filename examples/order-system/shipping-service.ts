/**
 * @agent any
 *
 * Ships what is paid, each order once, and tells of it.
 */
import { Consumer, Producer } from 'millrace/client';
import { type Order, ORDERS, type Service, type ServiceOptions } from './order-events.ts';

export async function startShippingService(options: ServiceOptions): Promise<Service> {
  const { servers, database } = options;
  const producer = new Producer({ servers, group: 'shipping-service' });
  await producer.start();
  const consumer = new Consumer({ servers, group: 'shipping-service', from: 'first' });
  consumer.subscribe(ORDERS, 'paid');
  await consumer.run(async (message) => {
    const { id } = message.json() as Order;
    database.ship(id);
    await producer.send({ topic: ORDERS, tag: 'shipped', keys: id, body: message.body });
  });
  return {
    close: async () => {
      await consumer.close();
      await producer.close();
    },
  };
}
