/**
 * Waits before a measurement until nobody else uses the machine, since what another process does would
 * be read as the contender's.
 */
import { readMachineCpuUs } from './process-usage.ts';

/** A second with less CPU than this, of one core, counts as quiet. */
const QUIET_CORES = 0.3;

export interface QuietOptions {
  /** Longest wait for a quiet machine. */
  readonly quietTimeoutMs: number;
  readonly log: (line: string) => void;
}

/** Until the whole machine has used little CPU for a second, or the patience ends. */
export async function waitForQuiet(options: QuietOptions): Promise<void> {
  const startedMs = performance.now();
  for (;;) {
    const beforeUs = readMachineCpuUs();
    const beforeMs = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const cores = (readMachineCpuUs() - beforeUs) / 1000 / (performance.now() - beforeMs);
    if (cores < QUIET_CORES) return;
    if (performance.now() - startedMs > options.quietTimeoutMs) {
      options.log(`the machine does not get quiet: ${cores.toFixed(2)} cores in use`);
      return;
    }
  }
}
