/**
 * @agent any
 *
 * The root of a store: where its parts are, that only one process has it open, and whether the
 * last one ended cleanly. `abort` exists while a broker runs. Two locks, neither of which outlives its
 * process: mapped files lock `lock` in a way that an Apache broker and Millrace exclude each other;
 * `millrace.pid` names the process for brokers that load no native code.
 */
import path from 'node:path';
import { BrokerError } from '../base/errors.ts';
import { unlessReadOnly } from './file-calls.ts';
import { takePidFile } from './pid-file.ts';
import { posix } from './posix.ts';
import type { StoreFiles } from './segment.ts';

const PID_FILE = 'millrace.pid';

/** Roots held on this thread, so that a second broker beside the first is told from a stale file. */
const heldRoots = new Set<string>();

export class StoreDirectory {
  readonly root: string;
  readonly commitLog: string;
  readonly consumeQueue: string;
  readonly index: string;
  readonly config: string;
  readonly checkpoint: string;
  /** See queue-snapshot.ts. */
  readonly queueSnapshot: string;
  /** See deleted-topics.ts. */
  readonly deletedTopics: string;
  readonly #files: StoreFiles;
  #lockDescriptor = -1;
  #pidFile: string | null = null;

  constructor(files: StoreFiles, root: string) {
    this.#files = files;
    this.root = path.resolve(root);
    this.commitLog = path.join(this.root, 'commitlog');
    this.consumeQueue = path.join(this.root, 'consumequeue');
    this.index = path.join(this.root, 'index');
    this.config = path.join(this.root, 'config');
    this.queueSnapshot = path.join(this.root, 'millrace.queues');
    this.checkpoint = path.join(this.root, 'checkpoint');
    this.deletedTopics = path.join(this.root, 'millrace.deleted');
  }

  /**
   * Makes the directories and takes the lock, which ends with the process.
   * @throws BrokerError STORE_LOCKED
   */
  acquire(): void {
    if (heldRoots.has(this.root)) throw this.#locked();
    for (const directory of [
      this.root,
      this.commitLog,
      this.consumeQueue,
      this.index,
      this.config,
    ]) {
      this.#files.makeDirectory(directory);
    }
    const descriptor = this.#files.open(path.join(this.root, 'lock'), true);
    try {
      this.#lock(descriptor);
      this.#files.writeAt(descriptor, Buffer.from('lock'), 0, 4, 0);
    } catch (error) {
      this.#files.closeDescriptor(descriptor);
      throw error;
    }
    this.#lockDescriptor = descriptor;
    heldRoots.add(this.root);
  }

  #lock(descriptor: number): void {
    const { kind } = this.#files;
    if (kind === 'mapped' && !posix().tryLock(descriptor)) throw this.#locked();
    if (kind === 'faulty') return;
    const pidFile = path.join(this.root, PID_FILE);
    if (!takePidFile(pidFile)) throw this.#locked();
    this.#pidFile = pidFile;
  }

  /** Whether the last process that had the store open did not close it. */
  get wasAbnormal(): boolean {
    return this.#files.exists(path.join(this.root, 'abort'));
  }

  markRunning(): void {
    const descriptor = this.#files.open(path.join(this.root, 'abort'), true);
    this.#files.closeDescriptor(descriptor);
    this.#files.syncDirectory(this.root);
  }

  /** False where the file system has become read-only: the next start recovers as after a crash. */
  markClean(): boolean {
    return unlessReadOnly(() => {
      this.#files.remove(path.join(this.root, 'abort'));
      this.#files.syncDirectory(this.root);
    });
  }

  release(): void {
    if (this.#lockDescriptor < 0) return;
    this.#files.closeDescriptor(this.#lockDescriptor);
    this.#lockDescriptor = -1;
    const pidFile = this.#pidFile;
    // What stays names a process that there is not.
    if (pidFile !== null) unlessReadOnly(() => this.#files.remove(pidFile));
    this.#pidFile = null;
    heldRoots.delete(this.root);
  }

  configFile(name: string): string {
    return path.join(this.config, name);
  }

  #locked(): BrokerError {
    return new BrokerError(
      'STORE_LOCKED',
      `another broker has the store ${this.root} open; stop it, or choose another directory with --store-dir`,
    );
  }
}
