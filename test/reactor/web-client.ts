/**
 * A remoting client over WebSocket without opinions, and a plain HTTP request: what tests of the web port
 * talk with, whatever library is behind it.
 */
import http from 'node:http';
import { WebSocket } from 'ws';
import {
  decodeFrame,
  encodeRequest,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';
import type { RawRequest } from '../workers/raw-client.ts';

export interface WebClose {
  code: number;
  reason: string;
}

export class WebClient {
  readonly socket: WebSocket;
  readonly closed: Promise<WebClose>;
  /** Answers by opaque, as they came. */
  readonly answers: RemotingCommand[] = [];
  #input: Buffer[] = [];
  #nextOpaque = 1;
  readonly #waiting = new Map<number, (answer: RemotingCommand) => void>();

  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = new Promise((resolve) =>
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })),
    );
    socket.on('error', () => {});
    socket.on('message', (data: Buffer) => this.#onData(data));
  }

  /** Rejects with the answer's status and text where the upgrade is refused. */
  static connect(
    port: number,
    options: { origin?: string; host?: string; path?: string } = {},
  ): Promise<WebClient> {
    const headers = options.host === undefined ? {} : { host: options.host };
    const socket = new WebSocket(`ws://127.0.0.1:${port}${options.path ?? '/'}`, {
      perMessageDeflate: false,
      headers,
      ...(options.origin === undefined ? {} : { origin: options.origin }),
    });
    const client = new WebClient(socket);
    return new Promise((resolve, reject) => {
      socket.once('open', () => resolve(client));
      socket.once('error', reject);
      socket.once('unexpected-response', (_request, response: http.IncomingMessage) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => reject(new Error(`${response.statusCode} ${text.trim()}`)));
      });
    });
  }

  /** The bytes of a request, and its answer. */
  prepare(request: RawRequest): { frame: Buffer; answer: Promise<RemotingCommand> } {
    const opaque = this.#nextOpaque++;
    const frame = encodeRequest({
      code: request.code,
      opaque,
      flag: request.flag ?? 0,
      extFields: Object.entries(request.fields ?? {}).map(([name, value]) => [name, String(value)]),
      body: request.body,
      serializeType: request.serializeType ?? 0,
    });
    const answer = new Promise<RemotingCommand>((resolve) => this.#waiting.set(opaque, resolve));
    return { frame, answer };
  }

  request(request: RawRequest): Promise<RemotingCommand> {
    const { frame, answer } = this.prepare(request);
    this.socket.send(frame);
    return answer;
  }

  close(): void {
    this.socket.terminate();
  }

  #onData(chunk: Buffer): void {
    this.#input.push(chunk);
    let input = this.#input.length === 1 ? chunk : Buffer.concat(this.#input);
    while (input.length >= 4) {
      const frameBytes = input.readInt32BE(0);
      if (input.length < 4 + frameBytes) break;
      const frame = decodeFrame(Buffer.from(input.subarray(4, 4 + frameBytes)));
      input = input.subarray(4 + frameBytes);
      this.answers.push(frame);
      this.#waiting.get(frame.opaque)?.(frame);
      this.#waiting.delete(frame.opaque);
    }
    this.#input = input.length === 0 ? [] : [input];
  }
}

export interface Page {
  status: number;
  text: string;
  headers: http.IncomingHttpHeaders;
}

export function get(port: number, path: string, method = 'GET'): Promise<Page> {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: '127.0.0.1', path, method, agent: false });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text, headers: response.headers }),
      );
      response.on('error', reject);
    });
    request.end();
  });
}
