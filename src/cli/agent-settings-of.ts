/**
 * @agent any
 *
 * What agents must know, out of the configuration and of what the start has found.
 */
import type { BrokerConfig } from '../base/broker-config.ts';
import { defaultControlConfig } from '../broker/control-config.ts';
import { reportsFreePages } from '../store/free-page-reporting.ts';
import { parseDeleteWhen } from '../store/retention.ts';
import type { AgentSettings } from '../workers/agent-settings.ts';
import { accessSettingsOf } from './access-settings.ts';
import type { ClientAddress } from './client-address.ts';
import { configurationTexts } from './configuration-keys.ts';

/** Without the functions, which do not cross threads. */
const { visibleConfig: _visible, ...plainControlConfig } = defaultControlConfig;

/** What the start has found. */
export interface BrokerPlace {
  readonly storeRoot: string;
  readonly segmentBytes: number;
  readonly clientAddress: ClientAddress;
  readonly hasWebPort: boolean;
  readonly workerCount: number;
}

/** @throws BrokerError CONFIG_INVALID */
export function agentSettingsOf(config: BrokerConfig, place: BrokerPlace): AgentSettings {
  return {
    storeRoot: place.storeRoot,
    storeKind: config.storeKind,
    segmentBytes: place.segmentBytes,
    flushesSynchronously: config.flush === 'sync',
    flushIntervalMs: config.flushIntervalMs,
    syncFlushTimeoutMs: config.syncFlushTimeoutMs,
    dropsBehind: config.dropBehind === 'auto' ? reportsFreePages() : config.dropBehind === 'on',
    appendsPropertyCrc: config.appendsPropertyCrc,
    messageIndexEnable: config.messageIndexEnable,
    longPollingEnable: config.longPollingEnable,
    bodyBytesMax: config.maxMessageBytes,
    queueWaitMsMax: config.waitTimeMillsInSendQueue,
    heldPullCountMax: config.heldPullCountMax,
    storeHost: place.clientAddress.storeHost,
    retention: {
      fileReservedTimeMs: config.fileReservedTimeHours * 3_600_000,
      deleteHours: parseDeleteWhen(config.deleteWhen),
      diskMaxUsedSpaceRatio: config.diskMaxUsedSpaceRatio,
      diskSpaceCleanForciblyRatio: config.diskSpaceCleanForciblyRatio,
      diskSpaceWarningLevelRatio: config.diskSpaceWarningLevelRatio,
    },
    regionId: config.regionId,
    traceOn: config.traceOn,
    control: {
      ...plainControlConfig,
      clusterName: config.clusterName,
      brokerName: config.brokerName,
      autoCreateTopicEnable: config.autoCreateTopicEnable,
      autoCreateSubscriptionGroup: config.autoCreateSubscriptionGroup,
      defaultTopicQueueNums: config.defaultTopicQueueNums,
      topicCountMax: config.topicCountMax,
      queueCountMax: config.queueCountMax,
      subscriptionGroupCountMax: config.subscriptionGroupCountMax,
      clientCountMax: config.clientCountMax,
      membershipCountMax: config.membershipCountMax,
      subscriptionCountMax: config.subscriptionCountMax,
      subscriptionBytesMax: config.subscriptionBytesMax,
      messageDelayLevel: config.messageDelayLevel,
      timerWheelEnable: config.timerWheelEnable,
      timerMaxDelaySec: config.timerMaxDelaySec,
      recallMessageEnable: config.recallMessageEnable,
      rejectTransactionMessage: config.rejectTransactionMessage,
      transactionTimeOut: config.transactionTimeOutMs,
      transactionCheckInterval: config.transactionCheckIntervalMs,
      transactionCheckMax: config.transactionCheckMax,
      traceTopicEnable: config.traceTopicEnable,
      enablePropertyFilter: config.enablePropertyFilter,
      notifyConsumerIdsChangedEnable: config.notifyConsumerIdsChangedEnable,
      useServerSideResetOffset: config.useServerSideResetOffset,
      storeReplyMessageEnable: config.storeReplyMessageEnable,
    },
    visibleConfig: configurationTexts(config),
    access: accessSettingsOf(config),
    brokerId: config.brokerId,
    brokerPort: place.clientAddress.port,
    // Also for clients that come by WebSocket, which find their broker there.
    answersRoutes: config.embeddedNameServer || place.hasWebPort,
    orderMessageEnable: config.orderMessageEnable,
    routeBytesMax: config.routeBytesMax,
    advertisedAddress: place.clientAddress.advertised,
    registersOutside: config.nameServerAddresses.length > 0,
    recoveredQueues: [],
    workerCount: place.workerCount,
  };
}
