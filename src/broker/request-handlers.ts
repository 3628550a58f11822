/**
 * @agent control
 *
 * The one table from request code to handler.
 */
import { accessAdminHandlers } from './access-admin-handlers.ts';
import { brokerAdminHandlers } from './broker-admin-handlers.ts';
import { clientAdminHandlers } from './client-admin-handlers.ts';
import { clientManageHandlers } from './client-manage-handlers.ts';
import { clientRelayHandlers } from './client-relay-handlers.ts';
import { clockHandlers } from './clock-handlers.ts';
import { consumerManageHandlers } from './consumer-manage-handlers.ts';
import type { RequestHandler } from './control-state.ts';
import { groupAdminHandlers } from './group-admin-handlers.ts';
import { offsetAdminHandlers } from './offset-admin-handlers.ts';
import { queueLockHandlers } from './queue-lock-handlers.ts';
import { replyHandlers } from './reply-handlers.ts';
import { retryHandlers } from './retry-handlers.ts';
import { recallHandlers } from './recall-handlers.ts';
import { topicAdminHandlers } from './topic-admin-handlers.ts';
import { transactionHandlers } from './transaction-handlers.ts';

export const requestHandlers: ReadonlyMap<number, RequestHandler> = new Map([
  ...clientManageHandlers,
  ...consumerManageHandlers,
  ...queueLockHandlers,
  ...retryHandlers,
  ...replyHandlers,
  ...topicAdminHandlers,
  ...groupAdminHandlers,
  ...brokerAdminHandlers,
  ...clientAdminHandlers,
  ...offsetAdminHandlers,
  ...clientRelayHandlers,
  ...recallHandlers,
  ...transactionHandlers,
  ...clockHandlers,
  ...accessAdminHandlers,
]);
