/**
 * @agent dispatcher, queueWriter
 *
 * Files of deleted topics, on their way out. A topic may have tens of thousands of queues, and to remove a
 * queue's directory and file takes 0.2 ms. So whoever deletes a topic only moves its directory here, and the queue
 * writer removes what is here little by little, after the next start too.
 *
 * ```
 * millrace.deleted/<number>/<queueId>/<file>
 * ```
 */
import { BrokerError } from '../base/errors.ts';
import { failedWith, unlessReadOnly } from './file-calls.ts';
import type { StoreFiles } from './segment.ts';

/** Of `millrace.deleted/`: that, a topic's directory, a queue's, files. */
const DEPTH = 3;

export class DeletedTopics {
  readonly #files: StoreFiles;
  readonly #directory: string;
  #number = 0;
  /** Directories that are being emptied, each in the one before, and what is left in them. */
  readonly #open: { path: string; names: string[] }[] = [];

  /** `directory`: `millrace.deleted/` */
  constructor(files: StoreFiles, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /**
   * Takes in a topic's directory, which need not be there. On a full disk it is removed at once; where the file
   * system is read-only it stays.
   */
  take(topicDirectory: string): void {
    unlessReadOnly(() => {
      try {
        this.#files.makeDirectory(this.#directory);
        this.#files.rename(topicDirectory, this.#nextPath());
      } catch (error) {
        if (failedWith(error, 'ENOENT')) return;
        if (!BrokerError.is(error) || error.code !== 'STORE_NO_SPACE') throw error;
        this.#files.remove(topicDirectory);
      }
    });
  }

  /** Others are here from before the start. */
  #nextPath(): string {
    for (;;) {
      const path = `${this.#directory}/${this.#number++}`;
      if (!this.#files.exists(path)) return path;
    }
  }

  /**
   * Removes up to `countMax` files and directories; false once nothing is left.
   * @throws BrokerError STORE_IO, STORE_NO_SPACE where the file system is read-only
   */
  removeSome(countMax: number): boolean {
    for (let left = countMax; left > 0; left--) {
      const inner = this.#open.at(-1);
      if (inner === undefined) {
        const names = this.#files.list(this.#directory);
        if (names.length === 0) return false;
        this.#open.push({ path: this.#directory, names });
      } else if (inner.names.length > 0) this.#enterOrRemove(inner);
      else {
        this.#open.pop();
        if (this.#open.length > 0) this.#files.remove(inner.path);
      }
    }
    return true;
  }

  #enterOrRemove({ path: parent, names }: { path: string; names: string[] }): void {
    const path = `${parent}/${names.pop()}`;
    const inside = this.#open.length < DEPTH ? this.#listUnlessFile(path) : null;
    if (inside === null) this.#files.remove(path);
    else this.#open.push({ path, names: inside });
  }

  /** Null for what is no directory: foreign files may have been among the queues. */
  #listUnlessFile(path: string): string[] | null {
    try {
      return this.#files.list(path);
    } catch (error) {
      if (!failedWith(error, 'ENOTDIR')) throw error;
      return null;
    }
  }
}
