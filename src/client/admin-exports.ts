/**
 * @agent any
 *
 * What both entry points export of the administration.
 */
export { Admin, type AdminOptions } from './admin.ts';
export type { BrokerChoice, BrokerHealth, BrokerInfo } from './admin-brokers.ts';
export type { FollowOptions } from './admin-follow.ts';
export type {
  GroupMember,
  GroupMembers,
  GroupOnBroker,
  GroupProgress,
  GroupSettings,
  GroupSummary,
  QueueProgress,
} from './admin-groups.ts';
export type { KeyQuery, MessageFilter, QueueBounds, TimeQuery } from './admin-messages.ts';
export type {
  OffsetMove,
  OffsetReset,
  OffsetTarget,
  QueueChoice,
  QueueOffset,
} from './admin-offsets.ts';
export type {
  QueueStatus,
  TopicKind,
  TopicOnBroker,
  TopicPermission,
  TopicQueues,
  TopicRouteDetails,
  TopicSettings,
  TopicStatus,
  TopicSummary,
} from './admin-topics.ts';
