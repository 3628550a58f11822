/**
 * @agent control
 *
 * Attributes of a topic, and the text by which administration changes them: `+name=value` sets,
 * `-name` removes, several are joined by commas.
 *
 * Source: TopicAttributes.java, AttributeParser.java, AttributeUtil.java.
 */
import { RequestFault } from './request-fields.ts';

interface AttributeRule {
  /** False: fixed when the topic is created. */
  isChangeable: boolean;
  isValid: (value: string) => boolean;
}

const messageTypes = new Set(['UNSPECIFIED', 'NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'MIXED']);

/** Queues of other types, and compaction, would need a store that this broker does not have. */
const rules: ReadonlyMap<string, AttributeRule> = new Map([
  ['queue.type', { isChangeable: false, isValid: (value) => value === 'SimpleCQ' }],
  ['cleanup.policy', { isChangeable: false, isValid: (value) => value === 'DELETE' }],
  ['message.type', { isChangeable: true, isValid: (value) => messageTypes.has(value) }],
  ['reserve.time', { isChangeable: true, isValid: (value) => /^(-1|\d{1,15})$/.test(value) }],
] satisfies [string, AttributeRule][]);

/**
 * The attributes after the changes that the text asks for; `current` is undefined for a new topic.
 * @throws RequestFault
 */
export function alterTopicAttributes(
  current: ReadonlyMap<string, string> | undefined,
  changes: string,
): Map<string, string> {
  const attributes = new Map(current);
  const seen = new Set<string>();
  for (const change of changes === '' ? [] : changes.split(',')) {
    const [signedName = '', value] = change.split('=');
    const sign = signedName.slice(0, 1);
    const name = signedName.slice(1);
    if (seen.has(name)) throw new RequestFault(`key duplication: ${name.slice(0, 64)}`);
    seen.add(name);
    const rule = rules.get(name);
    if (rule === undefined) throw new RequestFault(`unsupported key: ${name.slice(0, 64)}`);
    if (current !== undefined && !rule.isChangeable) {
      throw new RequestFault(`attempt to update an unchangeable attribute. key: ${name}`);
    }
    if (sign === '+' && value !== undefined) setAttribute(attributes, name, value, rule);
    else if (sign === '-' && value === undefined) removeAttribute(attributes, name);
    else throw new RequestFault(`attribute format is wrong: ${change.slice(0, 64)}`);
  }
  return attributes;
}

function setAttribute(
  attributes: Map<string, string>,
  name: string,
  value: string,
  rule: AttributeRule,
): void {
  if (!rule.isValid(value)) {
    throw new RequestFault(`value ${value.slice(0, 64)} of attribute ${name} is not supported`);
  }
  attributes.set(name, value);
}

function removeAttribute(attributes: Map<string, string>, name: string): void {
  if (!attributes.delete(name))
    throw new RequestFault(`attempt to delete a nonexistent key: ${name}`);
}
