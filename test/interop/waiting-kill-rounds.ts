/**
 * Rounds of `kill -9` under timed messages and transactions: whatever was acknowledged comes, not
 * before its time, not before its commit; what was rolled back never does. The same over plain sockets
 * as `kill-rounds.ts`; the stock broker passes it too but for what `isExact` asks.
 */
import { RecordKind, RecordView, SysFlag } from '../../src/protocol/message-record.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import {
  heartbeatRequest,
  pullRequest,
  RawClient,
  type RawRequest,
  sendRequest,
} from '../workers/raw-client.ts';

export interface WaitingKillOptions {
  readonly port: number;
  readonly rounds: number;
  /** Broker settings are `waitingSettings`. */
  readonly start: (flush: 'sync' | 'async') => Promise<Killable>;
  /** Milliseconds that a timed message may come early. */
  readonly earlyMs: number;
  /** Each committed message once, and nobody is asked for what was acknowledged as decided. */
  readonly isExact: boolean;
}

interface Killable {
  kill(): Promise<unknown>;
  stop(): Promise<unknown>;
}

/** So that halves are asked for while brokers come and go. */
export const waitingSettings = { transactionTimeOut: 1000, transactionCheckInterval: 500 } as const;

const TOPIC = 'WaitingTopic';
const GROUP = 'waiting-producers';
const QUEUES = 4;
const CONNECTIONS = 4;
/** Of each connection: one after the other, a timed message or a whole transaction, with a pause. */
const LOOPS = 8;
const PAUSE_MS = 10;
const LOAD_MS = 1200;
const DELAY_MIN_MS = 200;
const DELAY_MAX_MS = 5000;
/** After the last message was due and the last half asked for. */
const SETTLE_TIMEOUT_MS = 60_000;
/** What is still on its way when a decision is acknowledged. */
const ON_ITS_WAY_MS = 1000;
const CHECK_TRANSACTION_STATE = 39;
const END_TRANSACTION = 37;

/** What becomes of a message; "asked" ones are left undecided by their producer. */
const KINDS = ['timed', 'commit', 'rollback', 'asked-commit', 'asked-rollback'] as const;
type Kind = (typeof KINDS)[number];
/** Out of ten. */
const MIX: readonly Kind[] = [
  'timed',
  'timed',
  'timed',
  'timed',
  'commit',
  'commit',
  'commit',
  'rollback',
  'asked-commit',
  'asked-rollback',
];

interface Sent {
  readonly kind: Kind;
  isAcknowledged: boolean;
  /** Timed: no delivery before. Otherwise: when the first commit was sent. */
  notBeforeMs: number;
  /** When its end was acknowledged. */
  endedAtMs: number;
}

interface Found {
  count: number;
  /** Of the first one. */
  storedAtMs: number;
  sysFlag: number;
}

export async function waitingKillRounds(options: WaitingKillOptions): Promise<string> {
  const run = new Run(options);
  for (let round = 0; round < options.rounds; round++) {
    const broker = await options.start(round % 2 === 0 ? 'async' : 'sync');
    const clients = await run.connect();
    const state = { isStopped: false };
    for (const client of clients)
      for (let loop = 0; loop < LOOPS; loop++) void run.load(client, round, state);
    await pause(LOAD_MS + ((round * 137) % 400));
    await broker.kill();
    state.isStopped = true;
    for (const client of clients) client.close();
  }
  const broker = await options.start('async');
  try {
    const clients = await run.connect();
    await run.settle();
    for (const client of clients) client.close();
    return run.judge();
  } finally {
    await broker.stop();
  }
}

class Run {
  readonly #options: WaitingKillOptions;
  readonly #sent = new Map<string, Sent>();
  #found = new Map<string, Found>();
  #count = 0;
  #checkCount = 0;
  readonly #complaints: string[] = [];

  constructor(options: WaitingKillOptions) {
    this.#options = options;
  }

  /** Connections of members of the producer group, which answer what the broker asks them. */
  async connect(): Promise<RawClient[]> {
    return Promise.all(
      Array.from({ length: CONNECTIONS }, async (_, index) => {
        const client = await RawClient.connect(this.#options.port);
        client.serve(CHECK_TRANSACTION_STATE, (request) => {
          this.#onCheck(client, request);
          return undefined;
        });
        await client.request(producerHeartbeat(`producer-${index}`));
        return client;
      }),
    );
  }

  async load(client: RawClient, round: number, state: { isStopped: boolean }): Promise<void> {
    while (!state.isStopped) {
      const number = this.#count++;
      const kind = MIX[number % MIX.length];
      const body = `${kind} ${number} of round ${round}`;
      await (kind === 'timed' ? this.#sendTimed(client, body) : this.#transact(client, body, kind));
      await pause(PAUSE_MS);
    }
  }

  async #sendTimed(client: RawClient, body: string): Promise<void> {
    const share = (this.#count * 0.618_033_988_7) % 1;
    const dueMs = Date.now() + Math.round(DELAY_MIN_MS + share * (DELAY_MAX_MS - DELAY_MIN_MS));
    const one = this.#note(body, 'timed', dueMs);
    const properties = { TIMER_DELIVER_MS: String(dueMs) };
    const queueId = this.#count % QUEUES;
    const answer = await client.request(sendRequest({ topic: TOPIC, body, queueId, properties }));
    one.isAcknowledged = answer.code === 0;
  }

  async #transact(client: RawClient, body: string, kind: Kind): Promise<void> {
    const one = this.#note(body, kind, Infinity);
    const half = sendRequest({
      topic: TOPIC,
      body,
      queueId: this.#count % QUEUES,
      properties: { TRAN_MSG: 'true', PGROUP: GROUP },
    });
    // Without this bit it would be an ordinary message. A half born long ago is given up.
    const fields = { ...half.fields, f: SysFlag.TRANSACTION_PREPARED, g: Date.now() };
    const answer = await client.request({ ...half, fields });
    one.isAcknowledged = answer.code === 0;
    if (!one.isAcknowledged || kind.startsWith('asked')) return;
    const id = answer.extFields.get('msgId') ?? '';
    const end = endTransaction({
      isCommit: kind === 'commit',
      halfOffset: Number(answer.extFields.get('queueOffset')),
      physicalOffset: Number(BigInt(`0x${id.slice(16)}`)),
      id,
    });
    if (kind === 'commit') one.notBeforeMs = Math.min(one.notBeforeMs, Date.now());
    // As clients do it, and so that the end of one in three is acknowledged.
    if (this.#count % 3 !== 0) client.oneway(end);
    else if ((await client.request(end)).code === 0) one.endedAtMs = Date.now();
  }

  #note(body: string, kind: Kind, notBeforeMs: number): Sent {
    const one = { kind, isAcknowledged: false, notBeforeMs, endedAtMs: Infinity };
    this.#sent.set(body, one);
    return one;
  }

  #onCheck(client: RawClient, request: RemotingCommand): void {
    this.#checkCount++;
    const view = new RecordView();
    if (view.read(request.body, 0, request.body.length, true) !== RecordKind.MESSAGE)
      throw new Error('a check with a broken record');
    const body = bodyOf(view);
    const one = this.#sent.get(body);
    if (one === undefined || one.kind === 'timed') {
      this.#complaints.push(`asked for what is no half: ${body}`);
      return;
    }
    if (Date.now() > one.endedAtMs + ON_ITS_WAY_MS && this.#options.isExact)
      this.#complaints.push(`asked for after its end was acknowledged: ${body}`);
    const isCommit = one.kind.endsWith('commit');
    if (isCommit) one.notBeforeMs = Math.min(one.notBeforeMs, Date.now());
    client.oneway(
      endTransaction({
        isCommit,
        halfOffset: Number(request.extFields.get('tranStateTableOffset')),
        physicalOffset: Number(request.extFields.get('commitLogOffset')),
        id: request.extFields.get('offsetMsgId') ?? '',
        isFromCheck: true,
      }),
    );
  }

  /** Waits until all that must come is there, and then for what must not. */
  async settle(): Promise<void> {
    const deadline = performance.now() + SETTLE_TIMEOUT_MS;
    for (;;) {
      this.#found = await readAll(this.#options.port);
      const isMissing = [...this.#sent].some(
        ([body, one]) => isWanted(one) && !this.#found.has(body),
      );
      if (!isMissing || performance.now() > deadline) break;
      await pause(250);
    }
    const { transactionTimeOut, transactionCheckInterval } = waitingSettings;
    const notAcknowledgedMs = Math.max(
      DELAY_MAX_MS,
      transactionTimeOut + 2 * transactionCheckInterval,
    );
    await pause(notAcknowledgedMs);
    this.#found = await readAll(this.#options.port);
  }

  judge(): string {
    const wanted = { timed: 0, committed: 0 };
    const twice = { timed: 0, committed: 0 };
    const complain = (body: string, what: string): unknown =>
      this.#complaints.push(`${what}: ${body}`);
    for (const [body, found] of this.#found) {
      const one = this.#sent.get(body);
      if (one === undefined) {
        complain(body, 'never sent, but found');
        continue;
      }
      const isTimed = one.kind === 'timed';
      if (one.kind.endsWith('rollback')) complain(body, 'rolled back, but found');
      const earlyMs = one.notBeforeMs - found.storedAtMs;
      if (!(earlyMs <= (isTimed ? this.#options.earlyMs : 0)))
        complain(body, `found ${earlyMs} ms early`);
      const type = found.sysFlag & SysFlag.TRANSACTION_MASK;
      if (type !== (isTimed ? 0 : SysFlag.TRANSACTION_COMMIT))
        complain(body, `found with type ${type}`);
      if (found.count > 1) twice[isTimed ? 'timed' : 'committed']++;
      if (found.count > 1 && !isTimed && this.#options.isExact)
        complain(body, `committed ${found.count} times`);
    }
    for (const [body, one] of this.#sent) {
      if (!isWanted(one)) continue;
      wanted[one.kind === 'timed' ? 'timed' : 'committed']++;
      if (!this.#found.has(body)) complain(body, 'acknowledged and lost');
    }
    if (wanted.timed < 100 || wanted.committed < 100 || this.#checkCount < 20)
      this.#complaints.push(
        `proves nothing: ${JSON.stringify(wanted)}, ${this.#checkCount} checks`,
      );
    if (this.#complaints.length > 0)
      throw new Error(`${this.#complaints.length}: ${this.#complaints[0]}`);
    return `${this.#options.rounds} rounds: ${wanted.timed} timed messages (${twice.timed} came again) and ${wanted.committed} committed ones (${twice.committed} came again), ${this.#checkCount} times asked`;
  }
}

/** Of what was not acknowledged nobody knows. */
function isWanted(one: Sent): boolean {
  return one.isAcknowledged && !one.kind.endsWith('rollback');
}

function endTransaction(options: {
  isCommit: boolean;
  halfOffset: number;
  physicalOffset: number;
  id: string;
  isFromCheck?: boolean;
}): RawRequest {
  return {
    code: END_TRANSACTION,
    fields: {
      producerGroup: GROUP,
      tranStateTableOffset: options.halfOffset,
      commitLogOffset: options.physicalOffset,
      commitOrRollback: options.isCommit
        ? SysFlag.TRANSACTION_COMMIT
        : SysFlag.TRANSACTION_ROLLBACK,
      fromTransactionCheck: String(options.isFromCheck === true),
      msgId: options.id,
    },
  };
}

function producerHeartbeat(clientId: string): RawRequest {
  const body = { clientID: clientId, consumerDataSet: [], producerDataSet: [{ groupName: GROUP }] };
  return { code: 34, body: Buffer.from(JSON.stringify(body)) };
}

function bodyOf(view: RecordView): string {
  return view.buffer.toString('utf8', view.bodyStart, view.bodyStart + view.bodyBytes);
}

async function readAll(port: number): Promise<Map<string, Found>> {
  const client = await RawClient.connect(port);
  await client.request(heartbeatRequest('checker', 'waiting-checker', TOPIC));
  const found = new Map<string, Found>();
  const view = new RecordView();
  for (let queueId = 0; queueId < QUEUES; queueId++) {
    let offset = 0;
    for (;;) {
      const answer = await client.request(pullRequest('waiting-checker', TOPIC, queueId, offset));
      if (answer.code !== 0) break;
      for (let at = 0; at < answer.body.length; at += view.totalBytes) {
        if (view.read(answer.body, at, answer.body.length, true) !== RecordKind.MESSAGE)
          throw new Error('a broken record');
        if (view.queueOffset !== offset)
          throw new Error(`queue ${queueId} has a gap: ${view.queueOffset} after ${offset - 1}`);
        offset++;
        const body = bodyOf(view);
        const before = found.get(body);
        if (before !== undefined) before.count++;
        else
          found.set(body, { count: 1, storedAtMs: view.storeTimestampMs, sysFlag: view.sysFlag });
      }
    }
  }
  client.close();
  return found;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
