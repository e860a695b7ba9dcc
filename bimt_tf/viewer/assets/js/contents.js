// What the panels beside the network are, as buttons that lead there; no links, since the address holds the state.
import { h } from "./dom.js";

export function panelButtons(sections) {
  const buttons = sections.map((section) => {
    const title = section.querySelector("h2");
    title.tabIndex = -1; // so that the Tab key goes on from there
    return h("button", { type: "button", onclick: () => {
      section.scrollIntoView();
      title.focus({ preventScroll: true });
    } }, title.textContent.split(":")[0]);
  });
  return h("nav", { class: "contents", "aria-label": "Panels" }, ...buttons);
}
