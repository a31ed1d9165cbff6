// @ts-check
// What pages do beyond links and forms: copy buttons, parts that renew themselves, live events, menus that close.

/** Buttons that copy the text beside them; hidden where they could not work. */
function addCopyButtons() {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    if (!(button instanceof HTMLButtonElement) || !navigator.clipboard) continue;
    button.hidden = false;
    const label = button.textContent;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement?.querySelector("pre")?.textContent ?? "");
      button.textContent = button.dataset.done ?? "";
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  }
}

const LONGEST_PAUSE_MS = 30000;

/** Parts with `data-refresh` are fetched again every `data-every` milliseconds until they say that they are done, and
 * not while nobody can see them. With `data-growth` each pause is so many times the last one, up to the longest. */
function keepFresh() {
  for (const part of document.querySelectorAll("[data-refresh]")) {
    if (part instanceof HTMLElement && !part.dataset.done) renew(part);
  }
}

/** @param {HTMLElement} part */
async function renew(part) {
  if (!document.hidden) await fetchAgain(part);
  const pause = Number(part.dataset.every);
  part.dataset.every = String(Math.min(pause * Number(part.dataset.growth ?? 1), LONGEST_PAUSE_MS));
  if (!part.querySelector("[data-arrived]")) setTimeout(() => renew(part), pause);
}

/** @param {HTMLElement} part */
async function fetchAgain(part) {
  try {
    const response = await fetch(part.dataset.refresh ?? "", { redirect: "error" });
    if (!response.ok) return;
    const shown = await response.text();
    if (shown !== part.dataset.shown) fill(part, shown);
    part.dataset.shown = shown;
  } catch { /* away: the next try comes soon */ }
}

/** Put markup into a part. The focus stays on the link or button of the same name; if that is gone, the part takes it.
 * @param {HTMLElement} part @param {string} markup made by the server, which escapes what senders wrote */
function fill(part, markup) {
  /** @param {Element} one */
  const nameOf = (one) => one.getAttribute("href") ?? one.getAttribute("aria-label") ?? one.closest("form")?.action;
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  part.innerHTML = markup;
  if (!focused) return;
  const same = [...part.querySelectorAll(focused.localName)].find((one) => nameOf(one) === nameOf(focused));
  if (!same) part.tabIndex = -1;
  (same instanceof HTMLElement ? same : part).focus({ preventScroll: true });
}

const MOST_ROWS = 50;

/** The live view: rows are put in as the server sends them; it can be paused, and says when it is not live. */
function followLive() {
  const view = document.querySelector("[data-stream]");
  const state = view?.querySelector("[data-state]");
  const button = view?.querySelector("[data-pause]");
  if (!(view instanceof HTMLElement && state instanceof HTMLElement && button instanceof HTMLButtonElement)) return;
  const pause = button.textContent ?? "";
  let address = view.dataset.stream ?? "";
  /** @type {EventSource | null} */
  let source = null;

  /** @param {string} name */
  const say = (name) => {
    state.textContent = state.dataset[name] ?? "";
    state.className = "badge " + ({ live: "good", paused: "", away: "warn", lost: "warn" }[name] ?? "");
  };
  const connect = () => {
    const opened = source = new EventSource(address);
    opened.addEventListener("state", (message) => say(message.data));
    opened.addEventListener("end", () => { opened.close(); location.reload(); });
    opened.addEventListener("rows", (message) => {
      addRows(view, message.data);
      address = address.replace(/after=\d+/, "after=" + message.lastEventId);
    });
    opened.addEventListener("error", () => { say(opened.readyState === EventSource.CLOSED ? "lost" : "away"); });
  };
  button.addEventListener("click", () => {
    button.textContent = source ? button.dataset.again ?? "" : pause;
    if (source) { source.close(); source = null; say("paused"); } else connect();
  });
  state.hidden = button.hidden = false;
  connect();
}

/** @param {HTMLElement} view @param {string} markup made by the server, which escapes what senders wrote */
function addRows(view, markup) {
  const body = view.querySelector("[data-rows]");
  if (!body) return;
  const made = document.createElement("template");
  made.innerHTML = markup;
  const ids = new Set([...body.children].map((row) => row instanceof HTMLElement ? row.dataset.id : ""));
  const rows = [...made.content.children].filter((row) => row instanceof HTMLElement && !ids.has(row.dataset.id));
  for (const row of rows) row.classList.add("new");
  body.prepend(...rows);
  for (const row of [...body.children].slice(MOST_ROWS)) if (!row.contains(document.activeElement)) row.remove();
  for (const part of view.querySelectorAll("[data-empty], .scroll")) {
    if (part instanceof HTMLElement) part.hidden = part.matches("[data-empty]");
  }
}

/** One menu is open at a time; Escape, a click and the focus elsewhere close it. */
function closeMenus() {
  const menus = () => [...document.querySelectorAll("details.menu[open]")];
  for (const name of ["click", "focusin"]) document.addEventListener(name, (event) => {
    for (const menu of menus()) if (event.target instanceof Node && !menu.contains(event.target)) menu.removeAttribute("open");
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of menus()) {
      menu.removeAttribute("open");
      menu.querySelector("summary")?.focus();
    }
  });
}

/** Charts with `data-readout` say the values under the pointer below themselves; without a script they are titles. */
function addReadouts() {
  for (const chart of document.querySelectorAll("[data-readout]")) {
    const told = document.createElement("p");
    told.className = "readout";
    chart.after(told);
    chart.addEventListener("pointerover", (event) => {
      const place = event.target instanceof Element ? event.target.closest("[data-value]") : null;
      if (place) told.textContent = place.getAttribute("data-value");
    });
    chart.addEventListener("pointerleave", () => { told.textContent = ""; });
  }
}

addCopyButtons();
addReadouts();
keepFresh();
followLive();
closeMenus();
