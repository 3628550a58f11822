/**
 * @agent control
 *
 * The configuration that control logic reads, by RocketMQ's names where it has one, with its
 * defaults.
 */
export interface BrokerControlConfig {
  clusterName: string;
  brokerName: string;
  regionId: string;
  traceOn: boolean;
  /** Address and port that go into records that the broker itself stores: 8 or 20 bytes. */
  storeHost: Uint8Array;
  /** TBW102 exists and hands its settings on to topics created by a first send. */
  autoCreateTopicEnable: boolean;
  autoCreateSubscriptionGroup: boolean;
  /** Queues of TBW102, so the most that an auto-created topic gets. */
  defaultTopicQueueNums: number;
  clusterTopicEnable: boolean;
  brokerTopicEnable: boolean;
  traceTopicEnable: boolean;
  msgTraceTopicName: string;
  timerWheelEnable: boolean;
  /** Longest delay of a timed message. */
  timerMaxDelaySec: number;
  rejectTransactionMessage: boolean;
  /** Age in milliseconds at which a half message is asked about. */
  transactionTimeOut: number;
  /** Between two questions about one, in milliseconds. */
  transactionCheckInterval: number;
  /** Questions after which it is given up. */
  transactionCheckMax: number;
  /** Timed messages can be taken back; off by default in RocketMQ. */
  recallMessageEnable: boolean;
  reviveQueueNums: number;
  /** Stores replies to request messages, besides handing them to who waits. */
  storeReplyMessageEnable: boolean;
  /** Lets consumers filter by SQL92; false as in RocketMQ. */
  enablePropertyFilter: boolean;
  /** Resets take place in the broker, with the group's next pull; else its members are told to. */
  useServerSideResetOffset: boolean;
  notifyConsumerIdsChangedEnable: boolean;
  messageDelayLevel: string;
  /** A client that sent no heartbeat for so long is removed and its connection closed. */
  channelExpiredTimeoutMs: number;
  /** How often expired clients are looked for. */
  scanIntervalMs: number;
  /** How often changed offsets are written. */
  flushConsumerOffsetIntervalMs: number;
  /** Topics, besides the system's own, above which none is created any more. */
  topicCountMax: number;
  /** Queues of all topics, those of the system among them. */
  queueCountMax: number;
  subscriptionGroupCountMax: number;
  /** Consumer groups, and producer groups, that one connection may be a member of. */
  membershipCountMax: number;
  /** Members of consumer and producer groups, over all connections. */
  clientCountMax: number;
  /** Topics that one group may subscribe to. */
  subscriptionCountMax: number;
  /** Characters of what all members subscribe to. */
  subscriptionBytesMax: number;
  /** Body of a message that a client sends to its retry topic. */
  maxMessageSize: number;
  /** Appends that wait for room before further ones are answered SYSTEM_BUSY. */
  pendingAppendCountMax: number;
  /** Everything that code 26 may show, as `key → value`; never a secret. */
  visibleConfig: () => Iterable<readonly [string, string]>;
}

/** The numbers that are not RocketMQ's are guesses that leave room: memory stays below some 100 MB. */
export const defaultControlConfig: Omit<BrokerControlConfig, 'storeHost'> = {
  clusterName: 'DefaultCluster',
  brokerName: 'broker-a',
  regionId: 'DefaultRegion',
  traceOn: true,
  autoCreateTopicEnable: true,
  autoCreateSubscriptionGroup: true,
  defaultTopicQueueNums: 8,
  clusterTopicEnable: true,
  brokerTopicEnable: true,
  traceTopicEnable: false,
  msgTraceTopicName: 'RMQ_SYS_TRACE_TOPIC',
  timerWheelEnable: true,
  timerMaxDelaySec: 3 * 86_400,
  recallMessageEnable: true,
  rejectTransactionMessage: false,
  transactionTimeOut: 6000,
  transactionCheckInterval: 30_000,
  transactionCheckMax: 15,
  reviveQueueNums: 8,
  storeReplyMessageEnable: true,
  useServerSideResetOffset: true,
  enablePropertyFilter: false,
  notifyConsumerIdsChangedEnable: true,
  messageDelayLevel: '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h',
  channelExpiredTimeoutMs: 120_000,
  scanIntervalMs: 10_000,
  flushConsumerOffsetIntervalMs: 5_000,
  topicCountMax: 100_000,
  queueCountMax: 1_000_000,
  subscriptionGroupCountMax: 50_000,
  membershipCountMax: 1_000,
  clientCountMax: 200_000,
  subscriptionCountMax: 1_000,
  subscriptionBytesMax: 64 * 1024 * 1024,
  maxMessageSize: 4 * 1024 * 1024,
  pendingAppendCountMax: 1_024,
  visibleConfig: () => [],
};
