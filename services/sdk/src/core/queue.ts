/** The events that wait for their result, oldest first, each under a name of its own in the store. */

import type { Report, Store } from './platform.ts';

export const MAX_EVENTS = 1_000;
const DAYS_7_MS = 7 * 86_400_000;
const PREFIX = 'q.';

/** `rank`: which go first when there is no room: 0 page views, 1 others, 2 conversions and arrivals by a campaign. */
export interface Item {
  id: string;
  json: string;
  bytes: number;
  rank: number;
  at: number;
  name: string;
}

export interface Queue {
  readonly items: Item[];
  push(id: string, json: string, rank: number, nowMs: number): void;
  drop(item: Item): void;
  /** Drop what is older than 7 days. */
  expire(nowMs: number): void;
  /** Names of the queues in the store that are not this one. */
  others(): string[];
  /** Move another queue into this one, before what is in it. */
  adopt(other: string): void;
  /** Forget what another page has adopted meanwhile. */
  compare(): void;
  /** Forget everything, other queues included. */
  clear(): void;
}

/** `own`: the name of this queue; names of later queues are greater. */
export function createQueue(store: Store, own: string, report: Report): Queue {
  const items: Item[] = [];
  let count = 0;

  function write(item: Item): void {
    const name = PREFIX + own + '.' + (count++).toString(36).padStart(6, '0');
    item.name = store.set(name, item.rank + item.at.toString(36) + ' ' + item.json) ? name : '';
  }

  function drop(item: Item): void {
    const place = items.indexOf(item);
    if (place >= 0) items.splice(place, 1);
    if (item.name) store.remove(item.name);
  }

  function lose(item: Item, message: string): void {
    drop(item);
    report({ type: 'dropped', message, eventId: item.id });
  }

  function bound(): void {
    while (items.length > MAX_EVENTS) {
      const rank = Math.min(...items.map((item) => item.rank));
      lose(items.find((item) => item.rank === rank)!, 'the queue is full');
    }
  }

  const queue: Queue = {
    items,
    push(id, json, rank, nowMs) {
      const item = { id, json, bytes: byteLength(json), rank, at: nowMs, name: '' };
      items.push(item);
      write(item);
      bound();
    },
    drop,
    expire(nowMs) {
      items.filter((item) => nowMs - item.at > DAYS_7_MS).forEach((item) => lose(item, 'older than 7 days'));
    },
    others() {
      const found = new Set<string>();
      for (const name of store.names()) {
        if (name.startsWith(PREFIX)) found.add(name.slice(PREFIX.length).split('.')[0]!);
      }
      found.delete(own);
      return [...found].sort();
    },
    adopt(other) {
      const names = store.names().filter((name) => name.startsWith(PREFIX + other + '.'));
      const adopted: Item[] = [];
      for (const name of names.sort()) {
        const item = parsed(store.get(name) || '');
        if (item) {
          write(item);
          if (item.name) adopted.push(item);
        }
        if (!item || item.name) store.remove(name);
      }
      items.unshift(...adopted);
      bound();
    },
    compare() {
      items.filter((item) => item.name && store.get(item.name) === null).forEach(drop);
    },
    clear() {
      items.length = 0;
      store.names().filter((name) => name.startsWith(PREFIX)).forEach((name) => store.remove(name));
    },
  };
  return queue;
}

/** A stored text as an item, or nothing where it is none of ours. */
function parsed(text: string): Item | undefined {
  const space = text.indexOf(' ');
  const json = text.slice(space + 1);
  try {
    const id: unknown = JSON.parse(json).event_id;
    const at = parseInt(text.slice(1, space), 36);
    if (typeof id === 'string' && at > 0) return { id, json, bytes: byteLength(json), rank: +text[0]!, at, name: '' };
  } catch {
    // Not ours, or cut short: nothing can be made of it.
  }
  return undefined;
}

/** Bytes in UTF-8; half a pair of surrogates counts as three, so a pair as six: never less than it is. */
export function byteLength(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127) bytes += code > 2047 ? 2 : 1;
  }
  return bytes;
}
