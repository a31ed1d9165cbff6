/** The tracker in a WeChat mini-program: one process, its own storage, requests by `wx.request`. */

import type { Options } from '../api.ts';
import type { Begin } from '../core/calls.ts';
import { randomId } from '../core/ids.ts';
import type { Answer, Platform, Store } from '../core/platform.ts';
import { guardedStore } from '../core/stores.ts';
import { createTracker } from '../core/tracker.ts';
import type { LaunchOptions, PageOptions, Wx } from './wx.ts';

declare const wx: Wx;
declare let Page: ((options: PageOptions) => unknown) | undefined;
declare function getCurrentPages(): { route?: string; options?: { [name: string]: string } }[];

const TIMEOUT_MS = 20_000;

export const beginInMiniProgram: Begin = (options, report, log, ready) => {
  if (!options.endpoint) return report({ type: 'invalid', message: 'init needs an endpoint' });
  const endpoint = options.endpoint.replace(/\/+$/, '').replace(/\/api\/events$/, '');
  const place = { url: '', title: '', referrer: '', locale: language() };
  const platform = miniProgramPlatform(endpoint, options, place);
  const own = Date.now().toString(36) + randomId('', Math.random).slice(0, 8);
  const tracker = createTracker(options, platform, own, false, report, log);
  const { delivery, queue } = tracker;

  function arrive(launch: LaunchOptions): void {
    const from = (launch.referrerInfo && launch.referrerInfo.appId) || '';
    place.url = addressOf(launch.path, launch.query, launch.scene);
    place.referrer = from && `miniprogram://${from}/`;
    tracker.see(place.url, place.referrer, false);
  }

  let launched = wx.getLaunchOptionsSync ? wx.getLaunchOptionsSync() : {};
  // There is one process: what is in the store was left by those before it.
  queue.others().forEach(queue.adopt);
  wx.onAppShow((shown) => {
    // The first showing is the launch itself.
    if (addressOf(shown.path, shown.query) !== addressOf(launched.path, launched.query)) arrive(shown);
    launched = {};
    delivery.stay();
    delivery.wake();
  });
  wx.onAppHide(() => delivery.leave());
  if (wx.onNetworkStatusChange) wx.onNetworkStatusChange((state) => void (state.isConnected && delivery.wake()));
  if (options.autoTrack !== false) {
    watchPages((url) => {
      if (place.url && place.url.split('?')[0] !== url.split('?')[0]) place.referrer = place.url;
      place.url = url;
      tracker.page();
    });
  }
  ready(tracker, () => arrive(launched));
};

/** `view` is called when a page is shown. Pages that were made before are not seen. */
function watchPages(view: (url: string) => void): void {
  const original = typeof Page === 'function' ? Page : undefined;
  if (!original) return;
  Page = function (this: unknown, options: PageOptions) {
    const { onShow } = options;
    const shown = function (this: unknown, ...args: unknown[]): unknown {
      const pages = getCurrentPages();
      const page = pages[pages.length - 1];
      if (page) view(addressOf(page.route, page.options));
      return onShow && onShow.apply(this, args);
    };
    return original.call(this, { ...options, onShow: shown });
  };
}

/** A page as an address; the scene (where WeChat opened it from) as a parameter that channel rules can look at. */
function addressOf(path = '', query: { [name: string]: string } = {}, scene?: number): string {
  const pairs = Object.keys(query).map((name) => `${encodeURIComponent(name)}=${encodeURIComponent(query[name]!)}`);
  if (scene) pairs.push('wx_scene=' + scene);
  return 'miniprogram://app/' + path.replace(/^\//, '') + (pairs.length ? '?' + pairs.join('&') : '');
}

function language(): string {
  try {
    return ((wx.getSystemInfoSync && wx.getSystemInfoSync().language) || '').replace('_', '-');
  } catch {
    return '';
  }
}

function miniProgramPlatform(endpoint: string, options: Options, place: ReturnType<Platform['place']>): Platform {
  return {
    now: Date.now,
    random: Math.random,
    store: guardedStore(`attrikit.${options.appId}.`, wxStore),
    place: () => place,
    post: (path, body) => new Promise((resolve) => send(endpoint + path, body, resolve)),
    // The store is all there is; nothing outlasts it.
    readVisitor: () => '',
    writeVisitor: () => undefined,
    isOwn: () => false,
    agent: () => '',
  };
}

function send(url: string, body: string, resolve: (answer: Answer) => void): void {
  wx.request({
    url,
    method: 'POST',
    data: body,
    header: { 'content-type': 'text/plain' },
    dataType: 'text',
    timeout: TIMEOUT_MS,
    success({ statusCode, data, header = {} }) {
      const text = typeof data === 'string' ? data : JSON.stringify(data);
      resolve({ status: statusCode, body: text, retryAfter: header['Retry-After'] || header['retry-after'] });
    },
    fail: () => resolve({ status: 0, body: '' }),
  });
}

function wxStore(): Store {
  return {
    get(name) {
      const value = wx.getStorageSync(name);
      return typeof value === 'string' && value ? value : null;
    },
    set(name, value) {
      wx.setStorageSync(name, value);
      return true;
    },
    remove: (name) => wx.removeStorageSync(name),
    names: () => wx.getStorageInfoSync().keys,
  };
}
