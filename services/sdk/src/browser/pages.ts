/** Page views: of the first page, of each route of a single-page app, and of a page that comes back. */

import { withoutTags, parameterOf } from '../core/urls.ts';

export interface Pages {
  /** The page before this one. */
  readonly referrer: string;
}

/** `view` is called for each view but the first, with true where a page is shown again. */
export function watchPages(parameters: string[], view: (isRepeat: boolean) => void): Pages {
  let referrer = document.referrer;
  let shown = location.href;
  let key = keyOf(shown);

  /** Address of a view: its path, a route behind `#/` or `#!`, and the parameters that were asked for. */
  function keyOf(url: string): string {
    const { pathname, hash } = new URL(url);
    const route = /^#!?\//.test(hash) ? withoutTags(hash) : '';
    return [pathname, route, ...parameters.map((name) => parameterOf(url, name))].join('\n');
  }

  function check(): void {
    const next = keyOf(location.href);
    if (next !== key) moved(next, false);
  }

  function moved(next: string, isRepeat: boolean): void {
    referrer = shown;
    shown = location.href;
    key = next;
    view(isRepeat);
  }

  /** A moment later: the router has set the title then, and a redirect is over. */
  const soon = (): void => void setTimeout(check, 0);

  for (const name of ['pushState', 'replaceState'] as const) {
    const original = history[name];
    try {
      history[name] = function (this: History, ...args) {
        const result = original.apply(this, args);
        soon();
        return result;
      };
    } catch {
      // Somebody has frozen `history`: routes are then seen by `popstate` alone.
    }
  }
  addEventListener('popstate', soon);
  addEventListener('hashchange', soon);
  addEventListener('pageshow', (event) => {
    if (event.persisted) moved(keyOf(location.href), true);
  });
  return {
    get referrer() {
      return referrer;
    },
  };
}
