/** What the runner gives a case, and a case gives the runner. */
export interface CaseContext {
  seed: number;
  /** The form for a night, instead of the one for each change. */
  isLong: boolean;
  /** One line that takes the place of the one before. */
  progress: (text: string) => void;
}

export interface FaultCase {
  name: string;
  /** Cases of docs/reliability.md that it covers. */
  covers: string;
  /** Says what was run; throws what was found. */
  run: (context: CaseContext) => string | Promise<string>;
}
