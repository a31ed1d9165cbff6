/** Delivery: sends the queue in batches, one request after another, and tries again until each event has its result. */

import type { Answer, Platform, Report } from './platform.ts';
import type { Item, Queue } from './queue.ts';

/** Bytes of one request. A beacon and all keepalive requests together have 65,536. */
export const MAX_BODY_BYTES = 48_000;
const QUOTA_BYTES = 63_000;
const MIN_WAIT_MS = 1_000;
const MAX_WAIT_MS = 300_000;
const MAX_RETRY_AFTER_MS = 86_400_000;
const MAX_BATCH_EVENTS = 500;
const ENVELOPE_BYTES = 100;
const SENT_AT_BYTES = 40;
const WAIT = 'wait';

interface Result {
  index: number;
  status: string;
  error?: { code?: string; message?: string };
}

export interface Delivery {
  /** Send what waits. Resolves when all of it has its result, or has to wait. */
  flush(): Promise<void>;
  /** The page is being hidden or left: send what is not on its way yet, as far as browsers let. */
  leave(): void;
  /** The page is shown again. */
  stay(): void;
  /** Something may have changed for the better (online again): try now, unless we were told when to. */
  wake(): void;
  /** An event was queued. */
  queued(): void;
  /** Until `resume`, nothing is sent. */
  pause(): void;
  resume(): void;
}

export interface DeliverySettings {
  appId: string;
  batchSize: number;
  batchTimeout: number;
}

export function createDelivery(
  queue: Queue,
  platform: Platform,
  settings: DeliverySettings,
  report: Report,
): Delivery {
  const path = '/v1/events/batch?app_id=' + encodeURIComponent(settings.appId);
  const onItsWay = new Set<Item>();
  let running: Promise<void> | undefined;
  let isRunning = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let timerAt = Infinity;
  let failures = 0;
  let waitUntil = 0;
  let maxEvents = MAX_BATCH_EVENTS;
  let isStopped = false;
  let isPaused = false;
  let isLeaving = false;

  function toldUntil(): number {
    const until = +(platform.store.get(WAIT) || 0);
    return until - platform.now() < MAX_RETRY_AFTER_MS ? until : 0;
  }

  function wakeIn(ms: number): void {
    const at = platform.now() + ms;
    if (timer !== undefined && timerAt <= at) return;
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(() => {
      timer = undefined;
      void flush();
    }, ms);
  }

  /** The next events that are not on their way, in at most so many bytes. */
  function take(room: number): Item[] {
    const batch: Item[] = [];
    let left = Math.min(room, MAX_BODY_BYTES) - ENVELOPE_BYTES;
    for (const item of queue.items) {
      if (onItsWay.has(item)) continue;
      left -= item.bytes + SENT_AT_BYTES;
      if (batch.length >= maxEvents || left < 0) break;
      batch.push(item);
    }
    return batch;
  }

  /** True: the batch has been dealt with and the next may go. */
  async function send(batch: Item[], isLeaving: boolean): Promise<boolean> {
    batch.forEach((item) => onItsWay.add(item));
    const answer = await platform.post(path, bodyOf(batch, platform.now()), isLeaving, failures > 0);
    batch.forEach((item) => onItsWay.delete(item));
    return settle(batch, answer);
  }

  function settle(batch: Item[], answer: Answer): boolean {
    const { status } = answer;
    if (status >= 200 && status < 300) return settleEach(batch, answer);
    if (status === 400 || status === 413 || status === 422) {
      if (batch.length > 1) maxEvents = batch.length >> 1;
      else refuse(batch[0]!, errorOf(answer), status);
      return true;
    }
    if (status === 401 || status === 403) {
      isStopped = true;
      report({ type: 'unauthorized', status, ...errorOf(answer) });
      return false;
    }
    return fail(answer);
  }

  function settleEach(batch: Item[], answer: Answer): boolean {
    const results = (parse(answer.body).data || {}).results;
    let settled = 0;
    for (const { index, status, error } of (Array.isArray(results) ? results : []) as Result[]) {
      const item = batch[index];
      if (!item || !/^(accepted|duplicate|rejected)$/.test(status)) continue;
      settled++;
      if (status === 'rejected') refuse(item, described(error), answer.status);
      else queue.drop(item);
    }
    if (settled < batch.length) return fail(answer);
    failures = 0;
    maxEvents = MAX_BATCH_EVENTS;
    return true;
  }

  function refuse(item: Item, why: { code?: string; message: string }, status: number): void {
    queue.drop(item);
    report({ type: 'rejected', status, eventId: item.id, ...why });
  }

  function fail(answer: Answer): false {
    const range = Math.min(MAX_WAIT_MS, MIN_WAIT_MS * 2 ** ++failures);
    let wait = MIN_WAIT_MS + platform.random() * (range - MIN_WAIT_MS);
    const told = Math.min(retryAfterMs(answer.retryAfter, platform.now()), MAX_RETRY_AFTER_MS);
    if (told > 0) {
      wait = Math.max(wait, told);
      platform.store.set(WAIT, String(Math.ceil(platform.now() + told)));
    }
    waitUntil = platform.now() + wait;
    wakeIn(wait);
    report({ type: 'unreachable', ...(answer.status && { status: answer.status }), ...errorOf(answer) });
    return false;
  }

  async function run(): Promise<void> {
    isRunning = true;
    queue.expire(platform.now());
    for (;;) {
      const batch = isStopped || isPaused ? [] : take(Infinity);
      const wait = Math.max(waitUntil, toldUntil()) - platform.now();
      if (batch.length && wait > 0) wakeIn(wait);
      if (!batch.length || wait > 0) break;
      await send(batch, false);
    }
    isRunning = false;
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    if (!isRunning) running = run();
    return running!;
  }

  function leave(): void {
    isLeaving = true;
    if (isStopped || isPaused || toldUntil() > platform.now()) return;
    let room = QUOTA_BYTES;
    onItsWay.forEach((item) => (room -= item.bytes + SENT_AT_BYTES));
    for (;;) {
      const batch = take(room);
      if (!batch.length) return;
      batch.forEach((item) => (room -= item.bytes + SENT_AT_BYTES));
      room -= ENVELOPE_BYTES;
      void send(batch, true);
    }
  }

  return {
    flush,
    leave,
    stay() {
      isLeaving = false;
    },
    wake() {
      waitUntil = 0;
      void flush();
    },
    queued() {
      // Timers of a page that is left may never run.
      if (isLeaving && waitUntil <= platform.now()) return leave();
      let bytes = 0;
      for (const item of queue.items) bytes += item.bytes;
      const isFull = queue.items.length >= settings.batchSize || bytes >= MAX_BODY_BYTES;
      wakeIn(isFull ? 0 : settings.batchTimeout);
    },
    pause() {
      isPaused = true;
    },
    resume() {
      isPaused = false;
    },
  };
}

/** The request's body: `sent_at` lets the gateway correct the times of a clock that is wrong. */
function bodyOf(batch: Item[], nowMs: number): string {
  const sentAt = '"sent_at":"' + new Date(nowMs).toISOString() + '"';
  const events = batch.map((item) => item.json.slice(0, -1) + ',' + sentAt + '}');
  return '{"events":[' + events.join() + '],' + sentAt + '}';
}

function parse(text: string): any {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}

function errorOf(answer: Answer): { code?: string; message: string } {
  return described(parse(answer.body).error);
}

function described(error?: { code?: string; message?: string }): { code?: string; message: string } {
  return { ...(error && error.code && { code: error.code }), message: (error && error.message) || 'no usable answer' };
}

/** `Retry-After` in milliseconds: seconds, or a date; 0 where it says nothing. */
export function retryAfterMs(value: string | null | undefined, nowMs: number): number {
  if (!value) return 0;
  const ms = /^\d+$/.test(value) ? +value * 1_000 : Date.parse(value) - nowMs;
  return ms > 0 ? ms : 0;
}
