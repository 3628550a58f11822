/**
 * What is measured side by side. Millrace in the placement that it chooses itself is what the ratios are
 * of; the others are looked at beside it.
 */
import { prepareJava } from '../../test/interop/apache-rocketmq.ts';
import { apache, commandContender, type Contender } from '../load/contenders.ts';
import { nats, prepareNats } from './nats-server.ts';
import { prepareRedis, redis } from './redis-server.ts';

export type SystemKey = 'millrace' | 'pipelined' | 'apache' | 'nats' | 'redis';

export interface System {
  readonly key: SystemKey;
  readonly contender: Contender;
  /** Makes it ready to be started. @throws Error where that can not be done here */
  prepare(log: (line: string) => void): void;
}

const nothing = (): void => {};

/** In the order of the table's columns. */
export function systemsOf(millraceCommand: string): System[] {
  return [
    {
      key: 'millrace',
      contender: commandContender('Millrace', millraceCommand),
      prepare: nothing,
    },
    {
      key: 'pipelined',
      contender: commandContender('pipelined', `${millraceCommand} --threads pipelined`),
      prepare: nothing,
    },
    { key: 'apache', contender: apache, prepare: () => void prepareJava() },
    { key: 'nats', contender: nats, prepare: prepareNats },
    { key: 'redis', contender: redis, prepare: prepareRedis },
  ];
}
