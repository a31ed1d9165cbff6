/** A platform for tests: its clock, its answers and its store are in the test's hands. */

import type { AttriKitError, Options } from '../src/api.ts';
import type { Answer, Platform } from '../src/core/platform.ts';
import { memoryStore } from '../src/core/stores.ts';
import { createTracker, type Tracker } from '../src/core/tracker.ts';

export interface World {
  platform: Platform;
  errors: AttriKitError[];
  /** Names of the events of each request. */
  sent: string[][];
  bodies: any[];
  nowMs: number;
  /** Answers to come; then each event is accepted. */
  answers: (Partial<Answer> & { status: number })[];
  cookie: string;
  place: { url: string; title: string; referrer: string; locale: string };
  start(options?: Partial<Options>, own?: string): Tracker;
}

export function world(): World {
  let seed = 1;
  const made: World = {
    errors: [],
    sent: [],
    bodies: [],
    answers: [],
    nowMs: Date.UTC(2026, 0, 1),
    cookie: '',
    place: { url: 'https://shop.test/', title: '', referrer: '', locale: 'zh-CN' },
    platform: {
      now: () => made.nowMs,
      random: () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647,
      store: memoryStore(),
      place: () => made.place,
      async post(_path, body) {
        const { events } = JSON.parse(body);
        made.bodies.push(JSON.parse(body));
        made.sent.push(events.map((event: any) => event.event_name));
        await undefined;
        const results = events.map((event: any, index: number) => ({ index, event_id: event.event_id, status: 'accepted' }));
        return { body: JSON.stringify({ data: { results } }), ...(made.answers.shift() || { status: 201 }) };
      },
      readVisitor: () => made.cookie,
      writeVisitor: (id) => void (made.cookie = id),
      isOwn: (url) => url.startsWith('https://shop.test'),
      agent: () => 'a browser',
    },
    start: (options, own = 'b') =>
      createTracker({ appId: 'shop', ...options }, made.platform, own, false, (error) => made.errors.push(error), () => undefined),
  };
  return made;
}
