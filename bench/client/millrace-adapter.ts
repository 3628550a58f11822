/**
 * Our own client.
 */
import { Consumer, Producer } from '../../src/client/index.ts';
import type { BenchClient } from './bench-client.ts';

export const client: BenchClient = {
  startProducer: async ({ address, topic, group }) => {
    const producer = new Producer({ servers: address, group });
    await producer.start();
    return {
      send: (body) => producer.send({ topic, body }),
      close: () => producer.close(),
    };
  },

  startConsumer: async ({ address, topic, group }, onMessage) => {
    const consumer = new Consumer({ servers: address, group, from: 'first' });
    consumer.subscribe(topic);
    await consumer.run(() => onMessage());
    return { close: () => consumer.close() };
  },
};
