/**
 * What the broker under test is set to so that nobody waits for half a minute, and what the scenarios are
 * told of it: client programs in every language read it from their environment.
 */

export type Subject = 'millrace' | 'apache';

/** Names of RocketMQ, milliseconds. A half is asked for after the timeout, then once in each interval. */
export const transactionSettings = {
  transactionTimeOut: 3000,
  transactionCheckInterval: 1000,
} as const;

/** What the stock broker needs besides, to be asked the same. */
export const apacheSettings = {
  // It writes down each three seconds what was decided, and asks again for what it has not written down.
  transactionOpBatchInterval: 100,
  // Off as shipped.
  recallMessageEnable: true,
} as const;

/** How far from its time a message may be received, in milliseconds. */
const tolerance = {
  millrace: { earlyMs: 0, lateMs: 1000 },
  // Its wheel has slots of a second, rounds down, and was seen to be 3.5 s late.
  apache: { earlyMs: 1000, lateMs: 5000 },
} as const satisfies Record<Subject, object>;

export function timerTolerance(subject: Subject): { earlyMs: number; lateMs: number } {
  return tolerance[subject];
}

/** For every client program of the suite. */
export function clientEnvironment(subject: Subject): Record<string, string> {
  const { earlyMs, lateMs } = tolerance[subject];
  return {
    INTEROP_TIMER_EARLY_MS: String(earlyMs),
    INTEROP_TIMER_LATE_MS: String(lateMs),
    INTEROP_TRANSACTION_TIMEOUT_MS: String(transactionSettings.transactionTimeOut),
    INTEROP_TRANSACTION_CHECK_INTERVAL_MS: String(transactionSettings.transactionCheckInterval),
  };
}

/** Lines of a broker.conf. */
export function configurationText(settings: Record<string, string | number | boolean>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${String(value)}\n`)
    .join('');
}
