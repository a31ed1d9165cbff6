/** Attribution context: the first and the last touch of the visitor, kept for 90 days. */

import type { Properties } from '../api.ts';
import type { Store } from './platform.ts';
import { tagsOf, withoutTags, type Tags } from './urls.ts';

const DAYS_90_MS = 90 * 86_400_000;
const VISIT_MS = 30 * 60_000;
const NAME = 'touches';

/** An arrival that says where it came from. */
interface Touch {
  at: number;
  url: string;
  referrer: string;
  tags: Tags;
}

export interface Touches {
  /** Look at where the visitor is. `isRepeat`: shown again (a reload, back), so known tags are no new click.
   * `isOwn`: the referrer is the site itself. */
  see(url: string, referrer: string, isRepeat: boolean, isOwn: boolean, nowMs: number): void;
  isKnown(nowMs: number): boolean;
  /** The address for an event: the one that was seen with tags for the first event after that, so that a router cannot
   * take them away; for all others without tags, so that a tab left open makes no new click days later. */
  address(url: string): string;
  /** An event with the address was kept. */
  taken(): void;
  isFresh(): boolean;
  /** First and last touch as properties of an event. */
  context(nowMs: number): Properties;
  clear(): void;
}

export function createTouches(store: Store, clean: (text: string) => string): Touches {
  let fresh = '';

  function read(nowMs: number): Touch[] {
    try {
      const stored: Touch[] = JSON.parse(store.get(NAME) || '[]');
      return stored.filter((touch) => nowMs - touch.at < DAYS_90_MS);
    } catch {
      return [];
    }
  }

  return {
    see(url, referrer, isRepeat, isOwn, nowMs) {
      const touches = read(nowMs);
      const last = touches[touches.length - 1];
      const tags = tagsOf(url);
      const isTagged = Object.keys(tags).length > 0;
      const isKnown = !!last && JSON.stringify(last.tags) === JSON.stringify(tags);
      const isTouch = isTagged
        ? !(isRepeat && isKnown)
        : !isRepeat && (!last || (!!referrer && !isOwn && nowMs - last.at > VISIT_MS));
      if (!isTouch) return;
      if (isTagged) fresh = url;
      const touch = { at: nowMs, url: clean(url), referrer: isOwn ? '' : clean(referrer), tags };
      store.set(NAME, JSON.stringify([touches[0] || touch, touch]));
    },
    isKnown: (nowMs) => read(nowMs).length > 0,
    address: (url) => fresh || withoutTags(url),
    taken() {
      fresh = '';
    },
    isFresh: () => !!fresh,
    context(nowMs) {
      const found = read(nowMs);
      if (!found.length) return {};
      return { first_touch: shown(found[0]!), last_touch: shown(found[found.length - 1]!) };
    },
    clear() {
      store.remove(NAME);
    },
  };
}

function shown(touch: Touch): Properties {
  return {
    at: new Date(touch.at).toISOString(),
    page_url: touch.url,
    ...(touch.referrer && { referrer: touch.referrer }),
    ...touch.tags,
  };
}
