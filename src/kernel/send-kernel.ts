/**
 * @agent worker
 *
 * The inner loops of a request worker as WebAssembly (`assembly/kernel.ts`): scanning a JSON header, and
 * writing the record of a send that asks for nothing special. WebAssembly sees one memory: what it reads
 * and writes, rings and its own state, is made in that (`broker-memory.ts`). Without it the worker does
 * the same in TypeScript, at two and a half times the cost.
 */
import { kernelLayout } from './kernel-code.ts';
import { instantiate, type KernelMemory } from './kernel-memory.ts';

/** Bytes of a state, in steps that keep states of different agents on pages of their own. */
export const KERNEL_STATE_BYTES = 4 * 4096;
if (kernelLayout.STATE_BYTES > KERNEL_STATE_BYTES) throw new Error('a state has no room');
/** Set in the result of `encodeRecord`: WAIT is "false". */
export const KERNEL_WAIT_FALSE = kernelLayout.WAIT_FALSE;

type ScanJson = (state: number, base: number, start: number, end: number) => number;
type EncodeRecord = (
  state: number,
  base: number,
  target: number,
  queueId: number,
  flag: number,
  sysFlag: number,
  bornTimestamp: number,
  host: number,
  hostBytes: number,
  bornPort: number,
  reconsumeTimes: number,
  topicStart: number,
  topicBytes: number,
  propertiesField: number,
  bodyStart: number,
  bodyBytes: number,
  bodyCrc: number,
) => number;

export interface SendKernelOptions {
  memory: KernelMemory;
  /** Where this agent's state begins, `KERNEL_STATE_BYTES` of memory. */
  stateOffset: number;
  /** Where requests are, and where records go: both in `memory`. */
  source: Buffer;
  target: Buffer;
  /** 8 or 20 bytes. */
  storeHost: Uint8Array;
  /** What the broker adds to every property string. */
  suffix: Uint8Array;
  /** Properties that make a send special. */
  specialNames: readonly Uint8Array[];
}

export class SendKernel {
  readonly source: Buffer;
  readonly target: Buffer;
  /** Results of a scan, as `RequestScanner` has them. */
  readonly int32: Int32Array;
  readonly letter: Int32Array;
  readonly nameStart: Int32Array;
  readonly nameEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  readonly valueEscaped: Uint8Array;
  readonly #scanJson: ScanJson;
  readonly #encodeRecord: EncodeRecord;
  readonly #state: number;
  readonly #sourceBase: number;
  readonly #targetBase: number;

  /** @throws RangeError where a name or the suffix is too long for it */
  constructor(options: SendKernelOptions) {
    const { memory, stateOffset, source, target, storeHost, suffix, specialNames } = options;
    const exports = instantiate(memory);
    this.#scanJson = exports['scanJson'] as ScanJson;
    this.#encodeRecord = exports['encodeRecord'] as EncodeRecord;
    this.#state = stateOffset;
    this.source = source;
    this.target = target;
    this.#sourceBase = source.byteOffset;
    this.#targetBase = target.byteOffset;
    const { buffer } = memory;
    const {
      FIELD_COUNT_MAX,
      LETTER,
      NAME_START,
      NAME_LIMIT,
      VALUE_START,
      VALUE_LIMIT,
      VALUE_ESCAPED,
    } = kernelLayout;
    this.int32 = new Int32Array(buffer, stateOffset, LETTER / 4);
    this.letter = new Int32Array(buffer, stateOffset + LETTER, 26);
    this.nameStart = new Int32Array(buffer, stateOffset + NAME_START, FIELD_COUNT_MAX);
    this.nameEnd = new Int32Array(buffer, stateOffset + NAME_LIMIT, FIELD_COUNT_MAX);
    this.valueStart = new Int32Array(buffer, stateOffset + VALUE_START, FIELD_COUNT_MAX);
    this.valueEnd = new Int32Array(buffer, stateOffset + VALUE_LIMIT, FIELD_COUNT_MAX);
    this.valueEscaped = new Uint8Array(buffer, stateOffset + VALUE_ESCAPED, FIELD_COUNT_MAX);

    const { STORE_HOST_BYTES, STORE_HOST, SUFFIX_BYTES, SUFFIX, SUFFIX_BYTES_MAX } = kernelLayout;
    const { NAME_COUNT, NAMES, NAME_COUNT_MAX, NAME_PLACE } = kernelLayout;
    if (suffix.length > SUFFIX_BYTES_MAX)
      throw new RangeError('the suffix of properties is too long');
    if (specialNames.length > NAME_COUNT_MAX) throw new RangeError('too many special properties');
    (exports['init'] as (state: number) => void)(stateOffset);
    const state = new Uint8Array(buffer, stateOffset, KERNEL_STATE_BYTES);
    const int32 = new Int32Array(buffer, stateOffset, KERNEL_STATE_BYTES / 4);
    int32[STORE_HOST_BYTES / 4] = storeHost.length;
    state.set(storeHost, STORE_HOST);
    int32[SUFFIX_BYTES / 4] = suffix.length;
    state.set(suffix, SUFFIX);
    int32[NAME_COUNT / 4] = specialNames.length;
    specialNames.forEach((name, index) => {
      if (name.length >= NAME_PLACE) throw new RangeError('the name of a property is too long');
      state[NAMES + index * NAME_PLACE] = name.length;
      state.set(name, NAMES + index * NAME_PLACE + 1);
    });
  }

  get code(): number {
    return this.int32[kernelLayout.CODE >> 2];
  }
  get opaque(): number {
    return this.int32[kernelLayout.OPAQUE >> 2];
  }
  get flag(): number {
    return this.int32[kernelLayout.FLAG >> 2];
  }
  get version(): number {
    return this.int32[kernelLayout.VERSION >> 2];
  }
  get fieldCount(): number {
    return this.int32[kernelLayout.FIELD_COUNT >> 2];
  }

  /** Scans the JSON header in `source[start, end)`; false for one that is none. */
  scanJson(start: number, end: number): boolean {
    return this.#scanJson(this.#state, this.#sourceBase, start, end) !== 0;
  }

  /**
   * Writes the record of the send whose header was scanned last to `target` at `start`, all but what the
   * writer stamps. Returns its length and perhaps KERNEL_WAIT_FALSE; 0 where it asks for more than to be
   * stored. The address of the sender stands in `source`; `bodyCrc` -1: it is made here.
   */
  encodeRecord(
    start: number,
    queueId: number,
    flag: number,
    sysFlag: number,
    bornTimestamp: number,
    hostStart: number,
    hostBytes: number,
    bornPort: number,
    reconsumeTimes: number,
    topicStart: number,
    topicBytes: number,
    propertiesField: number,
    bodyStart: number,
    bodyBytes: number,
    bodyCrc: number,
  ): number {
    const base = this.#sourceBase;
    return this.#encodeRecord(
      this.#state,
      base,
      this.#targetBase + start,
      queueId,
      flag,
      sysFlag,
      bornTimestamp,
      base + hostStart,
      hostBytes,
      bornPort,
      reconsumeTimes,
      topicStart,
      topicBytes,
      propertiesField,
      bodyStart,
      bodyBytes,
      bodyCrc,
    );
  }
}
