/**
 * rocketmq-client-nodejs 1.0.8, which speaks gRPC to a proxy.
 */
import { ConsumeResult, type Logger, Producer, PushConsumer } from 'rocketmq-client-nodejs';
import type { BenchClient } from '../bench-client.ts';

/** Its own writes every step to a file; that is not what is measured. */
const logger: Logger = {
  info: () => {},
  debug: () => {},
  warn: () => {},
  error: (...words) => console.error(...words),
};

export const client: BenchClient = {
  startProducer: async ({ address, topic }) => {
    const producer = new Producer({ endpoints: address, namespace: '', topic, logger });
    await producer.startup();
    return {
      send: (body) => producer.send({ topic, body }),
      close: () => producer.shutdown(),
    };
  },

  startConsumer: async ({ address, topic, group }, onMessage) => {
    const consumer = new PushConsumer({
      endpoints: address,
      namespace: '',
      logger,
      consumerGroup: group,
      subscriptions: new Map([[topic, '*']]),
      messageListener: {
        // oxlint-disable-next-line require-await
        consume: async () => {
          onMessage();
          return ConsumeResult.SUCCESS;
        },
      },
    });
    await consumer.startup();
    return { close: () => consumer.shutdown() };
  },
};
