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

/** The route of a topic; null where no broker of it is known. */
export function routeBody(
  routes: RouteTable,
  topic: string,
  orderTopicConf: string | undefined,
  addressFor: AddressFor,
): Buffer | null {
  const brokerDatas: object[] = [];
  const queueDatas: object[] = [];
  for (const [brokerName, queueData] of routes.topics.get(topic) ?? []) {
    const group = routes.groups.get(brokerName);
    if (group === undefined) continue;
    brokerDatas.push(groupFields(group, addressFor));
    queueDatas.push(queueFields(brokerName, queueData));
  }
  if (brokerDatas.length === 0) return null;
  const mappings = routes.queueMappings.get(topic);
  return json({
    brokerDatas,
    filterServerTable: {},
    orderTopicConf,
    queueDatas,
    topicQueueMappingByBroker: mappings && Object.fromEntries(mappings),
  });
}

export function clusterInfoBody(routes: RouteTable, addressFor: AddressFor): Buffer {
  const brokers = [...routes.groups].map(
    ([brokerName, group]) => [brokerName, groupFields(group, addressFor)] as const,
  );
  const clusters = [...routes.clusters].map(([cluster, names]) => [cluster, [...names]] as const);
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
): Buffer {
  const group = routes.groups.get(brokerName);
  const brokerAddrs = group === undefined ? {} : addressFields(group, addressFor);
  return json({ brokerMemberGroup: { brokerAddrs, brokerName, cluster } });
}

/** Names of clusters and brokers, which are topics too, and the address of any broker. */
export function systemTopicsBody(routes: RouteTable, addressFor: AddressFor): Buffer {
  const names: string[] = [];
  for (const [cluster, brokerNames] of routes.clusters) names.push(cluster, ...brokerNames);
  const [group] = routes.groups.values();
  const [address] = group?.addresses.values() ?? [];
  const brokerAddr = address === undefined ? undefined : addressFor(address);
  return json({ brokerAddr, topicList: names });
}

export function topicListBody(topics: Iterable<string>): Buffer {
  return json({ topicList: [...topics] });
}

function groupFields(group: BrokerGroup, addressFor: AddressFor): object {
  return {
    brokerAddrs: addressFields(group, addressFor),
    brokerName: group.brokerName,
    cluster: group.cluster,
    enableActingMaster: group.enableActingMaster,
    zoneName: group.zoneName,
  };
}

function addressFields(group: BrokerGroup, addressFor: AddressFor): object {
  const entries = [...group.addresses].sort(([left], [right]) => left - right);
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

/** Fields that are undefined are left out. */
function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}
