/**
 * @agent reactor
 *
 * The log of the process: lines of JSON by pino, or, on a terminal, lines for people.
 */
import { type Logger as PinoLogger, pino } from 'pino';
import type { Logger } from '../base/logging.ts';
import { LogOutput } from './log-output.ts';

export interface LogOptions {
  logLevel: string;
  logFormat: 'auto' | 'pretty' | 'json';
}

const STANDARD_OUTPUT = 1;
const WARN_LEVEL = 40;

export async function createLogger(options: LogOptions): Promise<Logger> {
  const { logLevel, logFormat } = options;
  const isPretty = logFormat === 'pretty' || (logFormat === 'auto' && process.stdout.isTTY);
  const settings = { level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  const prettify = isPretty ? await prettifier() : (line: string): string => line;
  const output = new LogOutput(STANDARD_OUTPUT, (lostLines) => prettify(lostLine(lostLines)));
  return adapt(pino(settings, { write: (line) => output.write(prettify(line)) }));
}

/** Loaded only where people read: it takes some tens of milliseconds. Called line by line, without a thread or a stream. */
async function prettifier(): Promise<(line: string) => string> {
  const { prettyFactory } = await import('pino-pretty');
  const prettify = prettyFactory({
    colorize: process.stdout.isTTY && process.env['NO_COLOR'] === undefined,
    translateTime: 'HH:MM:ss.l',
    singleLine: true,
  });
  return (line) => prettify(line) ?? '';
}

function lostLine(lostLines: number): string {
  const time = new Date().toISOString();
  const msg = 'lines of the log could not be written';
  return `${JSON.stringify({ level: WARN_LEVEL, time, lostLines, msg })}\n`;
}

function adapt(logger: PinoLogger): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}
