// The run: its numbers, its config, how to make it again and how to open it.
import { copyText } from "./clipboard.js";
import { h } from "./dom.js";
import { dataTable, folded } from "./tables.js";

export const runPanel = { id: "run", title: "This run", needs: "run", build: buildRun };

function buildRun(section, content) {
  section.classList.add("detail");
  const { run } = content;
  const made = `bimt_tf ${run.version}, seed ${run.seed}, ${run.state}${run.shown === null ? "" : `, point ${run.shown} of its elimination`}`;
  section.append(h("p", {}, made), ...run.commands.map(([word, command]) => copied(word, command)));
  if (run.formula) section.append(h("h3", {}, "The formula that was read off it"), h("pre", { class: "scroll", tabindex: 0 }, run.formula.join("\n")));
  if (run.summary.length) section.append(folded("Its numbers (summary.json)", dataTable("summary.json", ["name", "value"], run.summary)));
  section.append(folded("Its configuration (config.yaml)", copied("", run.config)));
}

/** Text with a button that copies it. */
function copied(word, text) {
  const held = h("pre", { tabindex: 0 }, text);
  const said = h("span", { role: "status" });
  const copy = async () => (said.textContent = await copyText(text, () => window.getSelection().selectAllChildren(held)));
  const button = h("button", { type: "button", onclick: copy, "aria-label": `Copy ${word || "the text"}` }, "Copy");
  return h("div", { class: "copied" }, word ? h("p", {}, `${word}:`) : null, held, button, said);
}
