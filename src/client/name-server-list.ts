/**
 * @agent any
 *
 * The servers that a client was given: name servers (`host:port`), of which any one knows everything,
 * or WebSocket listeners (URLs), of which each is one broker and knows only itself.
 */
import { ClientError } from './client-error.ts';

export class NameServerList {
  readonly addresses: readonly string[];
  /** True where each server speaks for itself. */
  readonly isWebSocket: boolean;
  #current: number;

  /** @throws ClientError INVALID_ARGUMENT */
  constructor(servers: string | readonly string[]) {
    const texts = (typeof servers === 'string' ? servers.split(';') : servers).map((text) =>
      text.trim(),
    );
    this.addresses = [...new Set(texts.filter((text) => text !== ''))];
    if (this.addresses.length === 0) throw invalid('names no server');
    const urls = this.addresses.filter((address) => /^wss?:\/\//.test(address));
    this.isWebSocket = urls.length > 0;
    if (this.isWebSocket && urls.length < this.addresses.length)
      throw invalid('mixes host:port with WebSocket URLs');
    const bad = this.addresses.find(
      (address) => !this.isWebSocket && !/^\[?[^\]/]+\]?:\d{1,5}$/.test(address),
    );
    if (bad !== undefined)
      throw invalid(`has ${JSON.stringify(bad)}, which is neither host:port nor a ws: URL`);
    // So that many clients do not all ask the first one.
    this.#current = Math.floor(Math.random() * this.addresses.length);
  }

  /** The one that answered last, then the others. */
  inOrder(): string[] {
    return [...this.addresses.slice(this.#current), ...this.addresses.slice(0, this.#current)];
  }

  answered(address: string): void {
    this.#current = Math.max(this.addresses.indexOf(address), 0);
  }
}

function invalid(what: string): ClientError {
  return new ClientError('INVALID_ARGUMENT', `option servers ${what}`);
}
