/**
 * @agent any
 *
 * What this client tells brokers of itself: the groups that it belongs to, in heartbeats (34) and when
 * it leaves (35).
 */
import * as RequestCode from '../protocol/request-code.ts';
import type { ConsumerData, CoreRequest } from './client-core.ts';
import { encodeText } from '../protocol/text-bytes.ts';

export class GroupMembership {
  readonly #clientId: string;
  producerGroup: string | null = null;
  consumer: ConsumerData | null = null;

  constructor(clientId: string) {
    this.#clientId = clientId;
  }

  get isMember(): boolean {
    return this.producerGroup !== null || this.consumer !== null;
  }

  /** HeartbeatData, its members in the order of fastjson. */
  heartbeat(timeoutMs: number): CoreRequest {
    const { consumer, producerGroup } = this;
    const data = {
      clientID: this.#clientId,
      consumerDataSet: consumer === null ? [] : [consumerJson(consumer)],
      heartbeatFingerprint: 0,
      producerDataSet: producerGroup === null ? [] : [{ groupName: producerGroup }],
      withoutSub: false,
    };
    return {
      code: RequestCode.HEART_BEAT,
      fields: {},
      body: encodeText(JSON.stringify(data)),
      timeoutMs,
    };
  }

  unregister(
    groups: { producerGroup?: string; consumerGroup?: string },
    timeoutMs: number,
  ): CoreRequest {
    return {
      code: RequestCode.UNREGISTER_CLIENT,
      fields: { clientID: this.#clientId, ...groups },
      timeoutMs,
    };
  }
}

function consumerJson(consumer: ConsumerData): object {
  return {
    consumeFromWhere: consumer.consumeFromWhere,
    consumeType: consumer.consumeType,
    groupName: consumer.groupName,
    messageModel: consumer.messageModel,
    subscriptionDataSet: consumer.subscriptionDataSet.map((subscription) => ({
      classFilterMode: false,
      codeSet: subscription.codeSet,
      expressionType: subscription.expressionType,
      subString: subscription.subString,
      subVersion: subscription.subVersion,
      tagsSet: subscription.tagsSet,
      topic: subscription.topic,
    })),
    unitMode: false,
  };
}
