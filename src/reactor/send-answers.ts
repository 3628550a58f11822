/**
 * @agent reactor
 *
 * Answers to sends, from the ring of who has them into the outputs of connections. Those that went well and
 * go by JSON are written by the kernel, one after the other, and handed on where the next is another
 * connection's; all else is written where it goes.
 */
import type { AnswerKernel } from '../kernel/answer-kernel.ts';
import { ResponseCode } from '../protocol/codes.ts';
import { SERIALIZE_JSON } from '../protocol/remoting-command.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import { AnswerKind, appendAnswerMessage } from '../workers/ring-messages.ts';
import { type AnswerEncoder, emptySendAnswer } from './answer-encoder.ts';
import type { Connection } from './connection.ts';

export class SendAnswers {
  readonly #encoder: AnswerEncoder;
  readonly #kernel: AnswerKernel | null;
  readonly #connections: ReadonlyMap<number, Connection>;
  readonly #onOutput: (connection: Connection) => void;
  readonly #answer = emptySendAnswer();
  /** Whose answers the kernel holds. */
  #heldFor = -1;

  /** `onOutput` hears of a connection whose output has grown. */
  constructor(
    encoder: AnswerEncoder,
    kernel: AnswerKernel | null,
    connections: ReadonlyMap<number, Connection>,
    onOutput: (connection: Connection) => void,
  ) {
    this.#encoder = encoder;
    this.#kernel = kernel;
    this.#connections = connections;
    this.#onOutput = onOutput;
  }

  /** Writes the APPEND_ANSWER at the head of the ring; `handOn` must follow before anything else is written. */
  write(ring: SpscRingConsumer): void {
    const offset = ring.payloadOffset;
    const { int32, float64 } = ring;
    const connectionId = int32[(offset + appendAnswerMessage.connectionId) >> 2];
    const kernel = this.#kernel;
    if (
      kernel !== null &&
      int32[(offset + appendAnswerMessage.code) >> 2] === ResponseCode.SUCCESS &&
      int32[(offset + appendAnswerMessage.serializeType) >> 2] === SERIALIZE_JSON &&
      int32[(offset + appendAnswerMessage.answerKind) >> 2] === AnswerKind.SEND &&
      int32[(offset + appendAnswerMessage.offsetCount) >> 2] === 1 &&
      int32[(offset + appendAnswerMessage.extraBytes) >> 2] === 0
    ) {
      if (connectionId !== this.#heldFor || kernel.isFull) this.handOn();
      this.#heldFor = connectionId;
      kernel.write(
        int32[(offset + appendAnswerMessage.opaque) >> 2],
        int32[(offset + appendAnswerMessage.queueId) >> 2],
        float64[(offset + appendAnswerMessage.queueOffset) >> 3],
        float64[(offset + appendAnswerMessage.totalBytes) >> 3],
      );
      return;
    }
    this.handOn();
    const connection = this.#connections.get(connectionId);
    if (connection !== undefined) this.#writeOther(connection, ring);
  }

  /** Appends what the kernel holds to the output that it is for. */
  handOn(): void {
    const kernel = this.#kernel;
    if (kernel === null || kernel.bytes === 0) return;
    const connection = this.#connections.get(this.#heldFor);
    if (connection !== undefined) {
      connection.reserveOutput(kernel.bytes);
      kernel.answers.copy(connection.output, connection.outputBytes, 0, kernel.bytes);
      connection.outputBytes += kernel.bytes;
      this.#onOutput(connection);
    }
    kernel.bytes = 0;
  }

  #writeOther(connection: Connection, ring: SpscRingConsumer): void {
    const offset = ring.payloadOffset;
    const { int32, float64 } = ring;
    const answer = this.#answer;
    answer.opaque = int32[(offset + appendAnswerMessage.opaque) >> 2];
    answer.serializeType = int32[(offset + appendAnswerMessage.serializeType) >> 2];
    answer.code = int32[(offset + appendAnswerMessage.code) >> 2];
    const extraBytes = int32[(offset + appendAnswerMessage.extraBytes) >> 2];
    answer.extraEnd = offset + ring.payloadBytes;
    answer.extraStart = answer.extraEnd - extraBytes;
    answer.extra = ring.bytes;
    answer.isPlain = int32[(offset + appendAnswerMessage.answerKind) >> 2] === AnswerKind.PLAIN;
    answer.queueId = int32[(offset + appendAnswerMessage.queueId) >> 2];
    answer.queueOffset = float64[(offset + appendAnswerMessage.queueOffset) >> 3];
    answer.offsets = float64;
    answer.first = (offset + appendAnswerMessage.totalBytes) >> 3;
    answer.count = int32[(offset + appendAnswerMessage.offsetCount) >> 2];
    const encoder = this.#encoder;
    // A byte of an extra field may become six in JSON.
    connection.reserveOutput(encoder.sendBytesMax(answer.count) + extraBytes * 6);
    connection.outputBytes = encoder.writeSend(connection.output, connection.outputBytes, answer);
    this.#onOutput(connection);
  }
}
