/**
 * @agent any
 *
 * What both entry points export; administration and rare strategies are apart, so that
 * a page need not load them.
 */
export { ClientError, type ClientErrorCode } from './client-error.ts';
export type { CoreOptions } from './connected-core.ts';
export type { TlsClientOptions } from './platform.ts';
export type { ClientCredentials } from './request-signer.ts';
export type * from './message.ts';
export type { AllocateStrategy, AllocationInput, StrategyName } from './allocate-strategy.ts';
export type { ConsumedMessage, MessageBatch, RetryOptions } from './consumed-message.ts';
export { type AssignedListener, Consumer, type RevokedListener } from './consumer.ts';
export type { ConsumerOptions } from './consumer-options.ts';
export { RetryLater } from './listener-runner.ts';
export type { ConsumeFrom, OffsetStorage } from './offset-store.ts';
export type { RevokeReason } from './queue-assignments.ts';
export type { SubscriptionFilter } from './subscription.ts';
export { Producer, type ProducerOptions, type SendOptions } from './producer.ts';
export type { SelectQueue } from './topic-sender.ts';
export type { CheckTransaction, TransactionDecision, TransactionResult } from './transaction.ts';
