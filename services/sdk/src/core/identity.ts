/** Identity: the visitor's id, and the user it belongs to. */

import { isId, randomId } from './ids.ts';
import type { Platform, Store } from './platform.ts';

const VISITOR = 'visitor';
const USER = 'user';

export interface Identity {
  /** The visitor's id: the cookie's, else the store's, else a new one. */
  visitor(): string;
  user(): string;
  /** Take this id from now on. */
  setVisitor(id: string): void;
  /** Note the user with what is known of them; false if nothing is new. */
  setUser(id: string, traits: string): boolean;
  /** Write the id again, so that the cookie lasts from now. */
  refresh(): void;
  /** Become somebody new. */
  reset(): void;
}

/** `cookie`: where the id is kept beside the store; nothing is written there before consent. */
export function createIdentity(
  store: Store,
  cookie: Pick<Platform, 'readVisitor' | 'writeVisitor'>,
  random: () => number,
): Identity {
  let current = '';

  function setVisitor(id: string): void {
    current = id;
    store.set(VISITOR, id);
    cookie.writeVisitor(id);
  }

  const identity: Identity = {
    visitor() {
      const found = [cookie.readVisitor(), store.get(VISITOR) || '', current].find(isId);
      if (!found) setVisitor(randomId('v_', random));
      else if (found !== current) setVisitor(found);
      return current;
    },
    user: () => (store.get(USER) || '').split('\n')[0]!,
    setVisitor,
    setUser(id, traits) {
      const known = identity.user();
      if (known && known !== id) setVisitor(randomId('v_', random));
      const text = id + '\n' + traits;
      return store.get(USER) !== text && (store.set(USER, text), true);
    },
    refresh() {
      setVisitor(identity.visitor());
    },
    reset() {
      store.remove(USER);
      setVisitor(randomId('v_', random));
    },
  };
  return identity;
}
