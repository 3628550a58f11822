/**
 * @agent any
 *
 * What customers see of it: `POST /orders` {item, count}, `POST /orders/ID/pay`, `GET /orders/ID`,
 * `GET /stock/ITEM`.
 */
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { text } from 'node:stream/consumers';
import type { CreateService } from './create-service.ts';
import type { OrderDatabase } from './order-database.ts';
import type { Service } from './order-events.ts';
import type { PaymentService } from './payment-service.ts';

interface ShopOptions {
  readonly port: number;
  readonly database: OrderDatabase;
  readonly createService: CreateService;
  readonly paymentService: PaymentService;
}

export async function startShop(options: ShopOptions): Promise<Service & { port: number }> {
  const { database, createService, paymentService } = options;

  async function answer(request: http.IncomingMessage): Promise<[number, object]> {
    const [, kind, name = '', verb] = (request.url ?? '').split('/');
    if (request.method === 'POST' && kind === 'orders' && name === '') {
      const { item, count } = JSON.parse(await text(request)) as { item: string; count: number };
      const id = randomUUID();
      await createService.createOrder({ id, item, count });
      return [201, { id }];
    }
    if (request.method === 'POST' && kind === 'orders' && verb === 'pay')
      return (await paymentService.pay(name)) ? [200, { paid: true }] : [409, { paid: false }];
    if (kind === 'orders') {
      const order = database.order(name);
      return order === undefined
        ? [404, {}]
        : [200, { ...order, shipped: database.isShipped(name) }];
    }
    if (kind === 'stock') return [200, { item: name, count: database.stock(name) }];
    return [404, {}];
  }

  async function respond(
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ): Promise<void> {
    try {
      const [status, body] = await answer(request);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    } catch (error) {
      response.writeHead(503).end(String(error));
    }
  }

  const server = http.createServer((request, response) => void respond(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.port, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
