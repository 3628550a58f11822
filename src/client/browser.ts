/**
 * @agent any
 *
 * `millrace/browser`: producers and consumers in a page, over WebSocket alone. Nothing that it imports is
 * of Node. Administration is in `millrace/browser/admin`.
 */
import { browserPlatform } from './browser-platform.ts';
import { installOffsetStorage } from './consumer-options.ts';
import { pageOffsetStorage } from './page-offset-storage.ts';
import { installPlatform } from './platform.ts';

installPlatform(browserPlatform);
installOffsetStorage(pageOffsetStorage());

export * from './public.ts';
