/** Entry of the npm package. Importing it does nothing; without a document (on a server) nothing ever begins. */

import type { AttriKitApi } from '../api.ts';
import { createCalls } from '../core/calls.ts';
import { beginInBrowser, noteLanding } from './browser.ts';

declare const VERSION: string;

const begin = typeof document === 'undefined' ? () => undefined : beginInBrowser(noteLanding());

export const AttriKit: AttriKitApi = createCalls(VERSION, begin);
export default AttriKit;
