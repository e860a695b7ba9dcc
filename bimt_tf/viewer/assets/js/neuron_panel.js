// One neuron: what it does on the examples, what it reads and writes, and what is known of it.
import { h } from "./dom.js";
import { nameOf } from "./neurons.js";
import { choose, labelled, refill, selectNeuron } from "./tables.js";
import { activityOf, neuronOptions, positionOptions, quantityOptions, valuesOf } from "./activity_data.js";
import { neuronChart } from "./neuron_chart.js";
import { neuronExamples, neuronFacts, neuronWeights } from "./neuron_tables.js";

export const neuronPanel = { id: "neuron", title: "Neuron", needs: "scene", build: buildNeuron };

function buildNeuron(section, content, store) {
  section.classList.add("detail");
  const activity = activityOf(content);
  const neuron = labelled("neuron", [["", "choose one"], ...neuronOptions(content)], (name) => name && selectNeuron(store, name));
  const choices = [neuron.whole];
  let quantity = null, position = null, colour = null;
  if (activity && activity.quantities.size) {
    quantity = labelled("against", quantityOptions(activity), (name) => store.set({ quantity: name }));
    colour = labelled("coloured by", [["", usualColour(activity)], ...quantityOptions(activity)], (name) => store.set({ colourBy: name || null }));
    choices.push(quantity.whole, colour.whole);
  }
  const positions = positionOptions(activity);
  if (positions.length) {
    position = labelled("at", positions, (token) => store.set({ position: Number(token) }));
    choices.push(position.whole);
  }
  const example = activity && exampleChoice(activity.n, store);
  if (example) choices.push(example.whole);
  const heading = h("h3", { tabindex: -1 });
  const inside = h("div", { class: "columns" });
  section.append(h("div", { class: "choices" }, ...choices), heading, inside);

  store.subscribe((state, changed) => {
    if (!["selected", "quantity", "position", "colourBy", "example"].some((name) => changed.has(name))) return;
    const name = state.selected[state.selected.length - 1] ?? "";
    choose(neuron.select, name, name && `${nameOf(name)} (not on a path)`);
    if (quantity) choose(quantity.select, state.quantity ?? activity.quantity);
    if (colour) choose(colour.select, state.colourBy ?? "");
    if (position) choose(position.select, String(state.position ?? activity.answers));
    if (example) example.input.value = String(state.example);
    heading.textContent = name ? nameOf(name) : "No neuron is chosen: choose one above, or click one in the network.";
    refill(inside, heading, ...(name ? told(name, state, content, store, activity) : []));
  });
}

/** A box for the number of the example that stands out. */
function exampleChoice(count, store) {
  const input = h("input", { type: "number", min: 0, max: count - 1, step: 1, onchange: take });
  function take() {
    const number = Number(input.value);
    if (input.value !== "" && Number.isInteger(number) && number >= 0 && number < count) store.set({ example: number });
    else input.value = String(store.get().example);
  }
  return { whole: h("label", { class: "choice" }, h("span", {}, `example (0 to ${count - 1})`), input), input };
}

function usualColour(activity) {
  const target = activity.quantities.get(activity.target);
  return target.classes ? `${target.name}` : `sign of ${target.name}`;
}

function told(name, state, content, store, activity) {
  const values = valuesOf(activity, name, state.position);
  const chart = values && activity.quantities.size ? neuronChart(name, values, state, activity, store) : null;
  const examples = values ? neuronExamples(name, values, activity, store) : null;
  const missing = values ? null : h("p", { class: "quiet" }, "Its values on examples are not stored: it is on no path from an input to an output, or the page has no room for it, or no hook shows it.");
  return [h("div", {}, neuronFacts(name, content, activity), missing, chart), h("div", {}, neuronWeights(name, content, store), examples)];
}
