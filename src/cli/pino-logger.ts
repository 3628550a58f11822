/**
 * @agent reactor
 *
 * The log of the process: lines of JSON by pino, or, on a terminal, lines for people.
 */
import { type Logger as PinoLogger, pino } from 'pino';
import type { Logger } from '../base/logging.ts';

export interface LogOptions {
  logLevel: string;
  logFormat: 'auto' | 'pretty' | 'json';
}

export async function createLogger(options: LogOptions): Promise<Logger> {
  const { logLevel, logFormat } = options;
  const isPretty = logFormat === 'pretty' || (logFormat === 'auto' && process.stdout.isTTY);
  const settings = { level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!isPretty) return adapt(pino(settings, pino.destination({ fd: 1, sync: true })));
  // Loaded only where people read: it takes some tens of milliseconds.
  const { default: pretty } = await import('pino-pretty');
  return adapt(
    pino(settings, pretty({ sync: true, translateTime: 'HH:MM:ss.l', singleLine: true })),
  );
}

function adapt(logger: PinoLogger): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}
