/**
 * @agent reactor
 *
 * What the reactor needs of a connection, whatever carries it: bytes out in order, how many of them
 * wait, and a way to stop what comes in. Bytes that come in go to `Reactor.onInput`, and the end to
 * `Reactor.onClosed`, by whoever made the peer.
 *
 * A peer never throws, and may be used after its end: nothing happens then.
 */

/** Why this side ends a connection; each is counted. */
export const closeReasons = [
  'asked',
  'bad-frame',
  'idle',
  'late-frame',
  'not-reading',
  'answer-memory',
  'request-memory',
  'expired-data',
  'input-overflow',
  'text-message',
  'stopping',
] as const;

export type CloseReason = (typeof closeReasons)[number];

export interface Peer {
  /** As the system tells them; may be IPv4 in IPv6, and with a zone. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  /** Taken by `write`, and not yet by the network. */
  readonly pendingBytes: number;
  /** Rises as the network takes what was written: what stands still belongs to a peer that does not read. */
  readonly bytesWritten: number;
  /**
   * Takes the bytes, which may not be changed while `pendingBytes` is above 0. True: the network has all of
   * them. Else `onWritten` is called once it has, never from inside of this call.
   */
  write(bytes: Buffer, onWritten: () => void): boolean;
  /** Nothing more comes in until `resume`, or as little as the carrier can arrange. */
  pause(): void;
  resume(): void;
  /** Ends it after what was written. */
  end(): void;
  /** Ends it at once. */
  destroy(reason: CloseReason): void;
}
