/**
 * Goal: what brokers register has bounds, and costs those who are there nothing. Method: any sequence of
 * registrations and departures, after which nothing may be weighed that is gone, and what is there as if it had
 * been registered alone; a name server with little room, asked as brokers ask it.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { NameServer } from '../../src/nameserver/name-server.ts';
import { type Registration, RouteTable } from '../../src/nameserver/route-table.ts';
import { RequestCode, Version } from '../../src/protocol/codes.ts';
import { encodeRegisterBody } from '../../src/protocol/register-body.ts';
import type { Answer } from '../../src/protocol/remoting-command.ts';
import { topicConfig } from './registration.ts';

function registration(changes: Partial<Registration>): Registration {
  return {
    cluster: 'c1',
    brokerName: 'broker-a',
    brokerId: 0,
    address: '10.0.0.1:10911',
    haServerAddress: '',
    connectionId: 1,
    timeoutMs: 120_000,
    enableActingMaster: null,
    zoneName: undefined,
    topics: [],
    queueMappings: new Map(),
    dataVersion: { counter: 1, stateVersion: 0, timestamp: 1 },
    ...changes,
  };
}

const some = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const brokerName = some('a', 'b', 'broker-c');
const address = some('h1:1', 'h2:1', 'h3:1', 'host-number-4:1');
const cluster = some('c1', 'cluster-2');
const topicName = some('t1', 't2', 'a-longer-topic', 'ü');

const event = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('register' as const),
      cluster,
      brokerName,
      brokerId: fc.nat(2),
      address,
      connectionId: fc.nat(2),
      enableActingMaster: some(null, true, false),
      topics: fc.option(fc.uniqueArray(topicName, { minLength: 2 }), { nil: null }),
      mapped: fc.dictionary(topicName, some('{}', '{"epoch":7}')),
      counter: fc.nat(3),
      stateVersion: fc.nat(1),
    }),
  },
  fc.record({ kind: fc.constant('unregister' as const), cluster, brokerName, address }),
  fc.record({ kind: fc.constant('close' as const), connectionId: fc.nat(2) }),
  fc.record({ kind: fc.constant('purge' as const), count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ kind: fc.constant('deleteTopic' as const), topicName, cluster: some('', 'c1') }),
  fc.record({ kind: fc.constant('registerTopic' as const), topicName, brokerName }),
);
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

function apply(routes: RouteTable, step: Event): void {
  if (step.kind === 'purge') routes.purge(step.count);
  else if (step.kind === 'close') routes.onConnectionClosed(step.connectionId);
  else if (step.kind === 'unregister')
    routes.unregister(step.cluster, step.brokerName, step.address);
  else if (step.kind === 'deleteTopic') routes.deleteTopic(step.topicName, step.cluster);
  else if (step.kind === 'registerTopic') {
    if (!routes.groups.has(step.brokerName)) return;
    const queueData = { readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 };
    routes.registerTopic(step.topicName, [[step.brokerName, queueData]]);
  } else {
    const { topics, mapped, counter, stateVersion } = step;
    routes.register(
      registration({
        ...step,
        topics: topics?.map((name) => topicConfig(name)) ?? null,
        queueMappings: new Map(Object.entries(mapped)),
        dataVersion: { counter, stateVersion, timestamp: 1 },
      }),
      0,
    );
  }
}

describe('what is weighed', () => {
  test('is gone with the brokers, and never less than nothing', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (steps) => {
        const routes = new RouteTable();
        for (const step of steps) {
          apply(routes, step);
          expect(routes.bytes).toBeGreaterThanOrEqual(0);
          const isEmpty = routes.groups.size === 0 && routes.brokerCount === 0;
          if (isEmpty && !routes.isPurging) expect(routes.bytes).toBe(0);
        }
        for (const { brokerName: name, cluster: its, addresses } of routes.groups.values())
          for (const one of addresses.values()) routes.unregister(its, name, one);
        for (const name of ['c1', 'cluster-2'])
          for (const host of ['h1:1', 'h2:1', 'h3:1', 'host-number-4:1'])
            for (const broker of ['a', 'b', 'broker-c']) routes.unregister(name, broker, host);
        while (routes.purge(1) > 0);
        expect(routes.isPurging).toBe(false);
        expect(routes.bytes).toBe(0);
        expect([routes.topics.size, routes.queueMappings.size, routes.clusters.size]).toEqual([
          0, 0, 0,
        ]);
      }),
      { numRuns: 2000 },
    );
  });

  test('never passes the bound, whatever is registered', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), fc.nat(6000), (steps, bytesMax) => {
        const routes = new RouteTable(bytesMax);
        for (const step of steps) {
          apply(routes, step);
          expect(routes.bytes).toBeLessThanOrEqual(bytesMax);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('every broker name knows the topics that name it', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (steps) => {
        const routes = new RouteTable();
        for (const step of steps) apply(routes, step);
        // A broker that is back has what it has told since.
        for (const [name, group] of routes.groups) {
          const named = [...routes.topics].filter(([, queues]) => queues.has(name));
          expect([...group.topics].sort()).toEqual(named.map(([topic]) => topic).sort());
        }
        for (const [, queues] of routes.current())
          expect([...queues.keys()].some((name) => routes.groups.has(name))).toBe(true);
        while (routes.purge(1000) > 0);
        expect([...routes.current()]).toEqual([...routes.topics]);
        for (const queues of routes.topics.values())
          for (const name of queues.keys()) expect(routes.groups.has(name)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});

test('a broker that takes another name leaves the old one', () => {
  const routes = new RouteTable();
  routes.register(registration({ topics: [topicConfig('t1'), topicConfig('t2')] }), 0);
  routes.register(registration({ brokerName: 'broker-b' }), 0);
  routes.purge(1000);
  expect([...routes.groups.keys()]).toEqual(['broker-b']);
  expect(routes.topics.size).toBe(0);
});

describe('a name server with little room', () => {
  const room = 20_000;
  const connection = { remoteAddress: '10.0.0.50:40000', localAddress: '10.0.0.1' };

  function make(): { nameServer: NameServer; clock: ManualClock; refused: object[] } {
    const refused: object[] = [];
    const clock = new ManualClock(1000);
    const nameServer = new NameServer({
      monotonicClock: clock,
      wallClock: clock,
      logger: silentLogger,
      routeBytesMax: room,
      onNoRoom: (details) => refused.push(details),
    });
    return { nameServer, clock, refused };
  }

  function ask(
    nameServer: NameServer,
    code: number,
    fields: Record<string, string>,
    body: Buffer | string,
    id: number,
  ): Answer {
    const request = {
      code,
      language: 'JAVA',
      version: Version.V5_3_3,
      opaque: 1,
      flag: 0,
      remark: null,
      extFields: new Map(Object.entries(fields)),
      body: Buffer.from(body),
      serializeType: 0,
    } as const;
    return nameServer.onRequest(request, { ...connection, id }) as Answer;
  }

  function register(
    nameServer: NameServer,
    broker: { name: string; topics: readonly string[]; id?: number; connectionId: number },
  ): Answer {
    const { name, topics, id = 0, connectionId } = broker;
    const fields = {
      clusterName: 'c1',
      brokerName: name,
      brokerAddr: `${name}:${10911 + id}`,
      brokerId: String(id),
      haServerAddr: '',
    };
    const version = { counter: topics.length, stateVersion: 0, timestamp: 1 };
    const body = encodeRegisterBody(
      version,
      topics.map((topic) => topicConfig(topic)),
    );
    return ask(nameServer, RequestCode.REGISTER_BROKER, fields, body, connectionId);
  }

  const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `t${at}`);
  const hasRoute = (nameServer: NameServer, topic: string): boolean =>
    ask(nameServer, RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic }, '', 9).code === 0;

  test('refuses what does not fit, and says what to raise', () => {
    const { nameServer, refused } = make();
    expect(register(nameServer, { name: 'large', topics: names(100), connectionId: 1 })).toEqual({
      code: 1,
      remark: expect.stringMatching(/no room.*routeBytesMax/) as string,
    });
    expect(hasRoute(nameServer, 't0')).toBe(false);
    expect(refused).toEqual([{ brokerName: 'large', address: 'large:10911' }]);
    expect(register(nameServer, { name: 'small', topics: names(10), connectionId: 1 }).code).toBe(
      0,
    );
  });

  test('keeps whom it knows: a broker that grows too much lives on with what it had', () => {
    const { nameServer, clock } = make();
    register(nameServer, { name: 'a', topics: names(10), connectionId: 1 });
    for (let round = 0; round < 10; round++) {
      clock.advance(30_000);
      const grown = { name: 'a', topics: names(100), connectionId: 2 };
      expect(register(nameServer, grown).code).toBe(1);
      nameServer.doWork(clock.nowMs());
    }
    // It has come by another connection since.
    nameServer.onConnectionClosed(1);
    expect(hasRoute(nameServer, 't9')).toBe(true);
    expect(hasRoute(nameServer, 't10')).toBe(false);
    nameServer.onConnectionClosed(2);
    expect(hasRoute(nameServer, 't9')).toBe(false);
    expect(nameServer.nextDeadlineMs()).toBe(0);
    expect(nameServer.doWork(clock.nowMs())).toBe(10);
    expect(nameServer.routeBytes).toBe(0);
  });

  test('a stranger who fills it keeps no known broker from registering again', () => {
    const { nameServer } = make();
    register(nameServer, { name: 'a', topics: names(10), connectionId: 1 });
    let count = 0;
    while (register(nameServer, { name: `x${count}`, topics: [], connectionId: 7 }).code === 0)
      count++;
    expect(count).toBeGreaterThan(3);
    expect(register(nameServer, { name: 'a', topics: names(10), connectionId: 2 }).code).toBe(0);
    expect(hasRoute(nameServer, 't9')).toBe(true);
    nameServer.onConnectionClosed(7);
    nameServer.doWork(0);
    expect(register(nameServer, { name: 'b', topics: names(10), connectionId: 3 }).code).toBe(0);
  });

  test('a topic registered by hand needs room, too', () => {
    const { nameServer } = make();
    register(nameServer, { name: 'a', topics: names(2), connectionId: 1 });
    const body =
      '{"queueDatas":[{"brokerName":"a","perm":6,"readQueueNums":3,"writeQueueNums":3}]}';
    const codes = names(100).map(
      (topic) =>
        ask(nameServer, RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: `h${topic}` }, body, 1)
          .code,
    );
    expect([codes[0], codes[99]]).toEqual([0, 1]);
    expect(nameServer.routeBytes).toBeLessThanOrEqual(room);
  });

  test('a zone is a word', () => {
    const { nameServer } = make();
    const fields = {
      clusterName: 'c1',
      brokerName: 'a',
      brokerAddr: 'a:1',
      brokerId: '0',
      __ZONE_NAME: 'z'.repeat(256),
    };
    const { code, remark } = ask(nameServer, RequestCode.REGISTER_BROKER, fields, '', 1);
    expect([code, remark]).toEqual([1, 'the custom field <__ZONE_NAME> is too long']);
  });
});

test('one name has at most 1,000 addresses, and an acting master among them costs nothing', () => {
  const routes = new RouteTable();
  const member = (id: number): Registration =>
    registration({
      brokerId: id,
      address: `h:${id}`,
      enableActingMaster: true,
      topics: [topicConfig('t1'), topicConfig('t2')],
    });
  for (let id = 1; id <= 1000; id++) expect(routes.register(member(id), 0)).not.toBe('no-room');
  expect(routes.register(member(1001), 0)).toBe('no-room');
  expect(routes.register(member(1000), 0)).not.toBe('no-room');
});
