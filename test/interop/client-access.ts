/**
 * Other clients that sign, at brokers with users: `app` may send and consume, `outsider` has a secret and no
 * rights. The programs know the names used here; secrets reach them by their environment.
 *
 * A 4.x client learns routes before it sends. Where the name server asks for a signature too, a wrong secret
 * ends there: the client says that there is no route, and why in its log alone. Behind a name server that asks
 * nobody, as those of 4.x do, it is the broker that refuses.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { makeHome, trusting } from './access.ts';
import { aliOnsClient } from './ali-ons-client.ts';
import type { ClientProgram } from './client-program.ts';
import { goClient } from './go-client.ts';
import { java49Client } from './java-client-4.9.ts';

const main = path.join(import.meta.dirname, '../../src/cli/main.ts');
const TOPIC = 'access';
const GROUP = 'access-group';
const scenarios = ['access-right', 'access-wrong-secret', 'access-no-rights'];

/** A broker that is configured, and what clients need to know. */
interface ControlledBroker {
  readonly config: string;
  /** Credentials of an administrator. */
  readonly tools: string;
  /** Trusted by those who connect by TLS. */
  readonly certificate: string | null;
  readonly environment: Record<string, string>;
}

export interface AccessSetup {
  readonly name: string;
  /** Else that of the broker, which asks for signatures. */
  readonly hasOpenNameServer: boolean;
  readonly clients: readonly ClientProgram[];
  /** Makes the files of the broker in a folder. */
  make(directory: string): ControlledBroker;
}

export const accessSetups: readonly AccessSetup[] = [
  {
    name: 'users of init --secure',
    hasOpenNameServer: false,
    clients: [goClient, aliOnsClient, java49Client],
    make: (directory) => secureHome(directory, 'permissive'),
  },
  {
    name: 'plain_acl.yml, a name server that asks nobody',
    hasOpenNameServer: true,
    clients: [goClient, aliOnsClient, java49Client],
    make: plainAcl,
  },
  {
    // Go 2.1.2 and ali-ons 3.12.0 have no TLS.
    name: 'users of init --secure, TLS enforcing',
    hasOpenNameServer: false,
    clients: [java49Client],
    make: (directory) => secureHome(directory, 'enforcing'),
  },
];

function secureHome(directory: string, tlsMode: 'permissive' | 'enforcing'): ControlledBroker {
  const home = path.join(directory, 'home');
  makeHome(home, tlsMode);
  const at = (...names: string[]): string => path.join(home, ...names);
  const outsiderSecret = newSecret();
  // No policy speaks of it, so all is denied.
  fs.appendFileSync(at('plain_acl.yml'), account('outsider', outsiderSecret, []));
  const [, appSecret = ''] =
    /secretKey: "(.*)"/.exec(fs.readFileSync(at('conf/app.yml'), 'utf8')) ?? [];
  const certificate = tlsMode === 'enforcing' ? at('tls', 'certificate.pem') : null;
  return {
    config: at('broker.conf'),
    tools: at('conf', 'tools.yml'),
    certificate,
    environment: { INTEROP_APP_SECRET: appSecret, INTEROP_OUTSIDER_SECRET: outsiderSecret },
  };
}

/** As a broker of 4.x is configured: rights for each topic and group. */
function plainAcl(directory: string): ControlledBroker {
  const at = (name: string): string => path.join(directory, name);
  const [admin, app, outsider] = [newSecret(), newSecret(), newSecret()];
  const rights = [
    'defaultTopicPerm: DENY',
    'defaultGroupPerm: DENY',
    `topicPerms:\n  - ${TOPIC}=PUB|SUB`,
    `groupPerms:\n${groups()
      .map((group) => `  - ${group}=SUB\n`)
      .join('')}`,
  ];
  const denied = ['defaultTopicPerm: DENY', 'defaultGroupPerm: DENY'];
  const accounts = [
    account('operator', admin, ['admin: true']),
    account('app', app, rights),
    account('outsider', outsider, denied),
  ];
  fs.writeFileSync(at('plain_acl.yml'), `accounts:\n${accounts.join('')}`, { mode: 0o600 });
  fs.writeFileSync(at('tools.yml'), `accessKey: operator\nsecretKey: ${admin}\n`, { mode: 0o600 });
  fs.writeFileSync(
    at('broker.conf'),
    `aclEnable=true\nplainAclFile=${at('plain_acl.yml')}\nautoCreateTopicEnable=false\n`,
  );
  return {
    config: at('broker.conf'),
    tools: at('tools.yml'),
    certificate: null,
    environment: { INTEROP_APP_SECRET: app, INTEROP_OUTSIDER_SECRET: outsider },
  };
}

const groups = (): string[] =>
  ['', '-access-wrong-secret', '-access-no-rights'].map((end) => `${GROUP}${end}`);

function account(accessKey: string, secretKey: string, more: readonly string[]): string {
  const lines = [
    `- accessKey: ${accessKey}`,
    `secretKey: "${secretKey}"`,
    ...more.join('\n').split('\n'),
  ];
  return lines
    .filter((line) => line !== '')
    .map((line, index) => `${index === 0 ? '' : '  '}${line}\n`)
    .join('');
}

function newSecret(): string {
  return randomBytes(24).toString('base64url');
}

/** What is thrown where a send is refused; the reason is in the log of the client at least. */
interface Refusals {
  /** A wrong secret, where already the name server asks for a signature. */
  readonly withoutRoute: RegExp;
  /** A wrong secret, where the broker is the first to ask. */
  readonly wrongSecret: RegExp;
  readonly noRights: RegExp;
}

const unsigned = /authentication failed/;
const denied = /User:outsider has no permission to access/;
const refusals = new Map<ClientProgram, Refusals>([
  [
    goClient,
    {
      withoutRoute: /^the topic=access route info not found$/,
      wrongSecret: /^CODE: 16, DESC: authentication failed/,
      noRights: /^CODE: 16, DESC: User:outsider has no permission to access Topic:access/,
    },
  ],
  [
    aliOnsClient,
    {
      withoutRoute: /^CODE: 16 authentication failed/,
      // It tries 16 four times, and throws without a reason. Its consumers tell one.
      wrongSecret: /^Send \[4\] times, still failed/,
      noRights: /^Send \[4\] times, still failed/,
    },
  ],
  [
    java49Client,
    {
      withoutRoute: /^No route info of this topic: access/,
      // In the cause of what it throws.
      wrongSecret: /CODE: 16 {2}DESC: authentication failed/,
      noRights: /CODE: 16 {2}DESC: User:outsider has no permission to access Topic:access/,
    },
  ],
]);

export interface ClientAccessRun {
  client: ClientProgram;
  setup: AccessSetup;
  broker: ControlledBroker;
  nameServer: string;
  directory: string;
  logFile: string;
}

/** Returns what clients said. @throws Error where one of them was let in, kept out or told nothing */
export async function clientAccess(run: ClientAccessRun): Promise<string[]> {
  const { client, setup, broker, nameServer, logFile } = run;
  const tls = broker.certificate === null ? [] : ['--tls-ca', broker.certificate];
  const credentials = ['--credentials', broker.tools, ...tls];
  // The second is made by the first heartbeat of the group otherwise, and then the Go client knows no way
  // to it for some 40 s.
  for (const topic of [TOPIC, `%RETRY%${GROUP}`])
    execFileSync(process.execPath, [
      main,
      'topic',
      'create',
      topic,
      '--servers',
      nameServer,
      ...credentials,
    ]);
  const properties = broker.certificate === null ? {} : trusting(broker.certificate);
  const options = Object.entries(properties).map(([name, value]) => `-D${name}=${value}`);
  const output = await client.run({
    nameServer,
    scenarios,
    directory: path.join(run.directory, 'client'),
    environment: {
      ...broker.environment,
      ...(options.length === 0 ? {} : { JAVA_TOOL_OPTIONS: options.join(' ') }),
    },
  });
  for (const name of scenarios)
    if (!new RegExp(`^PASS ${name} `, 'm').test(output))
      throw new Error(
        new RegExp(`^FAIL ${name}: .*`, 'm').exec(output)?.[0] ?? output.slice(-2000),
      );
  const said = (name: string): string =>
    new RegExp(`^INFO ${name}: send: (.*)$`, 'm').exec(output)?.[1] ?? '';
  const expected = refusals.get(client);
  const wrongSecret = setup.hasOpenNameServer ? expected?.wrongSecret : expected?.withoutRoute;
  for (const [name, pattern] of [
    ['access-wrong-secret', wrongSecret],
    ['access-no-rights', expected?.noRights],
  ] as const)
    if (pattern?.test(said(name)) !== true)
      throw new Error(`${name}: a send ends in: ${said(name)}`);
  const logOfJava = path.join(run.directory, 'client', 'logs', 'rocketmq_client.log');
  const told = `${output}${fs.existsSync(logOfJava) ? fs.readFileSync(logOfJava, 'utf8') : ''}`;
  for (const reason of [unsigned, denied])
    if (!reason.test(told)) throw new Error(`the client does not tell: ${String(reason)}`);
  checkRefusals(fs.readFileSync(logFile, 'utf8'), Object.values(broker.environment));
  return [...output.matchAll(/^INFO (access-.*)$/gm)].map(([, text]) => text);
}

/** The broker has noted who was refused, and no secret. @throws Error */
function checkRefusals(log: string, secrets: readonly string[]): void {
  for (const line of ['"user":"app"', '"user":"outsider"'])
    if (
      !log
        .split('\n')
        .some((one) => one.includes(line) && /authentication failed|request denied/.test(one))
    )
      throw new Error(`the broker has noted no refusal of ${line}`);
  if (secrets.some((secret) => secret === '' || log.includes(secret)))
    throw new Error('a secret is in the log');
}
