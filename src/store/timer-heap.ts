/**
 * @agent dispatcher
 *
 * Timer entries that are due within the next seconds, the earliest on top; of one moment, those stored
 * first. A binary heap over columns: an entry costs 28 bytes and no object.
 */

/** A record, and when to look at it. Handed out as a view that the next call overwrites. */
export interface TimerEntry {
  /** Milliseconds since the epoch, by the wall clock. */
  fireMs: number;
  physicalOffset: number;
  /** Length of the record. */
  bytes: number;
  /** One of `TimerKind`. */
  kind: number;
  /** An int32 of its owner. */
  tag: number;
}

const COUNT_MIN = 1024;

export class TimerHeap {
  #capacity = COUNT_MIN;
  #fireMs = new Float64Array(COUNT_MIN);
  #physicalOffset = new Float64Array(COUNT_MIN);
  #bytes = new Int32Array(COUNT_MIN);
  #kind = new Int32Array(COUNT_MIN);
  #tag = new Int32Array(COUNT_MIN);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Infinity where there is none. */
  get topMs(): number {
    return this.#count === 0 ? Infinity : this.#fireMs[0];
  }

  push(entry: Readonly<TimerEntry>): void {
    if (this.#count === this.#capacity) this.#resize(this.#capacity * 2);
    let at = this.#count++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(entry.fireMs, entry.physicalOffset, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#set(at, entry);
  }

  /** Copies the top into `into`. */
  peek(into: TimerEntry): void {
    this.#get(0, into);
  }

  pop(): void {
    const last = --this.#count;
    if (last > 0) {
      const fireMs = this.#fireMs[last];
      const physicalOffset = this.#physicalOffset[last];
      let at = 0;
      for (;;) {
        let child = 2 * at + 1;
        if (child >= last) break;
        const right = child + 1;
        if (right < last && this.#isBefore(this.#fireMs[right], this.#physicalOffset[right], child))
          child = right;
        if (this.#isBefore(fireMs, physicalOffset, child)) break;
        this.#move(child, at);
        at = child;
      }
      this.#move(last, at);
    }
    if (this.#count * 8 < this.#capacity && this.#capacity > COUNT_MIN)
      this.#resize(this.#capacity / 2);
  }

  /** Takes everything out, in no order. */
  drain(take: (entry: Readonly<TimerEntry>) => void): void {
    const entry: TimerEntry = { fireMs: 0, physicalOffset: 0, bytes: 0, kind: 0, tag: 0 };
    const count = this.#count;
    const columns = [this.#fireMs, this.#physicalOffset, this.#bytes, this.#kind, this.#tag];
    this.#count = 0;
    this.#resize(COUNT_MIN);
    const [fireMs, physicalOffset, bytes, kind, tag] = columns;
    for (let at = 0; at < count; at++) {
      entry.fireMs = fireMs[at];
      entry.physicalOffset = physicalOffset[at];
      entry.bytes = bytes[at];
      entry.kind = kind[at];
      entry.tag = tag[at];
      take(entry);
    }
  }

  #isBefore(fireMs: number, physicalOffset: number, other: number): boolean {
    const otherMs = this.#fireMs[other];
    return fireMs < otherMs || (fireMs === otherMs && physicalOffset < this.#physicalOffset[other]);
  }

  #move(from: number, to: number): void {
    this.#fireMs[to] = this.#fireMs[from];
    this.#physicalOffset[to] = this.#physicalOffset[from];
    this.#bytes[to] = this.#bytes[from];
    this.#kind[to] = this.#kind[from];
    this.#tag[to] = this.#tag[from];
  }

  #set(at: number, entry: Readonly<TimerEntry>): void {
    this.#fireMs[at] = entry.fireMs;
    this.#physicalOffset[at] = entry.physicalOffset;
    this.#bytes[at] = entry.bytes;
    this.#kind[at] = entry.kind;
    this.#tag[at] = entry.tag;
  }

  #get(at: number, into: TimerEntry): void {
    into.fireMs = this.#fireMs[at];
    into.physicalOffset = this.#physicalOffset[at];
    into.bytes = this.#bytes[at];
    into.kind = this.#kind[at];
    into.tag = this.#tag[at];
  }

  #resize(capacity: number): void {
    const { length } = this.#fireMs;
    const count = Math.min(length, capacity);
    const float = (from: Float64Array): Float64Array<ArrayBuffer> => {
      const to = new Float64Array(capacity);
      to.set(from.subarray(0, count));
      return to;
    };
    const int = (from: Int32Array): Int32Array<ArrayBuffer> => {
      const to = new Int32Array(capacity);
      to.set(from.subarray(0, count));
      return to;
    };
    this.#fireMs = float(this.#fireMs);
    this.#physicalOffset = float(this.#physicalOffset);
    this.#bytes = int(this.#bytes);
    this.#kind = int(this.#kind);
    this.#tag = int(this.#tag);
    this.#capacity = capacity;
  }
}
