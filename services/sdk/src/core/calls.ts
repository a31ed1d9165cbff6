/** `AttriKit` itself: a function that is called with the name of a method, and has the methods too. Never throws. */

import type { AttriKitApi, AttriKitError, Options } from '../api.ts';
import type { Report } from './platform.ts';
import type { Tracker } from './tracker.ts';

type Call = [method: string, args: unknown[]];
type Method = (tracker: Tracker, ...args: any[]) => unknown;
/** Makes the tracker, and passes it to `ready` as soon as it may begin, with what is to be reported first. */
export type Begin = (options: Options, report: Report, log: (text: string) => void, ready: Ready) => void;
export type Ready = (made: Tracker, first: () => void) => void;

const MAX_WAITING = 200;
const LOUD = /^(invalid|unauthorized|rejected)$/;

const METHODS: { [name: string]: Method } = {
  // Options come fourth in `AttriKit('track', name, properties, options)`, or after a callback's place.
  track: (tracker, name, properties, options, further) => tracker.track(name, properties, further || options),
  page: (tracker, properties) => tracker.page(properties),
  identify: (tracker, userId, traits) => tracker.identify(userId, traits),
  reset: (tracker) => tracker.reset(),
  flush: (tracker) => tracker.delivery.flush(),
  consent: (tracker, state) => tracker.consent(state),
  optOut: (tracker) => tracker.consent('denied'),
  getVisitorId: (tracker) => tracker.visitor(),
  linkUrl: (tracker, url) => tracker.linkUrl(url),
};

/** What a call answers that cannot be carried out (yet). */
function without(method: string, args: unknown[]): unknown {
  if (method === 'flush') return Promise.resolve();
  return method === 'getVisitorId' ? '' : method === 'linkUrl' ? args[0] : undefined;
}

export function createCalls(version: string, begin: Begin): AttriKitApi & { call(method: string, args: unknown[]): unknown } {
  const waiting: Call[] = [];
  let tracker: Tracker | undefined;
  let options: Options | undefined;

  const log = (text: string): void => {
    if (options && options.debug) console.log('[AttriKit] ' + text);
  };

  function report(error: AttriKitError): void {
    if (LOUD.test(error.type) || (options && options.debug)) {
      console.warn(`[AttriKit] ${error.type}: ${error.message}${error.code ? ` (${error.code})` : ''}`);
    }
    try {
      if (options && options.onError) options.onError(error);
    } catch {
      // An error of the page's own code about an error: there is nobody left to tell.
    }
  }

  function init(given: Options): void {
    if (options) return report({ type: 'invalid', message: 'init was called already; this call changes nothing' });
    if (!given || !given.appId) return report({ type: 'invalid', message: 'init needs an appId' });
    options = given;
    begin(given, report, log, (made, first) => {
      tracker = made;
      log('SDK initialized successfully');
      if (given.userId) call('identify', [given.userId, given.userTraits]);
      first();
      waiting.splice(0).forEach(([method, args]) => call(method, args));
      try {
        if (given.onReady) given.onReady(api);
      } catch (error) {
        report({ type: 'callback', message: 'onReady: ' + error });
      }
    });
  }

  function call(method: string, args: unknown[]): unknown {
    try {
      if (method === 'init') return init(args[0] as Options);
      if (!METHODS[method]) throw new TypeError(`there is no call '${method}'`);
      if (tracker) return METHODS[method]!(tracker, ...args);
      if (waiting.length < MAX_WAITING) waiting.push([method, args]);
    } catch (error) {
      report({ type: 'invalid', message: error instanceof Error ? error.message : String(error) });
    }
    return without(method, args);
  }

  const api: any = (method: string, ...args: unknown[]) => call(method, args);
  for (const name of ['init', ...Object.keys(METHODS)]) api[name] = (...args: unknown[]) => call(name, args);
  api.version = version;
  api.call = call;
  return api;
}
