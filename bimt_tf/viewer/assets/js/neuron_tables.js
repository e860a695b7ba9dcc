// A neuron's facts, weights and examples as lists and tables.
import { h } from "./dom.js";
import { shown, signed } from "./numbers.js";
import { dataTable, neuronButton } from "./tables.js";
import { quantityText } from "./activity_data.js";
import { bytesOf } from "./bytes.js";
import { neuronEffectsOf, wireEffectsOf, wireKey } from "./network_facts.js";
import { STATES, nameOf, partsOf } from "./neurons.js";

const MOST_WEIGHTS = 60; // rows of the table
const EXTREMES = 5; // examples at each end
const MOST_COLUMNS = 8; // quantities of the table of examples

/** Where the neuron is, and what is known of it. */
export function neuronFacts(name, content, activity) {
  const [rowName, index] = partsOf(name);
  const row = content.scene.rows.find((one) => one.name === rowName);
  const facts = [];
  if (row) {
    facts.push(["row", row.title], ["index", String(index)], ["slot", String(row.slots[index])]);
    if (row.heads[index] >= 0) facts.push(["head", String(row.heads[index])]);
    facts.push(["it is", STATES[row.states[index]]]);
    for (const bias of content.scene.biases) {
      const at = bias.neurons.indexOf(index);
      if (content.scene.rows[bias.row] === row && at >= 0) facts.push(["bias", `${shown(bias.values[at])} (${bias.parameter})`]);
    }
  }
  const hook = activity?.rows[rowName]?.hook;
  const effect = neuronEffectsOf(content.causes).get(name);
  if (effect !== undefined) facts.push(["knocked out", `loss ${signed(effect)} (its mean instead, ${shown(content.causes.neuron_examples)} examples)`]);
  const module = content.modules?.members[name];
  if (module !== undefined) facts.push(["module", content.modules.modules[module].name]);
  facts.push(...probeFacts(content.probes, hook, index));
  return h("dl", { class: "facts tall" }, ...facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}

function probeFacts(probes, hook, index) {
  const facts = [];
  for (const one of probes?.readouts ?? []) {
    const found = one.hook === hook ? one.neurons.find(([neuron]) => neuron === index) : null;
    const where = one.position === null ? "" : `, token ${one.position}`;
    if (found) facts.push([`${one.target} read off it${where}`, `linear ${shown(found[1])}, nonlinear ${shown(found[2])} (${one.score})`]);
  }
  return facts;
}

/** Its weights, in and out, the strongest first. */
export function neuronWeights(name, content, store) {
  const [rowName, index] = partsOf(name);
  const scene = content.scene;
  const rows = [];
  for (const wires of scene.wires) {
    const source = scene.rows[wires.source].name, target = scene.rows[wires.target].name;
    if (source !== rowName && target !== rowName) continue;
    for (let i = 0; i < wires.weights.length; i++) {
      const from = wires.sources[i], to = wires.targets[i];
      if (target === rowName && to === index) rows.push(["reads", `${source}:${from}`, wires, i]);
      if (source === rowName && from === index) rows.push(["writes", `${target}:${to}`, wires, i]);
    }
  }
  rows.sort((a, b) => Math.abs(b[2].weights[b[3]]) - Math.abs(a[2].weights[a[3]]));
  const effects = wireEffectsOf(content.causes);
  const drawn = d3.sum(scene.wires, (wires) => wires.weights.length);
  const thinned = drawn < scene.active + scene.off_path ? "; of this network only the strongest weights are in the page" : "";
  const cut = rows.length > MOST_WEIGHTS ? `, the ${MOST_WEIGHTS} strongest` : "";
  const table = rows.slice(0, MOST_WEIGHTS).map(([word, other, wires, i]) => {
    const [from, to] = word === "reads" ? [other, name] : [name, other];
    const effect = effects.get(wireKey({ parameter: wires.parameter, source: from, target: to }));
    const line = [word, neuronButton(other, store), wires.weights[i], wires.parameter, wires.active[i] ? "yes" : "no"];
    return effects.size ? [...line, effect ?? null] : line;
  });
  const heads = ["", "neuron", "weight", "parameter", "active", ...(effects.size ? ["change of the loss without it"] : [])];
  const caption = `Weights of ${nameOf(name)}: ${rows.length}${cut}${thinned}`;
  return h("div", {}, carriedWords(name, scene, store), rows.length ? dataTable(caption, heads, table) : h("p", { class: "quiet" }, "No weight reads or writes it in this row."));
}

/** The other rows in which the same neuron stands: the stream, or a head, carries it unchanged from one to the next. */
function carriedWords(name, scene, store) {
  const [rowName, index] = partsOf(name);
  const here = scene.rows.findIndex((row) => row.name === rowName);
  const others = scene.links.filter(({ source, target, neurons }) => (source === here || target === here) && neurons.includes(index));
  if (!others.length) return null;
  const parts = others.map(({ source, target }) => [source === here ? " to " : " from ", neuronButton(`${scene.rows[source === here ? target : source].name}:${index}`, store)]);
  return h("p", {}, "Carried on", ...parts.flat(), ".");
}

/** The examples on which it is largest and smallest. */
export function neuronExamples(name, values, activity, store) {
  const order = d3.range(activity.n).sort((a, b) => values[b] - values[a]);
  const count = Math.min(EXTREMES, Math.floor(activity.n / 2));
  const chosen = [...order.slice(0, count).map((i) => ["largest", i]), ...order.slice(order.length - count).map((i) => ["smallest", i])];
  const quantities = [...activity.quantities.values()].slice(0, MOST_COLUMNS);
  const rows = chosen.map(([word, i]) => [
    word,
    h("button", { type: "button", class: "link", onclick: () => store.set({ example: i }) }, `example ${i}`),
    values[i],
    ...(activity.texts ? [h("code", {}, activity.texts[i])] : []),
    ...(activity.images ? [imageOf(activity.images, i)] : []),
    ...quantities.map((one) => quantityText(one, i, (number) => number)),
  ]);
  const more = [...(activity.texts ? ["text up to here"] : []), ...(activity.images ? ["image"] : [])];
  return dataTable(`Examples on which ${nameOf(name)} is largest and smallest`, ["", "example", "activation", ...more, ...quantities.map((one) => one.name)], rows);
}

function imageOf(images, example) {
  const { side } = images;
  images.bytes ??= bytesOf(images.pixels);
  const canvas = h("canvas", { width: side, height: side, class: "pixels", role: "img", "aria-label": `the image of example ${example}` });
  const context = canvas.getContext("2d");
  const data = context.createImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    data.data.fill(images.bytes[example * side * side + i], 4 * i, 4 * i + 3);
    data.data[4 * i + 3] = 255;
  }
  context.putImageData(data, 0, 0);
  return canvas;
}
