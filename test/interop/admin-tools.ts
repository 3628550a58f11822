/**
 * Stock `mqadmin`, asked the same of a broker of each kind in the same state: what it prints, and the
 * files that it exports, must be the same line by line, but for the differences listed here.
 */
import fs from 'node:fs';
import path from 'node:path';
import { startJava } from './apache-rocketmq.ts';

export interface AdminBroker {
  nameServer: string;
  /** `ip:port` */
  broker: string;
  brokerName: string;
  /** Takes commands, output and exported files. */
  directory: string;
}

/** Those without an empty line between them run at once. AdminTools.java fills in what is in braces. */
const commands = `
topicList
topicList -c
topicRoute -t Tools
topicStatus -t Tools
topicClusterList -t Tools
consumerProgress
consumerProgress -g tools-behind
consumerProgress -g tools-live -s true
consumerStatus -g tools-live
consumerStatus -g tools-live -i {client}
consumerConnection -g tools-live
consumerConnection -g tools-behind
producerConnection -g tools-producer -t Tools
producerConnection -g nobody -t Tools
producer -b {broker}
consumer -g tools-live
clusterList
clusterList -m
brokerStatus -b {broker}
getBrokerConfig -b {broker}
getNamesrvConfig
statsAll -t Tools
brokerConsumeStats -b {broker}
getConsumerConfig -g tools-live
allocateMQ -t Tools -i 10.0.0.1,10.0.0.2
queryMsgById -i {msgId}
queryMsgById -i {msgId} -g tools-live -d {client}
queryMsgByKey -t Tools -k key-1
queryMsgByKey -t Tools -k nothing
queryMsgByUniqueKey -t Tools -i {uniqueKey}
queryMsgByUniqueKey -t Tools -i {uniqueKey} -g tools-live -d {client}
queryMsgByOffset -t Tools -b {brokerName} -i 0 -o 1
queryMsgTraceById -i {uniqueKey}
queryCq -t Tools -q 0 -i 0 -c 3 -b {broker}
queryCq -t Tools -q 0 -i 0 -c 3 -b {broker} -g tools-live
queryCq -t Tools -q 0 -i 99 -c 3 -b {broker}
queryCq -t Nowhere -q 0 -i 0 -c 3 -b {broker}
printMsg -t Tools
printMsgByQueue -t Tools -a {brokerName} -i 0 -p true
consumeMessage -t Tools -b {brokerName} -i 0 -o 0 -c 2
topicStatus -t Nowhere
startMonitoring

updateTopic -b {broker} -t Made -r 4 -w 4
updateTopic -c DefaultCluster -t MadeInOrder -r 2 -w 2 -o true
updateTopicList -b {broker} -f {directory}/topics.json
updateSubGroup -b {broker} -g made-group -r 3 -q 2
updateKvConfig -s space -k name -v value

updateOrderConf -m put -t Made -v {brokerName}:4
cleanExpiredCQ -b {broker}
cleanUnusedTopic -b {broker}

updateTopicPerm -b {broker} -t Made -p 4
deleteKvConfig -s space -k name
updateBrokerConfig -b {broker} -k autoCreateSubscriptionGroup -v true
updateBrokerConfig -b {broker} -k storePathRootDir -v /elsewhere
resetOffsetByTime -g tools-behind -t Tools -s 0
resetOffsetByTime -g nobody -t Tools -s 0

topicList
updateOrderConf -m get -t Made
exportMetadata -c DefaultCluster -f {directory}/metadata
exportConfigs -c DefaultCluster -f {directory}/configs
exportMetrics -c DefaultCluster -f {directory}/metrics
consumerProgress -g tools-behind

updateOrderConf -m delete -t Made
wipeWritePerm -b {brokerName}
resetOffsetByTime -g tools-behind -t Tools -s {time} -q 0 -o 3 -b {broker}

topicRoute -t Tools
skipAccumulatedMessage -g tools-behind -t Tools

addWritePerm -b {brokerName}
cloneGroupOffset -s tools-behind -d tools-clone -t Tools -o true

consumerProgress -g tools-behind
consumerProgress -g tools-clone
deleteSubGroup -b {broker} -g made-group -r true
deleteTopic -c DefaultCluster -t Made

topicRoute -t Made
sendMessage -t Tools -p words -k key-s -c TagS -b {brokerName} -i 2

sendMessage -t Tools -p words -b {brokerName} -i 1
sendMsgStatus -b {brokerName} -s 16 -c 3
checkMsgSendRT -t Tools -a 3 -s 16
clusterRT -c DefaultCluster -a 2 -s 16
`;

interface Difference {
  /** How the command begins. */
  command: string;
  /** Lines that are not compared. */
  line: RegExp;
  why: string;
}

/** Lines that must differ, or may; each with its reason. */
const differences: readonly Difference[] = [
  {
    command: 'topicList',
    line: /rmq_sys_SYNC_BROKER_MEMBER_|%RETRY%tools-live/,
    why: 'a topic of replication in the stock broker; the retry topic appears with its first question here',
  },
  {
    command: 'topicList -c',
    line: /Tools {20,}Tools/,
    why: 'the stock broker lists the topic itself as a group that consumes it',
  },
  {
    command: 'consumer',
    line: /%RETRY%tools-live .* (0 .*N\/A|0 {5}0|ProcessQueueInfo.*)$/,
    why: 'clients find their retry topic at once here, and after 20 s there',
  },
  { command: 'consumerProgress', line: /^(Consume TPS|tools-live )/, why: 'a rate' },
  {
    command: 'consumerStatus',
    line: /^Tools +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +\d+$|consumeTimestamp|PROP_CONSUMER_START/,
    why: 'rates and times, measured by the client',
  },
  { command: 'consumerStatus', line: /ProcessQueueInfo/, why: 'times of the client' },
  { command: 'clusterList', line: /broker-t .*V5_3_3/, why: 'rates, and how full the disk is' },
  {
    command: 'brokerStatus',
    line: /^(commitLogDir|commitLogDisk|consumeQueueDisk|get\w+Tps|putTps|runtime|bootTimestamp|putLatency|putMessage(Entire|Distribute|Average|Size)|getMessageEntire|commitLogMaxOffset|startAccept|earliest|timerReadBehind|timerOffsetBehind)/,
    why: 'times, rates, sizes of records with times in them; the distribution is empty in the stock broker',
  },
  {
    command: 'brokerStatus',
    line: /ThreadPoolQueueCapacity|remainTransientStoreBufferNumbs/,
    why: 'of thread pools and buffers that are not there: 0',
  },
  {
    command: 'brokerStatus',
    line: /^scheduleMessageOffset_/,
    why: 'the stock broker lists a delay level once it was used',
  },
  {
    command: 'updateBrokerConfig -b {broker} -k storePathRootDir',
    line: /./,
    why: 'paths can not be changed over the network here (16)',
  },
  { command: 'WritePerm', line: /OK, \d+$/, why: 'the number of topics' },
  {
    command: 'queryMsgTraceById',
    line: /^(Pub|Sub) /,
    why: 'how long sending and consuming took',
  },
  {
    command: 'queryMsgBy',
    line: /consumerGroup=Tools|06FAQ/,
    why: 'the stock broker lists the topic itself as a group that consumes it',
  },
  {
    command: 'statsAll',
    line: /Tools {20,}(Tools|tools-)/,
    why: 'rates of the last minute; and the group named like the topic',
  },
  {
    command: 'sendMsgStatus',
    line: /^rt=/,
    why: 'how long it took',
  },
  { command: 'checkMsgSendRT', line: /true|Avg RT/, why: 'how long it took' },
  { command: 'clusterRT', line: /DefaultCluster/, why: 'how long it took' },
  { command: 'file metrics', line: /Tps|Ratio|messageAverageSize/, why: 'rates and sizes' },
  { command: 'file metadata', line: /exportTime/, why: 'a time' },
];

/** Of what only the stock name server and broker are made; what both have must be the same. */
const onlyTheirs = ['getBrokerConfig', 'getNamesrvConfig'];
const onlyTheirsDiffer =
  /^(brokerIP1|recallMessageEnable|listenPort|namesrvAddr|storePathRootDir|threads|traceTopicEnable|mappedFileSizeCommitLog|diskSpace\w+|deleteWhen|defaultTopicQueueNums) /;

/** What each command prints, by its words, and each exported file, by `file` and its name. */
export async function adminOutputs(state: AdminBroker): Promise<Map<string, string[]>> {
  const { directory } = state;
  fs.mkdirSync(directory, { recursive: true });
  const topic = { topicName: 'Listed', readQueueNums: 3, writeQueueNums: 3, perm: 6 };
  fs.writeFileSync(path.join(directory, 'topics.json'), JSON.stringify([topic]));
  const commandFile = path.join(directory, 'commands');
  fs.writeFileSync(commandFile, commands.trimStart());
  const printedFile = path.join(directory, 'printed');
  const tools = startJava({
    main: 'millrace.AdminTools',
    arguments: [state.nameServer, state.broker, state.brokerName, commandFile, printedFile],
    directory,
    heapMb: 256,
    // Tools end their process; here they end themselves alone.
    jvmArguments: ['-Djava.security.manager=allow'],
    name: 'tools',
  });
  const timer = setTimeout(() => tools.kill(), 240_000);
  await tools.ended;
  clearTimeout(timer);
  if (!fs.existsSync(printedFile)) throw new Error(tools.output().slice(-2000));
  const outputs = new Map<string, string[]>();
  for (const part of fs.readFileSync(printedFile, 'utf8').split(/^### /m).slice(1)) {
    const [command, ...lines] = part.split('\n');
    let name = command;
    for (let count = 2; outputs.has(name); count++) name = `${command} (${count})`;
    outputs.set(name, plainLines(lines, state));
  }
  for (const kind of ['metadata', 'configs', 'metrics']) {
    const text = fs.readFileSync(path.join(directory, kind, `${kind}.json`), 'utf8');
    outputs.set(`file ${kind}`, plainLines(text.split('\n'), state));
  }
  return outputs;
}

/** Without what differs from run to run: times, ids, ports of clients, places in the tool's own code. */
function plainLines(lines: readonly string[], { directory, broker }: AdminBroker): string[] {
  return lines
    .flatMap((line) => line.split(/(?=MessageTrack )/))
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !/^\tat |^\s+\.\.\. \d+ more/.test(line))
    .map((line) =>
      line
        .replaceAll(directory, 'DIRECTORY')
        .replaceAll(broker, 'BROKER')
        .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
        // Before times: what stands behind the # may look like one.
        .replaceAll(/\d+#\d+ */g, 'PROCESS ')
        .replaceAll(/\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d([,.]\d+)?/g, 'TIME')
        .replaceAll(/\b20\d{12}(\d{3})?\b/g, 'TIME')
        .replaceAll(/\b1[6-9]\d{11}\b/g, 'MILLISECONDS')
        .replaceAll(/\b[0-9A-F]{32}\b/g, 'ID')
        .replaceAll(/spentTimeMills=\d+/g, 'spentTimeMills=N')
        .replaceAll(/Lambda\S*/g, 'LAMBDA')
        .replaceAll(/@[0-9a-f]{6,8}\b/g, '@HASH')
        .replaceAll(/commitLogOffset=\d+/g, 'commitLogOffset=N')
        .replaceAll(/storeSize=\d+/g, 'storeSize=N')
        // What was written since the last flush, which comes every 500 ms.
        .replaceAll(/^(remainHowManyDataTo(?:Flush|Commit) *: ).*/g, '$1SIZE')
        .replaceAll(/^(\d+ +)\d{2,}( +\d{3} +)/g, '$1N$2'),
    )
    .sort();
}

/** @throws Error naming every line that only one of the brokers has, and differences that are none any more. */
export function compareOutputs(
  theirs: ReadonlyMap<string, string[]>,
  ours: ReadonlyMap<string, string[]>,
): string {
  const problems: string[] = [];
  const used = new Set<Difference>();
  let lineCount = 0;
  for (const [command, expected] of theirs) {
    const found = ours.get(command) ?? [];
    const isCompared = (line: string): boolean => {
      const reasons = differences.filter(
        (one) => command.includes(one.command) && one.line.test(line),
      );
      for (const reason of reasons) used.add(reason);
      return reasons.length === 0;
    };
    let left = expected.filter(isCompared);
    let right = found.filter(isCompared);
    if (onlyTheirs.some((name) => command.startsWith(name))) {
      // name = value: those that both have, and at least the ten best known.
      const names = (lines: string[]): Set<string> =>
        new Set(lines.map((line) => line.split(' ')[0]));
      const [leftNames, rightNames] = [names(left), names(right)];
      left = left.filter(
        (line) => rightNames.has(line.split(' ')[0]) && !onlyTheirsDiffer.test(line),
      );
      right = right.filter(
        (line) => leftNames.has(line.split(' ')[0]) && !onlyTheirsDiffer.test(line),
      );
      if (command.startsWith('getBrokerConfig') && left.length < 10)
        problems.push(`${command}: only ${left.length} settings are the same`);
    }
    for (const line of missingIn(right, left)) problems.push(`${command}: not ours: ${line}`);
    for (const line of missingIn(left, right)) problems.push(`${command}: only ours: ${line}`);
    lineCount += left.length;
  }
  for (const one of differences)
    if (!used.has(one)) problems.push(`no difference any more: ${one.command} ${String(one.line)}`);
  if (problems.length > 0) throw new Error(`mqadmin:\n${problems.join('\n')}`);
  return `${theirs.size} outputs of mqadmin, ${lineCount} lines the same as with Apache`;
}

function missingIn(lines: readonly string[], wanted: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
  return wanted.filter((line) => {
    const count = counts.get(line) ?? 0;
    counts.set(line, count - 1);
    return count <= 0;
  });
}
