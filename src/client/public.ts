/**
 * @agent any
 *
 * What both entry points export.
 */
export * from './admin-exports.ts';
export { ClientError, type ClientErrorCode } from './client-error.ts';
export type { CoreOptions } from './connected-core.ts';
export type * from './message.ts';
export { Producer, type ProducerOptions, type SendOptions } from './producer.ts';
export type { SelectQueue } from './topic-sender.ts';
export type { CheckTransaction, TransactionDecision, TransactionResult } from './transaction.ts';
