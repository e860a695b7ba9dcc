// Start: read the content, take up the state that the address holds, then build each panel whose part of the content is there.
import { h } from "./dom.js";
import { createStore } from "./store.js";
import { PANELS } from "./panels.js";
import { panelButtons } from "./contents.js";
import { nameBy } from "./neurons.js";
import { keepInAddress, restoreFromAddress } from "./permalink.js";
import { themeButton } from "./theme.js";

const content = JSON.parse(document.getElementById("content").textContent);
const store = createStore();
nameBy(content.scene?.rows ?? []);
const note = h("p", { class: "note", role: "status", hidden: true });

document.body.append(
  h("header", {}, h("h1", {}, content.title), h("dl", { class: "facts" }, ...content.facts.map(fact)), themeButton(store)),
  ...(content.damaged ?? []).map((line) => h("p", { class: "note" }, line)),
  note,
);
restoreFromAddress(store, content, note);
const main = document.body.appendChild(h("main"));
const others = h("div", { class: "panels" });
for (const panel of PANELS) {
  if (content[panel.needs] === null || content[panel.needs] === undefined || panel.unless?.(content)) continue;
  const title = h("h2", { id: `${panel.id}-title` }, panel.title);
  const section = h("section", { id: panel.id, "aria-labelledby": `${panel.id}-title` }, title);
  (panel.id === "network" ? main : others).append(section);
  build(panel, section);
}
if (others.childElementCount > 0) {
  if (others.childElementCount > 2) others.prepend(panelButtons([...others.children]));
  main.append(others);
  main.classList.add("wide"); // the network beside the other panels, where the window is wide
}
keepInAddress(store, content, note);

/** A panel whose part of the content cannot be drawn, as of a kept answer that was edited, says so; the others are there. */
function build(panel, section) {
  try {
    panel.build(section, content, store);
  } catch (error) {
    // biome-ignore lint/suspicious/noConsole: whoever mends it, and every test, must hear of it
    console.error(error);
    section.append(h("p", { class: "note" }, `This part cannot be shown: ${error.message}`));
  }
}

function fact([name, value]) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}
