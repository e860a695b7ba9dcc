// A chart of curves with a reading: the pointer, or the slider beneath it, says where.
import { h, s } from "./dom.js";
import { shown } from "./numbers.js";
import { axisOf, frame, logAxisOf } from "./charts.js";

const DASHES = [null, "6 3", "2 3"];
const STROKES = ["var(--positive)", "var(--negative)", "var(--accent)"];
const SPREAD = 30; // ratio of largest to smallest beyond which an axis is logarithmic

/** `x` and `curves`: {name, values}, null where nothing is known; `phases`: [name, first, last]; `chosen`: an entry. */
export function curveChart(title, x, curves, { phases = [], logX = false, chosen = null }) {
  const all = curves.flatMap((curve) => curve.values).filter((value) => value !== null);
  const positive = all.filter((value) => value > 0);
  const isLog = positive.length > 1 && d3.max(positive) > SPREAD * d3.min(positive);
  const yAxis = (isLog ? logAxisOf : axisOf)(curves.length === 1 ? curves[0].name : "loss", all);
  const last = curves.map(({ name, values }) => `${name} ${shown(lastOf(values))}`).join(", ");
  const chart = frame(`${title}; at the end: ${last}`, logX ? logAxisOf(x.name, x.values) : axisOf(x.name, x.values), yAxis);
  drawPhases(chart, phases);
  curves.forEach(({ values }, i) => {
    const there = (value) => value !== null && (!isLog || value > 0);
    const line = d3.line().defined(([, value]) => there(value)).x(([at]) => chart.x(at)).y(([, value]) => chart.y(value));
    const path = chart.inner.appendChild(s("path", { class: "curve", d: line(d3.zip(x.values, values)), "stroke-dasharray": DASHES[i] }));
    path.style.stroke = STROKES[i];
  });
  const [, top] = chart.y.range(), [bottom] = chart.y.range();
  const mark = chart.inner.appendChild(s("line", { y1: top, y2: bottom, class: "reading" }));
  const told = h("output", {});
  const slider = h("input", { type: "range", min: 0, max: x.values.length - 1, step: 1, "aria-label": `${title}: read at`, oninput: () => read(Number(slider.value)) });
  function read(i) {
    slider.value = String(i);
    mark.setAttribute("x1", chart.x(x.values[i]));
    mark.setAttribute("x2", chart.x(x.values[i]));
    const here = i === chosen ? " (what this page shows)" : "";
    const words = `${x.name} ${shown(x.values[i])}: ${curves.map(({ name, values }) => `${name} ${shown(values[i])}`).join(", ")}${here}`;
    told.textContent = words;
    slider.setAttribute("aria-valuetext", words);
  }
  chart.svg.addEventListener("pointermove", (event) => read(nearest(x.values, chart.x.invert(pointerX(event, chart.svg)))));
  read(chosen ?? x.values.length - 1);
  return h("figure", {}, h("h3", {}, title), chart.svg, curveLegend(curves), slider, told);
}

function lastOf(values) {
  return values.filter((value) => value !== null).pop();
}

function pointerX(event, svg) {
  const box = svg.getBoundingClientRect();
  return ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
}

function nearest(values, wanted) {
  return d3.scan(values, (a, b) => Math.abs(a - wanted) - Math.abs(b - wanted));
}

function drawPhases(chart, phases) {
  const [bottom, top] = chart.y.range();
  for (const [name, first] of phases) {
    const at = Math.max(chart.x(first), chart.x.range()[0]);
    if (first > 0) chart.inner.append(s("line", { x1: at, x2: at, y1: top, y2: bottom, class: "phase" }));
    chart.inner.append(s("text", { x: at + 3, y: top + 9, class: "phase" }, name));
  }
}

function curveLegend(curves) {
  const entries = curves.map(({ name }, i) => {
    const line = s("line", { x1: 0, x2: 26, y1: 5, y2: 5, class: "curve", "stroke-dasharray": DASHES[i] });
    line.style.stroke = STROKES[i];
    return h("span", {}, s("svg", { viewBox: "0 0 26 10", class: "stroke", "aria-hidden": "true" }, line), name);
  });
  return h("figcaption", { class: "legend" }, ...entries);
}
