/**
 * @agent dispatcher
 *
 * Wakes its owner at a time about a record of the log, for any number of records and any time ahead,
 * in bounded memory. Derived from the log: what a crash takes is added again from there.
 *
 * ```
 *  level   a bucket holds     is opened          then
 *  day     1 day              1 h before         its entries go to hours
 *  hour    1 h                5 min before       … to minutes
 *  minute  1 min              15 s before        … to seconds
 *  second  1 s                1.5 s before       … into the heap
 *
 *          opened[SECOND] ≤ opened[MINUTE] ≤ opened[HOUR] ≤ opened[DAY]
 *   heap ──────────┤ seconds ─────┤ minutes ─────┤ hours ─────┤ days ─────▶ time
 * ```
 * An entry goes to the finest level whose stretch of time is open: below `opened[DAY]` there are no
 * days any more. A bucket is a file that only grows (`timer-bucket.ts`), taken over a piece at a time;
 * what comes meanwhile for its stretch goes to the finer level directly. So each entry is written and
 * read at most four times, in order, however many there are and however they come.
 *
 * **What a crash leaves.** The manifest names the buckets and their lengths at one moment, the place in
 * the log up to which records had been added then (`position`), and the time up to which entries had
 * been handed out (`cursorMs`). It is replaced once the files are on disk up to those lengths, and
 * buckets that it does not name are deleted after. A start goes back to exactly that moment: files are
 * cut to their lengths, other files deleted, and the owner adds records from `position` on again.
 *
 * **Time** only decides what is handed out: nothing before its time, by the wall clock. A clock set
 * back by more than a second starts the near future anew.
 */
import type { Logger } from '../base/logging.ts';
import { DescriptorCache } from './descriptor-cache.ts';
import type { StoreFiles } from './segment.ts';
import { ENTRY_BYTES, readEntry, TimerBucket, type TimerBucketContext } from './timer-bucket.ts';
import { type TimerEntry, TimerHeap } from './timer-heap.ts';
import { MANIFEST, manifestText, readManifest, type TimerManifest } from './timer-manifest.ts';

export interface TimerWheelOptions {
  files: StoreFiles;
  directory: string;
  logger: Logger;
  /** Hears of each entry that will be handed out within the next seconds, before any of its moment is. */
  onNear: (entry: Readonly<TimerEntry>) => void;
  /** Entries of one second that the heap takes; more are handed out in the order of their file. */
  heapCountMax?: number;
}

const DAY = 0;
const SECOND = 3;
const widthMs: readonly number[] = [86_400_000, 3_600_000, 60_000, 1000];
/** How long before its time a bucket is opened: enough to take it over beside other work. Guesses. */
const leadMs: readonly number[] = [3_600_000, 300_000, 15_000, 1500];
/** About what a second's worth of deliveries is at most; 7 MB. */
const HEAP_COUNT_MAX = 262_144;
/** Read at once: 0.3 ms of work. */
const CHUNK_BYTES = 2048 * ENTRY_BYTES;
const DESCRIPTOR_COUNT_MAX = 64;
/** A clock that goes back by less is only waited for. */
const REWIND_MS = 1000;

export class TimerWheel {
  readonly #options: TimerWheelOptions;
  readonly #context: TimerBucketContext;
  readonly #heapCountMax: number;
  /** By level: buckets by the start of their time. */
  readonly #buckets: readonly Map<number, TimerBucket>[] = widthMs.map(() => new Map());
  /** By level: buckets of earlier times have been opened. Multiples of the level's width. */
  #opened = [0, 0, 0, 0];
  /** By level: the bucket that is being taken over, and how far, or null. */
  readonly #opening: ({ bucket: TimerBucket; at: number; end: number } | null)[] = widthMs.map(
    () => null,
  );
  readonly #heap = new TimerHeap();
  /** A number of the owner that is kept as it was at the moment of the manifest. */
  mark = 0;
  /** Everything due up to here was handed out. */
  #cursorMs = 0;
  /** The manifest on disk, or on its way there, says that records below were added. */
  #position = 0;
  #serial = 0;
  /** When horizons have to be looked at again. */
  #nextOpenMs = 0;
  /** Of no use any more, but named by a manifest: by the last one, or by that of the round. */
  #dropped: TimerBucket[] = [];
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  readonly #entry = emptyEntry();
  readonly #added = emptyEntry();
  /** Seconds that end before were let go of. */
  #droppedUntilMs = 0;
  #round: { manifest: TimerManifest; toWrite: TimerBucket[] } | null = null;

  constructor(options: TimerWheelOptions) {
    this.#options = options;
    this.#heapCountMax = options.heapCountMax ?? HEAP_COUNT_MAX;
    const { files, directory } = options;
    this.#context = {
      files,
      directory,
      descriptors: new DescriptorCache(files, DESCRIPTOR_COUNT_MAX),
      unsynced: new Set(),
      pending: new Set(),
    };
  }

  /** Records of the log below this place are in what `load` has found. */
  get position(): number {
    return this.#position;
  }

  /** Everything due up to here was handed out. */
  get cursorMs(): number {
    return this.#cursorMs;
  }

  /** Goes back to the moment of the manifest; an empty wheel where there is none. */
  load(): void {
    const { files, directory, logger } = this.#options;
    files.makeDirectory(directory);
    const manifest = readManifest(files, directory, logger);
    this.#position = manifest.position;
    this.#cursorMs = manifest.cursorMs;
    this.mark = manifest.mark;
    this.#serial = manifest.serial;
    this.#opened = [...manifest.opened];
    // What was in the heap is read again.
    this.#opened[SECOND] = Math.min(this.#opened[SECOND], startOf(SECOND, manifest.cursorMs + 1));
    const known = new Set([MANIFEST]);
    for (const { level, startMs, serial, bytes, readBytes } of manifest.buckets) {
      const bucket = new TimerBucket(this.#context, level, startMs, serial);
      bucket.restore(bytes, readBytes);
      bucket.isStreamed = level === SECOND && readBytes > 0;
      this.#buckets[level].set(startMs, bucket);
      known.add(bucket.path.slice(directory.length + 1));
      // A takeover that was cut short goes on where it was.
      if (level !== SECOND && startMs < this.#opened[level])
        this.#opening[level] = { bucket, at: readBytes, end: bytes };
    }
    const unknown = files.list(directory).filter((name) => !known.has(name));
    // A broker that was killed may have left a manifest whose name is not on the disk: the one before, which a
    // loss of power would bring back, may name what goes now.
    if (unknown.length > 0) files.syncDirectory(directory);
    for (const name of unknown) files.remove(`${directory}/${name}`);
    this.#nextOpenMs = 0;
  }

  /** What is due up to a time was delivered by somebody else. Before anything is added. */
  skipTo(timeMs: number): void {
    this.#cursorMs = Math.max(this.#cursorMs, timeMs);
  }

  /** Looks whether the clock was set back: to be called before `add`, once a turn. */
  followClock(nowMs: number): void {
    if (nowMs < this.#cursorMs - REWIND_MS) this.#rewind(nowMs);
  }

  /** Takes an entry in; what is due before anything that can still be handed out comes next. */
  add(entry: Readonly<TimerEntry>): void {
    // Not the entry that is being handed out: that may be why this one comes.
    const added = this.#added;
    added.fireMs = Math.max(entry.fireMs, this.#cursorMs + 1);
    added.physicalOffset = entry.physicalOffset;
    added.bytes = entry.bytes;
    added.kind = entry.kind;
    added.tag = entry.tag;
    this.#put(added);
  }

  /**
   * Opens what has to be, and hands out up to `countMax` entries that are due, the earliest first.
   * `fire` returns false where it has no room: that entry comes again. Returns the work done: 0 when
   * there is nothing to do before `nextDueMs`.
   */
  doWork(nowMs: number, countMax: number, fire: (entry: Readonly<TimerEntry>) => boolean): number {
    this.followClock(nowMs);
    let work = this.#advance(nowMs);
    const entry = this.#entry;
    const heap = this.#heap;
    // With nothing to be opened yet all that is due is loaded, however long ago anything was opened.
    const isLoaded = nowMs < this.#nextOpenMs && this.#opening.every((opening) => opening === null);
    const limitMs = isLoaded ? nowMs : Math.min(nowMs, this.#loadedUntilMs() - 1);
    let count = 0;
    while (count < countMax && heap.topMs <= limitMs) {
      heap.peek(entry);
      // First out of the heap: whoever is handed it may add others.
      heap.pop();
      if (!fire(entry)) {
        heap.push(entry);
        this.#cursorMs = Math.max(this.#cursorMs, entry.fireMs - 1);
        return work + count;
      }
      count++;
    }
    this.#cursorMs = Math.max(this.#cursorMs, Math.min(limitMs, heap.topMs - 1));
    const stream = this.#opening[SECOND];
    if (stream !== null && stream.bucket.isStreamed && count < countMax)
      work += this.#stream(stream, nowMs, fire);
    this.#dropHandedOut();
    return work + count;
  }

  /** When `doWork` has to be called next, if nothing is added before. */
  nextDueMs(): number {
    return Math.min(this.#heap.topMs, this.#nextOpenMs);
  }

  /**
   * Begins to write what is in memory: the wheel as it is now, with all records below `position`.
   * A round that was not finished is given up.
   */
  startRound(position: number): void {
    const buckets = [];
    for (const [level, byStart] of this.#buckets.entries()) {
      for (const bucket of byStart.values()) {
        const opening = this.#opening[level];
        const isRead = opening?.bucket === bucket && (level !== SECOND || bucket.isStreamed);
        const { startMs, serial } = bucket;
        const readBytes = isRead ? opening.at : bucket.readBytes;
        buckets.push({ level, startMs, serial, bytes: bucket.totalBytes, readBytes });
      }
    }
    const manifest = {
      position,
      cursorMs: this.#cursorMs,
      mark: this.mark,
      serial: this.#serial,
      opened: [...this.#opened],
      buckets,
    };
    this.#round = { manifest, toWrite: [...this.#context.pending] };
  }

  /**
   * Writes one bucket; true when all that was in memory at the start of the round is written.
   * @throws BrokerError STORE_NO_SPACE; what is not written stays in memory
   */
  continueRound(): boolean {
    const toWrite = this.#round?.toWrite ?? [];
    toWrite.at(-1)?.write();
    toWrite.pop();
    return toWrite.length === 0;
  }

  /**
   * What makes the round last: sync `paths`, replace `path` by `text`, and only then delete `removed`.
   * Before that, what was handed out until the start of the round must be on disk, too.
   */
  takeRound(): { path: string; text: string; paths: string[]; removed: string[] } {
    if (this.#round === null) throw new Error('no round was begun');
    const { directory } = this.#options;
    const { unsynced } = this.#context;
    const { manifest } = this.#round;
    const named = new Set(manifest.buckets.map(({ serial }) => serial));
    const removed: string[] = [];
    const stillNamed: TimerBucket[] = [];
    for (const bucket of this.#dropped) {
      if (named.has(bucket.serial)) stillNamed.push(bucket);
      else {
        if (bucket.hasFile) removed.push(bucket.path);
        bucket.drop();
      }
    }
    this.#dropped = stillNamed;
    const path = `${directory}/${MANIFEST}`;
    const round = { path, text: manifestText(manifest), paths: [...unsynced], removed };
    unsynced.clear();
    this.#round = null;
    return round;
  }

  close(): void {
    this.#context.descriptors.closeAll();
  }

  /** Everything earlier is in the heap, or was. */
  #loadedUntilMs(): number {
    return this.#opening[SECOND]?.bucket.startMs ?? this.#opened[SECOND];
  }

  #put(entry: Readonly<TimerEntry>): void {
    const { fireMs } = entry;
    let level = DAY;
    while (level < SECOND && fireMs < this.#opened[level]) level++;
    const startMs = startOf(level, fireMs);
    let bucket = this.#buckets[level].get(startMs);
    if (bucket === undefined) {
      bucket = new TimerBucket(this.#context, level, startMs, ++this.#serial);
      this.#buckets[level].set(startMs, bucket);
      bucket.isLoaded = level === SECOND && startMs < this.#opened[SECOND];
      if (!bucket.isLoaded) this.#nextOpenMs = Math.min(this.#nextOpenMs, startMs - leadMs[level]);
    }
    bucket.append(entry);
    if (!bucket.isLoaded) return;
    if (!bucket.isStreamed) this.#heap.push(entry);
    this.#options.onNear(entry);
  }

  /** Opens buckets whose time comes, and takes a piece of one over; returns the work done. */
  #advance(nowMs: number): number {
    let work = 0;
    if (nowMs >= this.#nextOpenMs) work += this.#openNext(nowMs);
    for (let level = SECOND; level >= DAY; level--) {
      const opening = this.#opening[level];
      if (opening === null || opening.bucket.isStreamed) continue;
      this.#takeOver(level, opening);
      return work + 1;
    }
    return work;
  }

  #openNext(nowMs: number): number {
    let work = 0;
    this.#nextOpenMs = Infinity;
    try {
      // Coarse levels first: no finer one is opened beyond what they have handed down.
      let limitMs = Infinity;
      for (let level = DAY; level <= SECOND; level++) {
        const wantedMs = startOf(level, nowMs + leadMs[level]) + widthMs[level];
        if (this.#opening[level] === null) work += this.#open(level, Math.min(wantedMs, limitMs));
        limitMs = this.#opening[level]?.bucket.startMs ?? this.#opened[level];
      }
    } catch (error) {
      this.#nextOpenMs = 0;
      throw error;
    }
    if (work > 0) this.#nextOpenMs = 0;
    return work;
  }

  /**
   * Opens the first bucket of a level that begins before `untilMs`; returns 1 if there is one.
   * @throws BrokerError STORE_NO_SPACE; it stays closed
   */
  #open(level: number, untilMs: number): number {
    let first: TimerBucket | null = null;
    let nextMs = Infinity;
    for (const bucket of this.#buckets[level].values()) {
      if (bucket.startMs < this.#opened[level]) continue;
      if (bucket.startMs >= untilMs) nextMs = Math.min(nextMs, bucket.startMs - leadMs[level]);
      else if (first === null || bucket.startMs < first.startMs) first = bucket;
    }
    this.#nextOpenMs = Math.min(this.#nextOpenMs, nextMs);
    if (first === null) {
      this.#opened[level] = Math.max(this.#opened[level], untilMs);
      return 0;
    }
    // What is read is what was there; what comes from now on goes further down by itself. Where the disk
    // is full nothing has changed, and it is tried again.
    first.write();
    this.#opened[level] = first.startMs + widthMs[level];
    first.isLoaded = level === SECOND;
    first.isStreamed ||= level === SECOND && first.entryCount > this.#heapCountMax;
    this.#opening[level] = { bucket: first, at: first.readBytes, end: first.totalBytes };
    if (first.isStreamed) this.#announce(first);
    return 1;
  }

  /** Takes over a piece of a bucket: into finer ones, or into the heap. */
  #takeOver(level: number, opening: { bucket: TimerBucket; at: number; end: number }): void {
    const { bucket, end } = opening;
    const entry = this.#entry;
    const bytes = Math.min(bucket.read(this.#chunk, opening.at), end - opening.at);
    for (let at = 0; at < bytes; at += ENTRY_BYTES) {
      readEntry(this.#chunk, at, entry);
      if (level !== SECOND) this.#put(entry);
      else if (entry.fireMs > this.#cursorMs) {
        this.#heap.push(entry);
        this.#options.onNear(entry);
      }
    }
    opening.at += bytes;
    if (opening.at < end) return;
    this.#opening[level] = null;
    this.#nextOpenMs = 0;
    if (level !== SECOND) this.#drop(bucket);
  }

  /** Names what is near of a bucket that is not put in the heap. */
  #announce(bucket: TimerBucket): void {
    const entry = this.#entry;
    for (let from = bucket.readBytes; ;) {
      const bytes = bucket.read(this.#chunk, from);
      if (bytes === 0) return;
      for (let at = 0; at < bytes; at += ENTRY_BYTES) {
        readEntry(this.#chunk, at, entry);
        this.#options.onNear(entry);
      }
      from += bytes;
    }
  }

  /** Hands out a piece of a bucket in the order of its file, once all of it is due. */
  #stream(
    opening: { bucket: TimerBucket; at: number; end: number },
    nowMs: number,
    fire: (entry: Readonly<TimerEntry>) => boolean,
  ): number {
    const { bucket } = opening;
    const endMs = bucket.startMs + widthMs[SECOND];
    this.#nextOpenMs = Math.min(this.#nextOpenMs, endMs);
    if (nowMs < endMs || this.#heap.topMs < bucket.startMs) return 0;
    bucket.write();
    const entry = this.#entry;
    const bytes = bucket.read(this.#chunk, opening.at);
    for (let at = 0; at < bytes; at += ENTRY_BYTES) {
      readEntry(this.#chunk, at, entry);
      if (!fire(entry)) return at / ENTRY_BYTES;
      opening.at += ENTRY_BYTES;
      bucket.readBytes = opening.at;
    }
    if (bytes === 0) {
      this.#opening[SECOND] = null;
      this.#cursorMs = Math.max(this.#cursorMs, endMs - 1);
      this.#nextOpenMs = 0;
    }
    return 1 + bytes / ENTRY_BYTES;
  }

  /** Lets go of seconds of which everything was handed out. */
  #dropHandedOut(): void {
    const untilMs = startOf(SECOND, this.#cursorMs + 1);
    if (untilMs === this.#droppedUntilMs) return;
    this.#droppedUntilMs = untilMs;
    for (const bucket of this.#buckets[SECOND].values()) {
      if (bucket.isLoaded && bucket.startMs < untilMs) this.#drop(bucket);
    }
  }

  #drop(bucket: TimerBucket): void {
    this.#buckets[bucket.level].delete(bucket.startMs);
    if (bucket.hasFile || this.#round !== null) this.#dropped.push(bucket);
    else bucket.drop();
  }

  /** The clock was set back: what was loaded is put where it belongs by the time that it is now. */
  #rewind(nowMs: number): void {
    this.#options.logger.warn(
      { backMs: Math.round(this.#cursorMs - nowMs) },
      'the clock was set back; timed messages wait for their time by the new one',
    );
    // A stream goes on as it is: its entries are due by the old clock and wait for the new one.
    const left: TimerEntry[] = [];
    this.#heap.drain((entry) => left.push({ ...entry }));
    const opening = this.#opening[SECOND];
    if (opening !== null && !opening.bucket.isStreamed) {
      while (this.#opening[SECOND] !== null) this.#takeOver(SECOND, opening);
      this.#heap.drain((entry) => left.push({ ...entry }));
    }
    for (const bucket of this.#buckets[SECOND].values())
      if (bucket.isLoaded && !bucket.isStreamed) this.#drop(bucket);
    this.#cursorMs = nowMs - 1;
    const openedMs = startOf(SECOND, nowMs);
    this.#opened[SECOND] = Math.min(this.#opened[SECOND], openedMs);
    this.#nextOpenMs = 0;
    for (const entry of left) this.#put(entry);
  }
}

function emptyEntry(): TimerEntry {
  return { fireMs: 0, physicalOffset: 0, bytes: 0, kind: 0, tag: 0 };
}

function startOf(level: number, timeMs: number): number {
  return timeMs - (timeMs % widthMs[level]);
}
