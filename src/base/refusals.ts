/**
 * @agent any
 *
 * Everything that a broker refuses or drops, by cause: the one table of causes, and their counts, which all
 * agents share. Each cause is a line of `millrace_refusals_total`, also while it is 0, and at most one line of
 * the log a second for each agent. Connections that end for a reason of their own are counted by that
 * (`CloseReason`), not here.
 *
 * Counting costs an atomic addition; it is for what goes wrong, not for each message.
 */
import { CauseLog } from './cause-log.ts';
import type { Logger } from './logging.ts';

interface Cause {
  /** Of its line in the log: `warn` where an operator may have to do something. */
  readonly level: 'info' | 'warn';
  /** The line. */
  readonly what: string;
}

const warn = (what: string): Cause => ({ level: 'warn', what });
const info = (what: string): Cause => ({ level: 'info', what });

/** By cause: what happened. Keys are labels of a metric: they stay as they are. */
export const refusalCauses = {
  // Connections.
  'connection-limit': warn('refused a connection: connectionCountMax are open'),
  'connection-rate': warn('a connection had to wait: more came than acceptRateMax'),
  'connection-stopping': info('refused a connection: the broker stops'),
  'go-away': info('answered 1500 (GO_AWAY): the broker stops'),
  'web-origin': warn('refused a WebSocket: its page may not connect'),
  'tls-handshake': warn('refused a connection: its TLS handshake failed, or took too long'),
  'tls-client-certificate': warn('refused a connection: the client showed no certificate'),
  'handshake-limit': warn('closed the oldest connection that had not finished its beginning'),
  // Access control.
  unsigned: warn('answered 16: the request was not signed'),
  signature: warn('authentication failed'),
  permission: warn('request denied'),
  guessing: warn('a connection has to wait: its address failed to sign too often'),
  'stray-answer': warn('dropped an answer that nobody had asked for'),
  // Sends.
  'send-busy': warn('answered 2 (busy): a send waited longer than waitTimeMillsInSendQueue'),
  'send-disk-full': warn('answered 14: the disk has no room'),
  'send-flush-timeout': warn('answered 10: the disk took longer than syncFlushTimeout'),
  'send-illegal': info('answered 13: the message is not legal, or too long'),
  'send-forbidden': info('answered 16: the topic may not be sent to'),
  'send-no-topic': info('answered 17: there is no such topic, and it is not made by a send'),
  'send-invalid': info('a send was refused: its header is not right'),
  'store-busy': warn(
    'answered 2 (busy): more of the broker’s own messages wait than can be stored',
  ),
  // Pulls.
  'pull-not-held': warn('answered 19 at once: heldPullCountMax pulls wait'),
  'pull-filter': info('a pull was refused: its filter, or the subscription that it needs'),
  'filter-text': warn('a message did not pass a filter: there is too much text to look at'),
  'pull-forbidden': info('answered 16: group or topic may not be read'),
  'pull-no-group': info('answered 26: there is no such consumer group'),
  'pull-no-topic': info('answered 17: there is no such topic'),
  'pull-invalid': info('a pull was refused: its header is not right'),
  // What the broker keeps.
  'topic-limit': warn('a topic was not made: there are topicCountMax'),
  'queue-limit': warn('queues were not made: there are queueCountMax'),
  'group-limit': warn('a consumer group was not made: there are subscriptionGroupCountMax'),
  'client-limit': warn('a heartbeat was refused: clientCountMax members of groups are there'),
  'membership-limit': warn('a heartbeat was refused: membershipCountMax, or subscriptionCountMax'),
  'subscription-memory': warn('a heartbeat was refused: subscriptionBytesMax are kept'),
  'route-memory': warn('a registration of a broker was refused: routeBytesMax are kept'),
  // Everything else.
  'request-invalid': info('a request was refused: it is not right'),
  'request-unknown': info('answered 3: this request is not known here'),
} as const satisfies Record<string, Cause>;

export type RefusalCause = keyof typeof refusalCauses;

const causes = Object.keys(refusalCauses) as RefusalCause[];
const places = new Map(causes.map((cause, index) => [cause, index]));

/** What the answers to sends are counted as, by code; others are `send-invalid`. */
const sendCauses: ReadonlyMap<number, RefusalCause> = new Map([
  [2, 'send-busy'],
  [10, 'send-flush-timeout'],
  [13, 'send-illegal'],
  [14, 'send-disk-full'],
  [16, 'send-forbidden'],
  [17, 'send-no-topic'],
]);

/** The same of pulls; others are `pull-invalid`. */
const pullCauses: ReadonlyMap<number, RefusalCause> = new Map([
  [16, 'pull-forbidden'],
  [17, 'pull-no-topic'],
  [23, 'pull-filter'],
  [24, 'pull-filter'],
  [26, 'pull-no-group'],
]);

export class Refusals {
  readonly memory: SharedArrayBuffer;
  readonly #counts: BigInt64Array;
  readonly #log: CauseLog;
  readonly #nowMs: () => number;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(causes.length * 8);
  }

  /** `nowMs` is monotonic, and only for the log. */
  constructor(logger: Logger, nowMs: () => number, memory = Refusals.allocate()) {
    this.memory = memory;
    this.#counts = new BigInt64Array(memory);
    this.#log = new CauseLog(logger);
    this.#nowMs = nowMs;
  }

  add(cause: RefusalCause, fields: object = {}): void {
    Atomics.add(this.#counts, places.get(cause) as number, 1n);
    const { level, what } = refusalCauses[cause];
    this.#log.log(level, cause, { cause, ...fields }, what, this.#nowMs());
  }

  /** A send was answered so. */
  addSend(code: number, fields: object = {}): void {
    this.add(sendCauses.get(code) ?? 'send-invalid', fields);
  }

  /** A pull was answered so. */
  addPull(code: number, fields: object = {}): void {
    this.add(pullCauses.get(code) ?? 'pull-invalid', fields);
  }

  *counts(): Generator<[RefusalCause, number]> {
    for (const [index, cause] of causes.entries())
      yield [cause, Number(Atomics.load(this.#counts, index))];
  }
}
