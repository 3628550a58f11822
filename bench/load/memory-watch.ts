/**
 * What a process's memory grows to while something goes on: resident in all, and anonymous alone,
 * which leaves mapped files of the store aside.
 */
import { type ProcessUsage, readProcessUsage } from './process-usage.ts';

const INTERVAL_MS = 250;

export interface MemoryGrowth {
  readonly beforeRssAnonBytes: number;
  readonly peakRssAnonBytes: number;
  readonly beforeRssBytes: number;
  readonly peakRssBytes: number;
}

export class MemoryWatch {
  readonly #pid: number;
  readonly #before: ProcessUsage | null;
  readonly #timer: NodeJS.Timeout;
  #peakRssAnonBytes = 0;
  #peakRssBytes = 0;

  private constructor(pid: number) {
    this.#pid = pid;
    this.#before = readProcessUsage(pid);
    this.#look();
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
  }

  /** Null where the process is not known. */
  static start(pid: number | null): MemoryWatch | null {
    return pid === null ? null : new MemoryWatch(pid);
  }

  /** Null where the process was gone when it began. */
  stop(): MemoryGrowth | null {
    clearInterval(this.#timer);
    this.#look();
    if (this.#before === null) return null;
    return {
      beforeRssAnonBytes: this.#before.rssAnonBytes,
      peakRssAnonBytes: this.#peakRssAnonBytes,
      beforeRssBytes: this.#before.rssBytes,
      peakRssBytes: this.#peakRssBytes,
    };
  }

  #look(): void {
    const usage = readProcessUsage(this.#pid);
    if (usage === null) return;
    this.#peakRssAnonBytes = Math.max(this.#peakRssAnonBytes, usage.rssAnonBytes);
    this.#peakRssBytes = Math.max(this.#peakRssBytes, usage.rssBytes);
  }
}
