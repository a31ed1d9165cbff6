/** Types of the calls. This file is shipped as it is, as the declarations of the packages: it imports nothing. */

export type ConsentState = 'granted' | 'pending' | 'denied';

export interface Properties {
  [name: string]: unknown;
}

/** Why something went wrong. Events of the first three are gone; those of the rest are kept and tried again. */
export type ErrorType =
  /** The gateway refused this event; `code` says why. */
  | 'rejected'
  /** A call or an option that cannot be used. */
  | 'invalid'
  /** Left out because the queue was full or the event older than 7 days. */
  | 'dropped'
  /** The gateway does not know the app or does not let this page report. Sending stops until the next page. */
  | 'unauthorized'
  /** No answer, or one that says to come again. */
  | 'unreachable'
  /** Code of the page, such as `beforeSend`, threw. */
  | 'callback';

export interface AttriKitError {
  type: ErrorType;
  message: string;
  /** Code of the gateway's error: `INVALID_EVENT_NAME`, … */
  code?: string;
  /** HTTP status; absent where there was no answer. */
  status?: number;
  /** The event it is about. */
  eventId?: string;
}

/** An event as it is sent. */
export interface EventBody {
  event_name: string;
  event_id: string;
  timestamp: string;
  anonymous_id: string;
  user_id?: string;
  properties: Properties;
  context: {
    locale?: string;
    page?: { url?: string; title?: string; referrer?: string };
    [name: string]: unknown;
  };
}

export interface TrackOptions {
  /** Idempotency key: a repeat within 7 days is counted once. */
  eventId?: string;
  /** When it happened; now if absent. */
  timestamp?: Date | string | number;
}

export interface Options {
  appId: string;
  /** Address of the installation. Absent: where the script was loaded from. The old form `…/api/events` is understood. */
  endpoint?: string;
  /** Report page views, route changes of single-page apps included. Default true. */
  autoTrack?: boolean;
  /** Say in the console what happens. */
  debug?: boolean;
  /** Send when so many events wait. Default 10. */
  batchSize?: number;
  /** Send when the oldest has waited so many milliseconds. Default 5000. */
  batchTimeout?: number;
  userId?: string;
  userTraits?: Properties;
  onReady?: (attrikit: AttriKitApi) => void;
  onError?: (error: AttriKitError) => void;
  /** Accepted for compatibility: sending never blocks. */
  async?: boolean;
  /** Consent until `consent()` is called; what was chosen on an earlier page goes before it. Default `granted`. */
  consent?: ConsentState;
  /** True: Global Privacy Control does not count as `denied`. */
  ignoreGpc?: boolean;
  /** Looks at each event before it is queued. Returns it, changed or not; nothing or null leaves it out. */
  beforeSend?: (event: EventBody) => EventBody | null | undefined;
  /** Names of query parameters whose values never leave the page, beside the built-in ones (`token`, `email`, …). */
  denyParameters?: string[];
  /** Query parameters whose change makes a new page view. Default none: the path alone. */
  viewParameters?: string[];
}

export interface AttriKitApi {
  (method: 'init', options: Options): void;
  (method: 'track', name: string, properties?: Properties, options?: TrackOptions): void;
  (method: 'page', properties?: Properties): void;
  (method: 'identify', userId: string, traits?: Properties): void;
  (method: 'consent', state: ConsentState): void;
  (method: 'reset' | 'optOut'): void;
  (method: 'flush'): Promise<void>;
  (method: 'getVisitorId'): string;
  (method: 'linkUrl', url: string): string;
  readonly version: string;
  init(options: Options): void;
  track(name: string, properties?: Properties, options?: TrackOptions): void;
  /** Report a view of the present page. */
  page(properties?: Properties): void;
  /** The visitor is this user from now on. */
  identify(userId: string, traits?: Properties): void;
  /** Forget visitor and user: at a logout on a shared device. */
  reset(): void;
  /** Send now. Resolves when all that waited has its answer, or has to wait. */
  flush(): Promise<void>;
  consent(state: ConsentState): void;
  /** Id of the visitor; empty before `init` and without consent. */
  getVisitorId(): string;
  /** The address with the visitor's id, for a link to another domain of yours; it is good for two minutes. */
  linkUrl(url: string): string;
  /** The same as `consent('denied')`. */
  optOut(): void;
}

export declare const AttriKit: AttriKitApi;
export default AttriKit;
