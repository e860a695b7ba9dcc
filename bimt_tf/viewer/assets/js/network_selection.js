// What is selected, in words that are read out, with its name to copy.
import { copyText } from "./clipboard.js";
import { h } from "./dom.js";
import { wireFacts, wireTitle } from "./network_tooltip.js";
import { nameOf, shortOf } from "./neurons.js";

export function selectionBar(store, actions) {
  const words = h("p", { role: "status", "aria-live": "polite" });
  const field = h("input", { type: "text", readonly: true, hidden: true, "aria-label": "its name, to copy" });
  const copy = h("button", { type: "button", hidden: true }, "Copy its name");
  const clear = h("button", { type: "button", hidden: true, onclick: actions.clear }, "Clear");
  let address = null;
  const select = () => {
    field.value = address;
    field.hidden = false;
    field.focus();
    field.select();
  };
  copy.addEventListener("click", async () => (copy.textContent = `Name ${await copyText(address, select)}`));
  return {
    element: h("div", { class: "chosen" }, words, copy, field, clear),
    update(drawing) {
      const { selected, wire, module } = store.get();
      const last = selected[selected.length - 1];
      const before = address;
      address = last === undefined ? null : nameOf(last);
      copy.hidden = address === null;
      if (address !== before) {
        field.hidden = true;
        copy.textContent = "Copy its name";
      }
      clear.hidden = selected.length === 0 && wire === null && module === null;
      words.classList.toggle("hint", clear.hidden);
      const text = sentence(drawing, selected, wire, module);
      if (words.textContent !== text) words.textContent = text;
    },
  };
}

function sentence({ view, marks, facts }, selected, wire, module) {
  const { model } = view;
  if (selected.length > 0) {
    const kinds = selected.some((id) => /\.[qk]$/.test(model.rows[view.place(id)[0]].stage)) ? " Queries and keys choose what their head reads; no wire leads on from them." : "";
    const names = selected.map(shortOf).join(" and ");
    return `Selected ${names}: ${plural(marks.up.size)} upstream, ${marks.down.size} downstream.${kinds}`;
  }
  if (wire) {
    const found = view.network.wires.find((one) => one.parameter === wire[0] && one.source === wire[1] && one.target === wire[2]);
    if (!found) return "The wire that was chosen is not there at this step.";
    return `Wire ${wireTitle(found)}: ${wireFacts(view, facts, found).map(([name, text]) => `${name} ${text}`).join("; ")}.`;
  }
  if (module !== null) return `The neurons of ${module} stand out.`;
  return "Point at neurons and wires for facts; click a neuron to follow it, a second one to compare.";
}

function plural(count) {
  return `${count} ${count === 1 ? "neuron" : "neurons"}`;
}
