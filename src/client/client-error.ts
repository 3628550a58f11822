/**
 * @agent any
 *
 * What a client's call ends with when it does not succeed. The code is stable, and `canRetry` says
 * whether the same call may succeed later. One catalogue has them all.
 */

interface CatalogueEntry {
  readonly canRetry: boolean;
}

export const clientErrorCatalogue = {
  /** An option or an argument is wrong; the message says which and what may stand there. */
  INVALID_ARGUMENT: { canRetry: false },
  /** No connection, a lost one, or none in time. */
  CONNECTION_FAILED: { canRetry: true },
  /** The answer did not come in time: what was asked may have happened all the same. */
  TIMEOUT: { canRetry: true },
  /** The caller's AbortSignal. `cause` is its reason. */
  ABORTED: { canRetry: false },
  /** The producer, consumer or admin was closed. */
  CLOSED: { canRetry: false },
  /** No broker has the topic (17). */
  TOPIC_NOT_FOUND: { canRetry: true },
  /** The group is not known (26). */
  GROUP_NOT_FOUND: { canRetry: false },
  /** The topic, group or broker does not allow it (16). */
  NO_PERMISSION: { canRetry: false },
  /** The broker refuses the message: its size, its topic's name, its properties, its time (13, 29). */
  MESSAGE_REFUSED: { canRetry: false },
  /** The filter can not be compiled (23), or the broker does not take SQL92 (1 of 46). */
  FILTER_REFUSED: { canRetry: false },
  /** Too much at once, or the disk is full (2, 14, 215). */
  BROKER_BUSY: { canRetry: true },
  /** The broker is going away (1500). */
  BROKER_STOPPING: { canRetry: true },
  /** What was asked for is not there (22, 206, 604 …). */
  NOT_FOUND: { canRetry: false },
  /** What was to be made is there already. */
  ALREADY_EXISTS: { canRetry: false },
  /** The broker does not serve this request (3). */
  NOT_SUPPORTED: { canRetry: false },
  /** Any other answer; `responseCode` and the message say which. */
  BROKER_ERROR: { canRetry: true },
  /** The program's listener has thrown; the message comes again. `cause` is what it threw. */
  LISTENER_FAILED: { canRetry: true },
  /** What came is no remoting protocol, or contradicts it. */
  PROTOCOL_ERROR: { canRetry: false },
} as const satisfies Record<string, CatalogueEntry>;

export type ClientErrorCode = keyof typeof clientErrorCatalogue;

const brand = Symbol.for('millrace.ClientError');

export class ClientError extends Error {
  readonly [brand] = true;
  readonly code: ClientErrorCode;
  readonly canRetry: boolean;
  /** Answer code of the broker or name server, where one answered. */
  readonly responseCode: number | undefined;

  constructor(
    code: ClientErrorCode,
    message: string,
    options?: { cause?: unknown; responseCode?: number },
  ) {
    super(message, options);
    this.name = 'ClientError';
    this.code = code;
    this.canRetry = clientErrorCatalogue[code].canRetry;
    this.responseCode = options?.responseCode;
  }

  /** True for a ClientError of any copy of this module. */
  static is(value: unknown): value is ClientError {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** What was thrown, where anything may have been: a fault of the client itself is told like all trouble. */
export function asClientError(error: unknown, what: string): ClientError {
  if (ClientError.is(error)) return error;
  return new ClientError('PROTOCOL_ERROR', `${what}: ${String(error)}`, { cause: error });
}
