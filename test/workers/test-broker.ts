/**
 * A broker for one test, on ports of its own, and what is read from it.
 */
import { type BrokerConfig, defaultBrokerConfig } from '../../src/base/broker-config.ts';
import type { WallClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { type BrokerProcess, startBrokerProcess } from '../../src/cli/broker-process.ts';
import { decodeProperties } from '../../src/protocol/message-properties.ts';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import { hasPropertyCrc, isPropertyCrcRight } from '../../src/protocol/property-crc.ts';

/** With small segments, which are quicker to make. */
export function startTestBroker(
  storeDirectory: string,
  overrides: Partial<BrokerConfig>,
  wallClock?: WallClock,
): Promise<BrokerProcess> {
  const config: BrokerConfig = {
    ...defaultBrokerConfig(),
    storeDirectory,
    brokerName: 'broker-test',
    brokerPort: 0,
    nameServerPort: 0,
    webPort: -1,
    segmentBytes: 16 * 1024 * 1024,
    messageDelayLevel: '1s 2s 3s',
    // A machine that stands still for a moment is no fault of the broker.
    waitTimeMillsInSendQueue: 5000,
    ...overrides,
  };
  return startBrokerProcess(config, silentLogger, wallClock === undefined ? {} : { wallClock });
}

export interface ReadMessage {
  body: string;
  topic: string;
  sysFlag: number;
  queueOffset: number;
  physicalOffset: number;
  storeTimestampMs: number;
  properties: Map<string, string>;
  hasRightChecksum: boolean;
}

/** The messages of a pull's or a query's answer. */
export function readRecords(bytes: Buffer): ReadMessage[] {
  const records: ReadMessage[] = [];
  const view = new RecordView();
  for (let at = 0; at < bytes.length; at += view.totalBytes) {
    if (view.read(bytes, at, bytes.length, true) !== RecordKind.MESSAGE)
      throw new Error(`no record at ${at}`);
    const text = (start: number, length: number): string =>
      bytes.toString('utf8', start, start + length);
    records.push({
      body: text(view.bodyStart, view.bodyBytes),
      topic: text(view.topicStart, view.topicBytes),
      sysFlag: view.sysFlag,
      queueOffset: view.queueOffset,
      physicalOffset: view.physicalOffset,
      storeTimestampMs: view.storeTimestampMs,
      properties: decodeProperties(text(view.propertiesStart, view.propertiesBytes)),
      hasRightChecksum: hasPropertyCrc(view) && isPropertyCrcRight(view),
    });
  }
  return records;
}
