// Find a neuron: by row and index ("Res2 9"), by hook ("blocks.0.hook_resid_post[9]"), or by its own name ("x1").
import { h } from "./dom.js";
import { CARRIED, nameOf, shortOf } from "./neurons.js";

const MOST = 12;

/** Neurons that a text may mean, active ones first. */
export function found(model, text) {
  const query = text.toLowerCase().replace(/\[(\d+)\]$/, " $1").replace(/[^\p{L}\p{N}._:[\]-]+/gu, " ").trim();
  if (query === "") return [];
  const number = /(?:^|[\s:])(\d+)$/.exec(query);
  const word = number ? query.slice(0, number.index).trim() : query;
  const hits = [];
  for (const row of model.rows) {
    const rowIs = [row.title, row.name, row.stage, row.label, row.hook ?? ""].map((one) => one.toLowerCase());
    const fits = rowIs.some((one) => one === word) ? 2 : word !== "" && rowIs.some((one) => one.includes(word)) ? 1 : 0;
    row.x.forEach((_, n) => {
      const named = row.labels?.[n].toLowerCase() === query ? 3 : 0;
      const byNumber = number ? n === Number(number[1]) && (fits > 0 || word === "") : fits > 0 && row.states[n] >= CARRIED;
      if (named || byNumber) hits.push({ id: `${row.name}:${n}`, rank: 10 * Math.max(named, fits) + row.states[n] });
    });
  }
  return hits.sort((a, b) => b.rank - a.rank).slice(0, MOST).map((hit) => hit.id);
}

/** A combobox: typing lists what is found, arrow keys choose, Enter selects; ``choose(id)``. */
export function searchBox(model, choose) {
  const list = h("ul", { role: "listbox", id: "search-list", "aria-label": "neurons found", hidden: true });
  const input = h("input", {
    type: "search", role: "combobox", "aria-label": "Find a neuron", placeholder: "Find: Res2 9, a hook …", "aria-expanded": "false",
    "aria-controls": "search-list", "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false",
  });
  let [hits, at] = [[], 0];
  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const take = (id) => {
    input.value = shortOf(id);
    close();
    choose(id);
  };
  const show = () => {
    list.replaceChildren(...(hits.length > 0
      ? hits.map((id, i) => h("li", { role: "option", id: `search-${i}`, "aria-selected": String(i === at), onmousedown: (event) => { event.preventDefault(); take(id); } }, `${shortOf(id)} · ${nameOf(id)}`))
      : [h("li", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, "nothing found")]));
    list.hidden = input.value.trim() === "";
    input.setAttribute("aria-expanded", String(!list.hidden));
    if (hits.length > 0) input.setAttribute("aria-activedescendant", `search-${at}`);
  };
  input.addEventListener("input", () => {
    [hits, at] = [found(model, input.value), 0];
    show();
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && hits.length > 0) {
      at = (at + step + hits.length) % hits.length;
      show();
    } else if (event.key === "Enter" && hits.length > 0) take(hits[at]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  return h("div", { class: "search" }, input, list);
}
