/**
 * Rounds of `kill -9` under load: nothing that was acknowledged may be missing afterwards, nothing may
 * appear that was never sent, and queue offsets stay what was answered. Holds for asynchronous flush
 * too: an answered message is in memory that survives the process. In some rounds half of the connections send messages
 * that are so long that another thread writes them.
 */
import path from 'node:path';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from '../workers/raw-client.ts';
import { startMillrace } from './millrace-process.ts';

const CONNECTIONS = 4;
const OUTSTANDING = 16;
const QUEUES = 4;
const LOAD_MS = 500;
const TOPIC = 'KillTopic';
/** Behind the body of a long message. */
const PADDING = '.'.repeat(64 * 1024);
/** Of so many rounds at the beginning one in four has long messages: some 100 MB each. */
const LONG_ROUNDS = 200;

interface Sent {
  queueId: number;
  /** Undefined until acknowledged. */
  queueOffset: number | undefined;
}

export async function killRounds(options: {
  directory: string;
  rounds: number;
  /** Before each round. */
  onRound?: (round: number) => void;
  port: number;
  flush: 'sync' | 'async';
}): Promise<string> {
  const sent = new Map<string, Sent>();
  const readyMs: number[] = [];
  const start = (): ReturnType<typeof startMillrace> =>
    startMillrace({
      storeDirectory: path.join(options.directory, 'store'),
      brokerPort: options.port,
      nameServerPort: options.port + 1,
      arguments: ['--flush', options.flush, '--broker-name', 'millrace-a'],
    });
  for (let round = 0; round < options.rounds; round++) {
    options.onRound?.(round);
    const broker = await start();
    if (round > 0) readyMs.push(broker.readyMs);
    const load = await startLoad(options.port, round, sent);
    await new Promise((resolve) => setTimeout(resolve, LOAD_MS + ((round * 37) % 100)));
    await broker.kill();
    load.stop();
  }
  const broker = await start();
  readyMs.push(broker.readyMs);
  try {
    const found = await readAll(options.port);
    check(sent, found);
    const acknowledged = [...sent.values()].filter((one) => one.queueOffset !== undefined).length;
    if (acknowledged === 0) throw new Error('nothing was acknowledged: the test tested nothing');
    const slowest = Math.max(...readyMs);
    if (slowest > 10_000) throw new Error(`a restart took ${slowest} ms`);
    return `${options.rounds} rounds: ${acknowledged} acknowledged, ${found.size} found, restart ready in at most ${Math.round(slowest)} ms`;
  } finally {
    await broker.stop();
  }
}

async function startLoad(
  port: number,
  round: number,
  sent: Map<string, Sent>,
): Promise<{ stop(): void }> {
  const clients = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => RawClient.connect(port)),
  );
  const state = { isStopped: false };
  let count = 0;
  const hasLong = round < LONG_ROUNDS && round % 4 === 1;
  const loop = async (client: RawClient, padding: string): Promise<void> => {
    while (!state.isStopped) {
      const body = `round ${round} message ${count++}`;
      const one: Sent = { queueId: count % QUEUES, queueOffset: undefined };
      sent.set(body, one);
      const answer = await client.request(
        sendRequest({ topic: TOPIC, body: `${body}${padding}`, queueId: one.queueId }),
      );
      if (answer.code === 0) one.queueOffset = Number(answer.extFields.get('queueOffset'));
    }
  };
  for (const [at, client] of clients.entries()) {
    const padding = hasLong && at % 2 === 1 ? PADDING : '';
    for (let index = 0; index < OUTSTANDING; index++) void loop(client, padding);
  }
  return {
    stop: () => {
      state.isStopped = true;
      for (const client of clients) client.close();
    },
  };
}

async function readAll(
  port: number,
): Promise<Map<string, { queueId: number; queueOffset: number }>> {
  const client = await RawClient.connect(port);
  await client.request(heartbeatRequest('checker', 'kill-checker', TOPIC));
  const found = new Map<string, { queueId: number; queueOffset: number }>();
  const view = new RecordView();
  for (let queueId = 0; queueId < QUEUES; queueId++) {
    let offset = 0;
    for (;;) {
      const answer = await client.request(pullRequest('kill-checker', TOPIC, queueId, offset));
      if (answer.code !== 0) break;
      for (let at = 0; at < answer.body.length; at += view.totalBytes) {
        if (view.read(answer.body, at, answer.body.length, true) !== RecordKind.MESSAGE)
          throw new Error('a broken record');
        if (view.queueOffset !== offset)
          throw new Error(`queue ${queueId} has a gap: ${view.queueOffset} after ${offset - 1}`);
        const text = answer.body.toString('utf8', view.bodyStart, view.bodyStart + view.bodyBytes);
        const body = text.endsWith(PADDING) ? text.slice(0, -PADDING.length) : text;
        found.set(body, { queueId, queueOffset: view.queueOffset });
        offset++;
      }
    }
  }
  client.close();
  return found;
}

function check(
  sent: Map<string, Sent>,
  found: Map<string, { queueId: number; queueOffset: number }>,
): void {
  for (const body of found.keys())
    if (!sent.has(body)) throw new Error(`never sent, but found: ${body}`);
  let lost = 0;
  for (const [body, one] of sent) {
    if (one.queueOffset === undefined) continue;
    const where = found.get(body);
    if (where === undefined) lost++;
    else if (where.queueId !== one.queueId || where.queueOffset !== one.queueOffset) {
      throw new Error(
        `${body} was acknowledged at ${one.queueId}/${one.queueOffset}, found at ${where.queueId}/${where.queueOffset}`,
      );
    }
  }
  if (lost > 0) throw new Error(`${lost} acknowledged messages are lost`);
}
