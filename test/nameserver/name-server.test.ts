/**
 * Requests as brokers, clients and tools send them, against a name server on a manual clock. Goal:
 * the answers of Apache RocketMQ's own name server, and no way for a stranger's request to end the
 * process or to take away the broker that runs beside it.
 */
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { NameServer, type NameServerOptions } from '../../src/nameserver/name-server.ts';
import { RequestCode, Version } from '../../src/protocol/codes.ts';
import { crc32Masked } from '../../src/protocol/crc32.ts';
import { encodeRegisterBody } from '../../src/protocol/register-body.ts';
import {
  type Answer,
  FLAG_ONEWAY,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';
import type { TopicConfig } from '../../src/protocol/topic-config.ts';
import { topicConfig as topic } from './registration.ts';

const client = { id: 900, remoteAddress: '10.0.0.50:40000', localAddress: '10.0.0.1' };
let clock: ManualClock;
let nameServer: NameServer;

beforeEach(() => {
  clock = new ManualClock(1000);
  nameServer = make({});
});

function make(options: Partial<NameServerOptions>): NameServer {
  return new NameServer({
    monotonicClock: clock,
    wallClock: clock,
    logger: silentLogger,
    ...options,
  });
}

function command(
  code: number,
  fields: Record<string, string> = {},
  body: string | Buffer = '',
): RemotingCommand {
  return {
    code,
    language: 'JAVA',
    version: Version.V5_3_3,
    opaque: 1,
    flag: 0,
    remark: null,
    extFields: new Map(Object.entries(fields)),
    body: Buffer.from(body),
    serializeType: 0,
  };
}

function ask(
  code: number,
  fields: Record<string, string> = {},
  body: string | Buffer = '',
  connection = client,
): Answer {
  const answer = nameServer.onRequest(command(code, fields, body), connection);
  if (answer === null) throw new Error('no answer');
  return answer;
}

function bodyOf(answer: Answer): unknown {
  return JSON.parse(Buffer.from(answer.body ?? []).toString());
}

interface Broker {
  name?: string;
  id?: number;
  address?: string;
  cluster?: string;
  topics: TopicConfig[];
  counter?: number;
  stateVersion?: number;
  connectionId?: number;
  fields?: Record<string, string>;
}

function register(broker: Broker): Answer {
  const version = {
    counter: broker.counter ?? 1,
    stateVersion: broker.stateVersion ?? 0,
    timestamp: 1700,
  };
  const body = encodeRegisterBody(version, broker.topics);
  return ask(
    RequestCode.REGISTER_BROKER,
    {
      clusterName: broker.cluster ?? 'c1',
      brokerName: broker.name ?? 'broker-a',
      brokerAddr: broker.address ?? '10.0.0.2:10911',
      brokerId: String(broker.id ?? 0),
      haServerAddr: '10.0.0.2:10912',
      bodyCrc32: String(crc32Masked(body)),
      ...broker.fields,
    },
    body,
    { ...client, id: broker.connectionId ?? 1 },
  );
}

const two = [topic('t1'), topic('t2')];

function routeOf(name: string, connection = client): Answer {
  return ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: name }, '', connection);
}

function permOf(name: string): number | undefined {
  const answer = routeOf(name);
  if (answer.code !== 0) return undefined;
  return (bodyOf(answer) as { queueDatas: { perm: number }[] }).queueDatas[0]?.perm;
}

describe('routes', () => {
  test('carry addresses by quoted broker id, without whitespace', () => {
    register({ topics: two });
    register({ topics: two, id: 1, address: '10.0.0.3:10911', connectionId: 2 });
    expect(Buffer.from(routeOf('t1').body ?? []).toString()).toBe(
      '{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.2:10911","1":"10.0.0.3:10911"},' +
        '"brokerName":"broker-a","cluster":"c1","enableActingMaster":false}],"filterServerTable":{},' +
        '"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}',
    );
  });

  test('an unknown topic gets 17 and the words that clients look for', () => {
    const answer = routeOf('nowhere');
    expect(answer.code).toBe(17);
    expect(answer.remark).toContain('No topic route info in name server for the topic: nowhere');
  });

  test('names that an object inherits are names like any other', () => {
    register({ topics: [topic('__proto__'), topic('constructor')], name: '__proto__' });
    expect(routeOf('__proto__').code).toBe(0);
    expect(routeOf('toString').code).toBe(17);
    const info = Buffer.from(ask(RequestCode.GET_BROKER_CLUSTER_INFO).body ?? []).toString();
    expect(info).toContain('"brokerAddrTable":{"__proto__":{');
  });

  test('the order configuration is part of a route where it is enabled', () => {
    nameServer = make({ orderMessageEnable: true });
    const order = { namespace: 'ORDER_TOPIC_CONFIG', key: 't1', value: 'broker-a:4' };
    ask(RequestCode.PUT_KV_CONFIG, order);
    const registered = register({ topics: two });
    expect(bodyOf(registered)).toEqual({ table: { t1: 'broker-a:4' } });
    expect(bodyOf(routeOf('t1'))).toMatchObject({ orderTopicConf: 'broker-a:4' });
    expect(bodyOf(routeOf('t2'))).not.toHaveProperty('orderTopicConf');
  });

  test('mappings of static topics and zones reach clients as registered', () => {
    const body = `{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":5},
      "topicConfigTable":{"s1":{"topicName":"s1","perm":6,"readQueueNums":2,"writeQueueNums":2},"s2":{"topicName":"s2"}},
      "topicQueueMappingInfoMap":{"s1":{"bname":"broker-a","currIdMap":{0:0,2:1},"epoch":7,"topic":"s1","totalQueues":4}}}}`;
    const fields = { clusterName: 'c1', brokerName: 'broker-a', brokerAddr: 'h:1', brokerId: '0' };
    expect(ask(RequestCode.REGISTER_BROKER, { ...fields, __ZONE_NAME: 'z1' }, body).code).toBe(0);
    expect(bodyOf(routeOf('s1'))).toMatchObject({
      brokerDatas: [{ zoneName: 'z1' }],
      topicQueueMappingByBroker: { 'broker-a': { currIdMap: { 0: 0, 2: 1 }, epoch: 7 } },
    });
    expect(bodyOf(routeOf('s2'))).not.toHaveProperty('topicQueueMappingByBroker');
  });

  test('a retry topic that is missing is asked of the hook, other topics are not', () => {
    const asked: string[] = [];
    nameServer = make({
      onMissingRetryTopic: (name) => {
        asked.push(name);
        register({ topics: [topic(name), topic('t1')] });
        return true;
      },
    });
    expect(routeOf('other').code).toBe(17);
    expect(routeOf('%RETRY%group').code).toBe(0);
    expect(routeOf('%RETRY%group').code).toBe(0);
    expect(asked).toEqual(['%RETRY%group']);
  });
});

describe('registrations', () => {
  test('a part of the topics leaves the others as they are', () => {
    register({ topics: two });
    expect(register({ topics: [topic('t3')], counter: 2 }).code).toBe(0);
    expect(['t1', 't2', 't3'].map((name) => routeOf(name).code)).toEqual([0, 0, 0]);
  });

  test('one topic from a broker that has told nothing yet is refused', () => {
    const answer = register({ topics: [topic('t1')] });
    expect([answer.code, answer.remark]).toEqual([1, 'register broker failed']);
    expect(bodyOf(ask(RequestCode.GET_BROKER_CLUSTER_INFO))).toEqual({
      brokerAddrTable: {},
      clusterAddrTable: {},
    });
  });

  test('the same data version again brings back what is missing and changes nothing else', () => {
    register({ topics: two });
    ask(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: 't2' });
    register({ topics: [topic('t1', { perm: 4 }), topic('t2')] });
    expect([permOf('t1'), permOf('t2')]).toEqual([6, 6]);
    register({ topics: [topic('t1', { perm: 4 }), topic('t2')], counter: 2 });
    expect(permOf('t1')).toBe(4);
  });

  test('a body whose checksum is another is refused', () => {
    expect(register({ topics: two, fields: { bodyCrc32: '7' } }).remark).toBe('crc32 not match');
    expect(routeOf('t1').code).toBe(17);
  });

  test.each(['true', 'false'])(
    'the compressed form is read where the header says %s',
    (compressed) => {
      const piece = (text: string): Buffer => {
        const bytes = Buffer.from(text);
        const length = Buffer.alloc(4);
        length.writeInt32BE(bytes.length);
        return Buffer.concat([length, bytes]);
      };
      const count = (value: number): Buffer => {
        const bytes = Buffer.alloc(4);
        bytes.writeInt32BE(value);
        return bytes;
      };
      const body = deflateSync(
        Buffer.concat([
          piece('{"counter":3,"stateVersion":0,"timestamp":1700}'),
          count(2),
          piece('t1 8 8 6 SINGLE_TAG {"+a b":"x y"}'),
          piece('t2 1 2 4 SINGLE_TAG {}'),
          piece('[]'),
          count(1),
          piece('{"bname":"broker-a","topic":"t2","currIdMap":{0:0}}'),
        ]),
      );
      const answer = ask(
        RequestCode.REGISTER_BROKER,
        {
          clusterName: 'c1',
          brokerName: 'broker-a',
          brokerAddr: '10.0.0.2:10911',
          brokerId: '0',
          compressed,
        },
        body,
      );
      expect(answer.code).toBe(0);
      expect(bodyOf(routeOf('t2'))).toMatchObject({
        queueDatas: [{ perm: 4, readQueueNums: 1, writeQueueNums: 2 }],
        topicQueueMappingByBroker: { 'broker-a': { topic: 't2' } },
      });
    },
  );

  test('a slave is told its master, and does not decide about topics beside one', () => {
    register({ topics: two });
    const answer = register({
      topics: [topic('t1', { perm: 4 }), topic('t9')],
      id: 1,
      address: '10.0.0.3:10911',
      fields: { enableActingMaster: 'false' },
    });
    expect(new Map(answer.extFields)).toEqual(
      new Map([
        ['haServerAddr', '10.0.0.2:10912'],
        ['masterAddr', '10.0.0.2:10911'],
      ]),
    );
    expect([permOf('t1'), permOf('t9')]).toEqual([6, undefined]);
  });

  test('a slave alone makes its topics known, without write permission where it acts as master', () => {
    const slave = { id: 1, address: '10.0.0.3:10911' };
    register({ topics: two, ...slave, fields: { enableActingMaster: 'false' } });
    expect(permOf('t1')).toBe(6);
    register({ topics: two, counter: 2, ...slave, fields: { enableActingMaster: 'true' } });
    expect(permOf('t1')).toBe(4);
  });

  test('an address under a new id leaves the old one', () => {
    register({ topics: two, id: 1, fields: { enableActingMaster: 'false' } });
    register({ topics: two, id: 0, counter: 2 });
    expect(bodyOf(routeOf('t1'))).toMatchObject({
      brokerDatas: [{ brokerAddrs: { 0: '10.0.0.2:10911' } }],
    });
  });

  test('an older state does not take the place of a newer one', () => {
    register({ topics: two, stateVersion: 2 });
    expect(register({ topics: two, stateVersion: 1, address: '10.0.0.9:1' }).code).toBe(0);
    expect(Buffer.from(routeOf('t1').body ?? []).toString()).not.toContain('10.0.0.9');
    register({ topics: two, stateVersion: 3, address: '10.0.0.9:1' });
    expect(Buffer.from(routeOf('t1').body ?? []).toString()).toContain('10.0.0.9:1');
  });

  test('ids and addresses that are none are refused', () => {
    for (const fields of [{ brokerId: 'x' }, { brokerId: '-1' }, { brokerAddr: '' }])
      expect(register({ topics: two, fields }).code).toBe(1);
  });
});

describe('brokers that go', () => {
  test('one that is silent longer than its time is removed at the next scan', () => {
    register({ topics: two });
    clock.advance(120_000);
    nameServer.doWork(clock.nowMs());
    expect(routeOf('t1').code).toBe(0);
    clock.advance(5001);
    expect(nameServer.nextDeadlineMs()).toBeLessThanOrEqual(clock.nowMs());
    expect(nameServer.doWork(clock.nowMs())).toBe(1);
    expect(routeOf('t1').code).toBe(17);
    expect(bodyOf(ask(RequestCode.GET_BROKER_CLUSTER_INFO))).toEqual({
      brokerAddrTable: {},
      clusterAddrTable: {},
    });
  });

  test.each([RequestCode.BROKER_HEARTBEAT, RequestCode.QUERY_DATA_VERSION])(
    'request %i is a sign of life',
    (code) => {
      register({ topics: two });
      const identity = {
        clusterName: 'c1',
        brokerName: 'broker-a',
        brokerAddr: '10.0.0.2:10911',
        brokerId: '0',
      };
      for (let round = 0; round < 4; round++) {
        clock.advance(100_000);
        expect(ask(code, identity).code).toBe(0);
        nameServer.doWork(clock.nowMs());
      }
      expect(routeOf('t1').code).toBe(0);
    },
  );

  test('a heartbeat timeout of its own counts for a broker', () => {
    register({ topics: two, fields: { heartbeatTimeoutMillis: '6000' } });
    clock.advance(6001);
    expect(nameServer.doWork(clock.nowMs())).toBe(1);
  });

  test('the connection by which it registered last ends its registration, an older one does not', () => {
    register({ topics: two, connectionId: 1 });
    register({ topics: two, connectionId: 2 });
    nameServer.onConnectionClosed(1);
    expect(routeOf('t1').code).toBe(0);
    nameServer.onConnectionClosed(2);
    expect(routeOf('t1').code).toBe(17);
  });

  test('without its master a group that allows acting masters can not be written', () => {
    const fields = { enableActingMaster: 'true' };
    register({ topics: two, fields });
    register({ topics: two, id: 1, address: '10.0.0.3:10911', connectionId: 2, fields });
    nameServer.onConnectionClosed(1);
    expect(permOf('t1')).toBe(4);
  });

  test('a broker that unregisters is gone at once', () => {
    register({ topics: two });
    ask(RequestCode.UNREGISTER_BROKER, {
      clusterName: 'c1',
      brokerName: 'broker-a',
      brokerAddr: '10.0.0.2:10911',
      brokerId: '0',
    });
    expect(routeOf('t1').code).toBe(17);
  });
});

describe('the broker of this process', () => {
  function embed(
    topics: TopicConfig[],
    counter = 1,
    advertisedAddress: string | null = null,
    deleted: string[] = [],
  ): void {
    nameServer.registerEmbedded({
      clusterName: 'c1',
      brokerName: 'home',
      brokerId: 0,
      advertisedAddress,
      brokerPort: 10911,
      changes: { topics, deleted },
      dataVersion: { counter, stateVersion: 0, timestamp: 5 },
    });
  }

  test.each([
    ['10.0.0.1', '10.0.0.1:10911'],
    ['::ffff:192.168.1.7', '192.168.1.7:10911'],
    ['fd00::1', '[fd00::1]:10911'],
  ])('has for an asker at %s the address %s', (localAddress, address) => {
    embed(two);
    const from = { ...client, localAddress };
    const inRoute = bodyOf(routeOf('t1', from));
    expect(inRoute).toMatchObject({ brokerDatas: [{ brokerAddrs: { 0: address } }] });
    const cluster = bodyOf(ask(RequestCode.GET_BROKER_CLUSTER_INFO, {}, '', from));
    expect(cluster).toMatchObject({ brokerAddrTable: { home: { brokerAddrs: { 0: address } } } });
    const names = { clusterName: 'c1', brokerName: 'home' };
    const group = bodyOf(ask(RequestCode.GET_BROKER_MEMBER_GROUP, names, '', from));
    expect(group).toMatchObject({ brokerMemberGroup: { brokerAddrs: { 0: address } } });
  });

  test('has the advertised address where there is one, and never expires', () => {
    embed([topic('only')], 1, 'public.example:7');
    clock.advance(10_000_000);
    nameServer.doWork(clock.nowMs());
    expect(bodyOf(routeOf('only'))).toMatchObject({
      brokerDatas: [{ brokerAddrs: { 0: 'public.example:7' } }],
    });
  });

  test('loses topics that it says are gone, and others keep theirs', () => {
    embed(two);
    register({ topics: two });
    embed([], 2, null, ['t2']);
    expect(bodyOf(routeOf('t2'))).toMatchObject({ queueDatas: [{ brokerName: 'broker-a' }] });
    expect((bodyOf(routeOf('t1')) as { queueDatas: unknown[] }).queueDatas).toHaveLength(2);
  });

  test('keeps a wiped write permission while other topics change', () => {
    embed(two);
    const wiped = ask(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: 'home' });
    expect(new Map(wiped.extFields).get('wipeTopicCount')).toBe('2');
    embed([topic('t3'), topic('t1')], 2);
    expect([permOf('t1'), permOf('t3')]).toEqual([4, 6]);
    embed([topic('t1', { readQueueNums: 8 })], 3);
    expect([permOf('t1'), permOf('t2')]).toEqual([6, 4]);
    const added = ask(RequestCode.ADD_WRITE_PERM_OF_BROKER, { brokerName: 'home' });
    expect(new Map(added.extFields).get('addTopicCount')).toBe('3');
    expect(permOf('t2')).toBe(6);
  });

  test('is not displaced, unregistered or robbed of a topic by requests from the network', () => {
    embed(two);
    const before = routeOf('t1').body;
    expect(register({ topics: two, name: 'home', address: '10.6.6.6:1', counter: 9 }).code).toBe(0);
    for (const brokerAddr of ['', '10.0.0.1:10911', '10.6.6.6:1']) {
      const identity = { clusterName: 'c1', brokerName: 'home', brokerId: '0', brokerAddr };
      ask(RequestCode.UNREGISTER_BROKER, identity);
    }
    ask(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: 't1' });
    ask(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: 't1', clusterName: 'c1' });
    expect(routeOf('t1').body).toEqual(before);
  });

  test('is not displaced or unregistered by who says its address', () => {
    embed(two, 1, 'public.example:7');
    const before = routeOf('t1').body;
    const address = 'public.example:7';
    for (const cluster of ['c1', 'c2'])
      for (const [name, id] of [
        ['home', 0],
        ['home', 5],
        ['stranger', 0],
      ] as const) {
        expect(register({ topics: two, name, id, address, cluster, counter: 9 }).code).toBe(0);
        const identity = { clusterName: cluster, brokerName: name, brokerId: String(id) };
        ask(RequestCode.UNREGISTER_BROKER, { ...identity, brokerAddr: address });
      }
    nameServer.onConnectionClosed(1);
    clock.advance(10_000_000);
    nameServer.doWork(clock.nowMs());
    expect(routeOf('t1').body).toEqual(before);
  });

  test('is gone after unregisterEmbedded, also from later deletions', () => {
    embed(two);
    nameServer.unregisterEmbedded();
    ask(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: 't1' });
    expect(routeOf('t1').code).toBe(17);
  });

  test('tells a slave its address as the slave reached it', () => {
    embed(two);
    const answer = register({ topics: two, name: 'home', id: 1, address: '10.0.0.3:10911' });
    expect(new Map(answer.extFields).get('masterAddr')).toBe('10.0.0.1:10911');
  });
});

describe('lists and configuration', () => {
  test('topics by name, by cluster, and by unit flags', () => {
    register({ topics: [topic('u', { topicSysFlag: 1 }), topic('s', { topicSysFlag: 2 })] });
    register({
      topics: [topic('us', { topicSysFlag: 3 }), topic('plain')],
      name: 'b2',
      cluster: 'c2',
      address: '10.0.0.8:1',
    });
    const list = (code: number, fields: Record<string, string> = {}): unknown =>
      (bodyOf(ask(code, fields)) as { topicList: string[] }).topicList;
    expect(list(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).toEqual(['u', 's', 'us', 'plain']);
    expect(list(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: 'c2' })).toEqual(['us', 'plain']);
    expect(list(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: 'none' })).toEqual([]);
    expect(list(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS)).toEqual(['c1', 'broker-a', 'c2', 'b2']);
    expect(list(RequestCode.GET_UNIT_TOPIC_LIST)).toEqual(['u', 'us']);
    expect(list(RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST)).toEqual(['s', 'us']);
    expect(list(RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST)).toEqual(['s']);
  });

  test('key-value configuration survives a restart in the stored text', () => {
    let stored = '';
    nameServer = make({ persistKv: (text) => (stored = text) });
    const entry = { namespace: '__proto__', key: 'k', value: 'v' };
    ask(RequestCode.PUT_KV_CONFIG, entry);
    ask(RequestCode.PUT_KV_CONFIG, { namespace: 'n', key: 'gone', value: 'v' });
    ask(RequestCode.DELETE_KV_CONFIG, { namespace: 'n', key: 'gone' });
    nameServer = make({ kvText: stored });
    expect(new Map(ask(RequestCode.GET_KV_CONFIG, entry).extFields).get('value')).toBe('v');
    expect(ask(RequestCode.GET_KV_CONFIG, { namespace: 'n', key: 'gone' }).code).toBe(22);
    expect(bodyOf(ask(RequestCode.GET_KVLIST_BY_NAMESPACE, entry))).toEqual({ table: { k: 'v' } });
    expect(ask(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace: 'n' }).code).toBe(22);
  });

  test('configuration has an end to what it takes', () => {
    const value = 'x'.repeat(1024 * 1024);
    const codes = Array.from(
      { length: 20 },
      (_, index) =>
        ask(RequestCode.PUT_KV_CONFIG, { namespace: 'n', key: String(index), value }).code,
    );
    expect(codes[0]).toBe(0);
    expect(codes[19]).toBe(1);
    ask(RequestCode.DELETE_KV_CONFIG, { namespace: 'n', key: '0' });
    expect(ask(RequestCode.PUT_KV_CONFIG, { namespace: 'n', key: 'new', value }).code).toBe(0);
  });

  test('its own configuration can be read but not changed from outside', () => {
    expect(Buffer.from(ask(RequestCode.GET_NAMESRV_CONFIG).body ?? []).toString()).toContain(
      'orderMessageEnable=false\n',
    );
    expect(ask(RequestCode.UPDATE_NAMESRV_CONFIG, {}, 'a=b').code).toBe(16);
  });

  test('a topic registered by hand needs brokers that are known', () => {
    register({ topics: two });
    const route = (brokerName: string): string =>
      `{"queueDatas":[{"brokerName":"${brokerName}","perm":6,"readQueueNums":3,"writeQueueNums":3}]}`;
    ask(RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: 'x' }, route('nobody'));
    expect(routeOf('x').code).toBe(17);
    ask(RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: 'x' }, route('broker-a'));
    expect(bodyOf(routeOf('x'))).toMatchObject({ queueDatas: [{ readQueueNums: 3 }] });
  });

  test('the data version that it holds is compared with the asked one', () => {
    const identity = {
      clusterName: 'c1',
      brokerName: 'broker-a',
      brokerAddr: '10.0.0.2:10911',
      brokerId: '0',
    };
    const changed = (body: string): string | undefined =>
      new Map(ask(RequestCode.QUERY_DATA_VERSION, identity, body).extFields).get('changed');
    expect(changed('{"counter":1,"stateVersion":0,"timestamp":1700}')).toBe('true');
    register({ topics: two });
    expect(changed('{"counter":1,"stateVersion":0,"timestamp":1700}')).toBe('false');
    expect(changed('{"counter":2,"stateVersion":0,"timestamp":1700}')).toBe('true');
  });
});

test('an unknown request gets 3, a oneway request nothing', () => {
  const answer = ask(4711);
  expect([answer.code, answer.remark]).toEqual([3, ' request type 4711 not supported']);
  const oneway = { ...command(RequestCode.GET_BROKER_CLUSTER_INFO), flag: FLAG_ONEWAY };
  expect(nameServer.onRequest(oneway, client)).toBeNull();
});

test('no request of any form ends in an exception', () => {
  const codes = Object.values(RequestCode);
  const names = ['topic', 'namespace', 'key', 'value', 'brokerName', 'brokerAddr', 'clusterName'];
  const rest = ['brokerId', 'cluster', 'compressed', 'bodyCrc32', 'heartbeatTimeoutMillis'];
  const text = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('0', 'true', '', '__proto__'));
  const body = fc.oneof(
    fc.json({ maxDepth: 4 }),
    fc.constantFrom('', 'null', '[]', '{"queueDatas":[null]}', '{0:{1:2}}', '{{"a":1}:2}'),
    fc.constantFrom(
      '{"topicConfigSerializeWrapper":null}',
      '{"topicConfigSerializeWrapper":{"topicConfigTable":{"a":null,"b":{"topicName":"b","perm":"x"}}}}',
    ),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...codes),
      fc.dictionary(fc.constantFrom(...names, ...rest), text),
      body,
      fc.boolean(),
      (code, fields, json, isDeflated) => {
        const bytes = isDeflated ? deflateSync(json) : Buffer.from(json);
        expect(ask(code, fields, bytes).code).toBeTypeOf('number');
      },
    ),
    { numRuns: 2000 },
  );
});
