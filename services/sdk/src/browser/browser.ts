/** The tracker in a browser. */

import type { ConsentState, Options } from '../api.ts';
import type { Begin, Ready } from '../core/calls.ts';
import { randomId, readLinkToken } from '../core/ids.ts';
import type { Platform, Store } from '../core/platform.ts';
import { guardedStore } from '../core/stores.ts';
import { createTracker, type Tracker } from '../core/tracker.ts';
import { hostOf, LINK_PARAMETER, parameterOf, tagsOf } from '../core/urls.ts';
import { createCookies, type Cookies } from './cookies.ts';
import { createLeases } from './leases.ts';
import { watchPages, type Pages } from './pages.ts';
import { post } from './post.ts';

const SCAN_MS = 30_000;
const DAY_MS = 86_400_000;
const ASKED = 'asked';

/** Where the visitor arrived, noted before a router can change it. */
export interface Landing {
  url: string;
  referrer: string;
  /** Shown again: a reload, or back and forward. */
  isRepeat: boolean;
  /** Where the script came from. */
  origin: string;
}

export function noteLanding(): Landing {
  const entry = performance.getEntriesByType('navigation')[0] as PerformanceNavigationTiming | undefined;
  const script = document.currentScript as HTMLScriptElement | null;
  const first = entry && Object.keys(tagsOf(entry.name)).length && !Object.keys(tagsOf(location.href)).length;
  return {
    url: first ? entry.name : location.href,
    referrer: document.referrer,
    isRepeat: !!entry && /reload|back/.test(entry.type),
    origin: script && script.src ? new URL(script.src).origin : '',
  };
}

export function beginInBrowser(landing: Landing): Begin {
  return (options, report, log, ready) => {
    const endpoint = endpointOf(options.endpoint || landing.origin);
    if (!endpoint) return report({ type: 'invalid', message: 'init needs an endpoint' });
    whenShown(() => start(options, endpoint, landing, report, log, ready));
  };
}

/** The installation's address, however it is written. */
export function endpointOf(given: string): string {
  return given.replace(/\/+$/, '').replace(/\/api\/events$|\/v1(\/events(\/\w+)?)?$/, '');
}

/** A page that is rendered ahead has no visitor yet. */
function whenShown(run: () => void): void {
  if ((document as any).prerendering) document.addEventListener('prerenderingchange', run, { once: true });
  else run();
}

function start(
  options: Options,
  endpoint: string,
  landing: Landing,
  report: Parameters<Begin>[1],
  log: Parameters<Begin>[2],
  ready: Ready,
): void {
  const cookies = createCookies();
  const prefix = `attrikit.${options.appId}.`;
  const own = Date.now().toString(36) + randomId('', random).slice(0, 8);
  let pages: Pages | undefined;
  const platform = browserPlatform(endpoint, prefix, cookies, () => (pages || landing).referrer);
  const hasOptedOut = (navigator as any).globalPrivacyControl === true && !options.ignoreGpc;
  const tracker = createTracker(options, platform, own, hasOptedOut, report, log);
  const { delivery, queue } = tracker;
  const leases = createLeases(platform.store, own, prefix, Date.now);

  function show(isRepeat: boolean, url = location.href): void {
    tracker.see(url, platform.place().referrer, isRepeat);
    if (options.autoTrack !== false) tracker.page();
  }

  function adoptOthers(): void {
    if (tracker.consentState() !== 'granted') return;
    for (const other of queue.others()) {
      leases.ifGone(other, () => {
        queue.adopt(other);
        void delivery.flush();
      });
    }
  }

  function granted(): void {
    leases.hold(queue.compare);
    adoptOthers();
    if (isSameSite(endpoint, cookies)) void askForCookie(platform, options.appId, tracker);
  }

  function consent(state: ConsentState): void {
    const before = tracker.consentState();
    tracker.consent(state);
    if (state !== 'granted') return leases.release();
    if (before === 'denied') show(false);
    granted();
  }

  takeLink(tracker, landing, platform.agent());
  ready({ ...tracker, consent }, () => {
    show(landing.isRepeat, landing.url);
    pages = watchPages(options.viewParameters || [], (isRepeat) => show(isRepeat));
  });
  if (tracker.consentState() === 'granted') granted();
  // The page before this one may let its queue go only now.
  setTimeout(adoptOthers, 1_000);
  setInterval(adoptOthers, SCAN_MS);

  addEventListener('online', delivery.wake);
  addEventListener('pagehide', () => {
    delivery.leave();
    leases.release();
  });
  addEventListener('pageshow', (event) => {
    if (!event.persisted || tracker.consentState() !== 'granted') return;
    leases.hold(queue.compare);
    queue.compare();
    delivery.stay();
    delivery.wake();
  });
  addEventListener('storage', (event) => {
    if (event.key === prefix + 'consent' && event.newValue) tracker.consent(event.newValue as ConsentState);
  });
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') delivery.leave();
    else delivery.stay();
  });
}

function browserPlatform(endpoint: string, prefix: string, cookies: Cookies, referrer: () => string): Platform {
  return {
    now: Date.now,
    random,
    store: guardedStore(prefix, browserStore),
    place: () => ({
      url: location.href,
      title: document.title,
      referrer: referrer(),
      locale: navigator.language,
    }),
    post(path, body, isLeaving, hasFailed) {
      const credentials = path.startsWith('/v1/visitor') ? 'include' : 'omit';
      return post(endpoint + path, body, isLeaving || !hasFailed, isLeaving, credentials);
    },
    readVisitor: cookies.read,
    writeVisitor(id) {
      // A cookie that the gateway keeps fresh would become a script's, which some browsers keep for a week alone.
      if (!id || id !== cookies.read() || !isSameSite(endpoint, cookies)) cookies.write(id);
    },
    isOwn: (url) => isUnder(hostOf(url), cookies.site()),
    agent: () => navigator.userAgent + navigator.language,
  };
}

function random(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32;
}

/** `localStorage`; it, or any of its methods, may throw. */
function browserStore(): Store {
  const storage = localStorage;
  return {
    get: (name) => storage.getItem(name),
    set(name, value) {
      storage.setItem(name, value);
      return true;
    },
    remove: (name) => storage.removeItem(name),
    names: () => Object.keys(storage),
  };
}

/** True if cookies of the page reach the gateway. */
function isSameSite(endpoint: string, cookies: Cookies): boolean {
  return isUnder(hostOf(endpoint), cookies.site()) && endpoint.startsWith(location.protocol);
}

function isUnder(host: string, domain: string): boolean {
  return host === domain || host.endsWith('.' + domain);
}

/** Take the visitor's id that a link from another domain of the same owner brings, and remove it from the address. */
function takeLink(tracker: Tracker, landing: Landing, agent: string): void {
  const id = readLinkToken(parameterOf(landing.url, LINK_PARAMETER), Date.now(), agent);
  if (id) tracker.takeVisitor(id);
  const url = new URL(location.href);
  if (!url.searchParams.has(LINK_PARAMETER)) return;
  url.searchParams.delete(LINK_PARAMETER);
  history.replaceState(history.state, '', url.href);
}

/** Once a day, let a gateway of this site set the cookie again: browsers keep such a cookie longer than a script's. */
async function askForCookie(platform: Platform, appId: string, tracker: Tracker): Promise<void> {
  if (Date.now() - +(platform.store.get(ASKED) || 0) < DAY_MS) return;
  const body = JSON.stringify({ visitor_id: tracker.visitor() });
  const answer = await platform.post('/v1/visitor?app_id=' + encodeURIComponent(appId), body, false, true);
  // Consent may have been withdrawn meanwhile, and the answer have brought the cookie again.
  if (tracker.consentState() === 'denied') platform.writeVisitor('');
  else if (answer.status === 200) platform.store.set(ASKED, String(Date.now()));
}
