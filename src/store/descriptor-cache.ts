/**
 * @agent any
 *
 * Open files of one agent, the least recently used closed first: tens of thousands of queues must
 * not need as many descriptors.
 */
import { failedWith } from './file-calls.ts';
import type { StoreFiles } from './segment.ts';

export class DescriptorCache {
  readonly #files: StoreFiles;
  readonly #countMax: number;
  /** In order of use, the oldest first. */
  readonly #open = new Map<string, number>();

  constructor(files: StoreFiles, countMax: number) {
    this.#files = files;
    this.#countMax = countMax;
  }

  /** A descriptor of an existing file, valid until the next call. */
  get(path: string): number {
    let descriptor = this.#open.get(path);
    if (descriptor === undefined) {
      descriptor = this.#openFile(path);
      if (this.#open.size >= this.#countMax) {
        const [oldest] = this.#open.keys();
        this.close(oldest);
      }
    } else this.#open.delete(path);
    this.#open.set(path, descriptor);
    return descriptor;
  }

  close(path: string): void {
    const descriptor = this.#open.get(path);
    if (descriptor === undefined) return;
    this.#open.delete(path);
    this.#files.closeDescriptor(descriptor);
  }

  closeAll(): void {
    for (const path of this.#open.keys()) this.close(path);
  }

  #openFile(path: string): number {
    try {
      return this.#files.open(path, false);
    } catch (error) {
      // The process is out of descriptors: those that only wait here are given up for it.
      if (!isOutOfDescriptors(error) || this.#open.size === 0) throw error;
      this.closeAll();
      return this.#files.open(path, false);
    }
  }
}

const isOutOfDescriptors = (error: unknown): boolean =>
  failedWith(error, 'EMFILE') || failedWith(error, 'ENFILE');
