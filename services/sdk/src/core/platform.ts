/** What the core needs of the place it runs in; implemented once for browsers and once for mini-programs. */

import type { AttriKitError } from '../api.ts';

/** Texts by name. No method throws. */
export interface Store {
  get(name: string): string | null;
  /** False: it is kept in memory alone. */
  set(name: string, value: string): boolean;
  remove(name: string): void;
  names(): string[];
}

/** What came back for a request. `status` 0: nothing did. */
export interface Answer {
  status: number;
  body: string;
  retryAfter?: string | null;
}

/** The place in the product the visitor is at. */
export interface Place {
  url: string;
  title: string;
  referrer: string;
  locale: string;
}

export interface Platform {
  now(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Keeps texts for good, as far as the place can. Names are made unique by the adapter. */
  store: Store;
  place(): Place;
  /** Post a text. `isLeaving`: the page may be gone before the answer comes. `hasFailed`: the last try did. Never
   * rejects. */
  post(path: string, body: string, isLeaving: boolean, hasFailed: boolean): Promise<Answer>;
  /** The visitor's id in a place that outlasts the store and is shared more widely: the first-party cookie. */
  readVisitor(): string;
  writeVisitor(id: string): void;
  /** True if an address belongs to the same site as this page, as far as can be told. */
  isOwn(url: string): boolean;
  /** Name of the browser, for links that only it may use. */
  agent(): string;
}

export type Report = (error: AttriKitError) => void;
