/**
 * @agent any
 *
 * What `millrace doctor` has found: one line for each thing that it looked at, and what to do where it is not as
 * it should be.
 */

export type FindingState = 'ok' | 'warning' | 'problem';

export interface Finding {
  /** Stable, for programs: the part that was looked at, and what of it, as `ports.broker`. */
  readonly check: string;
  readonly state: FindingState;
  readonly text: string;
  /** What to do; null where nothing is to be done. */
  readonly advice: string | null;
}

export class Report {
  readonly findings: Finding[] = [];

  ok(check: string, text: string): void {
    this.findings.push({ check, state: 'ok', text, advice: null });
  }

  /** It works, but something is lost by it, or soon will be. */
  warning(check: string, text: string, advice: string): void {
    this.findings.push({ check, state: 'warning', text, advice });
  }

  /** A broker does not start, is not reached, or refuses what it should take. */
  problem(check: string, text: string, advice: string): void {
    this.findings.push({ check, state: 'problem', text, advice });
  }

  count(state: FindingState): number {
    return this.findings.filter((finding) => finding.state === state).length;
  }

  get hasProblems(): boolean {
    return this.count('problem') > 0;
  }
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `512 B`, `1.5 GiB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const exponent = Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length);
  const amount = (bytes / 1024 ** exponent).toFixed(1);
  return `${amount.replace(/\.0$/, '')} ${UNITS[exponent - 1]}`;
}

/** Two digits are enough to see what it is: `3 s`, `5 min`, `26 h`, `400 days`. */
export function spanText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
