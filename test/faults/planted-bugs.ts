/**
 * Bugs of the kind that brokers have had, planted in the broker at its seams: file calls, shared positions,
 * settings, what recovery hands on, frames. The crash explorer has to find each of them. Nothing in src/
 * knows of this.
 */
import { Checkpoint } from '../../src/store/checkpoint.ts';
import type { Segment, StoreFiles } from '../../src/store/segment.ts';
import { PositionSlot, type StorePositions } from '../../src/store/store-positions.ts';
import type { FaultyFiles } from '../store/faulty-files.ts';
import type { Mutation } from './inline-broker.ts';

export interface PlantedBug {
  name: string;
  /** Made anew for each life. */
  plant: () => Mutation;
}

/** The same files, but for some calls. */
function withCalls(
  files: StoreFiles,
  change: (files: StoreFiles) => Partial<StoreFiles>,
): StoreFiles {
  const own: StoreFiles = {
    kind: files.kind,
    createSegment: (path, bytes) => files.createSegment(path, bytes),
    openSegment: (path, bytes) => files.openSegment(path, bytes),
    list: (path) => files.list(path),
    exists: (path) => files.exists(path),
    sizeOf: (path) => files.sizeOf(path),
    modifiedMs: (path) => files.modifiedMs(path),
    makeDirectory: (path) => files.makeDirectory(path),
    remove: (path) => files.remove(path),
    unlink: (path) => files.unlink(path),
    rename: (from, to) => files.rename(from, to),
    readFile: (path) => files.readFile(path),
    replaceFile: (path, content) => files.replaceFile(path, content),
    open: (path, create) => files.open(path, create),
    closeDescriptor: (descriptor) => files.closeDescriptor(descriptor),
    truncate: (descriptor, bytes) => files.truncate(descriptor, bytes),
    readAt: (descriptor, target, at, bytes, position) =>
      files.readAt(descriptor, target, at, bytes, position),
    writeAt: (descriptor, source, from, to, position) =>
      files.writeAt(descriptor, source, from, to, position),
    syncDescriptor: (descriptor) => files.syncDescriptor(descriptor),
    syncFileSystem: (path) => files.syncFileSystem(path),
    syncDirectory: (path) => files.syncDirectory(path),
    space: (path) => files.space(path),
  };
  return { ...own, ...change(files) };
}

const calls =
  (change: (files: StoreFiles) => Partial<StoreFiles>): (() => Mutation) =>
  () => ({ files: (files) => withCalls(files, change) });

/** Every segment, changed. */
const segments = (change: (segment: Segment, files: StoreFiles) => Segment): (() => Mutation) =>
  calls((files) => ({
    createSegment: (path, bytes) => change(files.createSegment(path, bytes), files),
    openSegment: (path, bytes) => change(files.openSegment(path, bytes), files),
  }));

/** The content of some files, changed as it is replaced. */
const contents = (name: string, change: (content: Buffer) => Buffer): (() => Mutation) =>
  calls((files) => ({
    replaceFile: (path, content) =>
      files.replaceFile(path, path.endsWith(name) ? change(Buffer.from(content)) : content),
  }));

const json =
  (change: (value: Record<string, unknown>) => void) =>
  (content: Buffer): Buffer => {
    const value = JSON.parse(content.toString()) as Record<string, unknown>;
    change(value);
    return Buffer.from(JSON.stringify(value));
  };

/** Adds one to every number of an object of objects. */
function raise(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value))
    if (typeof inner === 'number') Object.assign(value, { [key]: inner + 1 });
    else raise(inner);
}

/** The checkpoint, as another would be written. */
function changedCheckpoint(content: Buffer, change: (checkpoint: Checkpoint) => void): Buffer {
  let changed = content;
  const files = {
    readFile: () => content,
    replaceFile: (_path: string, bytes: Buffer) => {
      changed = bytes;
    },
  } as unknown as StoreFiles;
  const checkpoint = Checkpoint.read(files, '');
  change(checkpoint);
  checkpoint.write(files, '');
  return changed;
}

/** What others read of one position is another's. */
function readAs(positions: StorePositions, slot: PositionSlot, other: PositionSlot): void {
  const load = positions.load.bind(positions);
  positions.load = (asked) => load(asked === slot ? other : asked);
}

/** A request field with a value, in a JSON header, written over with another of the same length. */
const field =
  (before: string, after: string): (() => Mutation) =>
  () => ({
    frame: (frame) => {
      const at = frame.indexOf(before);
      if (at >= 0) frame.write(after, at);
      return frame;
    },
  });

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'a group commit syncs nothing',
    plant: segments((segment) => ({ ...segment, sync: () => {} })),
  },
  {
    name: 'a group commit syncs all but the last page',
    plant: segments((segment) => ({
      ...segment,
      sync: (from, to) => segment.sync(from, Math.max(from + 1, to - (to % 4096))),
    })),
  },
  {
    name: 'flushed is published before the sync',
    plant: () => ({
      positions: (positions) => readAs(positions, PositionSlot.FLUSHED, PositionSlot.APPENDED),
    }),
  },
  {
    name: 'sends are acknowledged when they are appended',
    plant: () => ({
      settings: (settings) => {
        settings.flushesSynchronously = false;
      },
    }),
  },
  {
    name: 'what another thread writes is shown before it is written',
    plant: () => ({
      isDeferring: true,
      ...segments((segment) => ({
        ...segment,
        beginWrite: (pieces, position, onWritten) => {
          segment.beginWrite?.(pieces, position, () => {});
          onWritten(null);
        },
      }))(),
    }),
  },
  {
    name: 'consumers see what is not flushed',
    plant: () => ({
      agent: (name, make, settings) => {
        const { flushesSynchronously } = settings;
        settings.flushesSynchronously &&= name !== 'dispatcher';
        const agent = make();
        settings.flushesSynchronously = flushesSynchronously;
        return agent;
      },
    }),
  },
  {
    name: 'a failed sync is tried again, and believed',
    plant: () => {
      let syncCount = 0;
      return {
        files: (files) => {
          const disk = files as FaultyFiles;
          disk.forgetsFailedSyncs = true;
          const change = (segment: Segment): Segment => ({
            ...segment,
            sync: (from, to) => {
              if (++syncCount % 7 === 0) disk.failure = { call: disk.callCount + 1, fault: 'EIO' };
              try {
                segment.sync(from, to);
              } catch {
                segment.sync(from, to);
              }
            },
          });
          return withCalls(files, () => ({
            createSegment: (path, bytes) => change(files.createSegment(path, bytes)),
            openSegment: (path, bytes) => change(files.openSegment(path, bytes)),
          }));
        },
      };
    },
  },
  {
    name: 'a byte is flipped on its way into the log',
    plant: segments((segment) => ({
      ...segment,
      write: (source, from, to, position) => {
        if (to > from + 300) source[from + 150] ^= 4;
        segment.write(source, from, to, position);
      },
    })),
  },
  { name: 'names are not synced', plant: calls(() => ({ syncDirectory: () => {} })) },
  { name: 'derived files are not synced', plant: calls(() => ({ syncDescriptor: () => {} })) },
  {
    name: 'the checkpoint says that all that is flushed is dispatched',
    plant: contents('checkpoint', (content) =>
      changedCheckpoint(content, (checkpoint) => {
        checkpoint.dispatchedPosition = checkpoint.flushedPosition;
      }),
    ),
  },
  {
    name: 'the checkpoint is ahead of the log',
    plant: contents('checkpoint', (content) =>
      changedCheckpoint(content, (checkpoint) => {
        checkpoint.flushedPosition += 512;
        checkpoint.dispatchedPosition += 512;
      }),
    ),
  },
  {
    name: 'files are replaced in place',
    plant: calls((files) => ({
      replaceFile: (path, content) => {
        const descriptor = files.open(path, true);
        files.truncate(descriptor, 0);
        files.writeAt(descriptor, content, 0, content.length, 0);
        files.closeDescriptor(descriptor);
      },
    })),
  },
  { name: 'recovery does not look at checksums', plant: () => ({ checkCrc: false }) },
  {
    name: 'queues go on one too far after a start',
    plant: () => ({
      parts: (_parts, settings) => {
        for (const queue of settings.recoveredQueues) queue.maxOffset++;
      },
    }),
  },
  {
    name: 'queues go on one too early after a start',
    plant: () => ({
      parts: (_parts, settings) => {
        for (const queue of settings.recoveredQueues)
          queue.maxOffset = Math.max(0, queue.maxOffset - 1);
      },
    }),
  },
  {
    name: 'delays are shorter than their level',
    plant: () => ({
      settings: (settings) => {
        settings.control.messageDelayLevel = '1s 1s 1s';
      },
    }),
  },
  {
    name: 'the timer wheel is stored as further than it was',
    plant: contents(
      'manifest',
      json((manifest) => {
        manifest['cursorMs'] = Number(manifest['cursorMs']) + 3000;
      }),
    ),
  },
  {
    name: 'the timer wheel is stored as holding what comes later',
    plant: contents(
      'manifest',
      json((manifest) => {
        manifest['position'] = Number(manifest['position']) + 600;
      }),
    ),
  },
  {
    name: 'delay levels are stored as further than they are',
    plant: contents('delayOffset.json', json(raise)),
  },
  {
    name: 'committed offsets are stored one too high',
    plant: contents(
      'consumerOffset.json',
      json((value) => raise(value['offsetTable'])),
    ),
  },
  {
    name: 'committed offsets are not stored',
    plant: calls((files) => ({
      replaceFile: (path, content) => {
        if (!path.endsWith('consumerOffset.json')) files.replaceFile(path, content);
      },
    })),
  },
  {
    name: 'a queue points twice to one record',
    plant: calls((files) => ({
      writeAt: (descriptor, source, from, to, position) => {
        // Units of 20 bytes, several at once: only ConsumeQueues are written so.
        const isUnits = (to - from) % 20 === 0 && to - from >= 40 && position % 20 === 0;
        const copy = Buffer.from(source.subarray(from, to));
        if (isUnits) copy.copy(copy, 20, 0, 20);
        files.writeAt(descriptor, copy, 0, copy.length, position);
      },
    })),
  },
  {
    name: 'a rollback is taken for a commit',
    plant: field('"commitOrRollback":"12"', '"commitOrRollback":"8" '),
  },
  { name: 'a half is taken for a message', plant: field('TRAN_MSG', 'TRAN_MSX') },
  {
    name: 'the time of a timed message is not read',
    plant: field('TIMER_DELIVER_MS', 'TIMER_DELIVER_XX'),
  },
];
