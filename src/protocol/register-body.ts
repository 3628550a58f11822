/**
 * @agent any
 *
 * The body of REGISTER_BROKER: a broker's topics and their version, as JSON or, where the header
 * says so, as a zlib stream of length-prefixed pieces. Source: RegisterBrokerBody.java.
 */
import { inflateSync } from 'node:zlib';
import { BrokerError } from '../base/errors.ts';
import { Version } from './codes.ts';
import { parseFastjson } from './fastjson.ts';
import {
  type DataVersion,
  decodeDataVersion,
  decodeTopicConfig,
  decodeTopicConfigText,
  type TopicConfig,
  topicConfigJson,
} from './topic-config.ts';

export interface RegisterBody {
  dataVersion: DataVersion;
  topics: TopicConfig[];
  filterServers: string[];
  /** Of static topics: TopicQueueMappingInfo as JSON, by topic. */
  queueMappings: Map<string, string>;
}

/** Inflated size that is taken: some 500,000 topics. */
const INFLATED_BYTES_MAX = 64 * 1024 * 1024;
/** No JSON begins so: deflate with a window of 32 KiB. */
const ZLIB_FIRST_BYTE = 0x78;

/** @throws BrokerError FRAME_INVALID where the body is not of the announced form. */
export function decodeRegisterBody(
  body: Buffer,
  isCompressed: boolean,
  version: number,
): RegisterBody {
  if (body.length === 0)
    return {
      dataVersion: decodeDataVersion(null),
      topics: [],
      filterServers: [],
      queueMappings: new Map(),
    };
  // RocketMQ 5.3.3 with compressedRegister compresses the body, but its header says it does not.
  const isZlib = isCompressed || body[0] === ZLIB_FIRST_BYTE;
  return isZlib ? decodeCompressed(body, version) : decodeJson(body);
}

/** The JSON form. */
export function encodeRegisterBody(
  dataVersion: DataVersion,
  topics: Iterable<TopicConfig>,
): Buffer {
  const table: [string, unknown][] = [];
  for (const topic of topics) table.push([topic.topicName, topicConfigJson(topic)]);
  return Buffer.from(
    JSON.stringify({
      filterServerList: [],
      topicConfigSerializeWrapper: {
        dataVersion,
        mappingDataVersion: { counter: 0, stateVersion: 0, timestamp: 0 },
        topicConfigTable: Object.fromEntries(table),
        topicQueueMappingDetailMap: {},
        topicQueueMappingInfoMap: {},
      },
    }),
  );
}

function decodeJson(body: Buffer): RegisterBody {
  const root = fieldsOf(parseFastjson(body.toString('utf8')));
  // Brokers before 3.0.11 sent nothing but the wrapper.
  const wrapper = fieldsOf(root['topicConfigSerializeWrapper'] ?? root);
  const topics: TopicConfig[] = [];
  for (const value of Object.values(fieldsOf(wrapper['topicConfigTable']))) {
    const topic = decodeTopicConfig(value);
    if (topic !== null) topics.push(topic);
  }
  const mappings = Object.entries(fieldsOf(wrapper['topicQueueMappingInfoMap']));
  return {
    dataVersion: decodeDataVersion(wrapper['dataVersion']),
    topics,
    filterServers: textsOf(root['filterServerList']),
    queueMappings: new Map(mappings.map(([topic, mapping]) => [topic, JSON.stringify(mapping)])),
  };
}

function decodeCompressed(body: Buffer, version: number): RegisterBody {
  let bytes: Buffer;
  try {
    bytes = inflateSync(body, { maxOutputLength: INFLATED_BYTES_MAX });
  } catch (cause) {
    throw new BrokerError('FRAME_INVALID', 'the registration is no zlib stream, or too large', {
      cause,
    });
  }
  let at = 0;
  const takeInt = (): number => {
    if (at + 4 > bytes.length)
      throw new BrokerError('FRAME_INVALID', 'the registration is cut short');
    at += 4;
    return bytes.readInt32BE(at - 4);
  };
  const takeText = (): string => {
    const length = takeInt();
    if (length < 0 || length > bytes.length - at)
      throw new BrokerError('FRAME_INVALID', 'the registration is cut short');
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  const dataVersion = decodeDataVersion(parseFastjson(takeText()));
  const topics: TopicConfig[] = [];
  for (let count = takeInt(); count > 0; count--) {
    const topic = decodeTopicConfigText(takeText());
    if (topic !== null) topics.push(topic);
  }
  const filterServers = textsOf(parseFastjson(takeText()));
  const queueMappings = new Map<string, string>();
  if (version >= Version.V5_0_0) {
    for (let count = takeInt(); count > 0; count--) {
      const mapping = fieldsOf(parseFastjson(takeText()));
      if (typeof mapping['topic'] === 'string')
        queueMappings.set(mapping['topic'], JSON.stringify(mapping));
    }
  }
  return { dataVersion, topics, filterServers, queueMappings };
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value)
    ? value.filter((item): item is string => typeof item === 'string')
    : [];
}
