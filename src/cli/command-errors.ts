/**
 * @agent any
 *
 * How a command says that it did not succeed: what, why, and what can be done, in a line or two on
 * standard error, without a stack. 1 is an operating error, 2 a mistake in how it was called.
 */
import { ClientError, type ClientErrorCode } from '../client/client-error.ts';

export const ExitCode = { OK: 0, FAILED: 1, USAGE: 2, INTERRUPTED: 130 } as const;

/** The command can not be done as it was called. */
export class UsageError extends Error {}

/** Something outside of brokers stands in the way: a file, an answer that was no. */
export class CommandError extends Error {}

const hints: Partial<Record<ClientErrorCode, string>> = {
  CONNECTION_FAILED: 'Is a broker running there? --servers or MILLRACE_SERVERS says where to ask',
  TIMEOUT: 'A longer --timeout may help',
  TOPIC_NOT_FOUND: '"millrace topic list" shows which there are, "millrace topic create" makes one',
  GROUP_NOT_FOUND: '"millrace group list" shows which there are, "millrace group create" makes one',
  NO_PERMISSION: '"millrace topic status" and "topic list" show what a topic allows',
  FILTER_REFUSED: 'SQL92 needs a broker with enablePropertyFilter=true, and a boolean expression',
  NOT_SUPPORTED: 'Another version or kind of broker may serve it',
  BROKER_BUSY: 'It may be over in a moment; the log of the broker says why',
};

const WHO_ASKS = '--credentials FILE, or MILLRACE_ACCESS_KEY and MILLRACE_SECRET_KEY, say who asks';

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly exitCode: number;
}

/** Null for what is no operating error: a mistake of the program, which needs its stack. */
export function failureOf(error: unknown, servers: string): Failure | null {
  if (error instanceof UsageError)
    return { code: 'USAGE', message: error.message, hint: null, exitCode: ExitCode.USAGE };
  if (error instanceof CommandError)
    return { code: 'FAILED', message: error.message, hint: null, exitCode: ExitCode.FAILED };
  if (!ClientError.is(error)) return null;
  const isUnknown = error.message.includes('authentication failed');
  const hint = isUnknown ? WHO_ASKS : (hints[error.code] ?? null);
  // What no server was asked for is wrong in the command line itself.
  const isOwnMistake = error.code === 'INVALID_ARGUMENT' && error.responseCode === undefined;
  return {
    code: error.code,
    // Name servers point to a page of RocketMQ's in a line of their own.
    message: error.message.replace(/\s*See https?:\S+ for further details\.?/, ''),
    hint: error.code === 'CONNECTION_FAILED' ? `${hint ?? ''} (now: ${servers})` : hint,
    exitCode: isOwnMistake ? ExitCode.USAGE : ExitCode.FAILED,
  };
}
