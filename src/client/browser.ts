/**
 * @agent any
 *
 * `millrace/browser`: the same in a page, over WebSocket alone. Nothing that it imports is of Node.
 */
import { browserPlatform } from './browser-platform.ts';
import { installPlatform } from './platform.ts';

installPlatform(browserPlatform);

export * from './public.ts';
