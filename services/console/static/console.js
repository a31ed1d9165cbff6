// @ts-check
// What pages do beyond links and forms: copy buttons, parts that renew themselves, menus that close.

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

/** Parts with `data-refresh` are fetched again every `data-every` milliseconds until they say that they are done. */
function keepFresh() {
  for (const part of document.querySelectorAll("[data-refresh]")) {
    if (part instanceof HTMLElement && !part.dataset.done) renew(part);
  }
}

/** @param {HTMLElement} part */
async function renew(part) {
  try {
    const response = await fetch(part.dataset.refresh ?? "", { redirect: "error" });
    if (response.ok) {
      const shown = await response.text();
      if (shown !== part.dataset.shown) part.innerHTML = shown;  // made by the server, which escapes what senders wrote
      part.dataset.shown = shown;
    }
  } catch { /* away: the next try comes soon */ }
  if (!part.querySelector("[data-arrived]")) setTimeout(() => renew(part), Number(part.dataset.every));
}

/** One menu is open at a time; Escape and a click elsewhere close it. */
function closeMenus() {
  const menus = () => [...document.querySelectorAll("details.menu[open]")];
  document.addEventListener("click", (event) => {
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
closeMenus();
