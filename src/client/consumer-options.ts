/**
 * @agent any
 *
 * How a consumer is to work, and what of it can not be.
 */
import { type AllocateStrategy, type StrategyName, strategyOf } from './allocate-strategy.ts';
import { ClientError } from './client-error.ts';
import type { CoreOptions } from './connected-core.ts';
import { type ConsumeFrom, MemoryOffsetStorage, type OffsetStorage } from './offset-store.ts';
import type { ProcessQueueLimits } from './process-queue.ts';

export interface ConsumerOptions extends CoreOptions {
  readonly group: string;
  /** `clustering` (default): each message to one member. `broadcasting`: to every one. */
  readonly model?: 'clustering' | 'broadcasting';
  /**
   * Where a group begins that was never in a queue. `last` (default): what is new; but from the beginning
   * where the broker still has the beginning of the queue, as with every RocketMQ client: a group that
   * starts beside the first sends would lose messages otherwise.
   */
  readonly from?: ConsumeFrom;
  /** Messages of a queue one after the other; a failed one holds up those behind it. */
  readonly ordered?: boolean;
  /** Calls of the listener at once, 20 unless said. With `ordered`: queues at once. */
  readonly concurrency?: number;
  /**
   * Deliveries of a message before it goes to the dead letters. Unless said, the group's own setting
   * holds (17), and with `ordered` there is no end.
   */
  readonly maxAttempts?: number;
  /** Messages that one call of `runBatch` gets at most, 32 unless said. */
  readonly batchSize?: number;
  /** How queues are divided; `averagely` unless said. All members must use the same. */
  readonly strategy?: StrategyName | AllocateStrategy;
  /** Before a failed message of an ordered queue comes again; 1000. */
  readonly suspendMs?: number;
  /**
   * After this long a message is delivered again though its listener has not ended; 15 minutes. Not with
   * `ordered`: the next one would overtake it.
   */
  readonly consumeTimeoutMs?: number;
  /** What `close` gives calls that run; 5000. */
  readonly closeTimeoutMs?: number;
  /** Between two times that offsets are said; 5000. */
  readonly commitIntervalMs?: number;
  /** Messages of a queue that may be here and not finished; 1000. */
  readonly openCountMax?: number;
  /** Their bytes; 64 MiB. */
  readonly openBytesMax?: number;
  /** Offsets between the first and the last of them; 2000. */
  readonly spanMax?: number;
  /** Messages of one pull; 32, and no broker gives more. */
  readonly pullCountMax?: number;
  /** Where members of a broadcasting group keep their offsets: the user's home, or the browser's storage. */
  readonly offsetStorage?: OffsetStorage;
}

/** Options with their defaults. */
export interface ConsumerSettings {
  readonly group: string;
  readonly isBroadcasting: boolean;
  readonly from: ConsumeFrom;
  readonly isOrdered: boolean;
  readonly concurrency: number;
  readonly maxAttempts: number | null;
  readonly batchSize: number;
  readonly strategy: AllocateStrategy;
  readonly suspendMs: number;
  readonly consumeTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly commitIntervalMs: number;
  readonly pullCountMax: number;
  readonly limits: ProcessQueueLimits;
  readonly offsetStorage: OffsetStorage;
}

const GROUP_PATTERN = /^[%|a-zA-Z0-9_-]{1,120}$/;
const MEBIBYTE = 1024 * 1024;

/** Of the program, unless a consumer is told of another one; an entry point may bring a better one. */
let defaultOffsetStorage: OffsetStorage = new MemoryOffsetStorage();

export function installOffsetStorage(storage: OffsetStorage): void {
  defaultOffsetStorage = storage;
}

/** @throws ClientError INVALID_ARGUMENT */
export function consumerSettings(options: ConsumerOptions): ConsumerSettings {
  const { group, model = 'clustering', from = 'last', ordered = false } = options;
  if (typeof group !== 'string' || !GROUP_PATTERN.test(group))
    refuse(`group is 1 to 120 of a-z, A-Z, 0-9, %, |, - and _, not ${JSON.stringify(group)}`);
  if (model !== 'clustering' && model !== 'broadcasting')
    refuse(`model is "clustering" or "broadcasting", not ${String(model)}`);
  const isTime = from instanceof Date && !Number.isNaN(from.getTime());
  if (from !== 'last' && from !== 'first' && !isTime)
    refuse(`from is "last", "first" or a Date, not ${String(from)}`);
  return {
    group,
    isBroadcasting: model === 'broadcasting',
    from,
    isOrdered: ordered,
    concurrency: wholeNumber(options, 'concurrency', 20),
    maxAttempts: options.maxAttempts === undefined ? null : wholeNumber(options, 'maxAttempts', 1),
    batchSize: wholeNumber(options, 'batchSize', 32),
    strategy: strategyOf(options.strategy),
    suspendMs: wholeNumber(options, 'suspendMs', 1000),
    consumeTimeoutMs: wholeNumber(options, 'consumeTimeoutMs', 15 * 60_000),
    closeTimeoutMs: wholeNumber(options, 'closeTimeoutMs', 5000),
    commitIntervalMs: wholeNumber(options, 'commitIntervalMs', 5000),
    pullCountMax: wholeNumber(options, 'pullCountMax', 32),
    limits: {
      openCountMax: wholeNumber(options, 'openCountMax', 1000),
      openBytesMax: wholeNumber(options, 'openBytesMax', 64 * MEBIBYTE),
      spanMax: wholeNumber(options, 'spanMax', 2000),
    },
    offsetStorage: options.offsetStorage ?? defaultOffsetStorage,
  };
}

type NumberName = {
  [Name in keyof ConsumerOptions]-?: ConsumerOptions[Name] extends number | undefined
    ? Name
    : never;
}[keyof ConsumerOptions];

function wholeNumber(options: ConsumerOptions, name: NumberName, absent: number): number {
  const value = options[name] ?? absent;
  if (!Number.isSafeInteger(value) || value < 1)
    refuse(`${name} is a whole number from 1, not ${String(value)}`);
  return value;
}

function refuse(message: string): never {
  throw new ClientError('INVALID_ARGUMENT', message);
}
