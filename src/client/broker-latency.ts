/**
 * @agent any
 *
 * Which brokers to leave alone for a while, by how long they took to answer or whether they did.
 * Source: MQFaultStrategy.java, LatencyFaultToleranceImpl.java.
 */

/** What an answer took at least, and for how long its broker is avoided then. */
const avoidance = [
  { latencyMs: 15_000, avoidedMs: 30_000 },
  { latencyMs: 5000, avoidedMs: 10_000 },
  { latencyMs: 3000, avoidedMs: 6000 },
  { latencyMs: 1800, avoidedMs: 5000 },
  { latencyMs: 550, avoidedMs: 2000 },
] as const;
/** Below this no broker is avoided, and nothing is remembered of one that was not. */
const SLOW_MS = 550;
/** A broker that failed counts as one that took so long. */
const FAILURE_LATENCY_MS = 10_000;

export class BrokerLatency {
  /** By broker name: avoided until then. */
  readonly #avoidedUntilMs = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#avoidedUntilMs.size === 0;
  }

  answered(brokerName: string, latencyMs: number, nowMs: number): void {
    if (latencyMs >= SLOW_MS) this.#avoid(brokerName, latencyMs, nowMs);
    else if (this.#avoidedUntilMs.size > 0) this.#avoidedUntilMs.delete(brokerName);
  }

  failed(brokerName: string, nowMs: number): void {
    this.#avoid(brokerName, FAILURE_LATENCY_MS, nowMs);
  }

  isAvoided(brokerName: string, nowMs: number): boolean {
    const untilMs = this.#avoidedUntilMs.get(brokerName);
    if (untilMs === undefined) return false;
    if (untilMs > nowMs) return true;
    this.#avoidedUntilMs.delete(brokerName);
    return false;
  }

  #avoid(brokerName: string, latencyMs: number, nowMs: number): void {
    const step = avoidance.find((candidate) => latencyMs >= candidate.latencyMs);
    this.#avoidedUntilMs.set(brokerName, nowMs + (step?.avoidedMs ?? 0));
  }
}
