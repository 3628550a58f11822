/**
 * @agent any
 *
 * Starts the order system: all services in this process, or those that are named, each in a process of
 * its own if you like. Against a broker on this machine:
 *
 *   node run.ts
 *   node run.ts --service stock
 *   node run.ts --service shop --service cancel --payment-limit-seconds 60 --database /tmp/orders.db
 */
import { parseArgs } from 'node:util';
import { startCancelService } from './cancel-service.ts';
import { startCreateService } from './create-service.ts';
import { OrderDatabase } from './order-database.ts';
import type { Service } from './order-events.ts';
import { startPaymentService } from './payment-service.ts';
import { startShippingService } from './shipping-service.ts';
import { startShop } from './shop-http.ts';
import { startStockService } from './stock-service.ts';

const { values } = parseArgs({
  options: {
    servers: { type: 'string', default: '127.0.0.1:9876' },
    database: { type: 'string', default: 'orders.db' },
    service: { type: 'string', multiple: true, default: ['shop', 'stock', 'cancel', 'shipping'] },
    port: { type: 'string', default: '3000' },
    'payment-limit-seconds': { type: 'string', default: '1800' },
    stock: { type: 'string', multiple: true, default: [] },
  },
});

const database = new OrderDatabase(values.database);
const options = { servers: values.servers, database };
const running: Service[] = [];

const starters: Readonly<Record<string, () => Promise<Service[]>>> = {
  shop: async () => {
    const createService = await startCreateService(options);
    const paymentService = await startPaymentService(options);
    const port = Number(values.port);
    const shop = await startShop({ port, database, createService, paymentService });
    console.log(`shop: http://127.0.0.1:${shop.port}/`);
    return [createService, paymentService, shop];
  },
  stock: async () => [await startStockService(options)],
  cancel: async () => {
    const paymentLimitMs = 1000 * Number(values['payment-limit-seconds']);
    return [await startCancelService({ ...options, paymentLimitMs })];
  },
  shipping: async () => [await startShippingService(options)],
};

// --stock book=10: what is there to begin with.
for (const one of values.stock) {
  const [item = '', count = '0'] = one.split('=');
  database.fillStock(item, Number(count));
}
for (const name of values.service) {
  const start = starters[name];
  if (start === undefined)
    throw new Error(`no service ${name}: ${Object.keys(starters).join(', ')}`);
  running.push(...(await start()));
  console.log(`${name} runs`);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    void Promise.all(running.reverse().map((service) => service.close())).then(() => {
      database.close();
      process.exit(0);
    });
  });
