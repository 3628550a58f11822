/**
 * @agent any
 *
 * Makes the agents that wait for disks, so that those that have messages need not. A thread of such agents loads
 * nothing else.
 */
import type { Agent } from '../ring/agent.ts';
import { Checkpoint } from '../store/checkpoint.ts';
import { DeletedTopics } from '../store/deleted-topics.ts';
import type { AgentParts } from './agent-parts.ts';
import type { AgentName } from './broker-memory.ts';
import { DropBehind } from './drop-behind.ts';
import { Flusher } from './flusher.ts';
import { LogRetention } from './log-retention.ts';
import { Preparer } from './preparer.ts';
import { QueueWriter } from './queue-writer.ts';

const diskAgents: ReadonlySet<string> = new Set(['flusher', 'preparer', 'queueWriter']);

/** Agents look at positions several times a second, those with work to do much more often. */
const LET_GO_MS = 500;

export const isDiskAgent = (name: AgentName): boolean => diskAgents.has(name);

/** @throws Error for an agent that is made elsewhere */
export function makeDiskAgent(parts: AgentParts, name: AgentName): Agent {
  switch (name) {
    case 'flusher':
      return makeFlusher(parts);
    case 'preparer':
      return new Preparer({
        segments: parts.segments,
        positions: parts.positions,
        flushesSynchronously: parts.context.settings.flushesSynchronously,
        letGoMs: parts.files.kind === 'mapped' ? LET_GO_MS : 0,
        logger: parts.context.logger,
      });
    case 'queueWriter':
      return new QueueWriter({
        inbound: parts.consumer('dispatcher→queueWriter'),
        files: parts.files,
        directory: parts.directory.consumeQueue,
        deletedTopics: new DeletedTopics(parts.files, parts.directory.deletedTopics),
        positions: parts.positions,
        logger: parts.context.logger,
        dispatcherDoorbell: parts.doorbellOf('dispatcher'),
      });
    default:
      throw new Error(`${name} does not wait for disks`);
  }
}

function makeFlusher(parts: AgentParts): Agent {
  const { settings, logger } = parts.context;
  return new Flusher({
    inbound: [parts.consumer('control→flusher'), parts.consumer('dispatcher→flusher')],
    files: parts.files,
    segments: parts.segments,
    positions: parts.positions,
    checkpoint: Checkpoint.read(parts.files, parts.directory.checkpoint),
    checkpointPath: parts.directory.checkpoint,
    writerDoorbell: parts.doorbellOf('writer'),
    dispatcherDoorbell: parts.doorbellOf('dispatcher'),
    flushesSynchronously: settings.flushesSynchronously,
    flushIntervalMs: settings.flushIntervalMs,
    logger,
    dropBehind: settings.dropsBehind
      ? new DropBehind({ segments: parts.segments, positions: parts.positions })
      : null,
    retention: new LogRetention({
      files: parts.files,
      directory: parts.directory.root,
      segments: parts.segments,
      positions: parts.positions,
      policy: settings.retention,
      wallClock: parts.context.wallClock,
      isClockMoved: parts.context.advanceClock !== null,
      logger,
    }),
  });
}
