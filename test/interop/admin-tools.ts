/**
 * Stock `mqadmin`, asked the same of a broker of each kind in the same state: what it prints must be the
 * same, but for what can't be (see `sameLines`).
 */
import { heartbeatRequest, RawClient } from '../workers/raw-client.ts';
import { mqadmin } from './apache-rocketmq.ts';

export interface AdminState {
  nameServer: string;
  brokerPort: number;
  /** With messages. */
  topic: string;
  /** That has consumed some of them, and has no member now. */
  group: string;
  /** Takes mqadmin's logs. */
  directory: string;
}

const LIVE_GROUP = 'admin-tools-live';
const LIVE_PRODUCER = 'admin-tools-producer';

/** What each command prints, by its arguments. */
export async function adminOutputs(state: AdminState): Promise<Map<string, string[]>> {
  const live = await RawClient.connect(state.brokerPort);
  const beat = heartbeatRequest('admin-tools-client', LIVE_GROUP, state.topic, 'TagA || TagB');
  const body = JSON.parse(Buffer.from(beat.body as Uint8Array).toString()) as object;
  const producers = { producerDataSet: [{ groupName: LIVE_PRODUCER }] };
  await live.request({ ...beat, body: Buffer.from(JSON.stringify({ ...body, ...producers })) });
  const commands = [
    ['topicStatus', '-t', state.topic],
    ['consumerProgress', '-g', state.group],
    ['consumerConnection', '-g', LIVE_GROUP],
    ['producerConnection', '-g', LIVE_PRODUCER, '-t', state.topic],
    ['consumerConnection', '-g', state.group],
    ['producerConnection', '-g', 'nobody', '-t', state.topic],
  ];
  const outputs = new Map<string, string[]>();
  for (const command of commands) {
    const { output } = await mqadmin({
      arguments: [...command, '-n', state.nameServer],
      directory: state.directory,
    });
    outputs.set(command.join(' '), sameLines(output));
  }
  live.close();
  return outputs;
}

/**
 * Lines without what differs from run to run: the port of a connection, the rate of the last minutes,
 * the place in the tool's own code, the address of the broker that refused.
 */
function sameLines(output: string): string[] {
  return output
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !line.startsWith('\tat ') && !line.startsWith('Consume TPS'))
    .map((line) => line.replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT'));
}

/** @throws Error naming the first command that prints something else. */
export function compareOutputs(
  theirs: ReadonlyMap<string, string[]>,
  ours: ReadonlyMap<string, string[]>,
): string {
  let lineCount = 0;
  for (const [command, expected] of theirs) {
    const found = ours.get(command) ?? [];
    const count = Math.max(expected.length, found.length);
    for (let line = 0; line < count; line++) {
      if (expected[line] !== found[line])
        throw new Error(
          `mqadmin ${command}, line ${line + 1}: ${found[line] ?? 'nothing'}, with Apache: ${expected[line] ?? 'nothing'}`,
        );
    }
    lineCount += count;
  }
  return `${theirs.size} commands of mqadmin, ${lineCount} lines the same as with Apache`;
}
