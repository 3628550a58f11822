/**
 * A seeded client of an inline broker that does a bit of everything and writes down what it did and saw:
 * sends, batches, timed messages, delay levels, transactions, pulls, commits of offsets.
 */
import { crc32 } from 'node:zlib';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import {
  heartbeatRequest,
  propertiesText,
  type RawRequest,
  sendRequest,
} from '../workers/raw-client.ts';
import type { DumpedMessage, DumpedQueue, HistoryEvent, Outcome } from './history.ts';
import type { InlineBroker } from './inline-broker.ts';
import type { InlineClient } from './inline-client.ts';

export const workloadTopic = 'Orders';
export const workloadQueueCount = 3;
const group = 'readers';
/** Reads all of it, and never commits. */
const auditors = 'auditors';
const producerGroup = 'producers';

/** Longest time until a message of the workload is due. */
export const dueMsMax = 4000;

const SendCode = {
  plain: 310,
  batch: 320,
} as const;

/** What code says of a send, whose answer has it. */
function outcomeOf(code: number): Outcome {
  if (code === 0) return 'ok';
  // MESSAGE_ILLEGAL, SERVICE_NOT_AVAILABLE, NO_PERMISSION: before anything was appended.
  return code === 13 || code === 14 || code === 16 ? 'fail' : 'info';
}

/** The same of the end of a transaction: 2 and 10 say that it waited too long, before or after it counted. */
function endOutcomeOf(code: number): Outcome {
  if (code === 0) return 'ok';
  return code === 2 || code === 10 ? 'info' : 'fail';
}

interface Half {
  id: string;
  queueOffset: string;
  physicalOffset: number;
  transactionId: string;
}

export class Workload {
  readonly events: HistoryEvent[];
  readonly #random: () => number;
  /** Names messages of this workload apart from those of its forks. */
  readonly #prefix: string;
  #broker: InlineBroker | null = null;
  #clients: InlineClient[] = [];
  /** Connections so far: order holds within each. */
  #connections: number[] = [];
  #connectionCount = 0;
  #count = 0;
  /** Halves that were acknowledged and of which nothing was decided. */
  readonly #halves: Half[];
  readonly #next: number[] = Array.from({ length: workloadQueueCount }, () => 0);
  /** A pull of that queue is under way. */
  readonly #isPulling: boolean[] = Array.from({ length: workloadQueueCount }, () => false);

  constructor(random: () => number, prefix: string, known?: Workload) {
    this.#random = random;
    this.#prefix = prefix;
    this.events = known === undefined ? [] : [...known.events];
    this.#halves = known === undefined ? [] : [...known.#halves];
    this.#connectionCount = known === undefined ? 0 : known.#connectionCount;
  }

  /** Goes on with a broker that has just started: the topic is there, the group stands where it says. */
  attach(broker: InlineBroker): void {
    this.#broker = broker;
    this.#clients = [broker.connect(), broker.connect()];
    this.#connections = [++this.#connectionCount, ++this.#connectionCount];
    this.#ask({
      code: 17,
      fields: {
        topic: workloadTopic,
        defaultTopic: 'TBW102',
        readQueueNums: workloadQueueCount,
        writeQueueNums: workloadQueueCount,
        perm: 6,
        topicFilterType: 'SINGLE_TAG',
        topicSysFlag: 0,
        order: 'false',
      },
    });
    for (const one of [group, auditors])
      this.#ask(heartbeatRequest(`client-${one}`, one, workloadTopic));
    for (let queueId = 0; queueId < workloadQueueCount; queueId++) this.#rewind(queueId);
  }

  /** Something by chance. */
  act(): void {
    this.#reconnect();
    const chance = this.#random();
    if (chance < 0.4) this.sendPlain(this.#pick(workloadQueueCount));
    else if (chance < 0.5) this.#sendBatch();
    else if (chance < 0.58) this.sendTimed();
    else if (chance < 0.66) this.#sendHalf();
    else if (chance < 0.72) this.#decide(this.#random() < 0.6 ? 'commit' : 'rollback');
    else if (chance < 0.9) this.#pull(this.#pick(workloadQueueCount));
    else if (chance < 0.97) this.#commitOffset(this.#pick(workloadQueueCount));
    else this.#askOffset(this.#pick(workloadQueueCount));
  }

  /** A connection that was closed is opened again, as clients do; says whether one was. */
  #reconnect(): boolean {
    let isAny = false;
    for (const [index, { closed }] of this.#clients.entries()) {
      if (closed === null) continue;
      isAny = true;
      this.#clients[index] = this.#running().connect();
      this.#connections[index] = ++this.#connectionCount;
      if (index === 0) this.#isPulling.fill(false);
    }
    return isAny;
  }

  sendPlain(queueId: number): void {
    const { id, body } = this.#message();
    const client = this.#pick(this.#clients.length);
    this.#onSend(id, body, { client, queueId, kind: 'plain' });
    const request = sendRequest({
      topic: workloadTopic,
      body,
      queueId,
      properties: this.#keys(id),
    });
    this.#clients[client].request(request, (answer) => {
      const outcome = outcomeOf(answer.code);
      const queueOffset = Number(answer.extFields.get('queueOffset'));
      this.events.push({ type: 'sent', id, outcome, ...(outcome === 'ok' ? { queueOffset } : {}) });
    });
  }

  /** Reads on in every queue, and commits what was read. */
  readAndCommit(): void {
    for (let queueId = 0; queueId < workloadQueueCount; queueId++) {
      this.#pull(queueId);
      this.#running().settle();
      this.#commitOffset(queueId);
    }
  }

  /** Commits every half of which nothing was decided. */
  decideAll(): void {
    while (this.#halves.length > 0) this.#decide('commit');
  }

  /** Reads all that can be read, and writes it down. */
  dump(isSettled: boolean): void {
    const broker = this.#running();
    const queues: DumpedQueue[] = [];
    for (let queueId = 0; queueId < workloadQueueCount; queueId++) {
      const queue = this.#readQueue(queueId);
      if (queue !== null) queues.push(queue);
    }
    this.events.push({ type: 'dump', queues, atMs: broker.wallClock.nowMs(), isSettled });
  }

  #readQueue(queueId: number): DumpedQueue | null {
    const messages: DumpedMessage[] = [];
    let offset = 0;
    for (;;) {
      const answer = this.#ask(pull(auditors, queueId, offset));
      const minOffset = Number(answer.extFields.get('minOffset'));
      const maxOffset = Number(answer.extFields.get('maxOffset'));
      const next = Number(answer.extFields.get('nextBeginOffset'));
      if (answer.code === 0) {
        if (next <= offset) throw new Error(`a pull at ${offset} goes on at ${next}`);
        messages.push(...recordsOf(answer.body));
        offset = next;
        continue;
      }
      if (answer.code !== 19 && answer.code !== 20 && answer.code !== 21)
        throw new Error(`a pull was answered ${answer.code} ${answer.remark}`);
      // Corrected: the queue begins later, or skips what can't be read.
      if (next > offset) {
        offset = next;
        continue;
      }
      if (maxOffset === 0 && messages.length === 0) return null;
      return { topic: workloadTopic, queueId, minOffset, maxOffset, messages };
    }
  }

  #sendBatch(): void {
    const queueId = this.#pick(workloadQueueCount);
    const client = this.#pick(this.#clients.length);
    const batch = Array.from({ length: 2 + this.#pick(4) }, () => this.#message());
    for (const { id, body } of batch) this.#onSend(id, body, { client, queueId, kind: 'plain' });
    const items = batch.map(({ id, body }) => {
      const properties = Buffer.from(propertiesText(this.#keys(id)));
      const item = Buffer.alloc(22 + body.length + properties.length);
      item.writeInt32BE(item.length, 0);
      item.writeInt32BE(body.length, 16);
      body.copy(item, 20);
      item.writeInt16BE(properties.length, 20 + body.length);
      properties.copy(item, 22 + body.length);
      return item;
    });
    const request = sendRequest({ topic: workloadTopic, body: Buffer.concat(items), queueId });
    const fields = { ...request.fields, m: 'true', i: '' };
    this.#clients[client].request({ ...request, code: SendCode.batch, fields }, (answer) => {
      const outcome = outcomeOf(answer.code);
      const first = Number(answer.extFields.get('queueOffset'));
      for (const [index, { id }] of batch.entries()) {
        const place = outcome === 'ok' ? { queueOffset: first + index } : {};
        this.events.push({ type: 'sent', id, outcome, ...place });
      }
    });
  }

  /** By one of the delay levels, or at a time. */
  sendTimed(isLevel = this.#random() < 0.4): void {
    const { id, body } = this.#message();
    const nowMs = this.#running().wallClock.nowMs();
    const queueId = this.#pick(workloadQueueCount);
    const client = this.#pick(this.#clients.length);
    const level = 1 + this.#pick(3);
    const dueMs = isLevel ? nowMs + level * 1000 : nowMs + 1 + this.#pick(dueMsMax - 1);
    const when: Record<string, string> = isLevel
      ? { DELAY: String(level) }
      : { TIMER_DELIVER_MS: String(dueMs) };
    this.#onSend(id, body, { client, queueId, kind: 'timed', dueMs });
    const properties = { ...this.#keys(id), ...when };
    const request = sendRequest({ topic: workloadTopic, body, queueId, properties });
    this.#clients[client].request(request, (answer) => {
      this.events.push({ type: 'sent', id, outcome: outcomeOf(answer.code) });
    });
  }

  #sendHalf(): void {
    const { id, body } = this.#message();
    const queueId = this.#pick(workloadQueueCount);
    const client = this.#pick(this.#clients.length);
    this.#onSend(id, body, { client, queueId, kind: 'half' });
    const properties = { ...this.#keys(id), TRAN_MSG: 'true', PGROUP: producerGroup };
    const request = sendRequest({ topic: workloadTopic, body, queueId, properties });
    this.#clients[client].request(request, (answer) => {
      this.events.push({ type: 'sent', id, outcome: outcomeOf(answer.code) });
      if (answer.code !== 0) return;
      this.#halves.push({
        id,
        queueOffset: answer.extFields.get('queueOffset') ?? '',
        physicalOffset: Number(`0x${answer.extFields.get('msgId')?.slice(-16)}`),
        transactionId: answer.extFields.get('transactionId') ?? '',
      });
    });
  }

  #decide(decision: 'commit' | 'rollback'): void {
    const [half] = this.#halves.splice(this.#pick(this.#halves.length), 1);
    if (half === undefined) return;
    this.events.push({ type: 'end', id: half.id, decision });
    const request = {
      code: 37,
      fields: {
        producerGroup,
        tranStateTableOffset: half.queueOffset,
        commitLogOffset: half.physicalOffset,
        commitOrRollback: decision === 'commit' ? 8 : 12,
        fromTransactionCheck: 'false',
        msgId: half.id,
        transactionId: half.transactionId,
      },
    };
    const client = this.#clients[this.#pick(this.#clients.length)];
    client.request(request, (answer) => {
      this.events.push({ type: 'ended', id: half.id, outcome: endOutcomeOf(answer.code) });
    });
    // Said twice, the second time perhaps otherwise: nothing changes.
    if (this.#random() > 0.2) return;
    const other = { ...request.fields, commitOrRollback: this.#random() < 0.5 ? 8 : 12 };
    client.request({ ...request, fields: other }, () => {});
  }

  #pull(queueId: number): void {
    if (this.#isPulling[queueId]) return;
    this.#isPulling[queueId] = true;
    const offset = this.#next[queueId];
    const holdMs = this.#random() < 0.5 ? 2000 : 0;
    this.#clients[0].request(pull(group, queueId, offset, holdMs), (answer) => {
      this.#isPulling[queueId] = false;
      const minimum = Number(answer.extFields.get('minOffset'));
      this.events.push({ type: 'minimum', topic: workloadTopic, queueId, offset: minimum });
      const next = Number(answer.extFields.get('nextBeginOffset'));
      if (answer.code === 0) {
        this.#onDelivered(queueId, recordsOf(answer.body));
        this.#next[queueId] = next;
      } else if (next !== offset) this.#rewindTo(queueId, next);
    });
  }

  #onDelivered(queueId: number, messages: readonly DumpedMessage[]): void {
    const atMs = this.#running().wallClock.nowMs();
    for (const { queueOffset, storeTimestampMs, id, digest } of messages)
      this.events.push({
        type: 'delivered',
        group,
        topic: workloadTopic,
        queueId,
        queueOffset,
        storeTimestampMs,
        id,
        digest,
        atMs,
      });
  }

  #commitOffset(queueId: number): void {
    const offset = this.#next[queueId];
    const atMs = this.#running().wallClock.nowMs();
    this.events.push({ type: 'commit', group, topic: workloadTopic, queueId, offset, atMs });
    const fields = { consumerGroup: group, topic: workloadTopic, queueId, commitOffset: offset };
    this.#clients[0].request({ code: 15, fields }, () => {});
  }

  #askOffset(queueId: number): void {
    const fields = { consumerGroup: group, topic: workloadTopic, queueId };
    this.#clients[0].request({ code: 14, fields }, (answer) => {
      if (answer.code === 0) this.#onOffset(queueId, Number(answer.extFields.get('offset')));
    });
  }

  #onOffset(queueId: number, offset: number): void {
    this.events.push({ type: 'offset', group, topic: workloadTopic, queueId, offset });
  }

  /** The group begins again where the broker says that it stands. */
  #rewind(queueId: number): void {
    const fields = { consumerGroup: group, topic: workloadTopic, queueId };
    const answer = this.#ask({ code: 14, fields });
    const offset = answer.code === 0 ? Number(answer.extFields.get('offset')) : 0;
    this.#onOffset(queueId, offset);
    this.#rewindTo(queueId, offset);
    this.#isPulling[queueId] = false;
  }

  #rewindTo(queueId: number, offset: number): void {
    this.#next[queueId] = offset;
    this.events.push({ type: 'rewind', group, topic: workloadTopic, queueId, offset });
  }

  /** A request that is answered at once, or, where it costs the connection, a moment later. */
  #ask(request: RawRequest): RemotingCommand {
    for (let tries = 1; ; tries++) {
      const answer = this.#askOnce(request);
      if (answer !== undefined) return answer;
      if (tries === 3 || !this.#reconnect())
        throw new Error(`a request of code ${request.code} was not answered`);
      this.#running().advance(1000);
    }
  }

  #askOnce(request: RawRequest): RemotingCommand | undefined {
    const found: RemotingCommand[] = [];
    const broker = this.#running();
    this.#clients[0].request(request, (answer) => {
      found.push(answer);
    });
    for (let turns = 0; found.length === 0 && turns < 100; turns++) broker.turn();
    // What control has just made is told to others in further turns.
    broker.settle();
    return found[0];
  }

  #message(): { id: string; body: Buffer } {
    const id = `${this.#prefix}${this.#count++}`;
    const chance = this.#random();
    let bytes = this.#pick(200);
    if (chance < 0.2) bytes = this.#pick(5000);
    else if (chance < 0.22) bytes = this.#pick(40_000);
    const body = Buffer.alloc(id.length + 1 + bytes, this.#pick(256));
    body.write(`${id}|`);
    return { id, body };
  }

  #keys(id: string): Record<string, string> {
    return { UNIQ_KEY: `key-${id}`, KEYS: id };
  }

  #onSend(
    id: string,
    body: Buffer,
    how: { client: number; queueId: number; kind: 'plain' | 'timed' | 'half'; dueMs?: number },
  ): void {
    const client = this.#connections[how.client];
    const digest = crc32(body);
    this.events.push({ type: 'send', id, topic: workloadTopic, digest, ...how, client });
  }

  #pick(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #running(): InlineBroker {
    if (this.#broker === null) throw new Error('the workload has no broker');
    return this.#broker;
  }
}

function pull(consumerGroup: string, queueId: number, queueOffset: number, holdMs = 0): RawRequest {
  return {
    code: 11,
    fields: {
      consumerGroup,
      topic: workloadTopic,
      queueId,
      queueOffset,
      maxMsgNums: 32,
      sysFlag: holdMs > 0 ? 6 : 4,
      commitOffset: 0,
      suspendTimeoutMillis: holdMs,
      subscription: '*',
      subVersion: 1,
      expressionType: 'TAG',
    },
  };
}

function recordsOf(bytes: Buffer): DumpedMessage[] {
  const found: DumpedMessage[] = [];
  const view = new RecordView();
  for (let at = 0; at < bytes.length; at += view.totalBytes) {
    // Not its checksum: the checker compares what was sent.
    if (view.read(bytes, at, bytes.length, false) !== RecordKind.MESSAGE)
      throw new Error(`no record at ${at} of a pull's answer`);
    const body = bytes.subarray(view.bodyStart, view.bodyStart + view.bodyBytes);
    found.push({
      queueOffset: view.queueOffset,
      physicalOffset: view.physicalOffset,
      storeTimestampMs: view.storeTimestampMs,
      id: body.toString('latin1', 0, Math.max(0, body.indexOf('|'))),
      digest: crc32(body),
    });
  }
  return found;
}
