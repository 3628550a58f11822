/**
 * @agent any
 *
 * Takes from stock what is ordered and gives back what is cancelled. Messages may come twice, after a
 * crash or a lost answer: the database counts each order and step once.
 */
import { Consumer } from 'millrace/client';
import { type Order, ORDERS, type Service, type ServiceOptions } from './order-events.ts';

export async function startStockService(options: ServiceOptions): Promise<Service> {
  const { servers, database } = options;
  const consumer = new Consumer({ servers, group: 'stock-service', from: 'first' });
  consumer.subscribe(ORDERS, 'created || cancelled');
  await consumer.run((message) => {
    const step = message.tag === 'created' ? 'created' : 'cancelled';
    database.changeStock(message.json() as Order, step);
  });
  return { close: () => consumer.close() };
}
