/**
 * @agent any
 *
 * The second half of transactions: what became of a half message is said to its broker (37), after the
 * local part has run or when the broker asks (39).
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { answerError } from './answer-error.ts';
import { ClientError } from './client-error.ts';
import type { ConnectedCore } from './connected-core.ts';
import type { ReceivedMessage, SendResult } from './message.ts';
import { readRecords } from './record-reader.ts';

/** `unknown` leaves it open: the broker asks later. */
export type TransactionDecision = 'commit' | 'rollback' | 'unknown';

export type CheckTransaction = (
  message: ReceivedMessage,
) => TransactionDecision | Promise<TransactionDecision>;

export interface TransactionResult extends SendResult {
  readonly decision: TransactionDecision;
}

/** MessageSysFlag.java. */
export const TRANSACTION_PREPARED = 0x4;
const decisionFlags: Readonly<Record<TransactionDecision, number>> = {
  commit: 0x8,
  rollback: 0xc,
  unknown: 0,
};
/** Of the physical offset in an offsetMessageId: its last digits. */
const OFFSET_DIGITS = 16;

export interface TransactionEnderOptions {
  readonly core: ConnectedCore;
  readonly group: string;
  readonly checkTransaction: CheckTransaction | undefined;
}

export class TransactionEnder {
  readonly #options: TransactionEnderOptions;

  constructor(options: TransactionEnderOptions) {
    this.#options = options;
    const { core } = options;
    core.onBrokerRequest(RequestCode.CHECK_TRANSACTION_STATE, async ({ fields, body }, address) => {
      await this.#onCheck(fields, body, address);
      return null;
    });
  }

  /**
   * Says what became of a half message. Where the broker can not be told, it will ask: that is reported
   * in the background. @throws ClientError where it refuses
   */
  async end(half: SendResult, decision: TransactionDecision): Promise<void> {
    // A broker says nothing to that, and asks in its own time.
    if (decision === 'unknown') return;
    const { core, group } = this.#options;
    const physicalOffset = Number.parseInt(half.offsetMessageId.slice(-OFFSET_DIGITS), 16);
    const fields = {
      producerGroup: group,
      tranStateTableOffset: half.queueOffset,
      commitLogOffset: physicalOffset,
      commitOrRollback: decisionFlags[decision],
      fromTransactionCheck: false,
      msgId: half.messageId,
      transactionId: half.messageId,
      topic: half.queue.topic,
      bname: half.queue.brokerName,
    };
    try {
      const address = core.masterAddress(half.queue.brokerName);
      const answer = await core.ask(address, { code: RequestCode.END_TRANSACTION, fields });
      if (answer.code !== ResponseCode.SUCCESS)
        throw answerError(answer, `${decision} of ${half.messageId}`);
    } catch (error) {
      const willBeAsked =
        ClientError.is(error) && (error.code === 'CONNECTION_FAILED' || error.code === 'TIMEOUT');
      if (!willBeAsked) throw error;
      core.report(error);
    }
  }

  async #onCheck(
    fields: ReadonlyMap<string, string>,
    body: Uint8Array,
    address: string,
  ): Promise<void> {
    const { core, group, checkTransaction } = this.#options;
    const brokerName = fields.get('bname') ?? core.brokerNameOf(address);
    const [half] = await readRecords(body, { brokerName });
    const halfGroup = half?.properties['PGROUP'];
    if (half === undefined || (halfGroup !== undefined && halfGroup !== group)) return;
    if (checkTransaction === undefined)
      throw new ClientError(
        'INVALID_ARGUMENT',
        `the broker asks what became of ${half.messageId}: give option checkTransaction`,
      );
    const decision = await checkTransaction(half);
    if (decision === 'unknown') return;
    await core.tell(address, {
      code: RequestCode.END_TRANSACTION,
      fields: {
        producerGroup: group,
        tranStateTableOffset: fields.get('tranStateTableOffset') ?? half.queueOffset,
        commitLogOffset: fields.get('commitLogOffset') ?? half.physicalOffset,
        commitOrRollback: decisionFlags[decision],
        fromTransactionCheck: true,
        msgId: half.messageId,
        transactionId: fields.get('transactionId') ?? half.messageId,
        topic: half.topic,
        bname: brokerName,
      },
    });
  }
}
