// The key of the network: what lines and marks mean, only those that occur, and sentences on what is counted.
import { h, s } from "./dom.js";
import { moduled } from "./network_neurons.js";
import { STATES } from "./neurons.js";
import { shown } from "./numbers.js";

export function drawKey(list, remarks, view, facts, leftOut) {
  const entries = [...wireEntries(view, facts), ...neuronEntries(view)];
  list.replaceChildren(...entries.map(([drawn, text]) => h("li", {}, s("svg", { viewBox: "0 0 28 14", "aria-hidden": "true" }, ...drawn), text)));
  remarks.textContent = sentences(view, leftOut).join(" ");
}

const stroke = (attributes) => s("line", { x1: 1, x2: 27, y1: 7, y2: 7, ...attributes });

function* wireEntries(view, facts) {
  const { state, model } = view;
  const count = (sign) => view.network.wires.filter((wire) => wire.active && wire.weight * sign > 0).length;
  const of = (name) => d3.sum(model.scene.wires, (entry) => entry[name]); // of all weights, drawn one by one or not
  const signs = view.network.frame ? [count(1), count(-1)] : [of("positive"), of("negative")];
  if (state.colour === "module" && facts.modules.names.length > 0) {
    for (const [i, name] of facts.modules.names.slice(0, 12).entries()) {
      const [line, dot] = [stroke({ class: "swatch", "stroke-width": 3 }), s("path", { class: "dot", transform: "translate(14,7)" })];
      line.style.stroke = `var(--module-${i % 8})`;
      moduled(dot, 3.6, i);
      yield [[line, dot], name];
    }
  } else if (state.colour === "effect") {
    const line = stroke({ "stroke-width": 3 });
    line.style.stroke = "var(--accent)";
    yield [[line], "greatest change of the loss if cut alone; grey: none, or not known"];
  } else {
    yield [[stroke({ class: "wire positive", "stroke-width": 2.4 })], `positive (${signs[0].toLocaleString("en")})`];
  }
  yield [[stroke({ class: "wire negative", "stroke-width": 2.4, "stroke-dasharray": "5.8 2.4" })], `negative (${signs[1].toLocaleString("en")})`];
  const off = model.wires.filter((wire) => !wire.active).length;
  if (off > 0) yield [[stroke({ class: "wire off", "stroke-width": 1.6, "stroke-dasharray": "1.2 2.6" })], `on no path from input to output (${off})`];
  if (state.colour === "activity" && state.values) {
    const full = s("circle", { cx: 7, cy: 7, r: 5, class: "bias positive" });
    full.style.fill = "var(--positive)";
    yield [[full, s("circle", { cx: 21, cy: 7, r: 4, class: "bias negative" })], "value: positive full, negative hollow; size by the largest of its row"];
  }
}

function* neuronEntries(view) {
  const { model } = view;
  const present = new Set(model.rows.flatMap((row) => row.states));
  const marks = {
    4: s("circle", { cx: 14, cy: 7, r: 4.2, class: "dot state-4" }), 3: s("circle", { cx: 14, cy: 7, r: 3.2, class: "dot state-3" }),
    2: s("path", { d: "M14,3l4,8h-8z", class: "dot state-2" }), 1: s("path", { d: "M10,3l8,8M10,11l8,-8", class: "dot state-1" }),
    0: s("circle", { cx: 14, cy: 7, r: 1.6, class: "dot state-0" }),
  };
  for (const state of [4, 3, 2, 1, 0]) if (present.has(state)) yield [[marks[state]], state === 0 ? "neuron without weights" : STATES[state]];
  if (model.biases.size > 0) yield [[s("path", { d: "M14,12V3", class: "bias positive" })], "bias (up: positive)"];
  if (model.links.length > 0) yield [[stroke({ class: "link" })], "same neuron"];
  if (view.layout.strip.some(Boolean)) yield [[stroke({ class: "strip", "stroke-width": 5 })], "strip: share of active neurons"];
  if (model.scene.tables.length > 0) {
    yield [[s("rect", { x: 10, y: 3, width: 9, height: 9, class: "cell" })], model.scene.tables.map((t) => `cells: size of ${t.entries.toLocaleString("en")} entries of ${t.parameter}`).join("; ")];
  }
}

function sentences(view, leftOut) {
  const { scene } = view.model;
  const above = scene.threshold === 0 ? "not zero" : `|w| > ${shown(scene.threshold)}`;
  const found = [`${scene.active.toLocaleString("en")} active weights of ${scene.total.toLocaleString("en")}: ${above}, on a path from input to output.`];
  if (scene.active === 0) found.push("The network is severed: no path of weights leads from an input to an output.");
  if (view.model.dense) found.push(`Too many to draw each: the ${view.model.wires.length} strongest of their matrices are lines, and shading is |w| by neighbouring slots.`);
  found.push("Width and opacity: |w| over the largest of its matrix.");
  found.push(scene.scale === null ? "Neurons stand by their slots (width 0)." : `Horizontal distances are true (width A = ${shown(scene.width)}), heights are not.`);
  if (view.model.rows.some((row) => row.half)) found.push("Second coordinates are drawn upwards and aslant.");
  if (view.state.order === "start") found.push("Initial order: each neuron in the slot of its own number, where training starts unless it goes on from another run.");
  if (view.network.frame && view.model.framesNote) found.push(view.model.framesNote);
  found.push("Small figures: neurons by index; right: neurons on a path (active or carried on), of all.");
  if (leftOut > 0) found.push(`${leftOut} names of neurons found no room: zoom in, or point at them.`);
  return found;
}
