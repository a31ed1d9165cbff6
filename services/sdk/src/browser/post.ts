/** Requests that need no preflight and survive the page: `fetch` with `keepalive`, a beacon where there is none. */

import type { Answer } from '../core/platform.ts';

const TIMEOUT_MS = 20_000;
const NOTHING: Answer = { status: 0, body: '' };

/** Post a text. Never rejects. `credentials`: cookies are sent and taken. */
export async function post(
  url: string,
  body: string,
  keepalive: boolean,
  isLeaving: boolean,
  credentials: RequestCredentials = 'omit',
): Promise<Answer> {
  if (isLeaving && !hasKeepalive()) return beacon(url, body);
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const { signal } = abort;
    const answer = await fetch(url, { method: 'POST', body, keepalive, credentials, signal });
    // The bytes of a keepalive request count until its answer is read.
    return { status: answer.status, body: await answer.text(), retryAfter: answer.headers.get('Retry-After') };
  } catch {
    return isLeaving && !abort.signal.aborted ? beacon(url, body) : NOTHING;
  } finally {
    clearTimeout(timer);
  }
}

function hasKeepalive(): boolean {
  return typeof Request === 'function' && 'keepalive' in Request.prototype;
}

/** A beacon proves nothing, offline it is "sent" too: so it counts as no answer. */
function beacon(url: string, body: string): Answer {
  try {
    navigator.sendBeacon(url, body);
  } catch {
    // Blocked: the queue is stored.
  }
  return NOTHING;
}
