/**
 * @agent control
 *
 * The JSON bodies of a name server's answers. Keys of maps are always quoted, broker ids too: every
 * client reads that form, and some read no other. No whitespace, which the Go client could not skip.
 *
 * ```
 * {"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"broker-a","cluster":"c",…}],
 *  "filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,…}]}
 * ```
 * Source: TopicRouteData.java, ClusterInfo.java, GetBrokerMemberGroupResponseBody.java.
 */
import type { BrokerGroup, QueueData, RouteTable } from './route-table.ts';

/** Gives the address that one asker is told for a registered one. */
export type AddressFor = (registered: string) => string;

/** The one broker that an answer may name; null for all. */
export type OnlyBroker = { readonly brokerName: string; readonly brokerId: number } | null;

/** The route of a topic; null where no broker of it is known. */
export function routeBody(
  routes: RouteTable,
  topic: string,
  orderTopicConf: string | undefined,
  addressFor: AddressFor,
  only: OnlyBroker,
): Buffer | null {
  const brokerDatas: object[] = [];
  const queueDatas: object[] = [];
  for (const [brokerName, queueData] of routes.topics.get(topic) ?? []) {
    const group = routes.groups.get(brokerName);
    if (group === undefined || (only !== null && only.brokerName !== brokerName)) continue;
    brokerDatas.push(groupFields(group, addressFor, only));
    queueDatas.push(queueFields(brokerName, queueData));
  }
  if (brokerDatas.length === 0) return null;
  const mappings = routes.queueMappings.get(topic);
  return json({
    brokerDatas,
    filterServerTable: {},
    orderTopicConf,
    queueDatas,
    topicQueueMappingByBroker: mappings && parsed(mappings),
  });
}

export function clusterInfoBody(
  routes: RouteTable,
  addressFor: AddressFor,
  only: OnlyBroker,
): Buffer {
  const isNamed = (brokerName: string): boolean => only === null || only.brokerName === brokerName;
  const brokers = [...routes.groups]
    .filter(([brokerName]) => isNamed(brokerName))
    .map(([brokerName, group]) => [brokerName, groupFields(group, addressFor, only)] as const);
  const clusters = [...routes.clusters]
    .map(([cluster, names]) => [cluster, [...names].filter(isNamed)] as const)
    .filter(([, names]) => names.length > 0);
  return json({
    brokerAddrTable: Object.fromEntries(brokers),
    clusterAddrTable: Object.fromEntries(clusters),
  });
}

export function memberGroupBody(
  routes: RouteTable,
  cluster: string,
  brokerName: string,
  addressFor: AddressFor,
  only: OnlyBroker,
): Buffer {
  const group = routes.groups.get(brokerName);
  const isNamed = group !== undefined && (only === null || only.brokerName === brokerName);
  const brokerAddrs = isNamed ? addressFields(group, addressFor, only) : {};
  return json({ brokerMemberGroup: { brokerAddrs, brokerName, cluster } });
}

/** Names of clusters and brokers, which are topics too, and the address of any broker. */
export function systemTopicsBody(
  routes: RouteTable,
  addressFor: AddressFor,
  only: OnlyBroker,
): Buffer {
  const names: string[] = [];
  for (const [cluster, brokerNames] of routes.clusters) {
    const named = [...brokerNames].filter((name) => only === null || only.brokerName === name);
    if (named.length > 0) names.push(cluster, ...named);
  }
  const [first] = routes.groups.values();
  const group = only === null ? first : routes.groups.get(only.brokerName);
  const [address] = group?.addresses.values() ?? [];
  const brokerAddr = address === undefined ? undefined : addressFor(address);
  return json({ brokerAddr, topicList: names });
}

export function topicListBody(topics: Iterable<string>): Buffer {
  return json({ topicList: [...topics] });
}

function groupFields(group: BrokerGroup, addressFor: AddressFor, only: OnlyBroker): object {
  return {
    brokerAddrs: addressFields(group, addressFor, only),
    brokerName: group.brokerName,
    cluster: group.cluster,
    enableActingMaster: group.enableActingMaster,
    zoneName: group.zoneName,
  };
}

function addressFields(group: BrokerGroup, addressFor: AddressFor, only: OnlyBroker): object {
  const entries = [...group.addresses]
    .filter(([id]) => only === null || id === only.brokerId)
    .sort(([left], [right]) => left - right);
  return Object.fromEntries(entries.map(([id, address]) => [String(id), addressFor(address)]));
}

function queueFields(brokerName: string, queueData: QueueData): object {
  return {
    brokerName,
    perm: queueData.perm,
    readQueueNums: queueData.readQueueNums,
    topicSysFlag: queueData.topicSysFlag,
    writeQueueNums: queueData.writeQueueNums,
  };
}

function parsed(mappings: ReadonlyMap<string, string>): object {
  const entries = [...mappings].map(
    ([brokerName, text]) => [brokerName, JSON.parse(text)] as const,
  );
  return Object.fromEntries(entries);
}

/** Fields that are undefined are left out. */
function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}
