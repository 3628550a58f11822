/** Attacks on a broker process with access control on: by outsiders, by a user without rights, by guesses. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { signed, type TestCredentials } from '../access/signed-raw.ts';
import { AccessGate, Admission } from '../../src/access/access-gate.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { encodeRequest, type RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { RawClient, type RawRequest, sendRequest } from '../workers/raw-client.ts';
import { AttackedBroker, type AttackOptions } from './attacked-broker.ts';
import type { CaseContext, FaultCase } from './case.ts';

const MIB = 1024 * 1024;
const CODE_COUNT = 65_536;
const NO_PERMISSION = 16;
/** Requests that are on their way at once. */
const WINDOW = 256;
const CANARY = 'canary';

const admin: TestCredentials = { accessKey: 'admin', secretKey: 'canary-of-the-admin' };
const cluster: TestCredentials = { accessKey: 'cluster', secretKey: 'canary-of-the-cluster' };
const plain: TestCredentials = { accessKey: 'plain', secretKey: 'canary-of-a-user' };

const secured = (port: number, memoryBytesMax: number): AttackOptions => ({
  port,
  memoryBytesMax,
  settings: [
    'authenticationEnabled=true',
    'authorizationEnabled=true',
    `initAuthenticationUser={"username":"${admin.accessKey}","password":"${admin.secretKey}"}`,
    `innerClientAuthenticationCredentials=${JSON.stringify(cluster)}`,
  ],
  healthyUser: admin,
});

async function makePlainUser(client: RawClient): Promise<void> {
  const { accessKey: username, secretKey: password } = plain;
  const body = Buffer.from(JSON.stringify({ username, password, userType: 'Normal' }));
  const made = await client.request(signed({ code: 3001, fields: { username }, body }, admin));
  if (made.code !== 0) throw new Error(`no user was made: ${made.code} ${made.remark}`);
}

function seeNoCanary(answer: RemotingCommand, of: string): void {
  const text = `${answer.remark} ${JSON.stringify([...answer.extFields])} ${answer.body.toString('latin1')}`;
  if (text.includes(CANARY)) throw new Error(`the answer to ${of} holds a secret`);
}

/** Sends each request, some at once, and hands each answer on; fails where one gets none, but for those of `silent`. */
async function askAll(
  port: number,
  requests: Iterable<RawRequest>,
  onAnswer: (answer: RemotingCommand, request: RawRequest) => void,
  silent: readonly number[] = [],
): Promise<number> {
  let client = await RawClient.connect(port);
  let count = 0;
  const iterator = requests[Symbol.iterator]();
  for (;;) {
    const window: RawRequest[] = [];
    for (let next = iterator.next(); window.length < WINDOW; next = iterator.next()) {
      if (next.done === true) break;
      window.push(next.value);
      if (window.length === WINDOW) break;
    }
    if (window.length === 0) break;
    const asked = client;
    await Promise.all(
      window.map(async (request) => {
        if (silent.includes(request.code)) {
          asked.oneway(request);
          return;
        }
        const answer = await Promise.race([
          asked.request(request),
          pause(30_000).then(() => `code ${request.code} has no answer`),
          asked.closed.then(() => `code ${request.code} costs its connection`),
        ]);
        if (typeof answer === 'string') throw new Error(answer);
        onAnswer(answer, request);
      }),
    );
    count += window.length;
    if (asked.socket.destroyed) client = await RawClient.connect(port);
  }
  client.close();
  return count;
}

function* everyCode(): Generator<RawRequest> {
  for (let code = 0; code < CODE_COUNT; code++) yield { code };
}

/** 8: whoever does not sign is refused everything, by broker and name server. */
const outsiders = ({ progress }: CaseContext): Promise<string> =>
  AttackedBroker.attack(secured(26100, 128 * MIB), async (broker) => {
    let count = 0;
    for (const port of [broker.port, broker.port - 2, broker.port + 1]) {
      progress(`port ${port}`);
      count += await askAll(port, everyCode(), (answer, { code }) => {
        seeNoCanary(answer, `code ${code} by an outsider`);
        if (answer.code !== NO_PERMISSION)
          throw new Error(`code ${code} by an outsider is answered ${answer.code} at ${port}`);
      });
    }
    const refused = await broker.counter('millrace_refusals_total', 'cause="unsigned"');
    if (refused !== count) throw new Error(`${refused} of ${count} refusals were counted`);
    return `${count} requests of outsiders, every code at three ports, all refused`;
  });

/** END_TRANSACTION that neither commits nor rolls back has no answer, as in RocketMQ. */
const silentCodes = [37];

/** 7: no answer to a user without rights, or to an administrator, holds a secret. */
const canary = ({ progress }: CaseContext): Promise<string> =>
  AttackedBroker.attack(secured(26110, 192 * MIB), async (broker) => {
    const client = await RawClient.connect(broker.port);
    await makePlainUser(client);
    let allowed = 0;
    const byPlain = function* (): Generator<RawRequest> {
      for (const request of everyCode()) yield signed(request, plain);
    };
    progress('a user without rights');
    let count = await askAll(
      broker.port,
      byPlain(),
      (answer, { code }) => {
        seeNoCanary(answer, `code ${code} by a user`);
        if (answer.code === 0) allowed++;
      },
      silentCodes,
    );
    for (const code of [25, 26, 3001, 3002, 3003, 3004, 3005, 3006, 3007, 3008, 3009, 3010]) {
      const body = Buffer.from(JSON.stringify({ subject: 'User:plain', username: 'admin' }));
      const fields = { username: 'admin', subject: 'User:admin' };
      const answer = await client.request(signed({ code, fields, body }, plain));
      if (answer.code === 0) throw new Error(`code ${code} is served to a user without rights`);
      seeNoCanary(answer, `code ${code}`);
    }
    progress('an administrator');
    // What would end others, or the broker's data, is not asked for.
    const byAdmin = function* (): Generator<RawRequest> {
      const fields = { username: 'plain', subject: 'User:plain', filter: '', topic: 'Healthy' };
      for (let code = 0; code < 6000; code++)
        if (![215, 3002, 3003].includes(code)) yield signed({ code, fields }, admin);
    };
    count += await askAll(
      broker.port,
      byAdmin(),
      (answer, { code }) => seeNoCanary(answer, `code ${code} by an administrator`),
      silentCodes,
    );
    client.close();
    return `${count} answers without a secret, ${allowed} of a user without rights served`;
  });

/** What no setting over the network may say. */
const dangerousSettings = [
  'rocketmqHome=/tmp/x; touch /tmp/owned',
  'filterServerNums=1',
  'storePathRootDir=/tmp/owned',
  'storePathCommitLog=/tmp/owned',
  'configStorePath=/tmp/owned.properties',
  'kvConfigPath=/tmp/owned.json',
  'brokerConfigPath=/tmp/owned.conf',
  'plainAclFile=/etc/passwd',
  'tls.server.keyPath=/etc/shadow',
  'authenticationEnabled=false',
  'initAuthenticationUser={"username":"x","password":"y"}',
  'deleteWhen=04\r\nrocketmqHome=/tmp/x',
  'deleteWhen=04\nauthenticationEnabled=false',
  'autoCreateTopicEnable=true\r\nstorePathRootDir=/tmp/owned',
  '__proto__=x',
  'constructor=x',
];

/** 6: settings that are paths or commands; strace sees no other program and no file outside of the store. */
const settings = (): Promise<string> => {
  const isTraced = spawnSync('strace', ['-V']).status === 0;
  let traceFile = '';
  return AttackedBroker.attack(
    {
      ...secured(26120, 256 * MIB),
      isTraced,
      wrapper: (directory) => {
        traceFile = path.join(directory, 'trace.log');
        const calls = 'trace=execve,execveat,open,openat,openat2,creat,rename,renameat,renameat2';
        return isTraced
          ? ['strace', '-D', '-f', '--seccomp-bpf', '-qq', '-e', calls, '-o', traceFile]
          : [];
      },
    },
    async (broker) => {
      const before = isTraced ? fs.statSync(traceFile).size : 0;
      const client = await RawClient.connect(broker.port);
      const names = await RawClient.connect(broker.port + 1);
      for (const text of dangerousSettings) {
        const body = Buffer.from(text);
        for (const [asked, code] of [
          [client, 25],
          [names, 318],
        ] as const) {
          const answer = await asked.request(signed({ code, body }, admin));
          if (answer.code === 0)
            throw new Error(`code ${code} with ${JSON.stringify(text)} is taken`);
        }
      }
      for (const code of [266, 319, 328, 332])
        await client.request(signed({ code, body: Buffer.from('/etc/passwd') }, admin));
      for (let index = 0; index < 20; index++) {
        const send = sendRequest({ topic: `T${index}`, body: 'x' });
        await client.request(signed(send, admin));
      }
      await makePlainUser(client);
      client.close();
      names.close();
      await pause(6000);
      if (!isTraced)
        return `${dangerousSettings.length} dangerous settings refused; strace is not installed: files and programs were not watched`;
      const store = path.join(broker.directory, 'store');
      const lines = fs.readFileSync(traceFile, 'utf8').slice(before).split('\n');
      const calls = lines.filter((line) => /(exec|open|creat|rename)\w*\(/.test(line));
      if (calls.length === 0) throw new Error('strace has seen nothing');
      const strange = calls.filter((line) => {
        if (/exec\w*\(/.test(line)) return true;
        const paths = [...line.matchAll(/"([^"]*)"/g)].map((match) => match[1] ?? '');
        return paths.some((file) => !isExpected(file, store));
      });
      if (strange.length > 0)
        throw new Error(`calls that should not be:\n${strange.slice(0, 20).join('\n')}`);
      return `${dangerousSettings.length} dangerous settings refused by broker and name server; ${calls.length} calls of files, none outside of the store, no program started`;
    },
  );
};

const sources = path.join(import.meta.dirname, '../..');

/** Files of the store, code that is loaded late, and what the system says of itself. */
function isExpected(file: string, store: string): boolean {
  return (
    file.startsWith(store) ||
    file.startsWith(path.join(sources, 'src')) ||
    file.startsWith(path.join(sources, 'node_modules')) ||
    file === path.join(sources, 'package.json') ||
    file.startsWith('/proc/') ||
    file.startsWith('/sys/') ||
    file === '/dev/urandom'
  );
}

const registration = (brokerName: string): RawRequest => ({
  code: 103,
  fields: {
    brokerName,
    brokerAddr: '10.9.9.9:10911',
    clusterName: 'DefaultCluster',
    haServerAddr: '',
    brokerId: '0',
  },
  body: Buffer.from(
    JSON.stringify({
      topicConfigSerializeWrapper: {
        dataVersion: { counter: 9_999_999, stateVersion: 99, timestamp: Date.now() + 1_000_000 },
        topicConfigTable: {},
      },
      filterServerList: [],
    }),
  ),
});

/** 10: an outsider, or a user, registers as a broker, also under a name that is taken, and changes the name server. */
const registrations = (): Promise<string> =>
  AttackedBroker.attack(secured(26130, 64 * MIB), async (broker) => {
    const names = await RawClient.connect(broker.port + 1);
    const clusterOf = async (): Promise<string> =>
      (await names.request(signed({ code: 106 }, admin))).body.toString();
    const before = await clusterOf();
    const brokerName = /"brokerName":"([^"]+)"/.exec(before)?.[1] ?? '';
    if (brokerName === '') throw new Error('the name server does not know its broker');
    const client = await RawClient.connect(broker.port);
    await makePlainUser(client);
    const fields = {
      brokerName,
      brokerAddr: `127.0.0.1:${broker.port}`,
      clusterName: 'DefaultCluster',
    };
    const changes: RawRequest[] = [
      registration(brokerName),
      registration('stranger'),
      { code: 104, fields: { ...fields, brokerId: '0' } },
      { code: 904, fields },
      { code: 322, fields: { ...fields, brokerId: '0' } },
      { code: 205, fields: { brokerName } },
      { code: 327, fields: { brokerName } },
      { code: 216, fields: { topic: 'Healthy' } },
      { code: 217, fields: { topic: 'Healthy' } },
      { code: 100, fields: { namespace: 'ORDER_TOPIC_CONFIG', key: 'Healthy', value: 'x:1' } },
      { code: 102, fields: { namespace: 'ORDER_TOPIC_CONFIG', key: 'Healthy' } },
    ];
    for (const change of changes) {
      for (const request of [
        change,
        signed(change, plain),
        signed(change, { ...cluster, secretKey: 'x' }),
      ]) {
        const answer = await names.request(request);
        if (answer.code !== NO_PERMISSION)
          throw new Error(`code ${change.code} by an outsider is answered ${answer.code}`);
      }
    }
    if ((await clusterOf()) !== before) throw new Error('an outsider has changed the name server');
    client.close();
    names.close();
    return `${changes.length} changes of the name server refused to outsiders, to a user, and to a wrong secret`;
  });

/** How much sooner or later a refusal may come for a user that is there: what noise makes of a median. */
const TIME_RATIO_MAX = 1.05;

/** 8: how long a wrong signature takes of a user that is there, of one that is not, and of a disabled one. */
function gateTimes({ seed, isLong }: CaseContext): string {
  const refusals = new Refusals(silentLogger, () => 0);
  const gate = new AccessGate({
    authenticationEnabled: true,
    authorizationEnabled: true,
    registrationCredentials: null,
    clusterName: 'DefaultCluster',
    refusals,
  });
  const names = ['user-there', 'user-wrong', 'user-taken'];
  const [there, , disabled] = names;
  const password = 'secret';
  gate.change({
    users: [
      { username: there, password, userType: 'Normal', userStatus: 'enable' },
      { username: disabled, password, userType: 'Normal', userStatus: 'disable' },
    ],
    acls: [],
  });
  const frames = names.map((accessKey) => {
    const request = signed({ code: 26, fields: { topic: 'T' } }, { accessKey, secretKey: 'guess' });
    return encodeRequest({
      ...request,
      opaque: 1,
      extFields: Object.entries(request.fields ?? {}).map(([name, value]) => [name, String(value)]),
    });
  });
  const serving = { server: 'control', port: 'broker', code: 26 } as const;
  const count = isLong ? 1_000_000 : 100_000;
  const random = seededRandom(seed);
  const times: number[][] = names.map(() => []);
  for (let index = 0; index < count; index++) {
    const which = Math.floor(random() * names.length);
    // An address each: none of them has to wait.
    const peerAddress = `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
    const source = { peerAddress, isTrusted: false, isWaiting: false };
    const frame = frames[which];
    const began = process.hrtime.bigint();
    const admission = gate.admit(source, serving, frame, 4, frame.length, index);
    times[which].push(Number(process.hrtime.bigint() - began));
    if (admission !== Admission.REFUSED) throw new Error(`a wrong signature is ${admission}`);
  }
  const medians = times.map((some) => some.sort((a, b) => a - b)[some.length >> 1] / 1000);
  const ratio = Math.max(...medians) / Math.min(...medians);
  const said = names.map((name, index) => `${name} ${medians[index].toFixed(2)} us`).join(', ');
  if (ratio > TIME_RATIO_MAX) throw new Error(`the time of a refusal tells who is there: ${said}`);
  return `${count} wrong signatures, medians: ${said}`;
}

/** 9: guesses from one address, and from many. */
const guesses = ({ isLong, progress }: CaseContext): Promise<string> =>
  AttackedBroker.attack(secured(26140, 192 * MIB), async (broker) => {
    const rounds = isLong
      ? [
          { addresses: 1, each: 100_000 },
          { addresses: 1000, each: 900 },
        ]
      : [
          { addresses: 1, each: 5000 },
          // More than the 1,000 a second that all of them share: nobody is done before the attack ends.
          { addresses: 100, each: 150 },
        ];
    const said: string[] = [];
    // The healthy client's sends cost what they cost on this machine today: those are not the guesses'.
    const healthyFrom = broker.cpuSeconds();
    const healthySeconds = 4;
    await pause(healthySeconds * 1000);
    const healthyCpu = (broker.cpuSeconds() - healthyFrom) / healthySeconds;
    for (const { addresses, each } of rounds) {
      const before = await broker.counter('millrace_refusals_total', 'cause="signature"');
      const cpuBefore = broker.cpuSeconds();
      const beganMs = performance.now();
      const encoder = await RawClient.connect(broker.port);
      const guess = Array.from({ length: 50 }, (_, index) =>
        encoder.encode(signed({ code: 26 }, { ...admin, secretKey: `guess-${index}` }), index),
      );
      const sockets = [];
      const answeredMs = Array.from({ length: addresses }, () => 0);
      for (let index = 0; index < addresses; index++) {
        const local = addresses === 1 ? '127.0.0.2' : `127.1.${(index >> 8) + 1}.${index & 255}`;
        const { socket } = await broker.connect(local);
        socket.on('data', () => {
          answeredMs[index] = performance.now();
        });
        sockets.push(socket);
      }
      for (let sent = 0; sent < each; sent += guess.length)
        for (const socket of sockets) socket.write(Buffer.concat(guess));
      progress(`${addresses * each} guesses from ${addresses} addresses`);
      const attackMs = isLong ? 60_000 : 10_000;
      while (performance.now() - beganMs < attackMs) await pause(500);
      const seconds = (performance.now() - beganMs) / 1000;
      const cpu = (broker.cpuSeconds() - cpuBefore) / seconds - healthyCpu;
      const taken = (await broker.counter('millrace_refusals_total', 'cause="signature"')) - before;
      const waitedMs = performance.now() - Math.min(...answeredMs);
      for (const socket of sockets) socket.destroy();
      encoder.close();
      if (waitedMs > 5000)
        throw new Error(`one of ${addresses} addresses has had no turn for ${waitedMs} ms`);
      if (taken > addresses * (5 + Math.ceil(seconds + 1) * 10))
        throw new Error(`${taken} guesses of ${addresses} addresses were taken in ${seconds} s`);
      if (taken < addresses * 5) throw new Error(`only ${taken} guesses were taken`);
      if (cpu > 0.15)
        throw new Error(
          `${addresses} addresses that guess take ${Math.round(cpu * 100)} % of a core`,
        );
      said.push(
        `${addresses * each} guesses from ${addresses} addresses: ${taken} taken in ${Math.round(seconds)} s, ${Math.round(cpu * 100)} % of a core (and the healthy client ${Math.round(healthyCpu * 100)} %)`,
      );
    }
    const delayed = await broker.counter('millrace_refusals_total', 'cause="guessing"');
    if (delayed === 0) throw new Error('nobody was slowed down');
    return said.join('; ');
  });

export const accessAttackCases: readonly FaultCase[] = [
  { name: 'attack-settings', covers: '6', run: settings },
  { name: 'attack-canary', covers: '7', run: canary },
  { name: 'attack-outsiders', covers: '8', run: outsiders },
  { name: 'gate-times', covers: '8', run: gateTimes },
  { name: 'attack-guesses', covers: '9', run: guesses },
  { name: 'attack-registrations', covers: '10', run: registrations },
];
