// How training and elimination went: curves that can be read at every step.
import { h } from "./dom.js";
import { dataTable, folded } from "./tables.js";
import { curveChart } from "./curve_chart.js";

export const curvesPanel = { id: "curves", title: "Curves", needs: "run", build: buildCurves };

const CURVE_WORDS = { loss: "training loss", test_loss: "held-out loss", validation_loss: "validation loss", lam: "lambda", active: "active weights", cost: "connection cost", lr: "learning rate", modularity_shared: "Q", weights: "weights", step: "step" };

function buildCurves(section, content) {
  section.classList.add("detail");
  const { records, points, phases, shown: place } = content.run;
  const charts = [];
  if (records.step) {
    const steps = { name: "step", values: records.step };
    const add = (title, names) => charts.push(curvesOf(title, names, records, steps, { phases }));
    add("Loss against step", ["loss", "test_loss"]);
    add("Active weights against step", ["active"]);
    add("Lambda against step", ["lam"]);
  }
  if (points.weights) {
    const weights = { name: "weights that are left", values: points.weights };
    charts.push(curvesOf("Elimination: loss against weights", ["loss", "validation_loss", "test_loss"], points, weights, { logX: true, chosen: place }));
  }
  section.append(h("div", { class: "columns" }, ...charts.filter((chart) => chart !== null)));
  if (records.step) section.append(folded("Training, step by step", curveTable("What was logged", records)));
  if (points.weights) section.append(folded("Elimination, point by point", curveTable("Points of the elimination", points)));
  if (!records.step && !points.weights) section.append(h("p", { class: "quiet" }, "Nothing was logged yet."));
}

function curvesOf(title, names, columns, x, options) {
  const curves = names.filter((name) => columns[name]).map((name) => ({ name: CURVE_WORDS[name], values: columns[name] }));
  return curves.length ? curveChart(title, x, curves, options) : null;
}

function curveTable(caption, columns) {
  const names = Object.keys(columns);
  const rows = columns[names[0]].map((_, i) => names.map((name) => columns[name][i]));
  return dataTable(caption, names.map((name) => CURVE_WORDS[name] ?? name), rows);
}
