/**
 * @agent any
 *
 * What the services say to each other. One topic tells the life of orders, its tags say which step; the
 * other brings each order back when its time to be paid is over.
 *
 * ```
 *  create ──created──▶ stock (deducts)
 *     │        └─────▶ cancel ──30 min──▶ cancel ── still unpaid: cancelled ──▶ stock (gives back)
 *  pay ─────paid─────▶ shipping ──shipped──▶ whoever wants to know
 * ```
 */
import type { OrderDatabase } from './order-database.ts';

export const ORDERS = 'orders';
export const PAYMENT_CHECKS = 'order-payment-checks';

export type OrderStep = 'created' | 'paid' | 'cancelled' | 'shipped';

export interface Order {
  readonly id: string;
  readonly item: string;
  readonly count: number;
}

/** What every service is started with. */
export interface ServiceOptions {
  /** Name servers (`host:port`), or WebSocket addresses of brokers. */
  readonly servers: string;
  readonly database: OrderDatabase;
}

/** A service that runs; `close` finishes what it is at. */
export interface Service {
  close(): Promise<void>;
}
