/** Entry of the mini-program's package. */

import type { AttriKitApi } from '../api.ts';
import { createCalls } from '../core/calls.ts';
import { beginInMiniProgram } from './miniprogram.ts';

declare const VERSION: string;

export const AttriKit: AttriKitApi = createCalls(VERSION, beginInMiniProgram);
export default AttriKit;
