/**
 * @agent any
 *
 * What both entry points export.
 */
export { ClientError, type ClientErrorCode } from './client-error.ts';
export type * from './message.ts';
