/**
 * What is said otherwise by Millrace than by Apache 5.3.3, with the reason: the whole list. Each reason also
 * stands in docs/compatibility.md, in the same words. Subjects and facts (see conversation.ts) are patterns
 * of the whole; each must be met, so that what has gone does not stay here.
 */
export type Pattern = readonly [subject: string, fact: string];

export interface KnownDifference {
  readonly reason: string;
  /** So of Apache only. */
  readonly apache?: readonly Pattern[];
  /** So of Millrace only. */
  readonly millrace?: readonly Pattern[];
  /** So of one of them now and then, as timing has it. */
  readonly sometimes?: readonly Pattern[];
}

const codecs = ['answers of a server to JSON', 'answers of a server to ROCKETMQ'];
const pulls = '(?:broker (?:11|361)(?:, .*)?)';
const sends = '(?:broker (?:10|310|320)(?:, .*)?)';

/** Single requests that Millrace answers 3. */
const notServed = [
  '308, whole',
  '329, log',
  '353, whole',
  '400, whole',
  '401, pull',
  '907, all',
  '200050, whole',
  '200052, whole',
  '200055, whole',
];

/** What Apache answers to a request without a field that it needs. */
const incomplete: Pattern[] = [
  ['broker 11, no subscription version', 'answer 1'],
  ['broker 14, no group', 'answer 0'],
  ['broker 34, empty object', 'answer 0'],
  ['broker 35, no client', 'answer 0'],
  ['broker 46, no body', 'answer 0'],
  ['broker 200, no name', 'answer 1'],
  ['broker 215, no topic', 'answer 29'],
  ['broker 310, no queue', 'answer 1'],
  ['name server 100, no value', 'answer 0'],
  ['name server 103, no name', 'answer 0'],
  ['name server 104, no name', 'answer 0'],
  ['name server 105, no topic', 'answer 17'],
];

/** Answers with keys that are numbers. */
const numbered = [
  'broker 43, all',
  'broker 45, all',
  'name server 106(?:, all)?',
  'name server 901, known broker',
];

export const knownDifferences: readonly KnownDifference[] = [
  {
    reason: 'Answers use the header codec of the request; their language is OTHER.',
    apache: [
      ...codecs.map((subject): Pattern => [subject, 'language JAVA']),
      ['frames of a server', 'language JAVA'],
      ['answers of a server to ROCKETMQ', 'header codec JSON'],
      // What only a header in JSON has.
      ['answers of a server to ROCKETMQ', '[\\w ]+: (?:number|string|object)'],
    ],
    millrace: [
      ...codecs.map((subject): Pattern => [subject, 'language OTHER']),
      ['frames of a server', 'language OTHER'],
    ],
  },
  {
    reason:
      'The answer to a heartbeat also says `IS_SUPPORT_MSGPACK_HEADER`, for clients of Millrace; others pass over it.',
    millrace: [['broker 34(?:, .*)?', 'answer 0: field IS_SUPPORT_MSGPACK_HEADER']],
  },
  {
    reason:
      'A pull with a newer `subVersion` than the registered one is served instead of refused with 25.',
    apache: [['broker 11, newer subscription', 'answer 25']],
    millrace: [['broker 11, newer subscription', 'answer 20']],
    sometimes: [['broker 11', 'answer 25']],
  },
  {
    reason:
      'A new group starts at 0 in a queue whose beginning is still there, also while it is empty (code 14).',
    apache: [['broker 14, (?:queue without messages|no such queue)', 'answer 22']],
    millrace: [['broker 14, (?:queue without messages|no such queue)', 'answer 0']],
    sometimes: [
      ['broker 14', 'answer 22'],
      // A client that was told of no offset says -1 in its pulls.
      ['broker (?:11|361)', 'field commitOffset is a negative number'],
    ],
  },
  {
    reason:
      'The configuration of a name server can not be changed over the network (318: answer 16).',
    apache: [['name server 318, nothing', 'answer 0']],
    millrace: [['name server 318, nothing', 'answer 16']],
  },
  {
    reason: 'Not served yet, answer 3: 308, 329, 353, 400, 401, 907, POP (200050 and on).',
    apache: notServed.map((what): Pattern => [`broker ${what}`, 'answer \\d+']),
    millrace: notServed.map((what): Pattern => [`broker ${what}`, 'answer 3']),
  },
  {
    reason:
      'Only the answer to a half message has a `transactionId`. Apache repeats the UNIQ_KEY of any message there, which the client made itself.',
    apache: [[sends, 'answer 0: field transactionId']],
    millrace: [['broker 310', 'answer 0: field transactionId(?: is text)? \\(not always\\)']],
  },
  {
    reason:
      'A refused send has no MSG_REGION and TRACE_ON: clients read them after a success only.',
    apache: [[sends, 'answer (?:13|16|17|29): field (?:TRACE_ON|MSG_REGION)']],
  },
  {
    reason: 'An answer to a pull has no `topicSysFlag` and `groupSysFlag`, which no client reads.',
    apache: [[pulls, 'answer (?:0|19|20|21): field (?:topic|group)SysFlag']],
  },
  {
    reason:
      'A refused pull has the four offsets too, as zeroes, so that no reader misses them; it has no `forbiddenType` (16).',
    apache: [['broker 11, topic not to be read', 'answer 16: field forbiddenType']],
    millrace: [
      [
        pulls,
        'answer (?:1|16|17|24|29): field (?:suggestWhichBrokerId|nextBeginOffset|minOffset|maxOffset)',
      ],
    ],
  },
  {
    reason:
      'A pull that brings an expression which is broken (23) or of no known type (1) is refused; Apache passes over the expression and sends every message.',
    apache: [['broker 11, its own (?:bad expression|expression of no type)', 'answer 0']],
    millrace: [
      ['broker 11, its own bad expression', 'answer 23'],
      ['broker 11, its own expression of no type', 'answer 1'],
    ],
  },
  {
    reason:
      'The check of a subscription (46) answers 1 for a type of expression that there is not; Apache answers 23, from a NullPointerException.',
    apache: [['broker 46, no such type', 'answer 23']],
    millrace: [['broker 46, no such type', 'answer 1']],
  },
  {
    reason:
      'A request without a field that it needs: Apache ends in a NullPointerException (1), or takes null for a name and says 0; Millrace names the field, or takes 0, the empty text or the whole range for it.',
    apache: incomplete,
    millrace: incomplete.map(([subject]): Pattern => [subject, 'answer \\d+']),
    // Apache's exception has no text once it was thrown often.
    sometimes: [['broker (?:12|29|3[0-3]), no .*', 'answer 1: remark']],
  },
  {
    reason:
      'Values are checked where Apache does not: a committed offset below 0 or of a queue that there is not (29), a negative number of queues (1), the name of a group (29), a change of nothing (25: 1).',
    apache: [
      ['broker 15, (?:negative|no such queue)', 'answer 0'],
      ['broker 17, negative queues', 'answer 0'],
      ['broker 200, bad name', 'answer 0'],
      ['broker 25, nothing', 'answer 0'],
    ],
    millrace: [
      ['broker 15, (?:negative|no such queue)', 'answer 29'],
      ['broker 17, negative queues', 'answer 1'],
      ['broker 200, bad name', 'answer 29'],
      ['broker 25, nothing', 'answer 1'],
    ],
  },
  {
    reason:
      'A send without a body and a batch that is none are answered 13, and a DELAY that is no number is passed over; Apache ends in an exception (1) with all three.',
    apache: [
      ['broker 310, no body', 'answer 1'],
      ['broker 320, batch', 'answer 1'],
      ['broker 310, delay that is no number', 'answer 1'],
    ],
    millrace: [
      ['broker 310, no body', 'answer 13'],
      ['broker 320, batch', 'answer 13'],
      ['broker 310, delay that is no number', 'answer 0'],
    ],
  },
  {
    reason:
      'A success has no remark. Apache says "not set any response code" in those to 17, 18, 222, 223, 321 and 901.',
    apache: [
      ['broker 17(?:, .*)?', 'answer 0: remark'],
      ['broker 18, one topic', 'answer 0: remark'],
      ['broker 222', 'answer 0: remark(?: \\(not always\\))?'],
      ['broker 223', 'answer 0: remark'],
      ['broker 321, first two', 'answer 0: remark'],
      ['name server 901, .*', 'answer 0: remark'],
    ],
  },
  {
    reason:
      'Keys that are numbers are quoted in 43, 45, 106 and 901, which every reader of the other form takes: `{"0":"…"}` for `{0:"…"}`.',
    apache: numbered.map((subject): Pattern => [
      subject,
      'answer 0: body of JSON with keys as fastjson writes them',
    ]),
    millrace: numbered.map((subject): Pattern => [subject, 'answer 0: body of JSON']),
  },
  {
    reason:
      'The table of offsets (43) has no `groupTopicMap`, a getter of Apache that its JSON library prints and nobody reads.',
    apache: [['broker 43, all', 'answer 0: body .groupTopicMap.*']],
  },
  {
    reason:
      'Times of 303 have no copy as text (`minTimeStampStr` and two more), which Apache prints and nobody reads.',
    apache: [['broker 303(?:, .*)?', 'answer 0: body .consumeTimeSpanSet\\[\\].\\w+Str: string']],
  },
  {
    reason:
      'Units of a topic that there is not (321) are answered 1; Apache says 0 and sends none.',
    apache: [['broker 321, unknown topic', 'answer 0']],
    millrace: [['broker 321, unknown topic', 'answer 1']],
  },
  {
    reason:
      'A reply that could not be handed on (325, answer 1) has no `msgId`, `queueId` and `queueOffset`.',
    apache: [['broker 325(?:, reply to nobody)?', 'answer 1: field (?:msgId|queueId|queueOffset)']],
  },
  {
    reason:
      'The tables of topics and groups (21, 201) also say how many there are, `totalTopicNum` and `totalGroupNum`.',
    millrace: [
      ['broker 21, all', 'answer 0: field totalTopicNum'],
      ['broker 201, all', 'answer 0: field totalGroupNum'],
    ],
  },
  {
    reason:
      'The hashes of tags (`codeSet`) in 203, 321 and 345 are computed where a client has left them out.',
    millrace: [
      ['broker 203, group', 'answer 0: body .subscriptionTable.*.codeSet\\[\\]: number'],
      ['broker 321, first two', 'answer 0: body .subscriptionData.codeSet\\[\\]: number'],
      ['broker 345, whole', 'answer 0: body .subscriptionData.codeSet\\[\\]: number'],
    ],
  },
  {
    reason:
      'Whether a pull meets an empty queue, a filtered message or a group that has just gone, and whether a list of members is asked for before the first heartbeat, is a matter of moments; a busy Apache answers sends 2 sooner.',
    sometimes: [
      ['broker (?:11|361)', 'answer (?:19|20|24)'],
      ['broker (?:11|361)', 'answer (?:19|20|21): remark [A-Z_]+(?: \\(not always\\))?'],
      ['broker 38', 'answer 1'],
      ['broker (?:310|320|325)', 'answer 2'],
      // Who asked has not sent its heartbeat yet.
      ['broker 325', 'answer 1'],
    ],
  },
];
