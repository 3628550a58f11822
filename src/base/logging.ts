/**
 * @agent any
 *
 * What agents log through. The main thread implements it with pino; a worker thread posts its
 * lines to the main thread. Never called per message.
 */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
};
