/**
 * @agent any
 *
 * `millrace/client`: producers, consumers and admins in Node, over TCP or WebSocket.
 */
import { installOffsetStorage } from './consumer-options.ts';
import { FileOffsetStorage } from './file-offset-storage.ts';
import { nodePlatform } from './node-platform.ts';
import { installPlatform } from './platform.ts';

installPlatform(nodePlatform);
installOffsetStorage(new FileOffsetStorage());

export * from './public.ts';
