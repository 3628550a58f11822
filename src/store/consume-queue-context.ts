/**
 * @agent dispatcher
 *
 * What the store gives all of its ConsumeQueues.
 */
import type { Logger } from '../base/logging.ts';
import type { ConsumeQueueFilesContext } from './consume-queue-files.ts';
import type { QueueList, QueueTable, UnitSlots } from './queue-table.ts';
import type { UnitBlocks } from './unit-blocks.ts';

export interface ConsumeQueueContext extends ConsumeQueueFilesContext {
  readonly logger: Logger;
  readonly table: QueueTable;
  readonly slots: UnitSlots;
  /** Queues with units that are not written yet. */
  readonly pending: QueueList;
  /** Queues that hold memory. */
  readonly buffered: QueueList;
  /** Queues of which it is not known what stands behind their end on file. */
  readonly unsettled: QueueList;
  /** Units from files. */
  readonly blocks: UnitBlocks;
  /** Deleted topics whose files are still to be moved away: nothing is written for new ones of that name before. */
  readonly topicsToMove: Set<string>;
  /** A record does not follow what a queue holds. */
  readonly onMismatch: () => void;
}
