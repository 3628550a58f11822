/**
 * @agent any
 *
 * Which thread runs which agents. The agents of a message's way are merged on machines with few
 * cores: handing a message to another thread costs more there than it wins.
 */
import type { AgentName, Placement } from '../workers/broker-memory.ts';

export type ThreadsOption = 'auto' | 'pipelined' | 'inline';

/** Request workers; a connection always has the same one. More pay only with more cores. */
export const WORKER_COUNT = 1;

export function placementFor(threads: ThreadsOption): Placement {
  const workers = Array.from({ length: WORKER_COUNT }, (_, index): AgentName => `worker${index}`);
  if (threads === 'inline') {
    return new Map([
      [
        'main',
        [
          'control',
          ...workers,
          'writer',
          'dispatcher',
          'queueWriter',
          'flusher',
          'preparer',
          'reactor',
        ],
      ],
    ]);
  }
  if (threads === 'pipelined') {
    return new Map<string, readonly AgentName[]>([
      ['main', ['reactor']],
      ...workers.map((name): [string, AgentName[]] => [name, [name]]),
      ['control', ['control']],
      ['dispatcher', ['dispatcher']],
      ['writer', ['writer']],
      ['preparer', ['preparer', 'queueWriter']],
      ['flusher', ['flusher']],
    ]);
  }
  return new Map<string, readonly AgentName[]>([
    ['main', ['control', ...workers, 'writer', 'dispatcher', 'reactor']],
    ['preparer', ['preparer', 'queueWriter']],
    ['flusher', ['flusher']],
  ]);
}
