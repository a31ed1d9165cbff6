// src/core/calls.ts
var MAX_WAITING = 200;
var LOUD = /^(invalid|unauthorized|rejected)$/;
var METHODS = {
  // Options come fourth in `AttriKit('track', name, properties, options)`, or after a callback's place.
  track: (tracker, name, properties, options, further) => tracker.track(name, properties, further || options),
  page: (tracker, properties) => tracker.page(properties),
  identify: (tracker, userId, traits) => tracker.identify(userId, traits),
  reset: (tracker) => tracker.reset(),
  flush: (tracker) => tracker.delivery.flush(),
  consent: (tracker, state) => tracker.consent(state),
  optOut: (tracker) => tracker.consent("denied"),
  getVisitorId: (tracker) => tracker.visitor(),
  linkUrl: (tracker, url) => tracker.linkUrl(url)
};
function without(method, args) {
  if (method === "flush") return Promise.resolve();
  return method === "getVisitorId" ? "" : method === "linkUrl" ? args[0] : void 0;
}
function createCalls(version, begin2) {
  const waiting = [];
  let tracker;
  let options;
  const log = (text) => {
    if (options && options.debug) console.log("[AttriKit] " + text);
  };
  function report(error) {
    if (LOUD.test(error.type) || options && options.debug) {
      console.warn(`[AttriKit] ${error.type}: ${error.message}${error.code ? ` (${error.code})` : ""}`);
    }
    try {
      if (options && options.onError) options.onError(error);
    } catch (e) {
    }
  }
  function init(given) {
    if (options) return report({ type: "invalid", message: "init was called already; this call changes nothing" });
    if (!given || !given.appId) return report({ type: "invalid", message: "init needs an appId" });
    options = given;
    begin2(given, report, log, (made, first) => {
      tracker = made;
      log("SDK initialized successfully");
      if (given.userId) call("identify", [given.userId, given.userTraits]);
      first();
      waiting.splice(0).forEach(([method, args]) => call(method, args));
      try {
        if (given.onReady) given.onReady(api);
      } catch (error) {
        report({ type: "callback", message: "onReady: " + error });
      }
    });
  }
  function call(method, args) {
    try {
      if (method === "init") return init(args[0]);
      if (!METHODS[method]) throw new TypeError(`there is no call '${method}'`);
      if (tracker) return METHODS[method](tracker, ...args);
      if (waiting.length < MAX_WAITING) waiting.push([method, args]);
    } catch (error) {
      report({ type: "invalid", message: error instanceof Error ? error.message : String(error) });
    }
    return without(method, args);
  }
  const api = (method, ...args) => call(method, args);
  for (const name of ["init", ...Object.keys(METHODS)]) api[name] = (...args) => call(name, args);
  api.version = version;
  api.call = call;
  return api;
}

// src/core/ids.ts
var ID = /^[\w.:-]{8,64}$/;
var LINK_MS = 12e4;
function randomId(prefix, random2) {
  let id = prefix;
  for (let i = 0; i < 26; i++) id += (random2() * 32 | 0).toString(32);
  return id;
}
function isId(text) {
  return ID.test(text);
}
function linkToken(id, nowMs, agent) {
  const time = nowMs.toString(36);
  return `${id}~${time}~${checksum(id + time + agent)}`;
}
function readLinkToken(token, nowMs, agent) {
  const [id = "", time = "", sum] = token.split("~");
  const age = nowMs - parseInt(time, 36);
  return isId(id) && age >= 0 && age <= LINK_MS && sum === checksum(id + time + agent) ? id : "";
}
function checksum(text) {
  let hash = 2166136261;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
  return (hash >>> 0).toString(36);
}

// src/core/stores.ts
function memoryStore() {
  const texts = /* @__PURE__ */ new Map();
  return {
    get: (name) => texts.has(name) ? texts.get(name) : null,
    set: (name, value) => !!texts.set(name, value),
    remove: (name) => void texts.delete(name),
    names: () => [...texts.keys()]
  };
}
function guardedStore(prefix, below) {
  const memory = memoryStore();
  function tried(use, otherwise) {
    try {
      return use(below());
    } catch (e) {
      return otherwise;
    }
  }
  return {
    get(name) {
      const kept = memory.get(name);
      return kept !== null ? kept : tried((store) => store.get(prefix + name), null);
    },
    set(name, value) {
      const isKept = tried((store) => store.set(prefix + name, value), false);
      if (isKept) memory.remove(name);
      else memory.set(name, value);
      return isKept;
    },
    remove(name) {
      memory.remove(name);
      tried((store) => store.remove(prefix + name), void 0);
    },
    names() {
      const below2 = tried((store) => store.names(), []).filter((name) => name.startsWith(prefix));
      return below2.map((name) => name.slice(prefix.length));
    }
  };
}
function overlay(below) {
  const memory = memoryStore();
  return {
    ...memory,
    get(name) {
      const found = memory.get(name);
      return found !== null ? found : below.get(name);
    },
    keep() {
      for (const name of memory.names()) below.set(name, memory.get(name));
    }
  };
}

// src/core/delivery.ts
var MAX_BODY_BYTES = 48e3;
var QUOTA_BYTES = 63e3;
var MIN_WAIT_MS = 1e3;
var MAX_WAIT_MS = 3e5;
var MAX_RETRY_AFTER_MS = 864e5;
var MAX_BATCH_EVENTS = 500;
var ENVELOPE_BYTES = 100;
var SENT_AT_BYTES = 40;
var WAIT = "wait";
function createDelivery(queue, platform, settings, report) {
  const path = "/v1/events/batch?app_id=" + encodeURIComponent(settings.appId);
  const onItsWay = /* @__PURE__ */ new Set();
  let running;
  let isRunning = false;
  let timer;
  let timerAt = Infinity;
  let failures = 0;
  let waitUntil = 0;
  let maxEvents = MAX_BATCH_EVENTS;
  let isStopped = false;
  let isPaused = false;
  let isLeaving = false;
  function toldUntil() {
    const until = +(platform.store.get(WAIT) || 0);
    return until - platform.now() < MAX_RETRY_AFTER_MS ? until : 0;
  }
  function wakeIn(ms) {
    const at = platform.now() + ms;
    if (timer !== void 0 && timerAt <= at) return;
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(() => {
      timer = void 0;
      void flush();
    }, ms);
  }
  function take(room) {
    const batch = [];
    let left = Math.min(room, MAX_BODY_BYTES) - ENVELOPE_BYTES;
    for (const item of queue.items) {
      if (onItsWay.has(item)) continue;
      left -= item.bytes + SENT_AT_BYTES;
      if (batch.length >= maxEvents || left < 0) break;
      batch.push(item);
    }
    return batch;
  }
  async function send(batch, isLeaving2) {
    batch.forEach((item) => onItsWay.add(item));
    const answer = await platform.post(path, bodyOf(batch, platform.now()), isLeaving2, failures > 0);
    batch.forEach((item) => onItsWay.delete(item));
    return settle(batch, answer);
  }
  function settle(batch, answer) {
    const { status } = answer;
    if (status >= 200 && status < 300) return settleEach(batch, answer);
    if (status === 400 || status === 413 || status === 422) {
      if (batch.length > 1) maxEvents = batch.length >> 1;
      else refuse(batch[0], errorOf(answer), status);
      return true;
    }
    if (status === 401 || status === 403) {
      isStopped = true;
      report({ type: "unauthorized", status, ...errorOf(answer) });
      return false;
    }
    return fail(answer);
  }
  function settleEach(batch, answer) {
    const results = (parse(answer.body).data || {}).results;
    let settled = 0;
    for (const { index, status, error } of Array.isArray(results) ? results : []) {
      const item = batch[index];
      if (!item || !/^(accepted|duplicate|rejected)$/.test(status)) continue;
      settled++;
      if (status === "rejected") refuse(item, described(error), answer.status);
      else queue.drop(item);
    }
    if (settled < batch.length) return fail(answer);
    failures = 0;
    maxEvents = MAX_BATCH_EVENTS;
    return true;
  }
  function refuse(item, why, status) {
    queue.drop(item);
    report({ type: "rejected", status, eventId: item.id, ...why });
  }
  function fail(answer) {
    const range = Math.min(MAX_WAIT_MS, MIN_WAIT_MS * 2 ** ++failures);
    let wait = MIN_WAIT_MS + platform.random() * (range - MIN_WAIT_MS);
    const told = Math.min(retryAfterMs(answer.retryAfter, platform.now()), MAX_RETRY_AFTER_MS);
    if (told > 0) {
      wait = Math.max(wait, told);
      platform.store.set(WAIT, String(Math.ceil(platform.now() + told)));
    }
    waitUntil = platform.now() + wait;
    wakeIn(wait);
    report({ type: "unreachable", ...answer.status && { status: answer.status }, ...errorOf(answer) });
    return false;
  }
  async function run() {
    isRunning = true;
    queue.expire(platform.now());
    for (; ; ) {
      const batch = isStopped || isPaused ? [] : take(Infinity);
      const wait = Math.max(waitUntil, toldUntil()) - platform.now();
      if (batch.length && wait > 0) wakeIn(wait);
      if (!batch.length || wait > 0) break;
      await send(batch, false);
    }
    isRunning = false;
  }
  function flush() {
    clearTimeout(timer);
    timer = void 0;
    if (!isRunning) running = run();
    return running;
  }
  function leave() {
    isLeaving = true;
    if (isStopped || isPaused || toldUntil() > platform.now()) return;
    let room = QUOTA_BYTES;
    onItsWay.forEach((item) => room -= item.bytes + SENT_AT_BYTES);
    for (; ; ) {
      const batch = take(room);
      if (!batch.length) return;
      batch.forEach((item) => room -= item.bytes + SENT_AT_BYTES);
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
    }
  };
}
function bodyOf(batch, nowMs) {
  const sentAt = '"sent_at":"' + new Date(nowMs).toISOString() + '"';
  const events = batch.map((item) => item.json.slice(0, -1) + "," + sentAt + "}");
  return '{"events":[' + events.join() + "]," + sentAt + "}";
}
function parse(text) {
  try {
    return JSON.parse(text) || {};
  } catch (e) {
    return {};
  }
}
function errorOf(answer) {
  return described(parse(answer.body).error);
}
function described(error) {
  return { ...error && error.code && { code: error.code }, message: error && error.message || "no usable answer" };
}
function retryAfterMs(value, nowMs) {
  if (!value) return 0;
  const ms = /^\d+$/.test(value) ? +value * 1e3 : Date.parse(value) - nowMs;
  return ms > 0 ? ms : 0;
}

// src/core/identity.ts
var VISITOR = "visitor";
var USER = "user";
function createIdentity(store, cookie, random2) {
  let current = "";
  function setVisitor(id) {
    current = id;
    store.set(VISITOR, id);
    cookie.writeVisitor(id);
  }
  const identity = {
    visitor() {
      const found = [cookie.readVisitor(), store.get(VISITOR) || "", current].find(isId);
      if (!found) setVisitor(randomId("v_", random2));
      else if (found !== current) setVisitor(found);
      return current;
    },
    user: () => (store.get(USER) || "").split("\n")[0],
    setVisitor,
    setUser(id, traits) {
      const known = identity.user();
      if (known && known !== id) setVisitor(randomId("v_", random2));
      const text = id + "\n" + traits;
      return store.get(USER) !== text && (store.set(USER, text), true);
    },
    refresh() {
      setVisitor(identity.visitor());
    },
    reset() {
      store.remove(USER);
      setVisitor(randomId("v_", random2));
    }
  };
  return identity;
}

// src/core/queue.ts
var MAX_EVENTS = 1e3;
var DAYS_7_MS = 7 * 864e5;
var PREFIX = "q.";
function createQueue(store, own, report) {
  const items = [];
  let count = 0;
  function write(item) {
    const name = PREFIX + own + "." + (count++).toString(36).padStart(6, "0");
    item.name = store.set(name, item.rank + item.at.toString(36) + " " + item.json) ? name : "";
  }
  function drop(item) {
    const place = items.indexOf(item);
    if (place >= 0) items.splice(place, 1);
    if (item.name) store.remove(item.name);
  }
  function lose(item, message) {
    drop(item);
    report({ type: "dropped", message, eventId: item.id });
  }
  function bound() {
    while (items.length > MAX_EVENTS) {
      const rank = Math.min(...items.map((item) => item.rank));
      lose(items.find((item) => item.rank === rank), "the queue is full");
    }
  }
  const queue = {
    items,
    push(id, json, rank, nowMs) {
      const item = { id, json, bytes: byteLength(json), rank, at: nowMs, name: "" };
      items.push(item);
      write(item);
      bound();
    },
    drop,
    expire(nowMs) {
      items.filter((item) => nowMs - item.at > DAYS_7_MS).forEach((item) => lose(item, "older than 7 days"));
    },
    others() {
      const found = /* @__PURE__ */ new Set();
      for (const name of store.names()) {
        if (name.startsWith(PREFIX)) found.add(name.slice(PREFIX.length).split(".")[0]);
      }
      found.delete(own);
      return [...found].sort();
    },
    adopt(other) {
      const names = store.names().filter((name) => name.startsWith(PREFIX + other + "."));
      const adopted = [];
      for (const name of names.sort()) {
        const item = parsed(store.get(name) || "");
        if (item) {
          write(item);
          if (item.name) adopted.push(item);
        }
        if (!item || item.name) store.remove(name);
      }
      items.unshift(...adopted);
      bound();
    },
    compare() {
      items.filter((item) => item.name && store.get(item.name) === null).forEach(drop);
    },
    clear() {
      items.length = 0;
      store.names().filter((name) => name.startsWith(PREFIX)).forEach((name) => store.remove(name));
    }
  };
  return queue;
}
function parsed(text) {
  const space = text.indexOf(" ");
  const json = text.slice(space + 1);
  try {
    const id = JSON.parse(json).event_id;
    const at = parseInt(text.slice(1, space), 36);
    if (typeof id === "string" && at > 0) return { id, json, bytes: byteLength(json), rank: +text[0], at, name: "" };
  } catch (e) {
  }
  return void 0;
}
function byteLength(text) {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127) bytes += code > 2047 ? 2 : 1;
  }
  return bytes;
}

// src/core/urls.ts
var CLICK_IDS = "gclid gbraid wbraid dclid msclkid bd_vid qhclickid yclid qz_gdt gdt_vid ksclickid uctrackid ttclid twclid li_fat_id rdt_cid sccid epik gad_source clickid callback track_id click_id fbclid igshid igsh srsltid".split(" ");
var DENIED = "token accesstoken refreshtoken idtoken authtoken oauthtoken apitoken csrftoken resettoken sessiontoken jwt otp apikey accesskey secret secretkey clientsecret password passwd passcode pwd auth authorization credential credentials sig signature xamzsignature xamzcredential xamzsecuritytoken xgoogsignature session sessionid phpsessid jsessionid email mail emailaddress useremail phone phonenumber tel telephone mobile mobilephone ssn idcard cardnumber creditcard".split(" ");
var PARAMETER = /([?&#;])([^?&#;=/]+)=([^?&#;]*)/g;
var INNER = /(%(?:25)*(?:3f|26|23))([\w.-]+)%(?:25)*3d((?!%(?:25)*(?:26|23))[^&#])*/gi;
var LINK_PARAMETER = "attrikit_link";
function isTag(name) {
  const word = name.toLowerCase();
  return word.startsWith("utm_") || CLICK_IDS.includes(word);
}
function tagsOf(url) {
  const tags = {};
  url.replace(PARAMETER, (whole, _separator, name, value) => {
    const key = name.toLowerCase();
    if (value && isTag(key) && !(key in tags)) tags[key] = decoded(value);
    return whole;
  });
  return tags;
}
function parameterOf(url, wanted) {
  let found = "";
  url.replace(PARAMETER, (whole, _separator, name, value) => {
    if (name === wanted && !found) found = decoded(value);
    return whole;
  });
  return found;
}
function withoutTags(url) {
  return without2(url, isTag);
}
function cleaner(more) {
  const denied = new Set(DENIED.concat(more.map(plainName)).concat(plainName(LINK_PARAMETER)));
  const isDenied = (name) => denied.has(plainName(name)) && !isTag(name);
  return (text) => {
    if (!/=|%3d/i.test(text)) return text;
    return without2(text, isDenied).replace(
      INNER,
      (whole, separator, name) => isDenied(name) ? separator : whole
    );
  };
}
function plainName(name) {
  const inner = /([^[\]]+)\]?$/.exec(decoded(name));
  return (inner ? inner[1] : name).toLowerCase().replace(/[_-]/g, "");
}
function without2(url, isDropped) {
  let hasDropped = false;
  const left = url.replace(PARAMETER, (whole, separator, name) => {
    if (!isDropped(name)) return whole;
    hasDropped = true;
    return separator;
  });
  if (!hasDropped) return url;
  return left.replace(/([?#&;])[&;]+/g, "$1").replace(/[?&;]+(?=#|$)/g, "").replace(/#$/, "");
}
function decoded(text) {
  try {
    return decodeURIComponent(text.replace(/\+/g, " "));
  } catch (e) {
    return text;
  }
}
function hostOf(url) {
  const found = /^\w[\w+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:]*)/.exec(url);
  return found ? found[1].toLowerCase() : "";
}

// src/core/touches.ts
var DAYS_90_MS = 90 * 864e5;
var VISIT_MS = 30 * 6e4;
var NAME = "touches";
function createTouches(store, clean) {
  let fresh = "";
  function read(nowMs) {
    try {
      const stored = JSON.parse(store.get(NAME) || "[]");
      return stored.filter((touch) => nowMs - touch.at < DAYS_90_MS);
    } catch (e) {
      return [];
    }
  }
  return {
    see(url, referrer, isRepeat, isOwn, nowMs) {
      const touches = read(nowMs);
      const last = touches[touches.length - 1];
      const tags = tagsOf(url);
      const isTagged = Object.keys(tags).length > 0;
      const isKnown = !!last && JSON.stringify(last.tags) === JSON.stringify(tags);
      const isTouch = isTagged ? !(isRepeat && isKnown) : !isRepeat && (!last || !!referrer && !isOwn && nowMs - last.at > VISIT_MS);
      if (!isTouch) return;
      if (isTagged) fresh = url;
      const touch = { at: nowMs, url: clean(url), referrer: isOwn ? "" : clean(referrer), tags };
      store.set(NAME, JSON.stringify([touches[0] || touch, touch]));
    },
    isKnown: (nowMs) => read(nowMs).length > 0,
    address: (url) => fresh || withoutTags(url),
    taken() {
      fresh = "";
    },
    isFresh: () => !!fresh,
    context(nowMs) {
      const found = read(nowMs);
      if (!found.length) return {};
      return { first_touch: shown(found[0]), last_touch: shown(found[found.length - 1]) };
    },
    clear() {
      store.remove(NAME);
    }
  };
}
function shown(touch) {
  return {
    at: new Date(touch.at).toISOString(),
    page_url: touch.url,
    ...touch.referrer && { referrer: touch.referrer },
    ...touch.tags
  };
}

// src/core/tracker.ts
var MAX_EVENT_BYTES = 32768;
var PAGE_VIEW = "page_view";
var CONSENT = "consent";
var CONVERSION = /^(purchase|refund|user_signup|app_install|add_to_cart|form_submit|identify)$/;
var VALUES = ["order_id", "revenue", "amount"];
function createTracker(options, platform, own, hasOptedOut, report, log) {
  const lasting = platform.store;
  const store = memoryStore();
  let unconfirmed = overlay(lasting);
  const clean = cleaner(options.denyParameters || []);
  let state = "pending";
  const cookie = {
    readVisitor: platform.readVisitor,
    writeVisitor: (id) => void (state === "granted" && platform.writeVisitor(id))
  };
  const random2 = platform.random;
  const identity = createIdentity(store, cookie, random2);
  const touches = createTouches(store, clean);
  const queue = createQueue(store, own, report);
  const delivery = createDelivery(
    queue,
    { ...platform, store },
    { appId: options.appId, batchSize: options.batchSize || 10, batchTimeout: options.batchTimeout || 5e3 },
    report
  );
  function become(next) {
    const before = state;
    state = next;
    if (next === "granted") {
      unconfirmed.keep();
      Object.assign(store, lasting);
      if (before !== "granted") identity.refresh();
      delivery.resume();
      delivery.wake();
    } else {
      delivery.pause();
      if (next === "denied") clear();
      unconfirmed = overlay(lasting);
      Object.assign(store, next === "denied" ? memoryStore() : unconfirmed);
    }
  }
  function clear() {
    queue.clear();
    touches.taken();
    for (const name of lasting.names()) if (name !== CONSENT) lasting.remove(name);
    platform.writeVisitor("");
  }
  function event(name, properties, given, place) {
    const nowMs = platform.now();
    const user = identity.user();
    return {
      event_name: name,
      event_id: given.eventId || randomId("e_", random2),
      timestamp: new Date(given.timestamp === void 0 ? nowMs : given.timestamp).toISOString(),
      anonymous_id: identity.visitor(),
      ...user && { user_id: user },
      properties: name === PAGE_VIEW ? properties : { ...touches.context(nowMs), ...properties },
      context: {
        locale: place.locale,
        page: { url: touches.address(place.url), title: place.title, referrer: place.referrer }
      }
    };
  }
  function track(name, properties, given, place = platform.place()) {
    if (state === "denied") return;
    if (typeof name !== "string" || !name) throw new TypeError("an event needs a name");
    let body = event(name, properties || {}, given || {}, place);
    if (options.beforeSend) {
      try {
        body = options.beforeSend(body);
      } catch (error) {
        report({ type: "callback", message: "beforeSend: " + error });
      }
    }
    if (body) add(body);
  }
  function add(body) {
    const json = JSON.stringify(
      body,
      (_name, value) => (
        // Half a pair of surrogates (an emoji cut in two) and NUL are refused by the gateway.
        typeof value === "string" ? clean(value.replace(/[\ud800-\udfff\0]/gu, "�")) : value
      )
    );
    const eventId = body.event_id;
    if (byteLength(json) > MAX_EVENT_BYTES) {
      report({ type: "rejected", code: "PAYLOAD_TOO_LARGE", message: "an event has at most 32 KB", eventId });
      return;
    }
    queue.push(eventId, json, rankOf(body), platform.now());
    touches.taken();
    delivery.queued();
    log(body.event_name === PAGE_VIEW ? "Page view tracked" : "Event tracked: " + body.event_name);
  }
  function rankOf(body) {
    const properties = body.properties || {};
    const isConversion = CONVERSION.test(body.event_name) || VALUES.some((name) => name in properties);
    return isConversion || touches.isFresh() ? 2 : body.event_name === PAGE_VIEW ? 0 : 1;
  }
  const tracker = {
    queue,
    delivery,
    track,
    page: (properties) => track(PAGE_VIEW, properties),
    identify(userId, traits = {}) {
      if (state === "denied") return;
      if (!userId && userId !== 0) throw new TypeError("identify needs the id of a user");
      if (identity.setUser(String(userId), JSON.stringify(traits))) track("identify", traits);
    },
    reset() {
      identity.reset();
      touches.clear();
    },
    consent(next) {
      if (!/^(granted|pending|denied)$/.test(next)) throw new TypeError("consent is granted, pending or denied");
      if (next === "pending") lasting.remove(CONSENT);
      become(next);
      if (next !== "pending") lasting.set(CONSENT, next);
    },
    consentState: () => state,
    visitor: () => state === "denied" ? "" : identity.visitor(),
    takeVisitor(id) {
      if (state !== "denied") identity.setVisitor(id);
    },
    linkUrl(url) {
      if (state !== "granted") return url;
      const token = linkToken(identity.visitor(), platform.now(), platform.agent());
      const [, before, hash] = /^([^#]*)(.*)$/.exec(url);
      return before + (before.includes("?") ? "&" : "?") + LINK_PARAMETER + "=" + encodeURIComponent(token) + hash;
    },
    see(url, referrer, isRepeat) {
      if (state === "denied") return;
      const nowMs = platform.now();
      const isOwn = !!referrer && platform.isOwn(referrer);
      if (isOwn && !touches.isKnown(nowMs) && Object.keys(tagsOf(referrer)).length) {
        touches.see(referrer, "", false, false, nowMs);
        track(PAGE_VIEW, {}, {}, { ...platform.place(), title: "", referrer: "" });
      }
      touches.see(url, referrer, isRepeat, isOwn, nowMs);
    }
  };
  const stored = lasting.get(CONSENT);
  become(stored || (hasOptedOut ? "denied" : options.consent || "granted"));
  return tracker;
}

// src/browser/cookies.ts
var NAME2 = "attrikit_vid";
var PROBE = "attrikit_probe";
var DAYS_400_SECONDS = 3456e4;
function createCookies() {
  let found;
  function put(name, value, seconds, domain2) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    const where = domain2 && `; Domain=${domain2}`;
    document.cookie = `${name}=${value}; Path=/; Max-Age=${seconds}; SameSite=Lax${secure}${where}`;
  }
  function get(name) {
    try {
      const pair = document.cookie.split("; ").find((one) => one.startsWith(name + "="));
      return pair ? pair.slice(name.length + 1) : "";
    } catch (e) {
      return "";
    }
  }
  function widest() {
    const labels = location.hostname.split(".");
    for (let i = labels.length - 2; i >= 0; i--) {
      const domain2 = labels.slice(i).join(".");
      put(PROBE, "1", 10, domain2);
      const isSet = get(PROBE);
      put(PROBE, "", 0, domain2);
      if (isSet) return domain2;
    }
    return "";
  }
  function domain() {
    try {
      return found === void 0 ? found = widest() : found;
    } catch (e) {
      return "";
    }
  }
  return {
    read: () => get(NAME2),
    write(id) {
      try {
        put(NAME2, id, id ? DAYS_400_SECONDS : 0, domain());
      } catch (e) {
      }
    },
    site: () => domain() || location.hostname
  };
}

// src/browser/leases.ts
var TICK_MS = 3e4;
var EXPIRES_MS = 15e4;
var PREFIX2 = "lease.";
function createLeases(store, own, lockPrefix, now) {
  const locks = lockManager();
  let letGo;
  let timer;
  function renew(lost) {
    const before = store.get(PREFIX2 + own);
    if (timer !== void 0 && (before === null || now() - +before > EXPIRES_MS)) lost();
    store.set(PREFIX2 + own, String(now()));
  }
  function takeByTime(queue, take) {
    const renewed = +(store.get(PREFIX2 + queue) || 0);
    if (now() - renewed < EXPIRES_MS) return;
    take();
    store.remove(PREFIX2 + queue);
  }
  return {
    hold(lost) {
      if (letGo || timer !== void 0) return;
      if (locks) {
        const held = new Promise((resolve) => letGo = resolve);
        locks.request(lockPrefix + own, () => held).catch(() => void 0);
      } else {
        renew(lost);
        timer = setInterval(() => renew(lost), TICK_MS);
      }
    },
    release() {
      if (letGo) letGo();
      clearInterval(timer);
      letGo = timer = void 0;
      if (!locks) store.remove(PREFIX2 + own);
    },
    ifGone(queue, take) {
      if (!locks) return takeByTime(queue, take);
      locks.request(lockPrefix + queue, { ifAvailable: true }, (lock) => {
        if (lock) take();
      }).catch(() => void 0);
    }
  };
}
function lockManager() {
  try {
    return navigator.locks;
  } catch (e) {
    return void 0;
  }
}

// src/browser/pages.ts
function watchPages(parameters, view) {
  let referrer = document.referrer;
  let shown2 = location.href;
  let key = keyOf(shown2);
  function keyOf(url) {
    const { pathname, hash } = new URL(url);
    const route = /^#!?\//.test(hash) ? withoutTags(hash) : "";
    return [pathname, route, ...parameters.map((name) => parameterOf(url, name))].join("\n");
  }
  function check() {
    const next = keyOf(location.href);
    if (next !== key) moved(next, false);
  }
  function moved(next, isRepeat) {
    referrer = shown2;
    shown2 = location.href;
    key = next;
    view(isRepeat);
  }
  const soon = () => void setTimeout(check, 0);
  for (const name of ["pushState", "replaceState"]) {
    const original = history[name];
    try {
      history[name] = function(...args) {
        const result = original.apply(this, args);
        soon();
        return result;
      };
    } catch (e) {
    }
  }
  addEventListener("popstate", soon);
  addEventListener("hashchange", soon);
  addEventListener("pageshow", (event) => {
    if (event.persisted) moved(keyOf(location.href), true);
  });
  return {
    get referrer() {
      return referrer;
    }
  };
}

// src/browser/post.ts
var TIMEOUT_MS = 2e4;
var NOTHING = { status: 0, body: "" };
async function post(url, body, keepalive, isLeaving, credentials = "omit") {
  if (isLeaving && !hasKeepalive()) return beacon(url, body);
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const { signal } = abort;
    const answer = await fetch(url, { method: "POST", body, keepalive, credentials, signal });
    return { status: answer.status, body: await answer.text(), retryAfter: answer.headers.get("Retry-After") };
  } catch (e) {
    return isLeaving && !abort.signal.aborted ? beacon(url, body) : NOTHING;
  } finally {
    clearTimeout(timer);
  }
}
function hasKeepalive() {
  return typeof Request === "function" && "keepalive" in Request.prototype;
}
function beacon(url, body) {
  try {
    navigator.sendBeacon(url, body);
  } catch (e) {
  }
  return NOTHING;
}

// src/browser/browser.ts
var SCAN_MS = 3e4;
var DAY_MS = 864e5;
var ASKED = "asked";
function noteLanding() {
  const entry = performance.getEntriesByType("navigation")[0];
  const script = document.currentScript;
  const first = entry && Object.keys(tagsOf(entry.name)).length && !Object.keys(tagsOf(location.href)).length;
  return {
    url: first ? entry.name : location.href,
    referrer: document.referrer,
    isRepeat: !!entry && /reload|back/.test(entry.type),
    origin: script && script.src ? new URL(script.src).origin : ""
  };
}
function beginInBrowser(landing) {
  return (options, report, log, ready) => {
    const endpoint = endpointOf(options.endpoint || landing.origin);
    if (!endpoint) return report({ type: "invalid", message: "init needs an endpoint" });
    whenShown(() => start(options, endpoint, landing, report, log, ready));
  };
}
function endpointOf(given) {
  return given.replace(/\/+$/, "").replace(/\/api\/events$|\/v1(\/events(\/\w+)?)?$/, "");
}
function whenShown(run) {
  if (document.prerendering) document.addEventListener("prerenderingchange", run, { once: true });
  else run();
}
function start(options, endpoint, landing, report, log, ready) {
  const cookies = createCookies();
  const prefix = `attrikit.${options.appId}.`;
  const own = Date.now().toString(36) + randomId("", random).slice(0, 8);
  let pages;
  const platform = browserPlatform(endpoint, prefix, cookies, () => (pages || landing).referrer);
  const hasOptedOut = navigator.globalPrivacyControl === true && !options.ignoreGpc;
  const tracker = createTracker(options, platform, own, hasOptedOut, report, log);
  const { delivery, queue } = tracker;
  const leases = createLeases(platform.store, own, prefix, Date.now);
  function show(isRepeat, url = location.href) {
    tracker.see(url, platform.place().referrer, isRepeat);
    if (options.autoTrack !== false) tracker.page();
  }
  function adoptOthers() {
    if (tracker.consentState() !== "granted") return;
    for (const other of queue.others()) {
      leases.ifGone(other, () => {
        queue.adopt(other);
        void delivery.flush();
      });
    }
  }
  function granted() {
    leases.hold(queue.compare);
    adoptOthers();
    if (isSameSite(endpoint, cookies)) void askForCookie(platform, options.appId, tracker);
  }
  function consent(state) {
    const before = tracker.consentState();
    tracker.consent(state);
    if (state !== "granted") return leases.release();
    if (before === "denied") show(false);
    granted();
  }
  takeLink(tracker, landing, platform.agent());
  ready({ ...tracker, consent }, () => {
    show(landing.isRepeat, landing.url);
    pages = watchPages(options.viewParameters || [], (isRepeat) => show(isRepeat));
  });
  if (tracker.consentState() === "granted") granted();
  setTimeout(adoptOthers, 1e3);
  setInterval(adoptOthers, SCAN_MS);
  addEventListener("online", delivery.wake);
  addEventListener("pagehide", () => {
    delivery.leave();
    leases.release();
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted || tracker.consentState() !== "granted") return;
    leases.hold(queue.compare);
    queue.compare();
    delivery.stay();
    delivery.wake();
  });
  addEventListener("storage", (event) => {
    if (event.key === prefix + "consent" && event.newValue) tracker.consent(event.newValue);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") delivery.leave();
    else delivery.stay();
  });
}
function browserPlatform(endpoint, prefix, cookies, referrer) {
  return {
    now: Date.now,
    random,
    store: guardedStore(prefix, browserStore),
    place: () => ({
      url: location.href,
      title: document.title,
      referrer: referrer(),
      locale: navigator.language
    }),
    post(path, body, isLeaving, hasFailed) {
      const credentials = path.startsWith("/v1/visitor") ? "include" : "omit";
      return post(endpoint + path, body, isLeaving || !hasFailed, isLeaving, credentials);
    },
    readVisitor: cookies.read,
    writeVisitor(id) {
      if (!id || id !== cookies.read() || !isSameSite(endpoint, cookies)) cookies.write(id);
    },
    isOwn: (url) => isUnder(hostOf(url), cookies.site()),
    agent: () => navigator.userAgent + navigator.language
  };
}
function random() {
  return crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32;
}
function browserStore() {
  const storage = localStorage;
  return {
    get: (name) => storage.getItem(name),
    set(name, value) {
      storage.setItem(name, value);
      return true;
    },
    remove: (name) => storage.removeItem(name),
    names: () => Object.keys(storage)
  };
}
function isSameSite(endpoint, cookies) {
  return isUnder(hostOf(endpoint), cookies.site()) && endpoint.startsWith(location.protocol);
}
function isUnder(host, domain) {
  return host === domain || host.endsWith("." + domain);
}
function takeLink(tracker, landing, agent) {
  const id = readLinkToken(parameterOf(landing.url, LINK_PARAMETER), Date.now(), agent);
  if (id) tracker.takeVisitor(id);
  const url = new URL(location.href);
  if (!url.searchParams.has(LINK_PARAMETER)) return;
  url.searchParams.delete(LINK_PARAMETER);
  history.replaceState(history.state, "", url.href);
}
async function askForCookie(platform, appId, tracker) {
  if (Date.now() - +(platform.store.get(ASKED) || 0) < DAY_MS) return;
  const body = JSON.stringify({ visitor_id: tracker.visitor() });
  const answer = await platform.post("/v1/visitor?app_id=" + encodeURIComponent(appId), body, false, true);
  if (tracker.consentState() === "denied") platform.writeVisitor("");
  else if (answer.status === 200) platform.store.set(ASKED, String(Date.now()));
}

// src/browser/index.ts
var begin = typeof document === "undefined" ? () => void 0 : beginInBrowser(noteLanding());
var AttriKit = createCalls("0.1.0", begin);
var index_default = AttriKit;
export {
  AttriKit,
  index_default as default
};
