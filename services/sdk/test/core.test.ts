/** The core without a browser: delivery, queue, consent, identity, attribution context. */

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { retryAfterMs } from '../src/core/delivery.ts';
import { linkToken, readLinkToken } from '../src/core/ids.ts';
import { createQueue, MAX_EVENTS } from '../src/core/queue.ts';
import { guardedStore, memoryStore } from '../src/core/stores.ts';
import { cleaner, hostOf, tagsOf, withoutTags } from '../src/core/urls.ts';
import { world, type World } from './support.ts';

const DAY = 86_400_000;
let here: World;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
  here = world();
});

/** Let time pass, and everything that is due happen. */
async function pass(ms: number): Promise<void> {
  here.nowMs += ms;
  mock.timers.tick(ms);
  for (let i = 0; i < 50; i++) await undefined;
}

test('a batch goes when it is full, and when its oldest event has waited long enough', async () => {
  const tracker = here.start({ batchSize: 3, batchTimeout: 1_000 });
  tracker.track('a');
  tracker.track('b');
  await pass(999);
  assert.deepEqual(here.sent, []);
  await pass(1);
  assert.deepEqual(here.sent, [['a', 'b']]);
  ['c', 'd', 'e'].forEach((name) => tracker.track(name));
  await pass(0);
  assert.deepEqual(here.sent[1], ['c', 'd', 'e']);
  assert.deepEqual(here.bodies[1].events[0].sent_at, here.bodies[1].sent_at);
});

test('waits grow from 1 s to 5 min with full jitter, and the order stays', async () => {
  here.answers = Array.from({ length: 14 }, () => ({ status: 503 }));
  const tracker = here.start();
  tracker.track('a');
  await tracker.delivery.flush();
  const waits: number[] = [];
  while (here.answers.length) {
    const before = here.sent.length;
    let waited = 0;
    while (here.sent.length === before) {
      await pass(500);
      waited += 500;
    }
    waits.push(waited);
  }
  waits.forEach((wait, i) => assert.ok(wait >= 1_000 && wait <= Math.min(300_000, 2 ** (i + 1) * 1_000) + 500));
  assert.ok(Math.max(...waits) > 60_000);
  tracker.track('b');
  await pass(300_000);
  assert.deepEqual(here.sent.at(-1), ['a', 'b']);
});

test('an event leaves the queue for its own result alone', async () => {
  const tracker = here.start();
  ['a', 'b', 'c'].forEach((name) => tracker.track(name));
  const results = [
    { index: 0, status: 'accepted' },
    { index: 2, status: 'rejected', error: { code: 'INVALID_PARAMETER', message: 'no' } },
  ];
  here.answers = [{ status: 200, body: JSON.stringify({ data: { results } }) }];
  await tracker.delivery.flush();
  assert.deepEqual(tracker.queue.items.map((item) => JSON.parse(item.json).event_name), ['b']);
  assert.deepEqual(here.errors.map((error) => error.type), ['rejected', 'unreachable']);
});

test('after more than 48 KB a second request follows, and none is larger', async () => {
  const tracker = here.start({ batchSize: 1_000 });
  for (let i = 0; i < 90; i++) tracker.track('big', { text: '字'.repeat(300) });
  await tracker.delivery.flush();
  const sizes = here.bodies.map((body) => Buffer.byteLength(JSON.stringify(body)));
  assert.equal(here.sent.flat().length, 90);
  assert.ok(sizes.length > 1 && Math.max(...sizes) <= 48_000, String(sizes));
});

test('an event of more than 32 KB is refused at once', () => {
  const tracker = here.start();
  tracker.track('big', { text: 'x'.repeat(33_000) });
  assert.deepEqual([tracker.queue.items.length, here.errors[0]!.code], [0, 'PAYLOAD_TOO_LARGE']);
});

test('a full queue drops old page views first and conversions last', () => {
  const dropped: string[] = [];
  const queue = createQueue(memoryStore(), 'a', (error) => dropped.push(error.eventId!));
  queue.push('purchase', '{}', 2, 1);
  queue.push('view', '{}', 0, 2);
  for (let i = 0; i < MAX_EVENTS; i++) queue.push('other' + i, '{}', 1, 3);
  assert.deepEqual(dropped, ['view', 'other0']);
  assert.equal(queue.items[0]!.id, 'purchase');
});

test('what waited for more than 7 days is dropped, and told', async () => {
  const tracker = here.start();
  tracker.track('old');
  here.nowMs += 7 * DAY + 1;
  tracker.track('new');
  await tracker.delivery.flush();
  assert.deepEqual(here.sent, [['new']]);
  assert.equal(here.errors[0]!.type, 'dropped');
});

test('the queue of a page that is gone is sent before the own', async () => {
  const gone = here.start({}, 'a');
  gone.track('first');
  const tracker = here.start({}, 'b');
  tracker.track('second');
  assert.deepEqual(tracker.queue.others(), ['a']);
  tracker.queue.adopt('a');
  await tracker.delivery.flush();
  assert.deepEqual(here.sent, [['first', 'second']]);
  assert.deepEqual(here.platform.store.names().filter((name) => name.startsWith('q.')), []);
  gone.queue.compare();
  assert.equal(gone.queue.items.length, 0);
});

test('what another program wrote under our names is no event', () => {
  const store = memoryStore();
  ['', '1abc', '1abc {"event_id":', '1abc {"event_id":7}', 'x'].forEach((text, i) => store.set('q.a.' + i, text));
  const queue = createQueue(store, 'b', () => assert.fail());
  queue.adopt('a');
  assert.deepEqual([queue.items, store.names()], [[], []]);
});

test('Retry-After is a number of seconds or a date', () => {
  assert.equal(retryAfterMs('120', 0), 120_000);
  assert.equal(retryAfterMs('Thu, 01 Jan 1970 00:01:00 GMT', 30_000), 30_000);
  for (const said of [null, '', 'soon', '-1', '0']) assert.equal(retryAfterMs(said, Date.UTC(2026, 0)), 0);
});

test('a Retry-After from a clock that was set back does not silence the page for ever', async () => {
  here.platform.store.set('wait', String(here.nowMs + 30 * DAY));
  const tracker = here.start();
  tracker.track('a');
  await tracker.delivery.flush();
  assert.deepEqual(here.sent, [['a']]);
});

test('first and last touch are kept for 90 days', () => {
  const tracker = here.start();
  const touches = (): any => {
    tracker.track('purchase');
    return JSON.parse(tracker.queue.items.at(-1)!.json).properties;
  };
  tracker.see('https://shop.test/?gclid=g-1', 'https://google.test/', false);
  here.nowMs += 50 * DAY;
  tracker.see('https://shop.test/?utm_source=mail&utm_medium=email', '', false);
  assert.deepEqual([touches().first_touch.gclid, touches().last_touch.utm_source], ['g-1', 'mail']);
  here.nowMs += 41 * DAY;
  assert.equal(touches().first_touch.utm_source, 'mail');
  here.nowMs += 50 * DAY;
  assert.deepEqual(touches(), {});
});

test('tags stay on the first event after they were seen, and on no other', () => {
  const tracker = here.start();
  const url = (): string => JSON.parse(tracker.queue.items.at(-1)!.json).context.page.url;
  here.place.url = 'https://shop.test/?id=1&gclid=g-1#a';
  tracker.see(here.place.url, '', false);
  here.place.url = 'https://shop.test/?id=1';
  tracker.page();
  assert.equal(url(), 'https://shop.test/?id=1&gclid=g-1#a');
  here.place.url = 'https://shop.test/?id=1&gclid=g-1#a';
  tracker.track('click');
  assert.equal(url(), 'https://shop.test/?id=1#a');
  tracker.see(here.place.url, '', true);
  tracker.page();
  assert.equal(url(), 'https://shop.test/?id=1#a');
});

test('late consent keeps the first touch of an earlier visit', () => {
  here.start().see('https://shop.test/?gclid=g-1', '', false);
  here.nowMs += DAY;
  const tracker = here.start({ consent: 'pending' });
  tracker.see('https://shop.test/?gclid=g-2', '', false);
  tracker.consent('granted');
  tracker.track('purchase');
  const { first_touch, last_touch } = JSON.parse(tracker.queue.items.at(-1)!.json).properties;
  assert.deepEqual([first_touch.gclid, last_touch.gclid], ['g-1', 'g-2']);
});

test('another user on the same device is another visitor', () => {
  const tracker = here.start();
  const first = tracker.visitor();
  tracker.identify('u_1');
  assert.equal(tracker.visitor(), first);
  tracker.identify('u_2');
  assert.notEqual(tracker.visitor(), first);
  assert.equal(here.cookie, tracker.visitor());
});

test('a link is good for two minutes, in the browser it was made for', () => {
  const token = linkToken('v_12345678', 1_000_000, 'a');
  assert.equal(readLinkToken(token, 1_120_000, 'a'), 'v_12345678');
  for (const [nowMs, agent] of [[1_120_001, 'a'], [999_999, 'a'], [1_000_000, 'b']] as const) {
    assert.equal(readLinkToken(token, nowMs, agent), '');
  }
  for (const forged of ['', '~', token.replace('v_1', 'v_2'), 'x'.repeat(10_000)]) {
    assert.equal(readLinkToken(forged, 1_000_001, 'a'), '');
  }
});

test('tags are found in the query and behind a hash, the first of each', () => {
  const url = 'https://shop.test/a?x=1&utm_source=a%20b&UTM_SOURCE=c&gclid=#/r?bd_vid=9';
  assert.deepEqual(tagsOf(url), { utm_source: 'a b', bd_vid: '9' });
  assert.equal(withoutTags(url), 'https://shop.test/a?x=1#/r');
});

test('denied parameters are found however they are written', () => {
  const clean = cleaner(['Voucher']);
  const cases: [string, string][] = [
    ['/?a=1&Access_Token=x&b=2', '/?a=1&b=2'],
    ['/?email=x', '/'],
    ['/?user%5Bemail%5D=x&a=1', '/?a=1'],
    ['/?next=/b?token=x', '/?next=/b'],
    ['/a;jsessionid=x?b=1', '/a;?b=1'],
    ['/#access-token=x&a=1', '/#a=1'],
    ['/?u=%252Fb%253Ftoken%253Dx%2526c', '/?u=%252Fb%253F%2526c'],
    ['/?voucher=x&gclid=1', '/?gclid=1'],
    ['no address at all', 'no address at all'],
    ['/?page=2#', '/?page=2#'],
  ];
  for (const [given, wanted] of cases) assert.equal(clean(given), wanted);
});

test('hosts', () => {
  assert.equal(hostOf('https://u:p@Shop.Test:8443/a?b@c'), 'shop.test');
  assert.equal(hostOf('/a'), '');
});

test('a store that throws is memory, and one without room too', () => {
  const store = guardedStore('p.', () => {
    throw new Error('SecurityError');
  });
  assert.equal(store.set('a', '1'), false);
  assert.deepEqual([store.get('a'), store.names()], ['1', []]);
  store.remove('a');
  assert.equal(store.get('a'), null);
});
