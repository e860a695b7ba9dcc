// Light or dark: as the reader's system says, or as the button says.
import { h } from "./dom.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const WORDS = { auto: "◐ Theme: auto", light: "☀ Theme: light", dark: "☾ Theme: dark" };

/** The button that goes from one theme to the next; the document's data-theme follows the store. */
export function themeButton(store) {
  const button = h("button", { type: "button", class: "theme", onclick: () => store.set({ theme: NEXT[store.get().theme] }) });
  store.subscribe((state, changed) => {
    if (!changed.has("theme")) return;
    button.textContent = WORDS[state.theme];
    if (state.theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = state.theme;
  });
  return button;
}

/** Call a function whenever the colours may have changed: by the button, by the system, for print. */
export function onTheme(store, repaint) {
  store.subscribe((_, changed) => changed.has("theme") && repaint());
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}

/** The present value of a colour of page.css, as text. */
export function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
