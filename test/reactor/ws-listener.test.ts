/**
 * The web port on ws and node:http.
 */
import { describe } from 'vitest';
import { webListenerContract } from './web-listener.contract.ts';

describe('the web port on ws', () => {
  webListenerContract('ws');
});
