// Tables with captions and heads, and what goes around them.
import { h } from "./dom.js";
import { nameOf } from "./neurons.js";
import { shown } from "./numbers.js";

/**
 * A table in a region that scrolls. `rows`: lists of text, numbers or elements, the first of each being its row's head;
 * numbers stand to the right, their full digits in the title.
 */
export function dataTable(caption, heads, rows) {
  const isNumber = (place) => rows.some((row) => typeof row[place] === "number");
  const head = h("tr", {}, ...heads.map((text, place) => h("th", { scope: "col", class: isNumber(place) ? "number" : null }, text)));
  const body = rows.map((row) => h("tr", {}, ...row.map(tableCell)));
  const whole = h("table", {}, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...body));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, whole);
}

function tableCell(value, place) {
  const isNumber = typeof value === "number";
  const attributes = { class: isNumber ? "number" : null, title: isNumber ? String(value) : null };
  const inside = value instanceof Node ? value : shown(value);
  return place === 0 ? h("th", { scope: "row", ...attributes }, inside) : h("td", attributes, inside);
}

/** A table that opens on a click, as the text of a chart. */
export function folded(summary, ...inside) {
  return h("details", {}, h("summary", {}, summary), ...inside);
}

/** A select with its label. `options`: [value, text]; or {group, options}. `onchoice(value)`. */
export function labelled(label, options, onchoice) {
  const select = h("select", { onchange: (event) => onchoice(event.target.value) }, ...options.map(optionOrGroup));
  return { whole: h("label", { class: "choice" }, h("span", {}, label), select), select };
}

function optionOrGroup(one) {
  if (Array.isArray(one)) return h("option", { value: one[0] }, one[1]);
  return h("optgroup", { label: one.group }, ...one.options.map(optionOrGroup));
}

/** Set a select to a value, which is added where it is not among its options. */
export function choose(select, value, text = value) {
  if (![...select.options].some((option) => option.value === value)) select.append(h("option", { value }, text));
  select.value = value;
}

/** Put other things into an element; if the focus was in it, it goes to `heading`, so that it is not lost. */
export function refill(element, heading, ...inside) {
  const held = element.contains(document.activeElement);
  element.replaceChildren(...inside.filter((one) => one !== null && one !== undefined));
  if (held) heading.focus();
}

/** A button that selects a neuron. */
export function neuronButton(name, store) {
  return h("button", { type: "button", class: "link", onclick: () => selectNeuron(store, name) }, nameOf(name));
}

/** Select a neuron in the place of the last one. */
export function selectNeuron(store, name) {
  store.set({ selected: [...store.get().selected.slice(0, -1), name], wire: null });
}
