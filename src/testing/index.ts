/**
 * @agent any
 *
 * `millrace/testing`: the broker inside a test, and the clock that the test moves.
 */
export { EmbeddedBroker, startBroker, type StartBrokerOptions } from './embedded-broker.ts';
export type { Duration } from './duration.ts';
export { VirtualWallClock, type VirtualWallClockOptions } from './virtual-clock.ts';
