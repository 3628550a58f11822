/**
 * @agent any
 *
 * `millrace/client`: producers, consumers and admins in Node, over TCP or WebSocket.
 */
import { nodePlatform } from './node-platform.ts';
import { installPlatform } from './platform.ts';

installPlatform(nodePlatform);

export * from './public.ts';
