/**
 * Which messages of a run count: those after a warm-up, until there are enough of them or their time is
 * over, whichever is first. The process's own CPU is read at both ends, from /proc, which has it in steps
 * of 10 ms; java/src has the same for the Java client.
 *
 * ```
 *  first message ──warm-up──▶ begin ──────counted──────▶ end
 *                 count or ms        count or ms
 * ```
 */
import { readProcessUsage } from '../load/process-usage.ts';

export interface WindowSpan {
  readonly warmCount: number;
  readonly warmMs: number;
  readonly count: number;
  readonly spanMs: number;
}

/** What a program says of its window, in its last line. */
export interface WindowResult {
  readonly messages: number;
  readonly ms: number;
  readonly cpuMs: number;
  readonly errors: number;
}

export class Window {
  readonly #span: WindowSpan;
  #counted = 0;
  #firstMs = 0;
  #beginMs = 0;
  #beginCount = 0;
  #beginCpuMs = 0;
  #result: Omit<WindowResult, 'errors'> | null = null;
  #onOver: () => void = () => {};
  readonly over: Promise<void>;

  constructor(span: WindowSpan) {
    this.#span = span;
    this.over = new Promise((resolve) => {
      this.#onOver = resolve;
    });
  }

  get isOver(): boolean {
    return this.#result !== null;
  }

  /** One message was acknowledged, or received. */
  count(): void {
    this.#counted++;
    if (this.#result !== null) return;
    const now = performance.now();
    if (this.#beginMs === 0) this.#warmUp(now);
    else if (
      now - this.#beginMs >= this.#span.spanMs ||
      this.#counted >= this.#span.warmCount + this.#span.count
    )
      this.#end(now);
  }

  result(errors: number): WindowResult {
    if (this.#result === null) throw new Error('the window is not over');
    return { ...this.#result, errors };
  }

  #warmUp(now: number): void {
    if (this.#firstMs === 0) this.#firstMs = now;
    if (this.#counted < this.#span.warmCount && now - this.#firstMs < this.#span.warmMs) return;
    this.#beginCount = this.#counted;
    this.#beginCpuMs = cpuMs();
    this.#beginMs = now;
  }

  #end(now: number): void {
    this.#result = {
      messages: this.#counted - this.#beginCount,
      ms: now - this.#beginMs,
      cpuMs: cpuMs() - this.#beginCpuMs,
    };
    this.#onOver();
  }
}

function cpuMs(): number {
  return (readProcessUsage(process.pid)?.cpuUs ?? 0) / 1000;
}
