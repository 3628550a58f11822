/**
 * What a generator thread's connections are for each protocol; the loops around them are the same.
 */
import { BrokerSetup, parseAddress } from './broker-setup.ts';
import type { ConsumerPlan, LoadOptions } from './load-options.ts';
import type { LoadSetup } from './load-setup.ts';
import { NatsPullConnection } from './nats/nats-pull-connection.ts';
import { NatsSendWire } from './nats/nats-send-wire.ts';
import { dropStream, NatsSetup } from './nats/nats-setup.ts';
import { PullConnection } from './pull-connection.ts';
import { RedisPullConnection } from './redis/redis-pull-connection.ts';
import { RedisSendWire } from './redis/redis-send-wire.ts';
import { dropStreams, RedisSetup } from './redis/redis-setup.ts';
import { RocketmqSendWire } from './rocketmq-send-wire.ts';
import type { SendWire } from './send-wire.ts';
import type { ThreadState } from './thread-state.ts';

export interface Consumer {
  connect(): Promise<void>;
  begin(): void;
  close(): void;
}

export function sendWireFor({ plan }: ThreadState, connectionIndex: number): SendWire {
  if (plan.protocol === 'nats') return new NatsSendWire(plan, connectionIndex);
  if (plan.protocol === 'redis') return new RedisSendWire(plan);
  return new RocketmqSendWire(plan, connectionIndex);
}

export function consumerFor(state: ThreadState, consumer: ConsumerPlan): Consumer {
  if (state.plan.protocol === 'nats') return new NatsPullConnection(state, consumer);
  if (state.plan.protocol === 'redis') return new RedisPullConnection(state, consumer);
  return new PullConnection(state, consumer);
}

export async function openSetup(options: LoadOptions): Promise<LoadSetup> {
  const { topic, queueCount, address } = options;
  if (options.protocol === 'rocketmq') return BrokerSetup.open(options);
  const endpoint = parseAddress(address ?? '');
  if (options.protocol === 'nats') return NatsSetup.open(endpoint, topic);
  return RedisSetup.open(endpoint, topic, queueCount);
}

/** Gives up what a topic holds, where that is memory, or files that are no broker's whole log. */
export async function dropTopic(options: LoadOptions): Promise<void> {
  const { topic, queueCount, address } = options;
  if (options.protocol === 'rocketmq') return;
  const endpoint = parseAddress(address ?? '');
  if (options.protocol === 'nats') await dropStream(endpoint, topic);
  else await dropStreams(endpoint, topic, queueCount);
}
