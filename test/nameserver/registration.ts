/** What brokers tell name servers, as tests have them tell it. */
import { encodeRegisterBody } from '../../src/protocol/register-body.ts';
import type { TopicConfig } from '../../src/protocol/topic-config.ts';
import type { RawRequest } from '../workers/raw-client.ts';

export function topicConfig(topicName: string, changes: Partial<TopicConfig> = {}): TopicConfig {
  return {
    topicName,
    readQueueNums: 4,
    writeQueueNums: 4,
    perm: 6,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false,
    attributes: new Map(),
    ...changes,
  };
}

/** REGISTER_BROKER of a master that has these topics. */
export function registrationOf(brokerName: string, topicNames: readonly string[]): RawRequest {
  return {
    code: 103,
    fields: {
      brokerName,
      brokerAddr: `${brokerName}:10911`,
      clusterName: 'DefaultCluster',
      haServerAddr: '',
      brokerId: '0',
    },
    body: encodeRegisterBody(
      { counter: 1, stateVersion: 0, timestamp: 1 },
      topicNames.map((topicName) => topicConfig(topicName)),
    ),
  };
}
