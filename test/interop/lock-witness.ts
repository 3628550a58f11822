/**
 * Stands between clients and a broker, passes every byte on as it is, and writes down what the broker
 * grants: locks of queues (41, 42), and committed offsets asked for (14).
 *
 * A lock is held from its grant until its holder unlocks it or has not asked for it for 60 s, whatever
 * becomes of the holder's connection: a client that lost it may still be at work. An unlock counts from
 * when it goes to the broker, a lease from when it was asked for, so that the witness never believes a
 * lock to be held longer than the broker may.
 */
import net from 'node:net';
import { decodeFrame, type RemotingCommand } from '../../src/protocol/remoting-command.ts';

const QUERY_OFFSET = 14;
const COMMIT_OFFSET = 15;
const PULLS: ReadonlySet<number> = new Set([11, 361]);
const LOCK = 41;
const UNLOCK = 42;
/** RocketMQ's rocketmq.broker.rebalance.lockMaxLiveTime. */
const LEASE_NS = 60e9;
/** A pull's sysFlag says by this bit that it carries a commit. */
const COMMITS_BIT = 1;

/** Times are nanoseconds of the machine's monotonic clock. */
export interface Holding {
  readonly group: string;
  readonly queueId: number;
  readonly clientId: string;
  readonly fromNs: number;
  /** When it was asked for last. */
  renewedNs: number;
  /** Infinity while it is held. */
  toNs: number;
}

/** The broker told a client where its group stands in a queue; null where it is not stored. */
export interface OffsetAnswer {
  readonly group: string;
  readonly queueId: number;
  readonly clientId: string;
  readonly atNs: number;
  readonly offset: number | null;
}

interface MessageQueue {
  topic: string;
  queueId: number;
}

interface Waiting {
  readonly request: RemotingCommand;
  readonly atNs: number;
}

export class LockWitness {
  /** What a broker must never do, in words. */
  readonly doubleGrants: string[] = [];
  readonly holdings: Holding[] = [];
  readonly offsetAnswers: OffsetAnswer[] = [];
  grantCount = 0;
  /** By group and queue: every offset that was ever committed. */
  readonly #committed = new Map<string, Set<number>>();
  readonly #holders = new Map<string, Holding>();
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(brokerPort: number) {
    this.#server = net.createServer((client) => this.#join(client, brokerPort));
  }

  static async listen(host: string, port: number): Promise<LockWitness> {
    const witness = new LockWitness(port);
    await new Promise<void>((resolve, reject) => {
      witness.#server.once('error', reject);
      witness.#server.listen(port, host, resolve);
    });
    return witness;
  }

  wasCommitted(group: string, queueId: number, offset: number): boolean {
    return this.#committed.get(`${group} ${queueId}`)?.has(offset) === true;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(client: net.Socket, brokerPort: number): void {
    const broker = net.connect(brokerPort, '127.0.0.1');
    const waiting = new Map<number, Waiting>();
    // Known from its heartbeat on, which a client sends before anything that is looked at here.
    const identity = { clientId: '' };
    const requests = new FrameReader((frame) => this.#onRequest(frame, waiting, identity));
    const answers = new FrameReader((frame) => this.#onAnswer(frame, waiting, identity.clientId));
    // What goes to the broker is looked at before it goes, so that no grant is older than its cause.
    forward(client, broker, requests);
    forward(broker, client, answers);
    for (const socket of [client, broker]) {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    }
  }

  #onRequest(frame: Buffer, waiting: Map<number, Waiting>, identity: { clientId: string }): void {
    const request = decodeFrame(frame);
    if ((request.flag & 1) !== 0) return;
    const { code, extFields } = request;
    const atNs = nowNs();
    if (isRetry(extFields.get('topic') ?? '')) return;
    if (code === 34) identity.clientId = String(bodyOf(request)['clientID']);
    else if (code === LOCK || code === QUERY_OFFSET) waiting.set(request.opaque, { request, atNs });
    else if (code === UNLOCK) this.#unlock(request, atNs);
    else if (code === COMMIT_OFFSET) this.#commit(extFields);
    else if (PULLS.has(code) && (Number(extFields.get('sysFlag')) & COMMITS_BIT) !== 0)
      this.#commit(extFields);
  }

  #onAnswer(frame: Buffer, waiting: Map<number, Waiting>, clientId: string): void {
    const answer = decodeFrame(frame);
    const asked = waiting.get(answer.opaque);
    if ((answer.flag & 1) === 0 || asked === undefined) return;
    waiting.delete(answer.opaque);
    const { request, atNs } = asked;
    if (request.code === LOCK && answer.code === 0) this.#grant(request, answer, atNs);
    if (request.code !== QUERY_OFFSET) return;
    const { extFields } = request;
    this.offsetAnswers.push({
      group: extFields.get('consumerGroup') ?? '',
      queueId: Number(extFields.get('queueId')),
      clientId,
      atNs: nowNs(),
      offset: answer.code === 0 ? Number(answer.extFields.get('offset')) : null,
    });
  }

  #grant(request: RemotingCommand, answer: RemotingCommand, askedNs: number): void {
    const body = bodyOf(request);
    const group = String(body['consumerGroup']);
    const clientId = String(body['clientId']);
    const atNs = nowNs();
    const granted = (bodyOf(answer)['lockOKMQSet'] ?? []) as MessageQueue[];
    for (const { topic, queueId } of granted) {
      if (isRetry(topic)) continue;
      this.grantCount++;
      const key = `${group} ${queueId}`;
      const holder = this.#holders.get(key);
      if (holder?.clientId === clientId && holder.toNs === Infinity) {
        holder.renewedNs = askedNs;
        continue;
      }
      if (holder !== undefined && holder.toNs === Infinity) {
        const ageNs = atNs - holder.renewedNs;
        if (ageNs < LEASE_NS) {
          this.doubleGrants.push(
            `queue ${queueId} was given to ${clientId} while ${holder.clientId} held it, asked for ${Math.round(ageNs / 1e6)} ms before`,
          );
        }
        holder.toNs = Math.min(atNs, holder.renewedNs + LEASE_NS);
      }
      const holding = {
        group,
        queueId,
        clientId,
        fromNs: atNs,
        renewedNs: askedNs,
        toNs: Infinity,
      };
      this.#holders.set(key, holding);
      this.holdings.push(holding);
    }
  }

  #unlock(request: RemotingCommand, atNs: number): void {
    const body = bodyOf(request);
    for (const { topic, queueId } of (body['mqSet'] ?? []) as MessageQueue[]) {
      if (isRetry(topic)) continue;
      const holder = this.#holders.get(`${String(body['consumerGroup'])} ${queueId}`);
      if (holder?.clientId === String(body['clientId']) && holder.toNs === Infinity)
        holder.toNs = atNs;
    }
  }

  #commit(fields: ReadonlyMap<string, string>): void {
    const key = `${fields.get('consumerGroup')} ${fields.get('queueId')}`;
    let offsets = this.#committed.get(key);
    if (offsets === undefined) this.#committed.set(key, (offsets = new Set()));
    offsets.add(Number(fields.get('commitOffset')));
  }
}

/** Cuts a stream into frames, each without its length word. */
class FrameReader {
  readonly #onFrame: (frame: Buffer) => void;
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Bytes of the frame that is coming, with its length word; 0 where they are not known yet. */
  #wanted = 0;

  constructor(onFrame: (frame: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  take(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < Math.max(4, this.#wanted)) return;
    let input = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces);
    while (input.length >= 4) {
      this.#wanted = 4 + input.readInt32BE(0);
      if (input.length < this.#wanted) break;
      this.#onFrame(input.subarray(4, this.#wanted));
      input = input.subarray(this.#wanted);
      this.#wanted = 0;
    }
    this.#pieces = input.length === 0 ? [] : [input];
    this.#bytes = input.length;
  }
}

function forward(from: net.Socket, to: net.Socket, reader: FrameReader): void {
  from.setNoDelay(true);
  from.on('data', (chunk: Buffer) => {
    reader.take(chunk);
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  from.on('error', () => {});
  from.on('close', () => to.end());
}

function bodyOf(command: RemotingCommand): Record<string, unknown> {
  return JSON.parse(Buffer.from(command.body).toString()) as Record<string, unknown>;
}

/** They have a queue 0 too. */
const isRetry = (topic: string): boolean => topic.startsWith('%RETRY%');

const nowNs = (): number => Number(process.hrtime.bigint());
