/**
 * A remoting client without opinions: one socket, frames as given, answers by opaque. What it sends is
 * what a test says, so it can also send what no real client would.
 */
import net from 'node:net';
import {
  type Answer,
  decodeFrame,
  encodeAnswer,
  encodeRequest,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';

export interface RawRequest {
  code: number;
  fields?: Record<string, string | number>;
  body?: Uint8Array;
  flag?: number;
  serializeType?: 0 | 1 | 2;
}

export class RawClient {
  readonly socket: net.Socket;
  readonly requests: RemotingCommand[] = [];
  #input = Buffer.alloc(0);
  #nextOpaque = 1;
  readonly #waiting = new Map<number, (answer: RemotingCommand) => void>();
  readonly closed: Promise<void>;
  readonly #served = new Map<number, (request: RemotingCommand) => Answer | undefined>();

  private constructor(socket: net.Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = net.connect(port, host);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve());
      socket.once('error', reject);
    });
    return new RawClient(socket);
  }

  /** Sends a request and waits for its answer. */
  request(request: RawRequest): Promise<RemotingCommand> {
    const opaque = this.#nextOpaque++;
    const answer = new Promise<RemotingCommand>((resolve) => this.#waiting.set(opaque, resolve));
    this.socket.write(this.encode(request, opaque));
    return answer;
  }

  oneway(request: RawRequest): void {
    this.socket.write(this.encode({ ...request, flag: 2 }, this.#nextOpaque++));
  }

  encode(request: RawRequest, opaque: number): Buffer {
    const entries = Object.entries(request.fields ?? {}).map(([name, value]): [string, string] => [
      name,
      String(value),
    ]);
    return encodeRequest({
      code: request.code,
      opaque,
      flag: request.flag ?? 0,
      extFields: entries,
      body: request.body,
      serializeType: request.serializeType ?? 0,
    });
  }

  /** Takes requests of this code that come from the broker; undefined is no answer. */
  serve(code: number, handler: (request: RemotingCommand) => Answer | undefined): void {
    this.#served.set(code, handler);
  }

  /** Waits for the answer to a frame that was written by hand. */
  answerTo(opaque: number): Promise<RemotingCommand> {
    return new Promise((resolve) => this.#waiting.set(opaque, resolve));
  }

  close(): void {
    this.socket.destroy();
  }

  #onData(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    while (this.#input.length >= 4) {
      const frameBytes = this.#input.readInt32BE(0);
      if (this.#input.length < 4 + frameBytes) return;
      const frame = decodeFrame(Buffer.from(this.#input.subarray(4, 4 + frameBytes)));
      this.#input = this.#input.subarray(4 + frameBytes);
      if ((frame.flag & 1) === 0) {
        this.requests.push(frame);
        const answer = this.#served.get(frame.code)?.(frame);
        if (answer !== undefined) this.socket.write(encodeAnswer(frame, answer));
      } else {
        this.#waiting.get(frame.opaque)?.(frame);
        this.#waiting.delete(frame.opaque);
      }
    }
  }
}

export interface SendOptions {
  topic: string;
  body: string | Uint8Array;
  queueId?: number;
  properties?: Record<string, string>;
  flag?: number;
  serializeType?: 0 | 1 | 2;
}

let uniqueKeyCount = 0;

export function propertiesText(properties: Record<string, string>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}\x01${value}\x02`)
    .join('');
}

/** A SEND_MESSAGE_V2 as the Java client makes it. */
export function sendRequest(options: SendOptions): RawRequest {
  const properties = {
    UNIQ_KEY: `7F0000010000000000000000${(uniqueKeyCount++).toString(16).toUpperCase().padStart(8, '0')}`,
    WAIT: 'true',
    ...options.properties,
  };
  return {
    code: 310,
    ...(options.flag === undefined ? {} : { flag: options.flag }),
    ...(options.serializeType === undefined ? {} : { serializeType: options.serializeType }),
    fields: {
      a: 'test-producer',
      b: options.topic,
      c: 'TBW102',
      d: 4,
      e: options.queueId ?? 0,
      f: 0,
      g: 1_700_000_000_000,
      h: 0,
      i: propertiesText(properties),
      j: 0,
      k: 'false',
      m: 'false',
    },
    body: typeof options.body === 'string' ? Buffer.from(options.body) : options.body,
  };
}

/** A heartbeat that makes a consumer group subscribe. */
export function heartbeatRequest(
  clientId: string,
  group: string,
  topic: string,
  expression = '*',
): RawRequest {
  const tags = expression === '*' ? [] : expression.split('||').map((tag) => tag.trim());
  return {
    code: 34,
    body: Buffer.from(
      JSON.stringify({
        clientID: clientId,
        consumerDataSet: [
          {
            consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
            consumeType: 'CONSUME_PASSIVELY',
            groupName: group,
            messageModel: 'CLUSTERING',
            subscriptionDataSet: [
              {
                classFilterMode: false,
                codeSet: [],
                expressionType: 'TAG',
                subString: expression,
                subVersion: 1,
                tagsSet: tags,
                topic,
              },
            ],
            unitMode: false,
          },
        ],
        producerDataSet: [],
      }),
    ),
  };
}

export function pullRequest(
  group: string,
  topic: string,
  queueId: number,
  offset: number,
  holdMs = 0,
): RawRequest {
  return {
    code: 11,
    fields: {
      consumerGroup: group,
      topic,
      queueId,
      queueOffset: offset,
      maxMsgNums: 32,
      sysFlag: holdMs > 0 ? 2 : 0,
      commitOffset: 0,
      suspendTimeoutMillis: holdMs,
      subVersion: 1,
      expressionType: 'TAG',
    },
  };
}

/** Where in the log the message stands that an answer to a send acknowledges. */
export const physicalOffsetOf = (sent: RemotingCommand): number =>
  Number(`0x${sent.extFields.get('msgId')?.slice(-16)}`);

/** The end of the transaction whose half was answered so. Decisions: 8 commits, 12 rolls back. */
export function endRequest(
  half: RemotingCommand,
  producerGroup: string,
  decision: number,
  more: Record<string, string | number> = {},
): RawRequest {
  return {
    code: 37,
    fields: {
      producerGroup,
      tranStateTableOffset: half.extFields.get('queueOffset') ?? '',
      commitLogOffset: physicalOffsetOf(half),
      commitOrRollback: decision,
      fromTransactionCheck: 'false',
      msgId: 'x',
      transactionId: half.extFields.get('transactionId') ?? '',
      ...more,
    },
  };
}
