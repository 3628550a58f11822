/**
 * @agent any
 *
 * All memory that the agents of a broker share, allocated once by the main thread and handed to
 * every other: rings, pools, doorbells, positions. The table of rings is the map of who talks to whom.
 *
 * Sizes are reserved, not used: a page counts once it was touched. A ring holds what its producer
 * makes in one turn, with room to spare; more only makes the caches colder.
 */
import { ANSWER_STATE_BYTES } from '../kernel/answer-kernel.ts';
import { DISPATCH_STATE_BYTES } from '../kernel/dispatch-kernel.ts';
import { allocateKernelMemory, type KernelMemory } from '../kernel/kernel-memory.ts';
import { KERNEL_STATE_BYTES } from '../kernel/send-kernel.ts';
import { freshSharedMemory } from '../base/fresh-memory.ts';
import { LatencyHistogram } from '../base/latency-histogram.ts';
import { Refusals } from '../base/refusals.ts';
import { Doorbell } from '../ring/doorbell.ts';
import { LargeMessagePool, type ShortSlots } from '../ring/large-message-pool.ts';
import { allocateRings, type RingMemory } from '../ring/spsc-ring.ts';
import { FRAME_BYTES_MAX } from '../protocol/remoting-command.ts';
import { StorePositions } from '../store/store-positions.ts';
import { STAGING_BYTES } from './append-batch.ts';
import { READ_BYTES } from './frame-proxy.ts';

/** Agents by name; `worker` is one request worker of several. */
export type AgentName =
  | 'reactor'
  | 'control'
  | 'writer'
  | 'dispatcher'
  | 'flusher'
  | 'preparer'
  | 'queueWriter'
  | `worker${number}`;

/** Which thread runs which agents, in the order of a turn. `main` has the reactor. */
export type Placement = ReadonlyMap<string, readonly AgentName[]>;

export interface BrokerMemory {
  positions: SharedArrayBuffer;
  /** How long appends took, counted by the writer. */
  appendLatency: SharedArrayBuffer;
  /** Counts of what was refused, by cause. */
  refusals: SharedArrayBuffer;
  /** By "from→to". */
  rings: Record<string, RingMemory>;
  /** What the rings are in, for WebAssembly, and where agents have their states there; null without. */
  kernel: { memory: KernelMemory; states: Record<string, number> } | null;
  /** By owner: whose large messages it holds. */
  pools: Record<
    string,
    { memory: SharedArrayBuffer; slotBytes: number; short?: ShortSlots | undefined }
  >;
  /** By thread. */
  doorbells: Record<string, SharedArrayBuffer>;
  lifecycles: Record<string, SharedArrayBuffer>;
}

const KIB = 1024;

function ringSizes(workerCount: number): [string, number][] {
  const sizes: [string, number][] = [
    ['reactor→control', 1024 * KIB],
    ['reactor→dispatcher', 1024 * KIB],
    ['control→reactor', 512 * KIB],
    ['control→dispatcher', 256 * KIB],
    ['control→writer', 512 * KIB],
    ['control→flusher', 256 * KIB],
    ['dispatcher→reactor', 512 * KIB],
    ['dispatcher→control', 256 * KIB],
    ['dispatcher→writer', 512 * KIB],
    ['dispatcher→flusher', 128 * KIB],
    ['dispatcher→queueWriter', 256 * KIB],
    ['writer→reactor', 512 * KIB],
  ];
  for (let index = 0; index < workerCount; index++) {
    sizes.push(
      [`reactor→worker${index}`, 1024 * KIB],
      [`worker${index}→writer`, 1024 * KIB],
      [`worker${index}→reactor`, 256 * KIB],
      [`worker${index}→control`, 512 * KIB],
      [`control→worker${index}`, 1024 * KIB],
    );
  }
  return sizes;
}

/** Frames: the longest that the protocol allows, and the same for the records made of them. */
const FRAME_SLOT_BYTES = FRAME_BYTES_MAX + 4096;
/** Two are more than 32 MiB, and so take no memory before they are used (fresh-memory.ts). */
const FEW_SLOTS = 2;
const FRAME_SLOT_COUNT = 4;
/** Of the frames that a worker makes records of where they are: they stay in the cache, and have room for what a record has more. */
const SHORT_FRAMES: ShortSlots = { count: 128, bytes: 132 * KIB };
const RECORD_SLOT_COUNT = 4;

/** Rings, in memory that WebAssembly sees if `usesKernel` and there is such. */
function allocateSharedRings(
  workerCount: number,
  usesKernel: boolean,
): Pick<BrokerMemory, 'rings' | 'kernel'> {
  let kernel: BrokerMemory['kernel'] = null;
  const rings = allocateRings(ringSizes(workerCount), (bytes) => {
    const workersEnd = bytes + workerCount * KERNEL_STATE_BYTES;
    const dispatcherEnd = workersEnd + DISPATCH_STATE_BYTES;
    const answersEnd = dispatcherEnd + ANSWER_STATE_BYTES;
    const readEnd = answersEnd + READ_BYTES;
    const memory = usesKernel ? allocateKernelMemory(readEnd + STAGING_BYTES) : null;
    if (memory === null) return freshSharedMemory(bytes);
    const states: Record<string, number> = {
      dispatcher: workersEnd,
      reactor: dispatcherEnd,
      read: answersEnd,
      staging: readEnd,
    };
    for (let index = 0; index < workerCount; index++)
      states[`worker${index}`] = bytes + index * KERNEL_STATE_BYTES;
    kernel = { memory, states };
    return memory.buffer;
  });
  return { rings: Object.fromEntries(rings), kernel };
}

export function allocateBrokerMemory(
  placement: Placement,
  workerCount: number,
  usesKernel: boolean,
  refusals = Refusals.allocate(),
): BrokerMemory {
  const pool = (slotCount: number, short?: ShortSlots): BrokerMemory['pools'][string] => ({
    memory: LargeMessagePool.allocate(slotCount, FRAME_SLOT_BYTES, short),
    slotBytes: FRAME_SLOT_BYTES,
    short,
  });
  const pools: BrokerMemory['pools'] = {
    reactor: pool(FRAME_SLOT_COUNT, SHORT_FRAMES),
    control: pool(FEW_SLOTS),
    dispatcher: pool(FEW_SLOTS),
  };
  for (let index = 0; index < workerCount; index++)
    pools[`worker${index}`] = pool(RECORD_SLOT_COUNT);
  const threads = [...placement.keys()];
  return {
    positions: new StorePositions().memory,
    appendLatency: new LatencyHistogram().memory,
    refusals,
    ...allocateSharedRings(workerCount, usesKernel),
    pools,
    doorbells: Object.fromEntries(threads.map((thread) => [thread, Doorbell.allocate()])),
    lifecycles: Object.fromEntries(threads.map((thread) => [thread, new SharedArrayBuffer(4)])),
  };
}
