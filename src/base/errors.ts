/**
 * @agent any
 *
 * Operating errors: those that a person or a client can act on. One catalogue gives each code its
 * category and says whether trying again can help. Programmer errors are `assert`, and outcomes on
 * the data path are returned, never thrown.
 */

export type ErrorCategory = 'fatal' | 'error' | 'warn';

interface CatalogueEntry {
  readonly category: ErrorCategory;
  readonly canRetry: boolean;
}

/** Every operating error of the broker. */
export const errorCatalogue = {
  /** Unknown key, value of the wrong type or out of bounds, file that can't be parsed. */
  CONFIG_INVALID: { category: 'fatal', canRetry: false },
  /** Another process holds the lock of this store directory. */
  STORE_LOCKED: { category: 'fatal', canRetry: false },
  /** A stored file has a size or content that no rule of recovery allows. */
  STORE_DAMAGED: { category: 'fatal', canRetry: false },
  /** The file system has no room (ENOSPC, EDQUOT). Heals by itself when space returns. */
  STORE_NO_SPACE: { category: 'warn', canRetry: true },
  /** A file call failed for another reason (EIO, EROFS, EACCES, EMFILE). */
  STORE_IO: { category: 'fatal', canRetry: false },
  /** A port is taken or an address can't be bound. */
  LISTEN_FAILED: { category: 'fatal', canRetry: false },
  /** The library that was asked for is not installed, or its binary does not load on this system. */
  WEB_LIBRARY_MISSING: { category: 'fatal', canRetry: false },
  /** A frame breaks the remoting protocol; the connection is closed. */
  FRAME_INVALID: { category: 'warn', canRetry: false },
  /** A request to a peer found no connection, no answer in time, or a lost connection. */
  REMOTING_FAILED: { category: 'warn', canRetry: true },
  /** An agent ended with an exception; the broker stops. */
  AGENT_DIED: { category: 'fatal', canRetry: false },
} as const satisfies Record<string, CatalogueEntry>;

export type BrokerErrorCode = keyof typeof errorCatalogue;

const brand = Symbol.for('millrace.BrokerError');

export class BrokerError extends Error {
  readonly [brand] = true;
  readonly code: BrokerErrorCode;
  readonly category: ErrorCategory;
  readonly canRetry: boolean;

  constructor(code: BrokerErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'BrokerError';
    this.code = code;
    this.category = errorCatalogue[code].category;
    this.canRetry = errorCatalogue[code].canRetry;
  }

  /** True for a BrokerError of any copy of this module. */
  static is(value: unknown): value is BrokerError {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** What is thrown where a port can not be opened; it names the flag that changes it. */
export function listenFailed(
  where: { readonly address: string; readonly port: number },
  flag: string,
  cause: Error & { readonly code?: string | undefined },
): BrokerError {
  const why =
    cause.code === 'EADDRINUSE'
      ? `is taken; stop what listens there, or choose another port with ${flag}`
      : `can not be opened: ${cause.message}`;
  return new BrokerError('LISTEN_FAILED', `${where.address}:${where.port} ${why}`, { cause });
}
