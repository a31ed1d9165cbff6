/** Stores that are not the browser's own. */

import type { Store } from './platform.ts';

export function memoryStore(): Store {
  const texts = new Map<string, string>();
  return {
    get: (name) => (texts.has(name) ? texts.get(name)! : null),
    set: (name, value) => !!texts.set(name, value),
    remove: (name) => void texts.delete(name),
    names: () => [...texts.keys()],
  };
}

/** A store whose names all begin with `prefix` in the one below, each of whose calls may throw. What cannot be kept
 * below (no access, no room) is kept in memory. */
export function guardedStore(prefix: string, below: () => Store): Store {
  const memory = memoryStore();

  function tried<T>(use: (store: Store) => T, otherwise: T): T {
    try {
      return use(below());
    } catch {
      return otherwise;
    }
  }

  return {
    get(name) {
      const kept = memory.get(name);
      return kept !== null ? kept : tried((store) => store.get(prefix + name), null);
    },
    set(name, value) {
      const isKept = tried((store) => store.set(prefix + name, value), false);
      if (isKept) memory.remove(name);
      else memory.set(name, value);
      return isKept;
    },
    remove(name) {
      memory.remove(name);
      tried((store) => store.remove(prefix + name), undefined);
    },
    names() {
      const below = tried((store) => store.names(), []).filter((name) => name.startsWith(prefix));
      return below.map((name) => name.slice(prefix.length));
    },
  };
}

/** A store that writes into memory and reads what is below too. `keep` writes what it holds below. */
export function overlay(below: Store): Store & { keep(): void } {
  const memory = memoryStore();
  return {
    ...memory,
    get(name) {
      const found = memory.get(name);
      return found !== null ? found : below.get(name);
    },
    keep() {
      for (const name of memory.names()) below.set(name, memory.get(name)!);
    },
  };
}
