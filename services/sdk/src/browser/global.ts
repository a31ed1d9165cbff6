/** Entry of the script tag: takes over from the snippet's stub, whose calls are carried out first. */

import { createCalls } from '../core/calls.ts';
import { beginInBrowser, noteLanding } from './browser.ts';

declare const VERSION: string;

type Stub = { version?: string; q?: ArrayLike<unknown> } & { [name: string]: unknown };

const page = window as unknown as { AttriKit?: Stub };
const stub: Stub = page.AttriKit || {};

if (stub.version) {
  console.warn('[AttriKit] the script is in this page twice; the second does nothing');
} else {
  const { call, ...methods } = createCalls(VERSION, beginInBrowser(noteLanding()));
  /** `['track', name, …]`, `['init', arguments]`, `arguments` of `init`, or its options alone. */
  const carryOut = (entry: any): unknown => {
    const [first, ...rest] = entry.length ? Array.from<any>(entry) : [entry];
    if (typeof first !== 'string') return call('init', [first]);
    return call(first, rest[0] && rest[0].length && typeof rest[0] === 'object' ? Array.from(rest[0]) : rest);
  };
  const waiting = Array.from(stub.q || []);
  page.AttriKit = Object.assign((...args: [string, ...unknown[]]) => call(args[0], args.slice(1)), methods) as unknown as Stub;
  // Who kept the stub goes on with it.
  Object.assign(stub, methods, { q: { push: carryOut } });
  waiting.forEach(carryOut);
}
