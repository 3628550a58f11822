/**
 * A consumer of JetStream: an ephemeral consumer of its own on the stream, without acknowledgements (the
 * least that a reader can ask for), and pulls in batches. The next batch is asked for when half of the
 * last one is here, so that one is always under way.
 */
import type { ConsumerPlan } from '../load-options.ts';
import { bodyStamp } from '../body-stamp.ts';
import type { ConnectionOwner, LoadConnection } from '../load-connection.ts';
import { steadyNowMs } from '../steady-clock.ts';
import type { ThreadState } from '../thread-state.ts';
import { connectNats, writeText } from './nats-connection.ts';
import { publish, streamOf, subjectsOf, subscribe } from './nats-frames.ts';
import type { NatsReader } from './nats-reader.ts';

/** As many as 8 pulls of 32 of a RocketMQ consumer of 8 queues. */
const BATCH_COUNT = 256;
/** A pull that found less is renewed after this. */
const EXPIRES_MS = 15_000;
const MESSAGE_SID = 1;
const SETUP_SID = 2;
const STATUS_REQUEST_DONE = /NATS\/1\.0 (404|408|409)/;

export class NatsPullConnection implements ConnectionOwner {
  readonly #state: ThreadState;
  readonly #inbox: string;
  readonly #next: string;
  readonly #create: string;
  /** Messages to come in all, and of the pulls that were sent. */
  #leftCount: number;
  #pendingCount = 0;
  #connection: LoadConnection | null = null;
  #onCreated: ((answer: string) => void) | null = null;
  #turnMs = 0;

  constructor(state: ThreadState, plan: ConsumerPlan) {
    const { topic } = state.plan;
    const [range, ...others] = plan.queues;
    if (range === undefined || others.length > 0) throw new Error('a stream is read as one queue');
    this.#state = state;
    this.#inbox = `_INBOX.${plan.group}`;
    this.#leftCount = range.toOffset - range.fromOffset;
    const stream = streamOf(topic);
    this.#next = publish(
      `$JS.API.CONSUMER.MSG.NEXT.${stream}.${plan.group}`,
      `${this.#inbox}.m`,
      JSON.stringify({ batch: BATCH_COUNT, expires: EXPIRES_MS * 1e6 }),
    );
    this.#create = publish(
      `$JS.API.CONSUMER.CREATE.${stream}.${plan.group}`,
      `${this.#inbox}.s`,
      JSON.stringify({
        stream_name: stream,
        config: {
          name: plan.group,
          deliver_policy: 'by_start_sequence',
          opt_start_seq: range.fromOffset + 1,
          ack_policy: 'none',
          replay_policy: 'instant',
          filter_subject: subjectsOf(topic),
          mem_storage: true,
          num_replicas: 1,
          inactive_threshold: 60e9,
        },
      }),
    );
  }

  async connect(): Promise<void> {
    const { plan, pool } = this.#state;
    this.#connection = await connectNats(plan.broker, pool, this, {
      subscriptions:
        subscribe(`${this.#inbox}.m`, MESSAGE_SID) + subscribe(`${this.#inbox}.s`, SETUP_SID),
      onMessage: (reader) => this.#onMessage(reader),
    });
    const created = new Promise<string>((resolve) => {
      this.#onCreated = resolve;
    });
    writeText(this.#connection, this.#create);
    const answer = await created;
    if (answer.includes('"error"')) throw new Error(`NATS consumer: ${answer}`);
  }

  close(): void {
    this.#connection?.close();
  }

  begin(): void {
    this.#pull();
    this.#connection?.flush();
  }

  onTurnEnd(): void {
    this.#connection?.flush();
    if (this.#turnMs !== 0) this.#state.publish(this.#turnMs);
    this.#turnMs = 0;
  }

  onLost(reason: string): void {
    this.#state.fail(reason);
  }

  #pull(): void {
    const connection = this.#connection;
    if (connection === null || this.#leftCount <= 0) return;
    this.#pendingCount += BATCH_COUNT;
    const at = connection.claim(this.#next.length);
    connection.commit(connection.output.write(this.#next, at, 'latin1'));
  }

  #onMessage(reader: NatsReader): void {
    const { bytes, headerStart, payloadStart, payloadEnd } = reader;
    if (reader.sid === SETUP_SID) {
      this.#onCreated?.(bytes.toString('latin1', payloadStart, payloadEnd));
      return;
    }
    // Messages carry no header here: one is a status, such as the end of a pull's time.
    if (headerStart !== payloadStart) {
      this.#onStatus(bytes.toString('latin1', headerStart, payloadStart));
      return;
    }
    const state = this.#state;
    if (this.#turnMs === 0) this.#turnMs = steadyNowMs();
    this.#pendingCount--;
    this.#leftCount--;
    if (!state.plan.isStamped) state.receivedCount++;
    else if (bytes.readInt32BE(payloadStart + bodyStamp.runId) === state.plan.runId)
      state.noteReceipt(bytes.readDoubleBE(payloadStart + bodyStamp.timeMs), this.#turnMs);
    if (this.#pendingCount <= BATCH_COUNT / 2) this.#pull();
  }

  #onStatus(status: string): void {
    if (!STATUS_REQUEST_DONE.test(status)) throw new Error(`NATS consumer: ${status.trim()}`);
    const rest = /Nats-Pending-Messages: (\d+)/.exec(status)?.[1];
    this.#pendingCount = Math.max(0, this.#pendingCount - Number(rest ?? BATCH_COUNT));
    if (this.#pendingCount <= BATCH_COUNT / 2) this.#pull();
  }
}
