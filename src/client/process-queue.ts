/**
 * @agent any
 *
 * The messages of one queue that have arrived and are not finished, in the order of their offsets.
 * Whatever the order in which they finish, the group goes on behind the last one before which nothing
 * is open:
 *
 * ```
 *   offset   10   11   12   13   14
 *           done open done open (next pull)        commitOffset 11: two may come again, none is lost
 *                 ▲ head         ▲ cursor
 * ```
 * A message waits, is handed out, and is finished, or waits again (`putBack`). A dropped queue (taken
 * away, sought, moved) hands out nothing more, and what its messages come to changes no offset.
 */
import { clientActivity } from './client-activity.ts';
import type { MessageQueue } from './message.ts';

export const MessageState = {
  WAITING: 0,
  HANDED_OUT: 1,
  /** The broker is being asked to deliver it again. */
  SETTLING: 2,
  FINISHED: 3,
} as const;
export type MessageState = (typeof MessageState)[keyof typeof MessageState];

/** What a process queue needs of a message. */
export interface TrackedMessage {
  readonly queueOffset: number;
  /** Of its record, for flow control. */
  readonly storeBytes: number;
  /** Written by the process queue alone. */
  state: MessageState;
}

export interface ProcessQueueLimits {
  /** Messages that may be open before no more are pulled. */
  readonly openCountMax: number;
  readonly openBytesMax: number;
  /** Between the first and the last open offset: what may come again after a crash. */
  readonly spanMax: number;
}

/** Finished messages at the head of the list that are kept before it is cut. */
const CUT_COUNT = 512;

export class ProcessQueue<Message extends TrackedMessage> {
  readonly queue: MessageQueue;
  /** One batch at a time, in order. */
  readonly isOrdered: boolean;
  readonly #limits: ProcessQueueLimits;
  #items: Message[] = [];
  /** Index of the first that is not finished. */
  #head = 0;
  /** Index of the first that was never handed out. */
  #cursor = 0;
  /** Handed out before, and to be handed out again, first of all. */
  #again: Message[] = [];
  #openCount = 0;
  #openBytes = 0;
  #handedOutCount = 0;
  #nextOffset: number;
  #isDropped = false;
  #isPaused = false;
  #isSuspended = false;
  /** Monotonic time until which the lock holds; only where the queue must be locked. */
  lockedUntilMs = Infinity;
  /** In a list of queues that have something to hand out; kept by its owner. */
  isListed = false;
  /** Called when there is room for a pull again, and when it is dropped. */
  onRoom: (() => void) | null = null;
  #onIdle: (() => void)[] = [];
  lastPullMs = 0;
  lastConsumeMs = 0;

  constructor(
    queue: MessageQueue,
    options: { offset: number; isOrdered: boolean; limits: ProcessQueueLimits },
  ) {
    this.queue = queue;
    this.isOrdered = options.isOrdered;
    this.#limits = options.limits;
    this.#nextOffset = options.offset;
  }

  /** Where the next pull reads. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /** Where the group would go on without this member. Never falls. */
  get commitOffset(): number {
    return this.#head < this.#items.length ? this.#items[this.#head].queueOffset : this.#nextOffset;
  }

  get openCount(): number {
    return this.#openCount;
  }

  get openBytes(): number {
    return this.#openBytes;
  }

  get handedOutCount(): number {
    return this.#handedOutCount;
  }

  get isDropped(): boolean {
    return this.#isDropped;
  }

  get hasRoom(): boolean {
    return (
      this.#openCount < this.#limits.openCountMax &&
      this.#openBytes < this.#limits.openBytesMax &&
      this.#nextOffset - this.commitOffset < this.#limits.spanMax
    );
  }

  /** Whether `take` would hand out something now. */
  canTake(nowMs: number): boolean {
    if (this.#isDropped || this.#isPaused || this.#waitingCount === 0) return false;
    if (!this.isOrdered) return true;
    return this.#handedOutCount === 0 && !this.#isSuspended && nowMs < this.lockedUntilMs;
  }

  get #waitingCount(): number {
    return this.#items.length - this.#cursor + this.#again.length;
  }

  /** Takes the messages of a pull, by rising offset, and where the next one reads. */
  append(messages: readonly Message[], nextOffset: number): void {
    if (this.#isDropped) return;
    for (const message of messages) {
      this.#items.push(message);
      this.#openBytes += message.storeBytes;
    }
    this.#openCount += messages.length;
    this.#nextOffset = nextOffset;
    if (!this.#isPaused) count(messages.length);
  }

  /** Hands out the next one; undefined where nothing waits. The caller has asked `canTake`. */
  takeOne(): Message | undefined {
    let message: Message | undefined;
    if (this.#again.length > 0) {
      message = this.#again.shift();
      count(1);
    } else message = this.#cursor < this.#items.length ? this.#items[this.#cursor++] : undefined;
    if (message === undefined) return undefined;
    message.state = MessageState.HANDED_OUT;
    this.#handedOutCount++;
    return message;
  }

  take(countMax: number): Message[] {
    const messages: Message[] = [];
    while (messages.length < countMax) {
      const message = this.takeOne();
      if (message === undefined) break;
      messages.push(message);
    }
    return messages;
  }

  /** From now on its end is in the hands of whoever asks the broker. False where it is finished. */
  settle(message: Message): boolean {
    if (message.state !== MessageState.HANDED_OUT) return false;
    message.state = MessageState.SETTLING;
    return true;
  }

  /** The message is done with, here or because somebody else has it now. Once; later calls do nothing. */
  finish(message: Message): void {
    const { state } = message;
    if (state !== MessageState.HANDED_OUT && state !== MessageState.SETTLING) return;
    message.state = MessageState.FINISHED;
    this.#handedOutCount--;
    uncount(1);
    if (this.#handedOutCount === 0) this.#becomeIdle();
    if (this.#isDropped) return;
    const hadRoom = this.hasRoom;
    this.#openCount--;
    this.#openBytes -= message.storeBytes;
    this.#advance();
    if (!hadRoom && this.hasRoom) this.onRoom?.();
  }

  /** The message is to be handed out again, before others. Until then it is no work at hand. */
  putBack(message: Message): void {
    if (this.postpone(message)) this.resume(message);
  }

  /** Like `putBack`, but not before `resume`. False where it is finished. */
  postpone(message: Message): boolean {
    const { state } = message;
    if (state !== MessageState.HANDED_OUT && state !== MessageState.SETTLING) return false;
    this.#handedOutCount--;
    uncount(1);
    message.state = this.#isDropped ? MessageState.FINISHED : MessageState.WAITING;
    if (this.#handedOutCount === 0) this.#becomeIdle();
    return !this.#isDropped;
  }

  resume(message: Message): void {
    if (!this.#isDropped) this.#again.push(message);
  }

  /** An ordered queue waits with its next message, and with all behind it. */
  suspend(isSuspended: boolean): void {
    this.#isSuspended = isSuspended;
  }

  /** What waits in a paused queue is no work at hand. */
  pause(isPaused: boolean): void {
    if (isPaused === this.#isPaused || this.#isDropped) return;
    this.#isPaused = isPaused;
    const freshCount = this.#items.length - this.#cursor;
    if (isPaused) uncount(freshCount);
    else count(freshCount);
    if (!isPaused) this.onRoom?.();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  drop(): void {
    if (this.#isDropped) return;
    if (!this.#isPaused) uncount(this.#items.length - this.#cursor);
    this.#isDropped = true;
    this.#items = this.#items.slice(this.#head, this.#head + 1);
    this.#head = 0;
    this.#cursor = this.#items.length;
    this.#again = [];
    this.onRoom?.();
  }

  /** Drops it together with what is handed out: nobody is there any more to hear how that ends. */
  abandon(): void {
    const handedOut = this.#items
      .slice(this.#head, this.#cursor)
      .filter(({ state }) => state === MessageState.HANDED_OUT || state === MessageState.SETTLING);
    this.drop();
    for (const message of handedOut) this.finish(message);
  }

  /** Resolves when nothing is handed out. */
  async idle(): Promise<void> {
    if (this.#handedOutCount === 0) return;
    await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  #becomeIdle(): void {
    if (this.#onIdle.length === 0) return;
    const waiting = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiting) resolve();
  }

  #advance(): void {
    const items = this.#items;
    let head = this.#head;
    while (head < this.#cursor && items[head].state === MessageState.FINISHED) head++;
    this.#head = head;
    if (head === items.length) {
      items.length = 0;
      this.#head = 0;
      this.#cursor = 0;
    } else if (head >= CUT_COUNT) {
      this.#items = items.slice(head);
      this.#cursor -= head;
      this.#head = 0;
    }
  }
}

function count(messageCount: number): void {
  clientActivity.pendingCount += messageCount;
  clientActivity.begunCount += messageCount;
}

function uncount(messageCount: number): void {
  clientActivity.pendingCount -= messageCount;
}
