/**
 * ali-ons 3.12.0.
 */
import { Consumer, Message, Producer } from 'ali-ons';
import type { BenchClient, BenchEnds } from '../bench-client.ts';

const options = ({ address }: BenchEnds): ConstructorParameters<typeof Producer>[0] => ({
  producerGroup: 'bench-producer',
  nameSrv: address,
  // Only asked where the address of the name server comes by HTTP.
  httpclient: {},
  // A machine may have none but the loopback address, which the client does not consider.
  clientIP: '127.0.0.1',
  instanceName: `bench-${process.pid}`,
});

export const client: BenchClient = {
  startProducer: async (ends) => {
    const producer = new Producer(options(ends));
    producer.on('error', (error) => console.error(error));
    await producer.ready();
    return {
      send: (body) => {
        const message = new Message(ends.topic, '', '');
        message.body = body;
        return producer.send(message);
      },
      close: () => producer.close(),
    };
  },

  startConsumer: async (ends, onMessage) => {
    const consumer = new Consumer({
      ...options(ends),
      consumerGroup: ends.group,
      consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    });
    consumer.on('error', (error) => console.error(error));
    // It takes nothing but an asynchronous function.
    // oxlint-disable-next-line require-await
    consumer.subscribe(ends.topic, '*', async () => onMessage());
    await consumer.ready();
    return consumer;
  },
};
