/** Leases on queues: the queue of a page that is gone is taken over, once. With Web Locks a page holds a lock as long as
 * it lives; without them it renews a time in the store. */

import type { Store } from '../core/platform.ts';

const TICK_MS = 30_000;
const EXPIRES_MS = 150_000; // Timers of hidden pages run once a minute.
const PREFIX = 'lease.';

export interface Leases {
  /** Hold the lease on the own queue; `lost` is called if it had run out, so that another page may have adopted it. */
  hold(lost: () => void): void;
  release(): void;
  /** Call `take` for a queue if its page is gone, holding its lease meanwhile. */
  ifGone(queue: string, take: () => void): void;
}

export function createLeases(store: Store, own: string, lockPrefix: string, now: () => number): Leases {
  const locks = lockManager();
  let letGo: (() => void) | undefined;
  let timer: ReturnType<typeof setInterval> | undefined;

  function renew(lost: () => void): void {
    const before = store.get(PREFIX + own);
    if (timer !== undefined && (before === null || now() - +before > EXPIRES_MS)) lost();
    store.set(PREFIX + own, String(now()));
  }

  function takeByTime(queue: string, take: () => void): void {
    const renewed = +(store.get(PREFIX + queue) || 0);
    if (now() - renewed < EXPIRES_MS) return;
    take();
    store.remove(PREFIX + queue);
  }

  return {
    hold(lost) {
      if (letGo || timer !== undefined) return;
      if (locks) {
        const held = new Promise<void>((resolve) => (letGo = resolve));
        locks.request(lockPrefix + own, () => held).catch(() => undefined);
      } else {
        renew(lost);
        timer = setInterval(() => renew(lost), TICK_MS);
      }
    },
    release() {
      if (letGo) letGo();
      clearInterval(timer);
      letGo = timer = undefined;
      if (!locks) store.remove(PREFIX + own);
    },
    ifGone(queue, take) {
      if (!locks) return takeByTime(queue, take);
      locks
        .request(lockPrefix + queue, { ifAvailable: true }, (lock) => {
          if (lock) take();
        })
        .catch(() => undefined);
    },
  };
}

function lockManager(): LockManager | undefined {
  try {
    return navigator.locks;
  } catch {
    return undefined;
  }
}
