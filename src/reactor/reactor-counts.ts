/**
 * @agent reactor
 *
 * What has passed through the reactor since its start, for metrics.
 */
import { type CloseReason, closeReasons } from './peer.ts';

export class ReactorCounts {
  accepted = 0;
  /** Connections beyond the limit, or that came while the broker stopped. */
  refused = 0;
  bytesIn = 0;
  bytesOut = 0;
  /** Connections that this side has ended, by reason. */
  readonly closed = new Map<CloseReason, number>(closeReasons.map((reason) => [reason, 0]));

  onClosed(reason: CloseReason): void {
    this.closed.set(reason, (this.closed.get(reason) ?? 0) + 1);
  }
}
