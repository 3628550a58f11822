/**
 * @agent any
 *
 * `millrace/client`: producers, consumers and admins in Node, over TCP or WebSocket.
 */
import { installAnswers } from './broker-questions.ts';
import { installOffsetStorage } from './consumer-options.ts';
import { FileOffsetStorage } from './file-offset-storage.ts';
import { nodePlatform } from './node-platform.ts';
import { serveOperators } from './operator-answers.ts';
import { installPlatform } from './platform.ts';

installPlatform(nodePlatform);
installAnswers(serveOperators);
installOffsetStorage(new FileOffsetStorage());

export * from './public.ts';
export * from './admin-exports.ts';
export { consistentHash, machineRoom } from './allocate-strategy.ts';
