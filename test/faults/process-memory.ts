import fs from 'node:fs';
import v8 from 'node:v8';
import vm from 'node:vm';

/** Memory of a process that no file stands behind, in bytes (Linux). */
export function anonymousBytesOf(pid: number): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

/** A full collection now: what is measured after it is held by somebody. */
export function collectGarbage(): void {
  v8.setFlagsFromString('--expose-gc');
  (vm.runInNewContext('gc') as () => void)();
}
