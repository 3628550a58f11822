/**
 * @agent dispatcher
 *
 * The inner loop of the dispatcher as WebAssembly (`assembly/kernel.ts`): what a record says of itself that
 * its ConsumeQueue and the index have to know. A piece of the log is copied into a window of the memory
 * that WebAssembly sees, and read there.
 */
import { kernelLayout } from './kernel-code.ts';
import { instantiate, type KernelMemory } from './kernel-memory.ts';

/** Bytes of a state, in whole pages. */
export const DISPATCH_STATE_BYTES = Math.ceil(kernelLayout.DISPATCH_STATE_BYTES / 4096) * 4096;

const {
  RECORD_QUEUE_ID,
  RECORD_TOPIC_START,
  RECORD_TOPIC_END,
  RECORD_TAGS_HASH,
  RECORD_HAS_TAGS,
  RECORD_KEYS_START,
  RECORD_KEYS_END,
  RECORD_HAS_UNIQUE_KEY,
  RECORD_UNIQUE_KEY_HASH,
  RECORD_UNIQUE_KEY_POWER,
  RECORD_QUEUE_OFFSET,
  RECORD_PHYSICAL_OFFSET,
  RECORD_STORE_TIMESTAMP,
  WINDOW,
  WINDOW_BYTES,
} = kernelLayout;

type ScanRecord = (state: number, start: number, limit: number) => number;

export class DispatchKernel {
  /** What was loaded; places in it are those of the fields below. */
  readonly window: Buffer;
  #windowBytes = 0;
  readonly #state: number;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #scanRecord: ScanRecord;

  /** `stateOffset`: where this agent's state begins, `DISPATCH_STATE_BYTES` of memory. */
  constructor(memory: KernelMemory, stateOffset: number) {
    this.#state = stateOffset;
    this.#scanRecord = instantiate(memory)['scanRecord'] as ScanRecord;
    this.#int32 = new Int32Array(memory.buffer, stateOffset, WINDOW / 4);
    this.#float64 = new Float64Array(memory.buffer, stateOffset, WINDOW / 8);
    this.window = Buffer.from(memory.buffer, stateOffset + WINDOW, WINDOW_BYTES);
  }

  get windowBytes(): number {
    return this.#windowBytes;
  }

  /** Makes the window hold `bytes[from, limit)`, or as much of it as fits. */
  load(bytes: Buffer, from: number, limit: number): void {
    this.#windowBytes = Math.min(WINDOW_BYTES, limit - from);
    bytes.copy(this.window, 0, from, from + this.#windowBytes);
  }

  /**
   * Reads the record that begins at `start` of the window, and returns its length: what it is stands in the
   * fields then. 0 where it is not whole in there or not for here: a transaction's, one with a delay, with
   * names that are not ASCII.
   */
  scanRecord(start: number): number {
    return this.#scanRecord(this.#state, start, this.#windowBytes);
  }

  get queueId(): number {
    return this.#int32[RECORD_QUEUE_ID >> 2];
  }
  get queueOffset(): number {
    return this.#float64[RECORD_QUEUE_OFFSET >> 3];
  }
  get physicalOffset(): number {
    return this.#float64[RECORD_PHYSICAL_OFFSET >> 3];
  }
  get storeTimestampMs(): number {
    return this.#float64[RECORD_STORE_TIMESTAMP >> 3];
  }
  get topicStart(): number {
    return this.#int32[RECORD_TOPIC_START >> 2];
  }
  get topicEnd(): number {
    return this.#int32[RECORD_TOPIC_END >> 2];
  }
  get hasTags(): boolean {
    return this.#int32[RECORD_HAS_TAGS >> 2] !== 0;
  }
  /** Java hash of the tags. */
  get tagsHash(): number {
    return this.#int32[RECORD_TAGS_HASH >> 2];
  }
  /** The value of KEYS; 0 without. */
  get keysStart(): number {
    return this.#int32[RECORD_KEYS_START >> 2];
  }
  get keysEnd(): number {
    return this.#int32[RECORD_KEYS_END >> 2];
  }
  get hasUniqueKey(): boolean {
    return this.#int32[RECORD_HAS_UNIQUE_KEY >> 2] !== 0;
  }

  /** Java hash of the text that has the hash `seed`, with the UNIQ_KEY behind it. */
  uniqueKeyHash(seed: number): number {
    const int32 = this.#int32;
    const before = Math.imul(seed, int32[RECORD_UNIQUE_KEY_POWER >> 2]);
    return (before + int32[RECORD_UNIQUE_KEY_HASH >> 2]) | 0;
  }
}
