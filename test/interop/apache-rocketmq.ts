/**
 * Stock Apache RocketMQ 5.3.3 from Maven Central, as processes: name server, broker, any client program
 * on its class path. Small heaps, files only under the directory given, stopped by pid.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { RemotingClient } from '../../src/client/remoting-client.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import { endWithThisProcess } from './child-process.ts';

const project = path.join(import.meta.dirname, 'java');

/** The class path of RocketMQ 5.3.3, compiling the Java side and resolving it once; quick when nothing changed. */
export function prepareJava(): string {
  return prepareMaven({ project, pom: 'pom.xml', sources: 'src', target: 'target' });
}

/** The same of the Java client 4.9.8. */
export function prepareJava49(): string {
  return prepareMaven({ project, pom: 'pom-4.9.xml', sources: 'src', target: 'target/4.9' });
}

/** The class path of a Maven project; all but `project` are paths in it. */
export function prepareMaven(options: {
  project: string;
  pom: string;
  sources: string;
  target: string;
}): string {
  const target = path.join(options.project, options.target);
  const classPathFile = path.join(target, 'classpath.txt');
  const sources = path.join(options.project, options.sources);
  const pomFile = path.join(options.project, options.pom);
  const newest = Math.max(fs.statSync(pomFile).mtimeMs, newestIn(sources));
  if (!fs.existsSync(classPathFile) || fs.statSync(classPathFile).mtimeMs < newest) {
    const goals = ['compile', 'dependency:build-classpath', `-Dmdep.outputFile=${classPathFile}`];
    execFileSync('mvn', ['-q', '-B', '-f', options.pom, ...goals], {
      cwd: options.project,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    // Maven leaves the file as it is where the class path has not changed.
    const now = new Date();
    fs.utimesSync(classPathFile, now, now);
  }
  return `${path.join(target, 'classes')}:${fs.readFileSync(classPathFile, 'utf8').trim()}`;
}

function newestIn(directory: string): number {
  const times = fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((entry) => fs.statSync(path.join(entry.parentPath, entry.name)).mtimeMs);
  return Math.max(0, ...times);
}

const REGISTERED_TIMEOUT_MS = 40_000;
/** A stock broker was seen to take 9.9 s to stop; killed, it would leave a store that was not closed. */
const STOP_TIMEOUT_MS = 30_000;

export interface JavaProcess {
  readonly pid: number;
  readonly logFile: string;
  /** Everything written to standard output and error so far. */
  output(): string;
  /** Exit code, once it has ended. */
  readonly ended: Promise<number>;
  /** SIGTERM, and SIGKILL when that has not helped in time. */
  stop(): Promise<void>;
  kill(): void;
}

/** Starts a Java main class, on the class path of stock RocketMQ 5.3.3 unless another is given. */
export function startJava(options: {
  main: string;
  arguments?: string[];
  directory: string;
  heapMb: number;
  properties?: Record<string, string>;
  /** Options of the virtual machine; they win over the ones set here. */
  jvmArguments?: readonly string[];
  /** Of another version than the servers'. */
  classPath?: string;
  /** Besides that of this process. */
  environment?: Record<string, string>;
  name: string;
}): JavaProcess {
  fs.mkdirSync(options.directory, { recursive: true });
  const logFile = path.join(options.directory, `${options.name}.log`);
  const log = fs.openSync(logFile, 'w');
  const properties = {
    // Logs, offsets of broadcast consumers and locks stay under the directory.
    'user.home': options.directory,
    'rocketmq.home.dir': options.directory,
    'rocketmq.client.logRoot': path.join(options.directory, 'logs'),
    'rocketmq.client.logLevel': 'WARN',
    'java.net.preferIPv4Stack': 'true',
    ...options.properties,
  };
  const child = spawn(
    'java',
    [
      `-Xms${options.heapMb}m`,
      `-Xmx${options.heapMb}m`,
      '-XX:MaxDirectMemorySize=512m',
      ...(options.jvmArguments ?? []),
      ...Object.entries(properties).map(([name, value]) => `-D${name}=${value}`),
      '-cp',
      options.classPath ?? prepareJava(),
      options.main,
      ...(options.arguments ?? []),
    ],
    {
      // Tools write files where they run.
      cwd: options.directory,
      stdio: ['ignore', log, log],
      env: { ...process.env, ROCKETMQ_HOME: options.directory, ...options.environment },
    },
  );
  fs.closeSync(log);
  return asProcess(child, logFile);
}

function asProcess(child: ChildProcess, logFile: string): JavaProcess {
  const ended = new Promise<number>((resolve) => {
    child.once('exit', (code) => resolve(code ?? -1));
    child.once('error', () => resolve(-1));
  });
  endWithThisProcess(child);
  return {
    pid: child.pid ?? 0,
    logFile,
    output: () => fs.readFileSync(logFile, 'utf8'),
    ended,
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await ended;
      clearTimeout(timer);
    },
    kill: () => child.kill('SIGKILL'),
  };
}

export async function startApacheNameServer(options: {
  port: number;
  directory: string;
  heapMb?: number;
}): Promise<JavaProcess> {
  const configuration = path.join(options.directory, 'namesrv.conf');
  fs.mkdirSync(options.directory, { recursive: true });
  fs.writeFileSync(
    configuration,
    `listenPort=${options.port}\nbindAddress=127.0.0.1\nkvConfigPath=${options.directory}/kvConfig.json\nconfigStorePath=${options.directory}/namesrv.properties\n`,
  );
  const server = startJava({
    main: 'org.apache.rocketmq.namesrv.NamesrvStartup',
    arguments: ['-c', configuration],
    directory: options.directory,
    heapMb: options.heapMb ?? 128,
    name: 'namesrv',
  });
  return killedUnless(server, () => accepting(options.port, server));
}

export async function startApacheBroker(options: {
  brokerPort: number;
  nameServerAddress: string;
  storeDirectory: string;
  directory: string;
  brokerName: string;
  clusterName?: string;
  flushDiskType?: 'ASYNC_FLUSH' | 'SYNC_FLUSH';
  heapMb?: number;
  properties?: Record<string, string | number | boolean>;
  jvmArguments?: readonly string[];
}): Promise<JavaProcess> {
  fs.mkdirSync(options.directory, { recursive: true });
  const configuration = path.join(options.directory, 'broker.conf');
  const settings = {
    brokerClusterName: options.clusterName ?? 'DefaultCluster',
    brokerName: options.brokerName,
    brokerId: 0,
    brokerIP1: '127.0.0.1',
    bindAddress: '127.0.0.1',
    listenPort: options.brokerPort,
    haListenPort: options.brokerPort + 1,
    namesrvAddr: options.nameServerAddress,
    storePathRootDir: options.storeDirectory,
    storePathCommitLog: path.join(options.storeDirectory, 'commitlog'),
    flushDiskType: options.flushDiskType ?? 'ASYNC_FLUSH',
    autoCreateTopicEnable: true,
    ...options.properties,
  };
  fs.writeFileSync(
    configuration,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${String(value)}\n`)
      .join(''),
  );
  const broker = startJava({
    main: 'org.apache.rocketmq.broker.BrokerStartup',
    arguments: ['-c', configuration],
    directory: options.directory,
    heapMb: options.heapMb ?? 512,
    jvmArguments: options.jvmArguments ?? [],
    name: 'broker',
  });
  return killedUnless(broker, async () => {
    await accepting(options.brokerPort, broker);
    await registered(options.nameServerAddress, options.brokerName);
  });
}

/** Leaves no process behind where its start fails. */
async function killedUnless(
  server: JavaProcess,
  hasStarted: () => Promise<void>,
): Promise<JavaProcess> {
  try {
    await hasStarted();
    return server;
  } catch (error) {
    server.kill();
    throw error;
  }
}

/** Waits until a name server knows a broker with all its topics. */
async function registered(nameServer: string, brokerName: string): Promise<void> {
  const client = new RemotingClient({ address: nameServer });
  const deadline = Date.now() + REGISTERED_TIMEOUT_MS;
  try {
    for (;;) {
      const extFields: [string, string][] = [['topic', 'TBW102']];
      const route = await client.request({ code: RequestCode.GET_ROUTEINFO_BY_TOPIC, extFields });
      if (route.code === 0 && route.body.toString().includes(`"${brokerName}"`)) return;
      if (Date.now() > deadline)
        throw new Error(`${brokerName} has not registered with ${nameServer}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    client.close();
  }
}

/** Waits until a port accepts connections, or the process has ended. */
export async function accepting(
  port: number,
  server: JavaProcess,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    if (await canConnect(port)) return;
    const pause = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 50));
    if ((await Promise.race([server.ended, pause])) !== undefined) break;
  }
  throw new Error(`nothing accepts on port ${port}; its log:\n${server.output().slice(-2000)}`);
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
