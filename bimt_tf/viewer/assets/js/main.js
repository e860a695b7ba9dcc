// Start: read the content, then build each panel whose part of the content is there.
import { h } from "./dom.js";
import { createStore } from "./store.js";
import { PANELS } from "./panels.js";

const content = JSON.parse(document.getElementById("content").textContent);
const store = createStore();

document.body.append(
  h("header", {}, h("h1", {}, content.title), h("dl", { class: "facts" }, ...content.facts.map(fact))),
);
const main = document.body.appendChild(h("main"));
for (const panel of PANELS) {
  if (content[panel.needs] === null) continue;
  const section = h("section", { id: panel.id, "aria-labelledby": `${panel.id}-title` }, h("h2", { id: `${panel.id}-title` }, panel.title));
  main.append(section);
  panel.build(section, content, store);
}

function fact([name, value]) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}
