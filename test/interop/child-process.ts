/**
 * Ties a server process to the life of the suite.
 */
import type { ChildProcess } from 'node:child_process';

/** A suite that ends early, by a signal or an error of its own, leaves no server behind. */
export function endWithThisProcess(child: ChildProcess): void {
  const end = (): void => {
    child.kill('SIGKILL');
  };
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
}
