/**
 * A consumer in a process of its own, to be killed: takes messages, says so, and never ends with one.
 * Run by consumer-group.test.ts: `node hanging-consumer.ts SERVERS GROUP TOPIC`.
 */
import { Consumer } from '../../src/client/index.ts';

const [servers = '', group = '', topic = ''] = process.argv.slice(2);
const consumer = new Consumer({ servers, group, from: 'first', commitIntervalMs: 20 });
consumer.subscribe(topic);
await consumer.run(async (message) => {
  process.stdout.write(`${message.text()}\n`);
  await new Promise(() => {});
});
