/**
 * A broker in a few lines that holds timed messages and half messages in memory, and makes on purpose
 * the mistakes that a benchmark must find.
 */
import net from 'node:net';
import { bodyStamp } from '../../../bench/load/body-stamp.ts';
import { recordHead, writeLong } from '../../../src/protocol/message-record.ts';
import { encodeRecord } from '../../../src/protocol/record-encoder.ts';
import {
  decodeFrame,
  encodeAnswer,
  encodeRequest,
  type Answer,
  type RemotingCommand,
} from '../../../src/protocol/remoting-command.ts';

/** By the number in a message's stamp. */
export interface Faults {
  isLost?: (number: number) => boolean;
  isTwice?: (number: number) => boolean;
  /** Milliseconds that it is delivered before its time. */
  earlyMs?: (number: number) => number;
  /** Asks for no transaction. */
  isSilent?: boolean;
}

const ASK_AFTER_MS = 300;
const HOLD_MS = 200;
/** What is due later stays here. */
const HORIZON_MS = 60_000;
const HOST = Buffer.from([127, 0, 0, 1, 0, 0, 0, 1]);

interface Queue {
  readonly records: Buffer[];
  readonly waiting: Set<() => void>;
}

interface Half {
  readonly socket: net.Socket;
  readonly frame: RemotingCommand;
  isDecided: boolean;
}

export class ScriptedBroker {
  readonly #faults: Faults;
  readonly #server = net.createServer((socket) => this.#onSocket(socket));
  readonly #queues = new Map<number, Queue>();
  readonly #halves: Half[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #sockets = new Set<net.Socket>();
  rolledBackCount = 0;
  /** Groups that a heartbeat has told of. */
  #heartbeats = '';

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #onSocket(socket: net.Socket): void {
    this.#sockets.add(socket);
    let input = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      input = Buffer.concat([input, chunk]);
      while (input.length >= 4 && input.length >= 4 + input.readInt32BE(0)) {
        const end = 4 + input.readInt32BE(0);
        this.#onFrame(socket, decodeFrame(Buffer.from(input.subarray(4, end))));
        input = input.subarray(end);
      }
    });
  }

  #onFrame(socket: net.Socket, frame: RemotingCommand): void {
    const answer = (what: Answer): unknown => socket.write(encodeAnswer(frame, what));
    const field = (name: string): number => Number(frame.extFields.get(name));
    const queue = this.#queueOf(field('queueId'));
    switch (frame.code) {
      case 34:
        this.#heartbeats += frame.body.toString();
        return void answer({ code: 0 });
      case 30:
        return void answer({ code: 0, extFields: [['offset', String(queue.records.length)]] });
      case 310:
        return void answer(this.#onSend(socket, frame));
      case 37: {
        this.#onEnd(frame);
        if ((frame.flag & 2) === 0) answer({ code: 0 });
        return;
      }
      case 11: {
        const offset = field('queueOffset');
        const found = (): void => {
          const body = Buffer.concat(queue.records.slice(offset, offset + 32));
          answer({ code: body.length > 0 ? 0 : 19, body });
        };
        if (queue.records.length > offset) return found();
        // Once, whatever comes first.
        const wake = (): void => {
          clearTimeout(timer);
          queue.waiting.delete(wake);
          found();
        };
        const timer = this.#later(HOLD_MS, wake);
        queue.waiting.add(wake);
        return;
      }
      default:
        return void answer({ code: 0 });
    }
  }

  #onSend(socket: net.Socket, frame: RemotingCommand): Answer {
    const properties = frame.extFields.get('i') ?? '';
    const property = (name: string): string | undefined =>
      properties
        .split('\x02')
        .find((pair) => pair.startsWith(`${name}\x01`))
        ?.slice(name.length + 1);
    const due = property('TIMER_DELIVER_MS');
    const queueOffset = this.#halves.length;
    if (due !== undefined) this.#schedule(frame, Number(due));
    else if (frame.extFields.get('f') === '4' && property('TRAN_MSG') === 'true') {
      const half = { socket, frame, isDecided: false };
      this.#halves.push(half);
      this.#later(ASK_AFTER_MS, () => this.#ask(half, queueOffset));
    } else return { code: 1, remark: 'neither for a time nor a half' };
    // Offsets wider than 32 bits, to see both halves of them read.
    const offset = (BigInt(queueOffset) + (1n << 40n)).toString(16).padStart(16, '0');
    return {
      code: 0,
      extFields: [
        ['queueOffset', String(queueOffset)],
        ['msgId', `7F00000100001111${offset}`.toUpperCase()],
        ['transactionId', property('UNIQ_KEY') ?? ''],
      ],
    };
  }

  #schedule(frame: RemotingCommand, dueMs: number): void {
    const number = numberOf(frame);
    if (this.#faults.isLost?.(number) === true || dueMs > Date.now() + HORIZON_MS) return;
    const atMs = dueMs - (this.#faults.earlyMs?.(number) ?? 0);
    const deliver = (): void => {
      // A timer may end a moment before the wall clock has got there.
      if (Date.now() < atMs) return void this.#later(1, deliver);
      this.#deliver(frame);
      if (this.#faults.isTwice?.(number) === true) this.#deliver(frame);
    };
    this.#later(Math.max(0, atMs - Date.now()), deliver);
  }

  #ask(half: Half, queueOffset: number): void {
    if (half.isDecided || this.#faults.isSilent === true) return;
    if (!this.#heartbeats.includes('"load-producer"')) return;
    const ask = encodeRequest({
      code: 39,
      opaque: queueOffset,
      flag: 2,
      extFields: [
        ['tranStateTableOffset', String(queueOffset)],
        ['commitLogOffset', String((1n << 40n) + BigInt(queueOffset))],
        ['transactionId', 'id'],
      ],
      body: recordOf(half.frame, 0),
    });
    half.socket.write(ask);
  }

  #onEnd(frame: RemotingCommand): void {
    const half = this.#halves[Number(frame.extFields.get('tranStateTableOffset'))];
    const expected = String((1n << 40n) + BigInt(this.#halves.indexOf(half)));
    if (frame.extFields.get('commitLogOffset') !== expected)
      throw new Error(`an end of ${frame.extFields.get('commitLogOffset') ?? 'nothing'}`);
    const decision = frame.extFields.get('commitOrRollback');
    if (decision === '0') return;
    half.isDecided = true;
    if (decision === '12') this.rolledBackCount++;
    if (decision === '8' && this.#faults.isLost?.(numberOf(half.frame)) !== true)
      this.#deliver(half.frame);
  }

  #deliver(frame: RemotingCommand): void {
    const queue = this.#queueOf(Number(frame.extFields.get('e')));
    const record = recordOf(frame, queue.records.length);
    queue.records.push(record);
    for (const wake of queue.waiting) wake();
  }

  #queueOf(queueId: number): Queue {
    const known = this.#queues.get(queueId) ?? { records: [], waiting: new Set() };
    this.#queues.set(queueId, known);
    return known;
  }

  #later(milliseconds: number, what: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      what();
    }, milliseconds);
    this.#timers.add(timer);
    return timer;
  }
}

function numberOf(frame: RemotingCommand): number {
  return frame.body.readInt32BE(bodyStamp.number);
}

function recordOf(frame: RemotingCommand, queueOffset: number): Buffer {
  const record = encodeRecord({
    topic: frame.extFields.get('b') ?? '',
    queueId: Number(frame.extFields.get('e')),
    flag: 0,
    sysFlag: 0,
    bornTimestampMs: 0,
    bornHost: HOST,
    storeHost: HOST,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: frame.body,
    properties: Buffer.alloc(0),
  });
  writeLong(record, queueOffset, recordHead.queueOffset);
  writeLong(record, Date.now(), recordHead.totalBytes + HOST.length);
  return record;
}
