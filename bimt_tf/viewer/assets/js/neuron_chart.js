// A neuron's activation against a quantity, and how much of it a straight line explains.
import { h } from "./dom.js";
import { shown } from "./numbers.js";
import { dataTable, folded } from "./tables.js";
import { nameOf } from "./neurons.js";
import { marksOf, scatter } from "./charts.js";
import { quantityText } from "./activity_data.js";
import { explained, explainedByChance } from "./statistics.js";

/** The chart, its numbers in words, and its data as a table. */
export function neuronChart(name, values, state, activity, store) {
  const x = activity.quantities.get(state.quantity) ?? activity.quantities.get(activity.quantity);
  const bySign = state.colourBy === null && !activity.quantities.get(activity.target).classes;
  const by = activity.quantities.get(state.colourBy ?? activity.target) ?? x;
  const label = nameOf(name);
  const said = explainedWords(x, values);
  const summary = `${label} against ${x.name}, ${activity.n} examples; ${said}`;
  const title = (i) => `example ${i}: ${label} ${shown(values[i])}, ${x.name} ${quantityText(x, i, shown)}, ${by.name} ${quantityText(by, i, shown)}`;
  const figure = scatter({
    summary, x: { label: x.name, values: x.values, classes: x.classes }, y: { label: `activation of ${label}`, values },
    mark: marksOf(by, bySign), title, chosen: state.example, onpoint: (example) => store.set({ example }),
  });
  const rows = d3.range(activity.n).map((i) => [i, values[i], quantityText(x, i, (number) => number), quantityText(by, i, (number) => number)]);
  const table = dataTable(`${label} on ${activity.n} examples`, ["example", "activation", x.name, by.name], rows);
  const others = [...activity.quantities.values()].map((one) => `${one.name} ${quantityText(one, state.example, shown)}`);
  const standing = state.example < activity.n ? `Example ${state.example}: activation ${shown(values[state.example])}; ${others.join(", ")}` : "";
  return h("div", {}, figure, h("p", {}, standing), h("p", {}, `${said} ${activity.said.join("; ")}`), folded("The numbers of this chart", table));
}

function explainedWords(x, values) {
  const share = explained(x.values, values, Boolean(x.classes));
  if (share === null) return `The neuron or ${x.name} is constant on these examples.`;
  const chance = explainedByChance(x.values, values, Boolean(x.classes));
  const what = x.classes ? "the means of the classes explain" : "a straight line explains (R²)";
  return `On these examples ${what} ${shown(share)} of the neuron's variance; with ${x.name} shuffled at most ${shown(chance)} (20 shuffles). Fitted and stated on the same examples.`;
}
