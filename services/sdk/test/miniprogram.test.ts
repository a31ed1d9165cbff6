/** The mini-program's adapter over a `wx` that is a fake: it does what WeChat's documentation says of the real one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCalls } from '../src/core/calls.ts';
import { beginInMiniProgram } from '../src/miniprogram/miniprogram.ts';

type Listener = (given?: any) => void;

/** A device: what is stored there lasts from one launch of the program to the next. */
function device() {
  const stored = new Map<string, string>();
  const requests: any[] = [];
  const state = { isOnline: true };

  function launch(options: any) {
    const listeners: { [name: string]: Listener } = {};
    const pages: any[] = [];
    const registered: any[] = [];
    Object.assign(globalThis, {
      wx: {
        request(given: any) {
          // The answer comes in a later turn; `data` is text for `dataType: 'text'`.
          setTimeout(() => {
            if (!state.isOnline) return given.fail({ errMsg: 'request:fail' });
            const { events } = JSON.parse(given.data);
            requests.push(given);
            const results = events.map((_: unknown, index: number) => ({ index, status: 'accepted' }));
            given.success({ statusCode: 201, data: JSON.stringify({ data: { results } }), header: {} });
          }, 0);
        },
        getStorageSync: (key: string) => stored.get(key) ?? '',
        setStorageSync: (key: string, value: string) => void stored.set(key, value),
        removeStorageSync: (key: string) => void stored.delete(key),
        getStorageInfoSync: () => ({ keys: [...stored.keys()] }),
        getLaunchOptionsSync: () => options,
        getSystemInfoSync: () => ({ language: 'zh_CN' }),
        onAppShow: (listener: Listener) => (listeners['show'] = listener),
        onAppHide: (listener: Listener) => (listeners['hide'] = listener),
        onNetworkStatusChange: (listener: Listener) => (listeners['network'] = listener),
      },
      Page: (given: any) => registered.push(given),
      getCurrentPages: () => pages,
    });
    const sdk = createCalls('0', beginInMiniProgram);
    return {
      sdk,
      listeners,
      open(route: string, query = {}) {
        pages.push({ route, options: query });
        (globalThis as any).Page({ onShow: () => 'own' });
        return registered.at(-1).onShow.call(pages.at(-1));
      },
    };
  }

  return { launch, requests, state, stored };
}

const events = (requests: any[]): any[] => requests.flatMap((one) => JSON.parse(one.data).events);

test('the launch is the arrival, and pages are views', async () => {
  const { launch, requests } = device();
  const program = launch({ path: 'pages/index', query: { gdt_vid: 'g-1' }, scene: 1045, referrerInfo: { appId: 'wx1' } });
  program.sdk('init', { appId: 'shop', endpoint: 'https://events.shop.test/api/events' });
  assert.equal(program.open('pages/index', { gdt_vid: 'g-1' }), 'own');
  program.open('pages/item', { id: '7' });
  program.sdk('track', 'purchase', { order_id: 'o-1' });
  await program.sdk.flush();
  assert.equal(requests[0].url, 'https://events.shop.test/v1/events/batch?app_id=shop');
  assert.equal(requests[0].header['content-type'], 'text/plain');
  const [first, second, purchase] = events(requests);
  assert.equal(first.context.page.url, 'miniprogram://app/pages/index?gdt_vid=g-1&wx_scene=1045');
  assert.equal(first.context.page.referrer, 'miniprogram://wx1/');
  assert.equal(second.context.page.url, 'miniprogram://app/pages/item?id=7');
  assert.equal(second.context.page.referrer, 'miniprogram://app/pages/index?gdt_vid=g-1');
  assert.equal(purchase.properties.last_touch.gdt_vid, 'g-1');
  assert.equal(purchase.context.locale, 'zh-CN');
});

test('what could not be sent is sent after the next launch, by the same visitor', async () => {
  const { launch, requests, state } = device();
  state.isOnline = false;
  const before = launch({ path: 'a', query: {} });
  before.sdk.init({ appId: 'shop', endpoint: 'https://e.test', autoTrack: false });
  before.sdk.track('offline');
  await before.sdk.flush();
  before.listeners['hide']!();
  await new Promise((resolve) => setTimeout(resolve, 5));
  state.isOnline = true;
  const after = launch({ path: 'a', query: {} });
  after.sdk.init({ appId: 'shop', endpoint: 'https://e.test', autoTrack: false });
  after.sdk.track('online');
  await after.sdk.flush();
  const found = events(requests);
  assert.deepEqual(found.map((event) => event.event_name), ['offline', 'online']);
  assert.equal(found[0].anonymous_id, found[1].anonymous_id);
});

test('back on the network it is sent at once', async () => {
  const { launch, requests, state } = device();
  state.isOnline = false;
  const program = launch({ path: 'a', query: {} });
  program.sdk.init({ appId: 'shop', endpoint: 'https://e.test', autoTrack: false });
  program.sdk.track('waits');
  await program.sdk.flush();
  state.isOnline = true;
  program.listeners['network']!({ isConnected: true });
  await program.sdk.flush();
  assert.deepEqual(events(requests).map((event) => event.event_name), ['waits']);
});
