/**
 * @agent any
 *
 * `millrace/browser/admin`: administration in a page, beside `millrace/browser`.
 */
import { browserPlatform } from './browser-platform.ts';
import { installPlatform } from './platform.ts';

installPlatform(browserPlatform);

export * from './admin-exports.ts';
export { ClientError, type ClientErrorCode } from './client-error.ts';
