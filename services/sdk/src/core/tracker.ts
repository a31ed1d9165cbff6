/** One app's tracker: makes events of calls and puts the parts together. */

import type { ConsentState, EventBody, Options, Properties, TrackOptions } from '../api.ts';
import { createDelivery, type Delivery } from './delivery.ts';
import { createIdentity } from './identity.ts';
import { linkToken, randomId } from './ids.ts';
import type { Place, Platform, Report } from './platform.ts';
import { byteLength, createQueue, type Queue } from './queue.ts';
import { memoryStore, overlay } from './stores.ts';
import { createTouches } from './touches.ts';
import { cleaner, LINK_PARAMETER, tagsOf } from './urls.ts';

const MAX_EVENT_BYTES = 32_768;
const PAGE_VIEW = 'page_view';
const CONSENT = 'consent';
const CONVERSION = /^(purchase|refund|user_signup|app_install|add_to_cart|form_submit|identify)$/;
const VALUES = ['order_id', 'revenue', 'amount'];

export interface Tracker {
  readonly queue: Queue;
  readonly delivery: Delivery;
  track(name: string, properties?: Properties, options?: TrackOptions): void;
  page(properties?: Properties): void;
  identify(userId: string, traits?: Properties): void;
  reset(): void;
  consent(state: ConsentState): void;
  consentState(): ConsentState;
  visitor(): string;
  /** The id is this one from now on: it came by a link. */
  takeVisitor(id: string): void;
  linkUrl(url: string): string;
  /** Look where the visitor is: is it an arrival? `isRepeat`: the page is shown again. */
  see(url: string, referrer: string, isRepeat: boolean): void;
}

/** `own`: the name of the queue. `hasOptedOut`: the browser says that the visitor objects. */
export function createTracker(
  options: Options,
  platform: Platform,
  own: string,
  hasOptedOut: boolean,
  report: Report,
  log: (text: string) => void,
): Tracker {
  const lasting = platform.store;
  /** Where things are kept at present: its methods are exchanged when consent changes. */
  const store = memoryStore();
  let unconfirmed = overlay(lasting);
  const clean = cleaner(options.denyParameters || []);
  let state: ConsentState = 'pending';
  const cookie = {
    readVisitor: platform.readVisitor,
    writeVisitor: (id: string) => void (state === 'granted' && platform.writeVisitor(id)),
  };
  const random = platform.random;
  const identity = createIdentity(store, cookie, random);
  const touches = createTouches(store, clean);
  const queue = createQueue(store, own, report);
  const delivery = createDelivery(
    queue,
    { ...platform, store },
    { appId: options.appId, batchSize: options.batchSize || 10, batchTimeout: options.batchTimeout || 5_000 },
    report,
  );

  function become(next: ConsentState): void {
    const before = state;
    state = next;
    if (next === 'granted') {
      unconfirmed.keep();
      Object.assign(store, lasting);
      if (before !== 'granted') identity.refresh();
      delivery.resume();
      delivery.wake();
    } else {
      delivery.pause();
      if (next === 'denied') clear();
      unconfirmed = overlay(lasting);
      Object.assign(store, next === 'denied' ? memoryStore() : unconfirmed);
    }
  }

  /** Nothing of the visitor stays, neither here nor in the browser, but that they said no. */
  function clear(): void {
    queue.clear();
    touches.taken();
    for (const name of lasting.names()) if (name !== CONSENT) lasting.remove(name);
    platform.writeVisitor('');
  }

  function event(name: string, properties: Properties, given: TrackOptions, place: Place): EventBody {
    const nowMs = platform.now();
    const user = identity.user();
    return {
      event_name: name,
      event_id: given.eventId || randomId('e_', random),
      timestamp: new Date(given.timestamp === undefined ? nowMs : given.timestamp).toISOString(),
      anonymous_id: identity.visitor(),
      ...(user && { user_id: user }),
      properties: name === PAGE_VIEW ? properties : { ...touches.context(nowMs), ...properties },
      context: {
        locale: place.locale,
        page: { url: touches.address(place.url), title: place.title, referrer: place.referrer },
      },
    };
  }

  function track(name: string, properties?: Properties, given?: TrackOptions, place = platform.place()): void {
    if (state === 'denied') return;
    if (typeof name !== 'string' || !name) throw new TypeError('an event needs a name');
    let body: EventBody | null | undefined = event(name, properties || {}, given || {}, place);
    if (options.beforeSend) {
      try {
        body = options.beforeSend(body);
      } catch (error) {
        report({ type: 'callback', message: 'beforeSend: ' + error });
      }
    }
    if (body) add(body);
  }

  function add(body: EventBody): void {
    const json = JSON.stringify(body, (_name, value: unknown) =>
      // Half a pair of surrogates (an emoji cut in two) and NUL are refused by the gateway.
      typeof value === 'string' ? clean(value.replace(/[\ud800-\udfff\0]/gu, '\ufffd')) : value,
    );
    const eventId = body.event_id;
    if (byteLength(json) > MAX_EVENT_BYTES) {
      report({ type: 'rejected', code: 'PAYLOAD_TOO_LARGE', message: 'an event has at most 32 KB', eventId });
      return;
    }
    queue.push(eventId, json, rankOf(body), platform.now());
    touches.taken();
    delivery.queued();
    log(body.event_name === PAGE_VIEW ? 'Page view tracked' : 'Event tracked: ' + body.event_name);
  }

  function rankOf(body: EventBody): number {
    const properties = body.properties || {};
    const isConversion = CONVERSION.test(body.event_name) || VALUES.some((name) => name in properties);
    return isConversion || touches.isFresh() ? 2 : body.event_name === PAGE_VIEW ? 0 : 1;
  }

  const tracker: Tracker = {
    queue,
    delivery,
    track,
    page: (properties) => track(PAGE_VIEW, properties),
    identify(userId, traits = {}) {
      if (state === 'denied') return;
      if (!userId && (userId as unknown) !== 0) throw new TypeError('identify needs the id of a user');
      if (identity.setUser(String(userId), JSON.stringify(traits))) track('identify', traits);
    },
    reset() {
      identity.reset();
      touches.clear();
    },
    consent(next) {
      if (!/^(granted|pending|denied)$/.test(next)) throw new TypeError('consent is granted, pending or denied');
      if (next === 'pending') lasting.remove(CONSENT);
      become(next);
      if (next !== 'pending') lasting.set(CONSENT, next);
    },
    consentState: () => state,
    visitor: () => (state === 'denied' ? '' : identity.visitor()),
    takeVisitor(id) {
      if (state !== 'denied') identity.setVisitor(id);
    },
    linkUrl(url) {
      if (state !== 'granted') return url;
      const token = linkToken(identity.visitor(), platform.now(), platform.agent());
      const [, before, hash] = /^([^#]*)(.*)$/.exec(url)!;
      return before + (before!.includes('?') ? '&' : '?') + LINK_PARAMETER + '=' + encodeURIComponent(token) + hash;
    },
    see(url, referrer, isRepeat) {
      if (state === 'denied') return;
      const nowMs = platform.now();
      const isOwn = !!referrer && platform.isOwn(referrer);
      if (isOwn && !touches.isKnown(nowMs) && Object.keys(tagsOf(referrer)).length) {
        // The page before this one was the arrival, and nothing of it was kept: consent was still pending.
        touches.see(referrer, '', false, false, nowMs);
        track(PAGE_VIEW, {}, {}, { ...platform.place(), title: '', referrer: '' });
      }
      touches.see(url, referrer, isRepeat, isOwn, nowMs);
    },
  };

  const stored = lasting.get(CONSENT) as ConsentState | null;
  become(stored || (hasOptedOut ? 'denied' : options.consent || 'granted'));
  return tracker;
}
