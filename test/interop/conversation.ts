/**
 * What was said between clients and servers, as sets of facts that two runs of the same scenarios have in
 * common: for each request which fields and bodies it has and how it is answered. Values do not count,
 * only what kind of value each is; nor does how often something was said.
 *
 * ```
 * subject          fact
 * broker 310       field b: text
 * broker 310       answer 0
 * broker 310       answer 0: field queueOffset: number
 * name server 105  answer 0: body brokerDatas[].brokerName: string
 * client 40        oneway
 * ```
 */
import { parseFastjson } from '../../src/protocol/fastjson.ts';
import { decodeProperties } from '../../src/protocol/message-properties.ts';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import {
  FLAG_ONEWAY,
  type RemotingCommand,
  SERIALIZE_JSON,
} from '../../src/protocol/remoting-command.ts';
import type { KnownDifference, Pattern } from './known-differences.ts';
import type { Exchange, RecordedFrame } from './recording-proxy.ts';

/** Facts of a subject, each with how often it was so. */
type Facts = Map<string, number>;

export interface Difference {
  readonly subject: string;
  readonly fact: string;
  readonly only: 'Apache' | 'Millrace';
}

const ASKED = 'asked';
/** Everything that is so of every frame stands under one subject for each header codec. */
const codecNames = ['JSON', 'ROCKETMQ', 'MSGPACK'] as const;

/** Fields whose value is the same after the same requests. */
const offsetNames = [
  'offset',
  'queueId',
  'queueOffset',
  'nextBeginOffset',
  'minOffset',
  'maxOffset',
  'suggestWhichBrokerId',
];

export class Conversation {
  readonly #subjects = new Map<string, Facts>();
  exchangeCount = 0;

  get factCount(): number {
    return [...this.#subjects.values()].reduce((sum, facts) => sum + facts.size, 0);
  }

  add(exchange: Exchange): void {
    const { request, answer } = exchange;
    this.exchangeCount++;
    const facts = this.#factsOf(`${exchange.asked} ${request.code}`);
    count(facts, ASKED);
    const isOneway = (request.flag & FLAG_ONEWAY) !== 0;
    count(facts, isOneway ? 'oneway' : 'with an answer');
    for (const fact of frameFacts(request)) count(facts, fact);
    const asker = exchange.asked === 'client' ? 'server' : 'client';
    this.#addHeader(`frames of a ${asker}`, request);
    if (answer === null) return;
    count(facts, `answer ${answer.code}`);
    for (const fact of frameFacts(answer)) count(facts, `answer ${answer.code}: ${fact}`);
    const answerer = exchange.asked === 'client' ? 'client' : 'server';
    const codec = codecNames[request.serializeType];
    this.#addHeader(`answers of a ${answerer} to ${codec}`, answer);
  }

  /** How a request is answered that only this one time is asked; offsets count too. */
  addAnswer(subject: string, answer: RemotingCommand | null): void {
    const facts = this.#factsOf(subject);
    this.exchangeCount++;
    count(facts, ASKED);
    count(facts, answer === null ? 'no answer' : `answer ${answer.code}`);
    if (answer === null) return;
    for (const fact of frameFacts(answer)) count(facts, `answer ${answer.code}: ${fact}`);
    for (const name of offsetNames) {
      const value = answer.extFields.get(name);
      if (value !== undefined) count(facts, `answer ${answer.code}: field ${name} is ${value}`);
    }
  }

  /** The facts, with what is not always there marked so. */
  facts(): ReadonlyMap<string, ReadonlySet<string>> {
    const subjects = new Map<string, Set<string>>();
    for (const [subject, counts] of [...this.#subjects].sort(bySubject)) {
      const facts = new Set<string>();
      for (const [fact, times] of counts) {
        if (fact === ASKED) continue;
        facts.add(fact);
        const whole = counts.get(/^(answer -?\d+): /.exec(fact)?.[1] ?? ASKED) ?? 0;
        if (canBeAbsent(subject, fact) && times < whole) facts.add(`${fact} (not always)`);
      }
      subjects.set(subject, facts);
    }
    return subjects;
  }

  #addHeader(subject: string, frame: RecordedFrame): void {
    const facts = this.#factsOf(subject);
    count(facts, ASKED);
    count(facts, `header codec ${codecNames[frame.serializeType]}`);
    count(facts, `language ${frame.language}`);
    count(facts, `version ${frame.version}`);
    count(facts, `flag ${frame.flag}`);
    if (frame.serializeType !== SERIALIZE_JSON) return;
    const header = JSON.parse(frame.header.toString()) as Record<string, unknown>;
    for (const [name, value] of Object.entries(header)) count(facts, `${name}: ${kindOf(value)}`);
    for (const value of Object.values(header['extFields'] ?? {}))
      count(facts, `a field of extFields: ${kindOf(value)}`);
  }

  #factsOf(subject: string): Facts {
    let facts = this.#subjects.get(subject);
    if (facts === undefined) this.#subjects.set(subject, (facts = new Map()));
    return facts;
  }
}

function count(facts: Facts, fact: string): void {
  facts.set(fact, (facts.get(fact) ?? 0) + 1);
}

function bySubject([one]: [string, unknown], [other]: [string, unknown]): number {
  return one.localeCompare(other, 'en', { numeric: true });
}

/** Whether it counts that something was there each time: what is inside of a body depends on its state. */
function canBeAbsent(subject: string, fact: string): boolean {
  // Which of its fields a client fills in is not up to the server.
  const isOfServer = fact.startsWith('answer ') !== subject.startsWith('client ');
  return isOfServer && /(?:^|: )(?:field|remark|body of)/.test(fact);
}

function frameFacts(frame: RemotingCommand): Set<string> {
  const facts = new Set<string>();
  for (const [name, value] of frame.extFields) {
    facts.add(`field ${name}`);
    facts.add(`field ${name} is ${valueKind(value)}`);
  }
  // Names of outcomes are compared, sentences are not.
  const remark = frame.remark ?? '';
  if (remark !== '') facts.add(/^[A-Z_]+$/.test(remark) ? `remark ${remark}` : 'remark');
  for (const fact of bodyFacts(frame.body)) facts.add(fact);
  return facts;
}

function valueKind(value: string): string {
  if (/^\d+$/.test(value)) return 'a number';
  if (/^-\d+$/.test(value)) return 'a negative number';
  if (value === 'true' || value === 'false') return value;
  return value === '' ? 'empty' : 'text';
}

function bodyFacts(body: Buffer): Set<string> {
  const facts = new Set<string>();
  if (body.length === 0) return facts;
  if (isRecords(body, facts)) return facts.add('body of records');
  const text = body.toString();
  const parsed = /^[{[]/.test(text) ? parsedOrUndefined(() => parseFastjson(text)) : undefined;
  if (parsed === undefined) return facts.add('body of bytes');
  const isStandard = parsedOrUndefined(() => JSON.parse(text) as unknown) !== undefined;
  facts.add(isStandard ? 'body of JSON' : 'body of JSON with keys as fastjson writes them');
  addPaths(facts, 'body ', parsed);
  return facts;
}

function parsedOrUndefined(parse: () => unknown): unknown {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

/** Whether a body is stored messages; adds the names of their properties. */
function isRecords(body: Buffer, facts: Set<string>): boolean {
  const view = new RecordView();
  const found: string[] = [];
  for (let at = 0; at < body.length; at += view.totalBytes) {
    if (view.read(body, at, body.length, true) !== RecordKind.MESSAGE) return false;
    const end = view.propertiesStart + view.propertiesBytes;
    const properties = decodeProperties(body.toString('utf8', view.propertiesStart, end));
    for (const name of properties.keys()) found.push(`record property ${name}`);
    found.push(`record sysFlag ${view.sysFlag}`);
  }
  for (const fact of found) facts.add(fact);
  return true;
}

/** Tables whose keys are data: names of topics, addresses, numbers. */
const dataKeyed = new Set([
  'brokerAddrs',
  'brokerAddrTable',
  'clusterAddrTable',
  'consumerOffsetTable',
  'consumeStatsList[]',
  'consumerTable',
  'correctionOffsets',
  'data',
  'filterServerTable',
  'forbiddenTable',
  'groupForbiddenTable',
  'mqTable',
  'offsetTable',
  'offsetTable.*',
  'statusTable',
  'subscriptionGroupTable',
  'subscriptionTable',
  'topicConfigTable',
]);

function addPaths(facts: Set<string>, path: string, value: unknown): void {
  facts.add(`${path}: ${kindOf(value)}`);
  if (Array.isArray(value)) {
    for (const item of value) {
      const isPair = Array.isArray(item) && item.length === 2 && typeof item[0] === 'object';
      addPaths(facts, isPair ? `${path}(key)` : `${path}[]`, isPair ? item[0] : item);
      if (isPair) addPaths(facts, `${path}.*`, item[1]);
    }
  } else if (typeof value === 'object' && value !== null) {
    const name = /\w+(?:\.\*|\[\])?$/.exec(path)?.[0] ?? '';
    for (const [key, inner] of Object.entries(value))
      addPaths(facts, `${path}.${dataKeyed.has(name) ? '*' : sameKey(key)}`, inner);
  }
}

/** A key of a table without its number or path. */
function sameKey(key: string): string {
  return key.replace(/_\d+$/, '_N').replace(/_\/.*$/, '_PATH');
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/**
 * What is so of one conversation only. What a missing subject or answer would have had with it is not told
 * again.
 */
export function differences(apache: Conversation, millrace: Conversation): Difference[] {
  const found: Difference[] = [];
  const theirs = apache.facts();
  const ours = millrace.facts();
  for (const subject of new Set([...theirs.keys(), ...ours.keys()])) {
    const theirFacts = theirs.get(subject);
    const ourFacts = ours.get(subject);
    if (theirFacts === undefined || ourFacts === undefined) {
      const only = theirFacts === undefined ? 'Millrace' : 'Apache';
      found.push({ subject, fact: ASKED, only });
      continue;
    }
    for (const fact of lacking(theirFacts, ourFacts)) found.push({ subject, fact, only: 'Apache' });
    for (const fact of lacking(ourFacts, theirFacts))
      found.push({ subject, fact, only: 'Millrace' });
  }
  return found;
}

function lacking(facts: ReadonlySet<string>, others: ReadonlySet<string>): string[] {
  return [...facts].filter((fact) => {
    if (others.has(fact)) return false;
    // Told already: the answer, or the field, is missing itself.
    const answer = /^(answer -?\d+): /.exec(fact)?.[1];
    if (answer !== undefined && !others.has(answer)) return false;
    const whole = fact
      .replace(/ \(not always\)$/, '')
      .replace(/ is (?:a|true|false|text|empty|-?\d).*$/, '');
    return whole === fact || others.has(whole);
  });
}

/** What is not known, and what is known but was not met. */
export function complaintsAbout(
  found: readonly Difference[],
  known: readonly KnownDifference[],
): string[] {
  const complaints: string[] = [];
  const unknown = new Set(found);
  const take = ([subject, fact]: Pattern, only: Difference['only'] | null): boolean => {
    const isIt = new RegExp(`^(?:${subject})\n(?:${fact})$`);
    const met = found.filter(
      (one) => (only ?? one.only) === one.only && isIt.test(`${one.subject}\n${one.fact}`),
    );
    for (const one of met) unknown.delete(one);
    return met.length > 0;
  };
  for (const { reason, apache, millrace, sometimes } of known) {
    for (const [only, patterns] of [
      ['Apache', apache],
      ['Millrace', millrace],
    ] as const) {
      for (const pattern of patterns ?? []) {
        if (!take(pattern, only))
          complaints.push(`no longer of ${only} only: ${pattern.join(' | ')} (${reason})`);
      }
    }
    for (const pattern of sometimes ?? []) take(pattern, null);
  }
  for (const { only, subject, fact } of unknown)
    complaints.push(`of ${only} only: ${subject} | ${fact}`);
  return complaints;
}
