/**
 * @agent any
 *
 * By whom client commands sign, and whether they speak TLS: from flags and variables. No secret is a flag's
 * value: command lines are seen by every user of a machine, and kept by shells.
 */
import fs from 'node:fs';
import { type Command, Option } from 'commander';
import { parseProperties } from '../base/properties-file.ts';
import type { Credentials } from '../access/access-gate.ts';
import type { TlsClientOptions } from '../client/platform.ts';
import { readTrusted } from '../reactor/trusted-certificates.ts';
import { UsageError } from './command-errors.ts';

export interface SecurityOptions {
  credentials?: string;
  tls?: boolean;
  tlsCa?: string;
}

/** What clients are made with. */
export interface ClientSecurity {
  credentials?: Credentials;
  tls?: boolean | TlsClientOptions;
}

export function withSecurity(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--credentials <FILE>',
        'accessKey and secretKey, as in the tools.yml of mqadmin; or set MILLRACE_ACCESS_KEY and MILLRACE_SECRET_KEY',
      ).env('MILLRACE_CREDENTIALS'),
    )
    .addOption(new Option('--tls', 'connect by TLS').env('MILLRACE_TLS'))
    .addOption(
      new Option(
        '--tls-ca <FILE>',
        "who may have signed the server's certificate, in PEM; means --tls",
      ).env('MILLRACE_TLS_CA'),
    );
}

/** @throws UsageError */
export function clientSecurity(
  options: SecurityOptions,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ClientSecurity {
  const security: ClientSecurity = {};
  const { MILLRACE_ACCESS_KEY: accessKey = '', MILLRACE_SECRET_KEY: secretKey = '' } = environment;
  if (options.credentials !== undefined)
    security.credentials = readCredentials(options.credentials);
  else if (accessKey !== '' && secretKey !== '') security.credentials = { accessKey, secretKey };
  else if (accessKey !== '' || secretKey !== '')
    throw new UsageError('MILLRACE_ACCESS_KEY and MILLRACE_SECRET_KEY are needed together');
  const { tlsCa } = options;
  if (tlsCa !== undefined && tlsCa !== '')
    security.tls = { ca: readable(() => readTrusted(tlsCa).pem) };
  else if (options.tls === true) security.tls = true;
  return security;
}

/** `accessKey: …` and `secretKey: …`, a line each. @throws UsageError */
export function readCredentials(file: string): Credentials {
  const content = readable(() => fs.readFileSync(file, 'utf8'));
  const texts = new Map(parseProperties(content).map(({ name, text }) => [name, unquoted(text)]));
  const accessKey = texts.get('accessKey') ?? '';
  const secretKey = texts.get('secretKey') ?? '';
  if (accessKey === '' || secretKey === '')
    throw new UsageError(`${file} has no accessKey and secretKey, a line each`);
  return { accessKey, secretKey };
}

function unquoted(text: string): string {
  const [, , inner] = /^(["'])(.*)\1$/.exec(text) ?? [];
  return inner ?? text;
}

function readable<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
