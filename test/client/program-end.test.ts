/** A program that is done ends, though its clients were never closed; one that waits for an answer does not. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { RequestCode } from '../../src/protocol/codes.ts';
import { sendAnswer, startScriptedBroker } from './client-harness.ts';

const entry = path.join(import.meta.dirname, '../../src/client/index.ts');

test('open connections do not keep a program alive, requests in flight do', async () => {
  let sendCount = 0;
  const broker = await startScriptedBroker(({ code, opaque }, socket) => {
    if (code !== RequestCode.SEND_MESSAGE_V2) return null;
    if (++sendCount === 1) return sendAnswer();
    const text = JSON.stringify({ code: 0, extFields: { queueOffset: '9' }, flag: 1, opaque });
    const head = Buffer.alloc(8);
    head.writeInt32BE(4 + text.length, 0);
    head.writeInt32BE(text.length, 4);
    setTimeout(() => socket.write(Buffer.concat([head, Buffer.from(text)])), 700);
    return null;
  });
  const program = `
    import { Producer } from ${JSON.stringify(entry)};
    const producer = new Producer({ servers: '${broker.server.address}', group: 'g' });
    await producer.send({ topic: 'orders', body: 'x' });
    producer.send({ topic: 'orders', body: 'y' }).then(({ queueOffset }) => console.log(queueOffset));
  `;
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
  expect(stdout.trim()).toBe('9');
});
