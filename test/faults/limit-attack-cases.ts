/**
 * Attacks that make a broker keep more and more: topics, groups, waiting pulls, unfinished frames, connections,
 * routes.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import tls from 'node:tls';
import { selfSignedCertificate } from '../../src/cli/self-signed-certificate.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { registrationOf } from '../nameserver/registration.ts';
import {
  heartbeatRequest,
  pullRequest,
  RawClient,
  type RawRequest,
  sendRequest,
} from '../workers/raw-client.ts';
import { AttackedBroker } from './attacked-broker.ts';
import type { CaseContext, FaultCase } from './case.ts';

const MIB = 1024 * 1024;
/** Requests that are on their way at once. */
const WINDOW = 64;

/** Sends `count` requests, some at once; returns how many were refused. */
async function flood(
  client: RawClient,
  count: number,
  request: (index: number) => RawRequest,
  onRefused: (answer: RemotingCommand) => void,
): Promise<number> {
  let refused = 0;
  for (let start = 0; start < count; start += WINDOW) {
    const some = Array.from({ length: Math.min(WINDOW, count - start) }, (_, index) =>
      client.request(request(start + index)),
    );
    for (const answer of await Promise.all(some)) {
      if (answer.code === 0) continue;
      refused++;
      onRefused(answer);
    }
  }
  return refused;
}

function names(key: string): (answer: RemotingCommand) => void {
  return ({ code, remark }) => {
    if (remark?.includes(key) !== true)
      throw new Error(`the answer ${code} ${remark} does not name ${key}`);
  };
}

/** 17: topics by sends, groups by heartbeats, pulls that wait; a third more of each than is allowed. */
const many = ({ isLong, progress }: CaseContext): Promise<string> => {
  const [topics, groups, pulls] = isLong ? [100_000, 10_000, 50_000] : [3000, 1000, 2000];
  return AttackedBroker.attack(
    {
      port: 26200,
      memoryBytesMax: isLong ? 768 * MIB : 192 * MIB,
      settings: [
        `topicCountMax=${topics}`,
        `subscriptionGroupCountMax=${groups}`,
        `heldPullCountMax=${pulls}`,
      ],
    },
    async (broker) => {
      const said: string[] = [];
      const client = await RawClient.connect(broker.port);
      const group = async (index: number): Promise<RawClient> => {
        const member = await RawClient.connect(broker.port);
        await member.request(heartbeatRequest(`c${index}`, 'pullers', 'Healthy'));
        return member;
      };
      progress('pulls');
      const asked = Math.round(pulls * 1.3);
      const members: RawClient[] = [];
      let atOnce = 0;
      for (let index = 0; index < 10; index++) members.push(await group(index));
      for (let index = 0; index < asked; index++) {
        const member = members[index % members.length];
        // A queue without messages.
        void member
          .request(pullRequest('pullers', 'Healthy', 3, 0, 60_000))
          .then(({ code }) => (atOnce += code === 19 ? 1 : 0));
        if (index % 500 === 499) await pause(5);
      }
      await pause(1000);
      const held = await broker.counter('millrace_held_pulls');
      const notHeld = await broker.counter('millrace_refusals_total', 'cause="pull-not-held"');
      if (held !== pulls || notHeld !== asked - pulls || atOnce !== notHeld)
        throw new Error(
          `${held} pulls are held, ${notHeld} counted and ${atOnce} answered at once`,
        );
      said.push(`${held} pulls held and ${atOnce} answered at once`);
      progress('groups');
      let tooMany = 0;
      for (let index = 0; index < groups * 1.3; index++) {
        const answer = await client.request(heartbeatRequest('c', `g${index}`, 'Healthy'));
        if (answer.remark?.includes('subscriptionGroupCountMax') === true) tooMany++;
        await client.request({ code: 35, fields: { clientID: 'c', consumerGroup: `g${index}` } });
      }
      const groupLimit = await broker.counter('millrace_refusals_total', 'cause="group-limit"');
      if (tooMany < groups * 0.25 || groupLimit < tooMany)
        throw new Error(`${tooMany} groups too many were refused, ${groupLimit} were counted`);
      said.push(`${tooMany} groups refused`);
      progress('topics');
      const refusedTopics = await flood(
        client,
        Math.round(topics * 1.1),
        (index) => sendRequest({ topic: `topic-${index}`, body: 'x' }),
        names('topicCountMax'),
      );
      const topicLimit = await broker.counter('millrace_refusals_total', 'cause="topic-limit"');
      if (refusedTopics < topics * 0.1 || topicLimit < refusedTopics)
        throw new Error(`${refusedTopics} topics refused, ${topicLimit} counted`);
      said.push(`${refusedTopics} topics refused`);
      client.close();
      for (const member of members) member.close();
      return said.join(', ');
    },
  );
};

/** 2: frames that come nearly whole, and then not. */
const unfinished = ({ isLong }: CaseContext): Promise<string> =>
  AttackedBroker.attack({ port: 26210, memoryBytesMax: 512 * MIB }, async (broker) => {
    const count = isLong ? 1000 : 100;
    const head = Buffer.alloc(4);
    head.writeInt32BE(16 * MIB - 1000);
    const part = Buffer.alloc(8 * MIB);
    for (let index = 0; index < count; index++) {
      const { socket } = await broker.connect();
      socket.write(head);
      socket.write(part);
      // Not at the full speed of loopback: that alone takes the healthy client's time, whatever is kept.
      await pause(50);
    }
    await pause(isLong ? 40_000 : 10_000);
    const closed = await broker.counter('millrace_connections_closed_total', '"request-memory"');
    if (closed === 0) throw new Error('no unfinished frame was closed for its memory');
    return `${count} frames of which 8 MiB came, ${closed} closed for their memory`;
  });

/** What a ClientHello begins with: a record of 512 bytes, of which these are all that comes. */
const HALF_HELLO = Buffer.from('1603010200010001fc0303', 'hex');
const HANDSHAKE_MS = 10_000;

/** 15: handshakes that go no further, and clients that want another one. */
const handshakes = ({ isLong, progress }: CaseContext): Promise<string> => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-handshakes-'));
  const [certPath, keyPath] = ['cert.pem', 'key.pem'].map((name) => path.join(directory, name));
  const hosts = ['127.0.0.1'];
  const made = { commonName: 'attacked', hosts, notBefore: new Date(Date.now() - 60_000), days: 2 };
  const { certificate, privateKey } = selfSignedCertificate(made);
  fs.writeFileSync(certPath, certificate);
  fs.writeFileSync(keyPath, privateKey);
  const settings = [`tls.server.certPath=${certPath}`, `tls.server.keyPath=${keyPath}`];
  return AttackedBroker.attack(
    { port: 26230, memoryBytesMax: 192 * MIB, settings },
    async (broker) => {
      const count = isLong ? 5000 : 500;
      let closedCount = 0;
      for (let index = 0; index < count; index++) {
        const { socket, closed } = await broker.connect();
        socket.resume();
        void closed.then(() => closedCount++);
        socket.write(HALF_HELLO.subarray(0, 1 + (index % HALF_HELLO.length)));
      }
      progress('clients that want a new handshake');
      let renewed = 0;
      for (let index = 0; index < (isLong ? 1000 : 100); index++)
        if (await renegotiates(broker.port)) renewed++;
      if (renewed > 0) throw new Error(`${renewed} clients got a new handshake`);
      await pause(HANDSHAKE_MS + 2000);
      if (closedCount < count)
        throw new Error(
          `${count - closedCount} of ${count} handshakes that go no further are open`,
        );
      return `${count} handshakes that go no further closed after ${HANDSHAKE_MS / 1000} s, no new one for who wants it`;
    },
  ).finally(() => fs.rmSync(directory, { recursive: true, force: true }));
};

/** Whether the server lets a client of TLS 1.2 begin the handshake again. */
async function renegotiates(port: number): Promise<boolean> {
  const options = { port, host: '127.0.0.1', rejectUnauthorized: false } as const;
  const socket = tls.connect({ ...options, maxVersion: 'TLSv1.2' });
  await once(socket, 'secureConnect');
  const isRenewed = await new Promise<boolean>((resolve) => {
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.renegotiate({}, (error) => resolve(error === null));
  });
  socket.destroy();
  return isRenewed;
}

/** 15: connections faster than they are let in; they wait, and all are served. */
const connects = ({ isLong }: CaseContext): Promise<string> => {
  const rate = isLong ? 500 : 200;
  const options = { port: 26220, memoryBytesMax: 128 * MIB, settings: [`acceptRateMax=${rate}`] };
  return AttackedBroker.attack(options, async (broker) => {
    const count = isLong ? 10_000 : 1000;
    const beganMs = performance.now();
    const answers = await Promise.all(
      Array.from({ length: count }, async () => {
        const client = await RawClient.connect(broker.port);
        const { code } = await client.request({ code: 9999 });
        client.close();
        return code;
      }),
    );
    if (answers.some((code) => code !== 3)) throw new Error('a connection was not served');
    const seconds = (performance.now() - beganMs) / 1000;
    const waited = await broker.counter('millrace_refusals_total', 'cause="connection-rate"');
    if (waited < count / 2) throw new Error(`only ${waited} had to wait`);
    return `${count} connections at once, at ${rate} a second: all served in ${seconds.toFixed(1)} s, ${waited} had to wait`;
  });
};

const registration = (brokerName: string, topicCount: number): RawRequest =>
  registrationOf(
    brokerName,
    Array.from({ length: topicCount }, (_, index) => `${brokerName}-topic-${index}`),
  );

/** 17: brokers that there are not, with many topics each, at a name server where nobody has to sign. */
const routes = ({ isLong, progress }: CaseContext): Promise<string> => {
  const [bytesMax, topicCount] = isLong ? [256 * MIB, 2000] : [16 * MIB, 500];
  const options = {
    port: 26250,
    memoryBytesMax: 2 * bytesMax + 64 * MIB,
    settings: [`routeBytesMax=${bytesMax}`],
  };
  return AttackedBroker.attack(options, async (broker) => {
    const known = await RawClient.connect(broker.port + 1);
    const knows = async (topic: string): Promise<boolean> =>
      (await known.request({ code: 105, fields: { topic } })).code === 0;
    await known.request(registration('known', 10));
    const strangers: RawClient[] = [];
    for (let index = 0; index < 8; index++)
      strangers.push(await RawClient.connect(broker.port + 1));
    let taken = 0;
    let refused = 0;
    while (refused < 100) {
      const index = taken + refused;
      const stranger = strangers[index % strangers.length];
      const answer = await stranger.request(registration(`stranger-${index}`, topicCount));
      if (answer.code === 0) taken++;
      else {
        names('routeBytesMax')(answer);
        refused++;
      }
      if (index % 50 === 0) progress(`${index} brokers`);
      await pause(5);
    }
    const kept = await broker.counter('millrace_route_bytes');
    if (kept > bytesMax || kept < bytesMax * 0.9)
      throw new Error(`${kept} bytes of routes are kept, of ${bytesMax}`);
    const counted = await broker.counter('millrace_refusals_total', 'cause="route-memory"');
    if (counted !== refused) throw new Error(`${refused} were refused, ${counted} counted`);
    if ((await known.request(registration('known', 10))).code !== 0)
      throw new Error('a broker that is known may not register again');
    if (!(await knows('known-topic-9')) || !(await knows('stranger-0-topic-0')))
      throw new Error('a route that was there is gone');
    for (const stranger of strangers) stranger.close();
    const endMs = performance.now() + 10_000;
    while (await knows('stranger-0-topic-0')) {
      if (performance.now() > endMs) throw new Error('routes of a broker that has gone stay');
      await pause(100);
    }
    if ((await known.request(registration('other', 10))).code !== 0)
      throw new Error('there is no room though all strangers have gone');
    known.close();
    return `${taken} brokers with ${topicCount} topics each, ${refused} more refused`;
  });
};

export const limitAttackCases: readonly FaultCase[] = [
  { name: 'attack-many', covers: '17', run: many },
  { name: 'attack-unfinished', covers: '2', run: unfinished },
  { name: 'attack-handshakes', covers: '15', run: handshakes },
  { name: 'attack-connects', covers: '15', run: connects },
  { name: 'attack-routes', covers: '17', run: routes },
];
