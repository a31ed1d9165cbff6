/** Ids, and the marked links that carry one to another domain. Pure. */

const ID = /^[\w.:-]{8,64}$/;
export const LINK_MS = 120_000;

/** An id of 26 random characters (130 bits). */
export function randomId(prefix: string, random: () => number): string {
  let id = prefix;
  for (let i = 0; i < 26; i++) id += ((random() * 32) | 0).toString(32);
  return id;
}

export function isId(text: string): boolean {
  return ID.test(text);
}

/** The visitor's id with the time, bound to the browser by a checksum: a link that is passed on is worth nothing. */
export function linkToken(id: string, nowMs: number, agent: string): string {
  const time = nowMs.toString(36);
  return `${id}~${time}~${checksum(id + time + agent)}`;
}

/** The id in a token of this browser that is not older than two minutes, else nothing. */
export function readLinkToken(token: string, nowMs: number, agent: string): string {
  const [id = '', time = '', sum] = token.split('~');
  const age = nowMs - parseInt(time, 36);
  return isId(id) && age >= 0 && age <= LINK_MS && sum === checksum(id + time + agent) ? id : '';
}

/** FNV-1a, 32 bits. */
function checksum(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
