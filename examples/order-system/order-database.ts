/**
 * @agent any
 *
 * What the services remember, in SQLite. Each change is one statement or one transaction that does
 * nothing the second time: that is what makes messages that come twice harmless.
 */
import { DatabaseSync } from 'node:sqlite';
import type { Order } from './order-events.ts';

export type OrderStatus = 'unpaid' | 'paid' | 'cancelled';

export class OrderDatabase {
  readonly #database: DatabaseSync;

  /** `:memory:` lives as long as the process. */
  constructor(file: string) {
    this.#database = new DatabaseSync(file);
    this.#database.exec(`
      PRAGMA busy_timeout = 5000;
      PRAGMA journal_mode = WAL;
      CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, item TEXT, count INTEGER, status TEXT);
      CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, count INTEGER);
      CREATE TABLE IF NOT EXISTS stock_changes (order_id TEXT, step TEXT, PRIMARY KEY (order_id, step));
      CREATE TABLE IF NOT EXISTS shipments (order_id TEXT PRIMARY KEY);
    `);
  }

  addOrder({ id, item, count }: Order): void {
    this.#database
      .prepare("INSERT OR IGNORE INTO orders VALUES (?, ?, ?, 'unpaid')")
      .run(id, item, count);
  }

  order(id: string): (Order & { status: OrderStatus }) | undefined {
    const row = this.#database.prepare('SELECT * FROM orders WHERE id = ?').get(id);
    return row as (Order & { status: OrderStatus }) | undefined;
  }

  /** An unpaid order becomes paid or cancelled, and stays that: what it is now says who was first. */
  settle(id: string, status: 'paid' | 'cancelled'): OrderStatus | undefined {
    this.#database
      .prepare("UPDATE orders SET status = ? WHERE id = ? AND status = 'unpaid'")
      .run(status, id);
    return this.order(id)?.status;
  }

  fillStock(item: string, count: number): void {
    this.#database.prepare('INSERT OR REPLACE INTO stock VALUES (?, ?)').run(item, count);
  }

  stock(item: string): number {
    const row = this.#database.prepare('SELECT count FROM stock WHERE item = ?').get(item);
    return Number(row?.['count'] ?? 0);
  }

  /** Once for each order and step, however often it is called. True the first time. */
  changeStock(order: Order, step: 'created' | 'cancelled'): boolean {
    const change = step === 'created' ? -order.count : order.count;
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const { changes } = this.#database
        .prepare('INSERT OR IGNORE INTO stock_changes VALUES (?, ?)')
        .run(order.id, step);
      if (changes !== 0)
        this.#database
          .prepare('UPDATE stock SET count = count + ? WHERE item = ?')
          .run(change, order.item);
      this.#database.exec('COMMIT');
      return changes !== 0;
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /** True the first time. */
  ship(id: string): boolean {
    return (
      this.#database.prepare('INSERT OR IGNORE INTO shipments VALUES (?)').run(id).changes !== 0
    );
  }

  isShipped(id: string): boolean {
    const row = this.#database.prepare('SELECT 1 FROM shipments WHERE order_id = ?').get(id);
    return row !== undefined;
  }

  close(): void {
    this.#database.close();
  }
}
