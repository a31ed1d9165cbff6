/** The visitor's cookie, on the widest domain that the browser lets this page set. Every access may throw. */

const NAME = 'attrikit_vid';
const PROBE = 'attrikit_probe';
const DAYS_400_SECONDS = 34_560_000;

export interface Cookies {
  read(): string;
  /** Set or refresh it; an empty id removes it. */
  write(id: string): void;
  /** The widest domain that can be set, else the host. */
  site(): string;
}

export function createCookies(): Cookies {
  let found: string | undefined;

  function put(name: string, value: string, seconds: number, domain: string): void {
    const secure = location.protocol === 'https:' ? '; Secure' : '';
    const where = domain && `; Domain=${domain}`;
    document.cookie = `${name}=${value}; Path=/; Max-Age=${seconds}; SameSite=Lax${secure}${where}`;
  }

  function get(name: string): string {
    try {
      const pair = document.cookie.split('; ').find((one) => one.startsWith(name + '='));
      return pair ? pair.slice(name.length + 1) : '';
    } catch {
      return '';
    }
  }

  /** The browser knows which suffixes are public: it takes no cookie for them. */
  function widest(): string {
    const labels = location.hostname.split('.');
    for (let i = labels.length - 2; i >= 0; i--) {
      const domain = labels.slice(i).join('.');
      put(PROBE, '1', 10, domain);
      const isSet = get(PROBE);
      put(PROBE, '', 0, domain);
      if (isSet) return domain;
    }
    return '';
  }

  function domain(): string {
    try {
      return found === undefined ? (found = widest()) : found;
    } catch {
      return '';
    }
  }

  return {
    read: () => get(NAME),
    write(id) {
      try {
        put(NAME, id, id ? DAYS_400_SECONDS : 0, domain());
      } catch {
        // A sandboxed frame: the store has the id, or memory.
      }
    },
    site: () => domain() || location.hostname,
  };
}
