/**
 * @agent dispatcher
 *
 * Delivers timed messages: hears of each record that is stored on the timer topic, has the timer wheel
 * say when its time has come, and stores it again on its real topic and queue. Every message is
 * delivered at least once and never before its time.
 *
 * A message is recalled by a marker, a record of the timer topic that is due with it and names it: the
 * wheel tells of markers before anything of their moment is handed out.
 *
 * Source: TimerMessageStore.java.
 */
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { javaTextHash } from '../protocol/java-string-hash.ts';
import {
  decodeProperties,
  encodeProperties,
  findProperty,
  PROPERTIES_BYTES_MAX,
  PropertyName,
  readProperty,
} from '../protocol/message-properties.ts';
import { RecordKind, RecordView } from '../protocol/message-record.ts';
import { encodeRecord, fieldsOf, type RecordDraft } from '../protocol/record-encoder.ts';
import { realDestinationOf } from './real-destination.ts';
import { SystemTopic } from './resource-name.ts';
import { timerKey } from './timer-message.ts';

/** What the wheel is told and tells of a record (store/timer-wheel.ts). */
export interface TimedEntry {
  fireMs: number;
  physicalOffset: number;
  bytes: number;
  kind: number;
  tag: number;
}

export const TimerKind = {
  /** A timed message; `tag`: hash of its timer key. */
  MESSAGE: 0,
  /** Recalls such a message; the same `tag`. */
  MARKER: 1,
  /** A half message whose producer is to be asked; `tag`: how often it was. */
  HALF: 2,
} as const;

export interface TimedDeliveryOptions {
  wallClock: WallClock;
  add: (entry: TimedEntry) => void;
  /** Everything due up to here was handed out. */
  cursorMs: () => number;
  /** Below this place of the log, messages have copies that were dispatched; and it has risen. */
  movedBelow: () => number;
  onMoved: (position: number) => void;
  /** The whole record; null where it has expired. */
  record: (physicalOffset: number, bytes: number) => Buffer | null;
  /** Undefined for a topic that does not exist (any more). */
  topicIdOf: (topic: string) => number | undefined;
  /** False when there is no room now: the draft was not taken. */
  append: (draft: RecordDraft) => boolean;
  logger: Logger;
}

/** Millrace's own: where in the log the message was that this is a copy of. */
const MOVED_FROM = 'TIMER_MOVED_FROM';
const movedFromName = Buffer.from(MOVED_FROM);
const outName = Buffer.from(PropertyName.TIMER_OUT_MS);
const realTopicName = Buffer.from(PropertyName.REAL_TOPIC);
const uniqueKeyName = Buffer.from(PropertyName.UNIQUE_KEY);
const markerName = Buffer.from(PropertyName.TIMER_DELETE_UNIQUE_KEY);
/** Markers are kept a little longer than their moment: a message of the same moment may be handed out after. */
const MARKER_KEPT_MS = 2000;

export class TimedDelivery {
  readonly #options: TimedDeliveryOptions;
  readonly #view = new RecordView();
  readonly #entry: TimedEntry = { fireMs: 0, physicalOffset: 0, bytes: 0, kind: 0, tag: 0 };
  /** Recalls whose time is near, by tag. */
  readonly #markers = new Map<number, { key: string; fireMs: number }[]>();
  /** Messages below have copies, dispatched or on their way. */
  #movingBelow = 0;

  constructor(options: TimedDeliveryOptions) {
    this.#options = options;
  }

  /** A record of the timer topic was stored. */
  onStored(view: RecordView): void {
    const { buffer, propertiesStart } = view;
    const end = propertiesStart + view.propertiesBytes;
    const outMs = Number(readProperty(buffer, propertiesStart, end, outName) ?? NaN);
    const movedFrom = readProperty(buffer, propertiesStart, end, movedFromName);
    if (movedFrom !== undefined) this.#options.onMoved(Number(movedFrom) + 1);
    const marker = readProperty(buffer, propertiesStart, end, markerName);
    const key = marker ?? keyOf(view);
    if (!Number.isSafeInteger(outMs)) {
      const { physicalOffset } = view;
      this.#options.logger.warn({ physicalOffset }, 'timed message without a time skipped');
      return;
    }
    const entry = this.#entry;
    entry.fireMs = outMs;
    entry.physicalOffset = view.physicalOffset;
    entry.bytes = view.totalBytes;
    entry.kind = marker === undefined ? TimerKind.MESSAGE : TimerKind.MARKER;
    entry.tag = javaTextHash(key);
    this.#options.add(entry);
  }

  /** An entry is due within seconds. */
  onNear(entry: Readonly<TimedEntry>): void {
    if (entry.kind !== TimerKind.MARKER) return;
    const view = this.#read(entry);
    if (view === null) return;
    const end = view.propertiesStart + view.propertiesBytes;
    const key = readProperty(view.buffer, view.propertiesStart, end, markerName);
    if (key === undefined) return;
    const markers = this.#markers.get(entry.tag) ?? [];
    markers.push({ key, fireMs: entry.fireMs });
    this.#markers.set(entry.tag, markers);
  }

  /**
   * Copies a message of the timer topic to the end of the log if it still waits; false when there is no
   * room. Called in the order of the log, when all that was due has been handed out.
   */
  move(view: RecordView): boolean {
    const { cursorMs, movedBelow, topicIdOf, append } = this.#options;
    const { buffer, propertiesStart, physicalOffset } = view;
    const end = propertiesStart + view.propertiesBytes;
    const outMs = Number(readProperty(buffer, propertiesStart, end, outName) ?? NaN);
    if (!(outMs > cursorMs()) || physicalOffset < Math.max(this.#movingBelow, movedBelow()))
      return true;
    const topicId = topicIdOf(SystemTopic.WHEEL_TIMER);
    if (topicId === undefined) return false;
    const fields = fieldsOf(view);
    const properties = decodeProperties(Buffer.from(fields.properties).toString());
    properties.set(MOVED_FROM, String(physicalOffset));
    const text = Buffer.from(encodeProperties(properties));
    if (text.length <= PROPERTIES_BYTES_MAX) fields.properties = text;
    if (!append({ topicId, queueId: 0, record: encodeRecord(fields) })) return false;
    this.#movingBelow = physicalOffset + 1;
    return true;
  }

  /** Its time has come; false when there is no room to store it. */
  onDue(entry: Readonly<TimedEntry>): boolean {
    // Its copy comes at its time.
    if (entry.physicalOffset < Math.max(this.#movingBelow, this.#options.movedBelow())) return true;
    if (entry.kind === TimerKind.MARKER) {
      this.#forgetMarkers(entry.fireMs - MARKER_KEPT_MS);
      return true;
    }
    const { topicIdOf, append, logger, wallClock } = this.#options;
    const where = { physicalOffset: entry.physicalOffset };
    const view = this.#read(entry);
    if (view === null) {
      logger.warn(where, 'timed message skipped: its record is gone');
      return true;
    }
    if (this.#markers.size > 0 && this.#isRecalled(entry.tag, view)) return true;
    const destination = realDestinationOf(view);
    const topicId = destination === null ? undefined : topicIdOf(destination.topic);
    if (destination === null || topicId === undefined) {
      logger.warn(
        { ...where, ...destination },
        'timed message skipped: no such topic to deliver to',
      );
      return true;
    }
    const fields = fieldsOf(view);
    const added = Buffer.from(
      `${PropertyName.TIMER_ENQUEUE_MS}\x01${view.storeTimestampMs}\x02${PropertyName.TIMER_DEQUEUE_MS}\x01${wallClock.nowMs()}\x02`,
    );
    const properties = Buffer.concat([withoutMoved(fields.properties), added]);
    if (properties.length <= PROPERTIES_BYTES_MAX) fields.properties = properties;
    const record = encodeRecord({ ...fields, ...destination });
    return append({ topicId, queueId: destination.queueId, record });
  }

  #isRecalled(tag: number, view: RecordView): boolean {
    const markers = this.#markers.get(tag);
    if (markers === undefined) return false;
    const key = keyOf(view);
    return markers.some((marker) => marker.key === key);
  }

  #forgetMarkers(untilMs: number): void {
    for (const [tag, markers] of this.#markers) {
      const left = markers.filter(({ fireMs }) => fireMs > untilMs);
      if (left.length === 0) this.#markers.delete(tag);
      else if (left.length < markers.length) this.#markers.set(tag, left);
    }
  }

  /** The record of an entry; null where the log has none of the timer topic there (any more). */
  #read(entry: Readonly<TimedEntry>): RecordView | null {
    const record = this.#options.record(entry.physicalOffset, entry.bytes);
    const view = this.#view;
    if (record === null || view.read(record, 0, record.length, false) !== RecordKind.MESSAGE)
      return null;
    const { topicStart, topicBytes } = view;
    const isOurs =
      view.physicalOffset === entry.physicalOffset &&
      view.propertiesBytes <= PROPERTIES_BYTES_MAX &&
      record.toString('latin1', topicStart, topicStart + topicBytes) === SystemTopic.WHEEL_TIMER;
    return isOurs ? view : null;
  }
}

/** A copy is delivered as the message that it was made of. */
function withoutMoved(properties: Uint8Array): Uint8Array {
  const bytes = Buffer.from(properties.buffer, properties.byteOffset, properties.length);
  if (findProperty(bytes, 0, bytes.length, movedFromName) < 0) return properties;
  const decoded = decodeProperties(bytes.toString());
  decoded.delete(MOVED_FROM);
  return Buffer.from(encodeProperties(decoded));
}

/** The timer key of the message that `view` has read. */
function keyOf(view: RecordView): string {
  const { buffer, propertiesStart } = view;
  const end = propertiesStart + view.propertiesBytes;
  return timerKey(
    readProperty(buffer, propertiesStart, end, realTopicName) ?? '',
    readProperty(buffer, propertiesStart, end, uniqueKeyName) ?? '',
  );
}
