/** The part of WeChat's `wx` that is used, as its documentation describes it. */

export interface LaunchOptions {
  path?: string;
  query?: { [name: string]: string };
  scene?: number;
  referrerInfo?: { appId?: string };
}

export interface RequestAnswer {
  statusCode: number;
  data: unknown;
  header?: { [name: string]: string };
}

export interface Wx {
  request(options: {
    url: string;
    method: 'POST';
    data: string;
    header: { [name: string]: string };
    dataType: string;
    timeout: number;
    success(answer: RequestAnswer): void;
    fail(error: unknown): void;
  }): void;
  getStorageSync(key: string): unknown;
  setStorageSync(key: string, value: string): void;
  removeStorageSync(key: string): void;
  getStorageInfoSync(): { keys: string[] };
  getLaunchOptionsSync?(): LaunchOptions;
  onAppShow(listener: (options: LaunchOptions) => void): void;
  onAppHide(listener: () => void): void;
  onNetworkStatusChange?(listener: (state: { isConnected: boolean }) => void): void;
  getSystemInfoSync?(): { language?: string };
}

/** Options of `Page({…})`. */
export interface PageOptions {
  onShow?(this: unknown, ...args: unknown[]): unknown;
  [name: string]: unknown;
}
