/**
 * One Node client at work, as a process of its own: sends with so many outstanding, or consumes a backlog.
 * Its last line is `RESULT {…}`.
 *
 *   node client-program.ts ADAPTER send|consume ADDRESS TOPIC GROUP BODY_BYTES OUTSTANDING WARM_COUNT WARM_MS COUNT SPAN_MS
 */
import type { BenchClient, BenchEnds } from './bench-client.ts';
import { Window } from './window.ts';

const CONSUME_TIMEOUT_MS = 300_000;

const [, , adapter = '', mode, address = '', topic = '', group = '', ...numbers] = process.argv;
const [bodyBytes, outstanding, warmCount, warmMs, count, spanMs] = numbers.map(Number);
const ends: BenchEnds = { address, topic, group };

async function send(client: BenchClient, window: Window): Promise<number> {
  const producer = await client.startProducer(ends);
  let errors = 0;
  const sendOneByOne = async (): Promise<void> => {
    while (!window.isOver) {
      try {
        await producer.send(Buffer.alloc(bodyBytes));
        window.count();
      } catch (error) {
        if (errors++ === 0) console.error(error);
      }
    }
  };
  await Promise.all(Array.from({ length: outstanding }, sendOneByOne));
  await producer.close();
  return errors;
}

async function consume(client: BenchClient, window: Window): Promise<number> {
  const timer = setTimeout(() => {
    console.error('the backlog did not come');
    process.exit(1);
  }, CONSUME_TIMEOUT_MS);
  const consumer = await client.startConsumer(ends, () => window.count());
  await window.over;
  clearTimeout(timer);
  // How long a client takes to say goodbye is no part of it.
  await Promise.race([consumer.close(), new Promise((resolve) => setTimeout(resolve, 3000))]);
  return 0;
}

const { client } = (await import(adapter)) as { client: BenchClient };
const window = new Window({ warmCount, warmMs, count, spanMs });
const errors = await (mode === 'send' ? send : consume)(client, window);
console.log(`RESULT ${JSON.stringify(window.result(errors))}`);
process.exit(0);
