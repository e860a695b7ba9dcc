// The network's controls: threshold, colours, order, what is hidden, zoom.
import { h } from "./dom.js";
import { shown } from "./numbers.js";

const STEPS = 400; // of the threshold's slider

/** The smallest and the largest |w| that is not zero; the ends of the slider's logarithm. */
function sizes(model) {
  const all = [model.wires, ...model.frames.map((frame) => frame.wires.flatMap(([, , weights]) => weights.map((weight) => ({ weight }))))];
  const found = all.flatMap((wires) => wires.map((wire) => Math.abs(wire.weight))).filter((size) => size > 0);
  const [low, high] = d3.extent(found);
  return low === undefined ? [1e-3, 1] : [low, high > low ? high : low * 10];
}

/** A logarithmic slider for |w|: at its left end every wire is drawn, at its right end only the largest. */
export function thresholdSlider(model, store) {
  const [low, high] = sizes(model);
  const scale = d3.scaleLog().domain([low, high]).range([1, STEPS]);
  const slider = h("input", { type: "range", min: 0, max: STEPS, step: 1, id: "threshold" });
  const words = h("output", { for: "threshold" });
  slider.addEventListener("input", () => {
    const at = Number(slider.value);
    // at the last step rounding may not hide the largest weight
    store.set({ threshold: at === 0 ? 0 : at === STEPS ? high : Number(scale.invert(at).toPrecision(4)) });
  });
  store.subscribe(({ threshold }, changed) => {
    if (!changed.has("threshold")) return;
    slider.value = threshold <= 0 ? 0 : String(Math.round(scale(Math.max(low, Math.min(high, threshold)))));
    words.textContent = threshold <= 0 ? "all" : `|w| ≥ ${shown(threshold)}`;
    slider.setAttribute("aria-valuetext", words.textContent);
  });
  return h("label", { class: "threshold" }, "wires shown", slider, words);
}

/** A choice of one among [value, words]; nothing where there is no choice. ``besides``: what else it changes. */
export function choice(name, key, options, store, besides = {}) {
  if (options.length < 2) return null;
  const select = h("select", { id: `choose-${key}`, onchange: () => store.set({ ...besides, [key]: select.value === "" ? null : select.value }) },
    ...options.map(([value, words]) => h("option", { value: value ?? "" }, words)));
  store.subscribe((state, changed) => {
    if (changed.has(key)) select.value = state[key] ?? "";
  });
  return h("label", {}, name, select);
}

/** Checkboxes for what is drawn: ``key`` lists what is hidden. */
function boxes(legend, key, options, store) {
  if (options.length < 2) return null;
  const made = options.map(([value, words]) => {
    const box = h("input", { type: "checkbox", value, onchange: () => {
      const others = store.get()[key].filter((one) => one !== value);
      store.set({ [key]: box.checked ? others : [...others, value] });
    } });
    return [box, h("label", {}, box, words)];
  });
  store.subscribe((state, changed) => {
    if (changed.has(key)) for (const [box] of made) box.checked = !state[key].includes(box.value);
  });
  return h("div", { class: "boxes", role: "group", "aria-label": legend }, h("span", { "aria-hidden": "true" }, legend), ...made.map(([, label]) => label));
}

/** What is drawn by kind of wire and by head; folded away. */
export function filters(model, store) {
  const blocks = new Set(model.heads.map((head) => head.split(".")[0])).size;
  const heads = model.heads.map((head) => {
    const [block, number] = head.split(".");
    return [head, blocks > 1 ? `block ${block} head ${number}` : `head ${number}`];
  });
  const inside = [boxes("wires", "hiddenKinds", model.kindNames.map((kind) => [kind, kind]), store), boxes("heads", "hiddenHeads", heads, store)].filter(Boolean);
  if (inside.length === 0) return null;
  const summary = h("summary", {});
  store.subscribe(({ hiddenKinds, hiddenHeads }) => {
    const hidden = hiddenKinds.length + hiddenHeads.length;
    summary.textContent = `Kinds of wires${heads.length > 1 ? " and heads" : ""}${hidden > 0 ? ` (${hidden} hidden)` : ""}`;
  });
  return h("details", { class: "filters" }, summary, ...inside);
}

export function zoomButtons({ zoomBy, reset }) {
  const button = (words, label, onclick) => h("button", { type: "button", "aria-label": label, title: label, onclick }, words);
  return h("span", { class: "zoom", role: "group", "aria-label": "Zoom" },
    button("+", "zoom in", () => zoomBy(1.5)), button("−", "zoom out", () => zoomBy(1 / 1.5)), button("⤢", "show all", reset));
}
