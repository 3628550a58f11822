/**
 * Input that is nearly right: requests of every code with the fields that they know, written in each of the
 * header codecs, and then changed. Seeded; the grammar is what the broker's own requests are made of.
 */
import { RequestCode } from '../../src/protocol/codes.ts';
import { encodeRequest } from '../../src/protocol/remoting-command.ts';
import { propertiesText, sendRequest } from '../workers/raw-client.ts';

const codes = Object.values(RequestCode).filter((code) => typeof code === 'number');
const fieldNames = [
  ['topic', 'consumerGroup', 'producerGroup', 'group', 'queueId', 'queueOffset', 'maxMsgNums'],
  ['sysFlag', 'commitOffset', 'suspendTimeoutMillis', 'subscription', 'subVersion', 'offset'],
  ['expressionType', 'timestamp', 'key', 'maxNum', 'beginTimestamp', 'endTimestamp', 'msgId'],
  ['readQueueNums', 'writeQueueNums', 'perm', 'topicFilterType', 'topicSysFlag', 'order'],
  ['attributes', 'delayLevel', 'originTopic', 'tranStateTableOffset', 'commitLogOffset'],
  ['commitOrRollback', 'fromTransactionCheck', 'transactionId', 'clientID', 'clientId'],
  ['unitName', 'namespace', 'brokerName', 'brokerAddr', 'brokerId', 'clusterName', 'value'],
  ['isForce', 'timerange', 'resetOffset', 'boundaryType', 'statsName', 'statsKey', 'lo', 'bname'],
  ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', '__proto__', '@type'],
].flat();
/** Few enough names that what they make stays small. */
const values = [
  ['T', 'TopicTest', 'G', '0', '1', '-1', '32', '4', '2147483647', '-2147483648', '2147483648'],
  ['9007199254740993', '9223372036854775807', '-9223372036854775809', '1e400', 'NaN', '', ' '],
  ['true', 'false', 'null', '*', 'TagA || TagB', '%RETRY%G', '%DLQ%G', '%RETRY%../x', '..', '/'],
  ['\0', 'a\0b', '__proto__', 'constructor', 'TBW102', 'SCHEDULE_TOPIC_XXXX', '\ud800', 'é漢🀄'],
  ["a > 5 AND b = 'x'", 'TAG', 'SQL92', 'SINGLE_TAG', `a${'b'.repeat(126)}`, 'x'.repeat(256)],
  ['KEYS\x01k\x02', 'DELAY\x0199\x02', 'TIMER_DELAY_SEC\x01-1\x02', '\x01\x02\x01', '\r\nX: y'],
].flat();
const bodies = [
  '{}',
  '[]',
  '{"clientID":"c","consumerDataSet":[],"producerDataSet":[{"groupName":"G"}]}',
  '{"consumerGroup":"G","mqSet":[{"topic":"T","brokerName":"b","queueId":0}]}',
  '{"@type":"x","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
  '{"topicConfigTable":{"T":{"topicName":"T","readQueueNums":4}}}',
  'fileReservedTime=72\nrocketmqHome=/tmp\n',
  '[['.repeat(300),
  '{"a":1e400,"b":9223372036854775808,"c":"\ud800"}',
];

export class FuzzInput {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** A frame with its length, right or not. */
  frame(): Buffer {
    const chance = this.#random();
    if (chance < 0.02) return this.#bytes(this.pick(64));
    const frame = this.#request();
    if (chance < 0.25) return frame;
    const changed = this.change(frame);
    // Otherwise the length is right again, and what is changed is looked at.
    if (changed.length >= 4 && this.#random() < 0.95) changed.writeInt32BE(changed.length - 4, 0);
    return changed;
  }

  #request(): Buffer {
    const serializeType = this.pick(3) as 0 | 1 | 2;
    const opaque = this.pick(1000);
    const chance = this.#random();
    if (chance < 0.3) {
      const properties = { [this.choose(['KEYS', 'TAGS', 'DELAY', 'WAIT'])]: this.choose(values) };
      const request = sendRequest({ topic: 'T', body: this.#body(), properties });
      const code = this.choose([10, 310, 320]);
      const fields = Object.entries(request.fields ?? {}).map(([name, value]): [string, string] => [
        name,
        this.#random() < 0.1 ? this.choose(values) : String(value),
      ]);
      const body = code === 320 ? this.#batch() : request.body;
      return encodeRequest({ code, opaque, flag: 0, extFields: fields, body, serializeType });
    }
    const extFields = Array.from({ length: this.pick(12) }, (): [string, string] => [
      this.choose(fieldNames),
      this.choose(values),
    ]);
    const code = this.#random() < 0.95 ? this.choose(codes) : this.pick(65_536);
    const flag = this.choose([0, 0, 0, 1, 2, 3, -1]);
    const body = this.#random() < 0.4 ? this.#body() : undefined;
    return encodeRequest({ code, opaque, flag, extFields, body, serializeType });
  }

  /** Lengths inside of it lie now and then. */
  #batch(): Buffer {
    const items = Array.from({ length: 1 + this.pick(5) }, () => {
      const body = this.#bytes(this.pick(50));
      const properties = Buffer.from(propertiesText({ KEYS: this.choose(values) }));
      const item = Buffer.alloc(22 + body.length + properties.length);
      item.writeInt32BE(item.length, 0);
      item.writeInt32BE(body.length, 16);
      body.copy(item, 20);
      item.writeInt16BE(properties.length, 20 + body.length);
      properties.copy(item, 22 + body.length);
      return this.#random() < 0.2 ? this.change(item) : item;
    });
    return Buffer.concat(items);
  }

  #body(): Buffer {
    return this.#random() < 0.7 ? Buffer.from(this.choose(bodies)) : this.#bytes(this.pick(300));
  }

  /** Some of the changes that codecs stumble over. */
  change(bytes: Buffer): Buffer {
    let changed = Buffer.from(bytes);
    for (let count = 1 + this.pick(3); count > 0 && changed.length > 0; count--) {
      const at = this.pick(changed.length);
      const chance = this.#random();
      if (chance < 0.35) changed[at] ^= 1 << this.pick(8);
      else if (chance < 0.5) changed[at] = this.choose([0, 1, 0x7f, 0x80, 0xff, 0x22, 0x5c, 0x7b]);
      else if (chance < 0.65 && at + 4 <= changed.length)
        changed.writeInt32BE(this.choose([-1, 0, 1, 0x7fffffff, -0x80000000, changed.length]), at);
      else if (chance < 0.75) changed = Buffer.from(changed.subarray(0, at));
      else if (chance < 0.85) {
        const from = this.pick(changed.length);
        const piece = changed.subarray(from, from + this.pick(40));
        changed = Buffer.concat([changed.subarray(0, at), piece, changed.subarray(at)]);
      } else
        changed = Buffer.concat([
          changed.subarray(0, at),
          this.#bytes(this.pick(8)),
          changed.subarray(at),
        ]);
    }
    return changed;
  }

  /** Text of some words, nearly right. */
  text(words: readonly string[]): string {
    const parts = Array.from({ length: this.pick(30) }, () => this.choose(words));
    const text = parts.join(this.#random() < 0.7 ? ' ' : '');
    return this.#random() < 0.5 ? text : this.change(Buffer.from(text)).toString('utf8');
  }

  choose<Value>(from: readonly Value[]): Value {
    return from[this.pick(from.length)];
  }

  pick(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.pick(256)));
  }
}
