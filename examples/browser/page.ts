/**
 * @agent any
 *
 * A page that shows a topic live and sends to it, over WebSocket, without anything in between. Each page
 * sees every message (broadcasting). What it shows of a lost broker: sends whose answer did not come are
 * "unknown", since they may be stored, and messages that come a second time are marked.
 */
import { ClientError, Consumer, Producer } from 'millrace/browser';

const query = new URLSearchParams(location.search);
const broker = query.get('broker') ?? 'ws://127.0.0.1:8088';
const topic = query.get('topic') ?? 'live';
const ROWS_MAX = 500;

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

function input(id: string): HTMLInputElement {
  const found = element(id);
  if (!(found instanceof HTMLInputElement)) throw new Error(`#${id} is no input`);
  return found;
}

function show(state: 'connecting' | 'live' | 'lost', words: string): void {
  element('state').dataset['state'] = state;
  element('state').textContent = words;
}

/** A row on top of a list: text, a mark at its right, a line below. */
function addRow(list: string, text: string): (state: string, mark: string, line: string) => void {
  const row = document.createElement('li');
  const [title, mark, line] = ['b', 'em', 'small'].map((kind) => document.createElement(kind));
  if (title === undefined || mark === undefined || line === undefined) throw new Error('no row');
  title.textContent = text;
  row.append(title, mark, line);
  element(list).prepend(row);
  while (element(list).childElementCount > ROWS_MAX) element(list).lastElementChild?.remove();
  return (state, markText, lineText) => {
    mark.dataset['state'] = state;
    mark.textContent = markText;
    line.textContent = lineText;
  };
}

/** A lost connection is tried again every few seconds, and told of each time that fails. */
const NO_TROUBLE_MS = 10_000;
let trouble: ReturnType<typeof setTimeout> | undefined;

function onError(error: ClientError): void {
  if (error.code !== 'CONNECTION_FAILED') {
    console.warn(error);
    return;
  }
  show('lost', 'connection lost, trying again');
  clearTimeout(trouble);
  trouble = setTimeout(() => show('live', 'live'), NO_TROUBLE_MS);
}

const consumer = new Consumer({
  servers: broker,
  group: 'browser-page',
  model: 'broadcasting',
  from: 'last',
  onError,
});
const producer = new Producer({ servers: broker, group: 'browser-page', onError });

const seen = new Set<string>();
let receivedCount = 0;
consumer.subscribe(topic);
await consumer.run((message) => {
  show('live', 'live');
  const isAgain = seen.has(message.messageId);
  seen.add(message.messageId);
  receivedCount += isAgain ? 0 : 1;
  element('count').textContent = String(receivedCount);
  const time = new Date(message.storeTimestampMs).toLocaleTimeString();
  const place = `queue ${message.queue.queueId}, offset ${message.queueOffset}`;
  const mark = addRow('received', message.text());
  mark(
    isAgain ? 'again' : 'new',
    isAgain ? 'came again' : (message.tag ?? '—'),
    `${time} · ${place}`,
  );
});

async function send(text: string, tag: string): Promise<void> {
  const mark = addRow('sent', text);
  mark('sending', 'sending', '');
  try {
    const { queue, queueOffset, messageId } = await producer.send({ topic, body: text, tag });
    show('live', 'live');
    mark('stored', 'stored', `queue ${queue.queueId}, offset ${queueOffset} · ${messageId}`);
  } catch (error) {
    const { code, canRetry, message } = ClientError.is(error)
      ? error
      : { code: 'ERROR', canRetry: false, message: String(error) };
    const isUnknown = code === 'TIMEOUT' || code === 'CONNECTION_FAILED';
    const words = isUnknown
      ? 'It may be stored all the same: sent again, it may come twice.'
      : message;
    mark(
      isUnknown ? 'unknown' : 'lost',
      isUnknown ? 'unknown' : 'refused',
      `${code}: ${words}${canRetry ? '' : ' Sending again will not help.'}`,
    );
  }
}

element('topic').textContent = topic;
element('broker').textContent = broker;
element('send').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = input('text');
  void send(text.value, input('tag').value);
  text.value = '';
});
show('live', 'live');
addEventListener('pagehide', () => {
  void consumer.close();
  void producer.close();
});
