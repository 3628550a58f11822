/**
 * The page of examples/browser in a real Chromium, with a stock Java consumer at the other end. The page
 * must load, show what others send, and send what the Java consumer gets; then the broker is killed
 * with kill -9 under load and started again. Held then:
 *
 * - what was acknowledged, to the page or to the producer in Node, is received by the page and by Java;
 * - each send of the page ends once, as stored or as unknown, and nothing else;
 * - what the page received twice it has marked so.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { ClientError, Producer } from '../../src/client/index.ts';
import { RemotingClient } from '../../src/client/remoting-client.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import { startJava } from './apache-rocketmq.ts';
import { endWithThisProcess } from './child-process.ts';
import { type Millrace, startMillrace } from './millrace-process.ts';

export interface BrowserPageOptions {
  readonly directory: string;
  /** The first of four free ports in a row. */
  readonly port: number;
}

const TOPIC = 'BrowserPage';
const LOAD_MS = 1500;
const DOWN_MS = 1500;
const WAIT_MS = 60_000;
const READY_MS = 60_000;

interface Row {
  readonly text: string;
  readonly state: string;
}

export async function browserPage({ directory, port }: BrowserPageOptions): Promise<string> {
  const ports = { brokerPort: port + 2, nameServerPort: port + 1 };
  const webPort = port + 3;
  const start = (): Promise<Millrace> =>
    startMillrace({
      storeDirectory: path.join(directory, 'store'),
      ...ports,
      arguments: ['--web-port', String(webPort)],
    });
  const ends: Ends = {
    directory,
    nameServer: `127.0.0.1:${ports.nameServerPort}`,
    webAddress: `ws://127.0.0.1:${webPort}`,
    broker: await start(),
    start,
  };
  try {
    await createTopic(`127.0.0.1:${ports.brokerPort}`);
    return await withPage(ends);
  } finally {
    await ends.broker.stop();
  }
}

interface Ends {
  readonly directory: string;
  readonly nameServer: string;
  readonly webAddress: string;
  /** The one that runs, or ran last. */
  broker: Millrace;
  start(): Promise<Millrace>;
}

async function createTopic(broker: string): Promise<void> {
  const client = new RemotingClient({ address: broker });
  try {
    const { code } = await client.request({
      code: RequestCode.UPDATE_AND_CREATE_TOPIC,
      extFields: Object.entries({
        topic: TOPIC,
        defaultTopic: 'TBW102',
        readQueueNums: '4',
        writeQueueNums: '4',
        perm: '6',
        topicFilterType: 'SINGLE_TAG',
        topicSysFlag: '0',
        order: 'false',
      }),
    });
    assert.equal(code, 0, 'answer to a new topic');
  } finally {
    client.close();
  }
}

async function withPage(ends: Ends): Promise<string> {
  const { directory, nameServer, webAddress } = ends;
  const received = path.join(directory, 'java.txt');
  const java = startJava({
    main: 'millrace.Scenarios',
    arguments: [nameServer, `beside-member:${TOPIC}:BrowserPageJava:${received}`],
    directory: path.join(directory, 'java'),
    heapMb: 256,
    name: 'member',
  });
  const site = await startSite(directory);
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  try {
    const javaBodies = (): string[] =>
      fs.existsSync(received)
        ? fs
            .readFileSync(received, 'utf8')
            .split('\n')
            .filter((line) => line !== '')
            .map((line) => line.replace(/^\d+ /, ''))
        : [];
    return await drive(ends, await openPage(browser, site.url, webAddress), javaBodies);
  } finally {
    fs.writeFileSync(`${received}.over`, '');
    await browser.close();
    site.stop();
    await java.ended;
  }
}

async function startSite(directory: string): Promise<{ url: string; stop(): void }> {
  const serve = path.join(import.meta.dirname, '../../examples/browser/serve.ts');
  const words = [serve, '--port', '0', '--condition', 'millrace-source'];
  const child = spawn(process.execPath, words, {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endWithThisProcess(child);
  const url = await new Promise<string>((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const found = /http:\S+/.exec(output)?.[0];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', (code) => reject(new Error(`the page is not served: ${code}`)));
  });
  return { url, stop: () => void child.kill('SIGKILL') };
}

async function openPage(browser: Browser, site: string, broker: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
  page.on('pageerror', (error) => console.log(`        page: ${error.message}`));
  await page.goto(`${site}?topic=${TOPIC}&broker=${encodeURIComponent(broker)}`);
  await page.locator('#state[data-state=live]').waitFor({ timeout: READY_MS });
  return page;
}

async function drive(ends: Ends, page: Page, javaBodies: () => string[]): Promise<string> {
  const producer = new Producer({ servers: ends.nameServer, group: 'BrowserPageNode' });
  try {
    // Live from elsewhere, and from the page to Java.
    await producer.send({ topic: TOPIC, body: 'hello, page', tag: 'node' });
    await until('the page shows what was sent', async () =>
      (await rows(page, 'received')).some((row) => row.text === 'hello, page'),
    );
    await sendFromPage(page, 'hello, Java');
    await until('the Java consumer has what the page sent', () =>
      Promise.resolve(javaBodies().includes('hello, Java')),
    );
    await page.screenshot({ path: path.join(ends.directory, 'page.png') });

    // Under load, over a broker that is killed.
    const stored: string[] = [];
    let isOver = false;
    const load = sendNumbered(producer, stored, () => isOver);
    const pageLoad = sendPageNumbered(page, () => isOver);
    await pause(LOAD_MS);
    await ends.broker.kill();
    await page.locator('#state[data-state=lost]').waitFor({ timeout: WAIT_MS });
    await page.screenshot({ path: path.join(ends.directory, 'page-broker-lost.png') });
    await pause(DOWN_MS);
    ends.broker = await ends.start();
    await page.locator('#state[data-state=live]').waitFor({ timeout: WAIT_MS });
    await pause(LOAD_MS);
    isOver = true;
    await load;
    const fromPage = await pageLoad;

    await until('every send of the page has ended', async () =>
      (await rows(page, 'sent')).every((row) => row.state !== 'sending'),
    );
    const sent = await rows(page, 'sent');
    assert.equal(sent.length, fromPage + 1, 'a row for each send');
    assert.deepEqual(
      sent.filter((row) => row.state !== 'stored' && row.state !== 'unknown'),
      [],
      'sends that ended otherwise',
    );
    const acknowledged = [
      ...stored,
      ...sent.filter((row) => row.state === 'stored').map((row) => row.text),
    ];
    const missing = async (): Promise<string[]> => {
      const shown = new Set((await rows(page, 'received')).map((row) => row.text));
      const atJava = new Set(javaBodies());
      return acknowledged.filter((text) => !shown.has(text) || !atJava.has(text));
    };
    await until(
      'everything that was acknowledged has come',
      async () => (await missing()).length === 0,
      async () => (await missing()).slice(0, 5).join(', '),
    );
    const shown = await rows(page, 'received');
    const fresh = shown.filter((row) => row.state !== 'again').map((row) => row.text);
    assert.equal(new Set(fresh).size, fresh.length, 'messages that came twice without a mark');
    assert.equal(Number(await page.locator('#count').textContent()), fresh.length, 'the count');
    await page.screenshot({ path: path.join(ends.directory, 'page-after.png') });
    const unknown = sent.filter((row) => row.state === 'unknown').length;
    return `${acknowledged.length} acknowledged, all received; ${unknown} of ${sent.length} sends of the page unknown; ${shown.length - fresh.length} came again, marked`;
  } finally {
    await producer.close();
  }
}

/** What a list of the page shows, oldest first. The text runs in the page: there are no DOM types here. */
async function rows(page: Page, list: 'sent' | 'received'): Promise<Row[]> {
  const found = await page.evaluate<Row[]>(`
    [...document.querySelectorAll('#${list} li')].map((row) => ({
      text: row.querySelector('b').textContent,
      state: row.querySelector('em').dataset.state,
    }))`);
  return found.reverse();
}

async function sendFromPage(page: Page, text: string): Promise<void> {
  await page.locator('#text').fill(text);
  await page.locator('#send button').click();
}

/** Answers how many it sent. */
async function sendPageNumbered(page: Page, isOver: () => boolean): Promise<number> {
  let count = 0;
  for (; !isOver(); count++) {
    await sendFromPage(page, `page ${count}`);
    await pause(80);
  }
  return count;
}

/** What fails is not sent again: it may be stored all the same, and then would come twice. */
async function sendNumbered(
  producer: Producer,
  stored: string[],
  isOver: () => boolean,
): Promise<void> {
  for (let number = 0; !isOver(); number++) {
    const body = `node ${number}`;
    try {
      await producer.send({ topic: TOPIC, body, tag: 'node' }, { timeoutMs: 1000 });
      stored.push(body);
    } catch (error) {
      if (!ClientError.is(error)) throw error;
    }
    await pause(30);
  }
}

async function until(
  what: string,
  holds: () => Promise<boolean>,
  more: () => Promise<string> = () => Promise.resolve(''),
): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!(await holds())) {
    if (Date.now() > deadline) assert.fail(`not so after ${WAIT_MS} ms: ${what} ${await more()}`);
    await pause(100);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
