// Charts in SVG: axes, points, and colours that do not rest on hue alone.
import { h, s } from "./dom.js";
import { shown } from "./numbers.js";

const WIDTH = 520, HEIGHT = 340;
const MARGIN = { left: 74, right: 26, top: 12, bottom: 44 };
const MOST_NAMED = 12; // classes that an axis names all
const MOST_CLASSES = 7; // that have a shape and a colour of their own
const CLASS_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8a7a00"]; // Okabe and Ito, yellow darkened

/** An empty chart with its axes. Gives {svg, inner, x, y} for what is drawn in it. */
export function frame(summary, x, y) {
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": summary });
  const scaleX = x.scale.range([MARGIN.left, WIDTH - MARGIN.right]);
  const scaleY = y.scale.range([HEIGHT - MARGIN.bottom, MARGIN.top]);
  const bottom = s("g", { transform: `translate(0,${HEIGHT - MARGIN.bottom})`, class: "axis" });
  const left = s("g", { transform: `translate(${MARGIN.left},0)`, class: "axis" });
  d3.select(bottom).call(ticked(d3.axisBottom(scaleX), x, 7));
  d3.select(left).call(ticked(d3.axisLeft(scaleY), y, 6));
  const inner = s("g");
  const middle = (MARGIN.top + HEIGHT - MARGIN.bottom) / 2;
  svg.append(
    bottom, left, inner,
    s("text", { x: (MARGIN.left + WIDTH - MARGIN.right) / 2, y: HEIGHT - 6, class: "label" }, x.label),
    s("text", { transform: `translate(13,${middle}) rotate(-90)`, class: "label" }, y.label),
  );
  return { svg, inner, x: scaleX, y: scaleY };
}

function ticked(axis, { classes, log }, count) {
  if (classes && classes.length <= MOST_NAMED) return axis.tickValues(d3.range(classes.length)).tickFormat((i) => classes[i]);
  if (classes) return axis.ticks(count).tickFormat((i) => classes[i] ?? "");
  return log ? axis.ticks(count).tickFormat(powerWords) : axis.ticks(count);
}

/** Of a logarithmic axis, the powers of ten alone have a number. */
function powerWords(value) {
  const power = Math.log10(value);
  return Math.abs(power - Math.round(power)) < 1e-9 ? shown(value) : "";
}

/** A linear scale over values with a little room, as an axis takes it. */
export function axisOf(label, values, classes = null) {
  const [low, high] = d3.extent(values);
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  return { label, scale: d3.scaleLinear().domain([low - room, high + room]), classes };
}

/** A logarithmic scale over those values that are positive. */
export function logAxisOf(label, values) {
  const positive = values.filter((value) => value > 0);
  const [low, high] = positive.length ? d3.extent(positive) : [0.1, 1];
  const scale = d3.scaleLog().domain(low < high ? [low, high] : [low / 2, high * 2]).nice();
  return { label, scale, log: true };
}

/**
 * Points, coloured by `mark` (see marksOf), with their legend. `x`, `y`: {label, values, classes}. `title(i)`: what a
 * point says under the pointer; `onpoint(i)`.
 */
export function scatter({ summary, x, y, mark, title, onpoint, chosen }) {
  const { svg, inner, x: scaleX, y: scaleY } = frame(summary, axisOf(x.label, x.values, x.classes), axisOf(y.label, y.values));
  for (let i = 0; i < x.values.length; i++) {
    const path = s(
      "path",
      {
        d: d3.symbol().type(mark.shape(i)).size(i === chosen ? 130 : 26)(), class: i === chosen ? "point chosen" : "point",
        transform: `translate(${scaleX(x.values[i]).toFixed(1)},${scaleY(y.values[i]).toFixed(1)})`, "data-example": i,
        onclick: onpoint ? () => onpoint(i) : null,
      },
      s("title", {}, title(i)),
    );
    path.style.fill = mark.colour(i);
    inner.append(path);
  }
  const whole = inner.querySelector(".chosen");
  if (whole) inner.append(whole); // on top
  return h("figure", {}, svg, mark.legend);
}

/** How points are told apart by a quantity: its sign (two shapes), its class (a shape each), or on a colour bar. */
export function marksOf(quantity, bySign) {
  const { values, classes, name } = quantity;
  if (bySign) {
    const positive = (i) => values[i] >= 0;
    return {
      shape: (i) => (positive(i) ? d3.symbolCircle : d3.symbolTriangle),
      colour: (i) => (positive(i) ? "var(--positive)" : "var(--negative)"),
      legend: legendOf(`${name}`, [["at least 0", d3.symbolCircle, "var(--positive)"], ["below 0", d3.symbolTriangle, "var(--negative)"]]),
    };
  }
  const present = classes ? [...new Set(values)].sort(d3.ascending) : [];
  if (classes && present.length <= MOST_CLASSES) {
    const place = (i) => present.indexOf(values[i]);
    const kinds = present.map((value, i) => [classes[value], d3.symbols[i], CLASS_COLOURS[i]]);
    return { shape: (i) => kinds[place(i)][1], colour: (i) => kinds[place(i)][2], legend: legendOf(name, kinds) };
  }
  const [low, high] = d3.extent(values);
  const colour = d3.scaleSequential(d3.interpolateViridis).domain([low, high === low ? low + 1 : high]);
  return { shape: () => d3.symbolCircle, colour: (i) => colour(values[i]), legend: colourBar(name, colour, low, high, classes) };
}

function legendOf(name, kinds) {
  const entries = kinds.map(([text, shape, colour]) => {
    const svg = s("svg", { viewBox: "-8 -8 16 16", class: "key", "aria-hidden": "true" });
    const path = svg.appendChild(s("path", { d: d3.symbol().type(shape).size(60)(), class: "point" }));
    path.style.fill = colour;
    return h("span", {}, svg, text);
  });
  return h("figcaption", { class: "legend" }, `${name}: `, ...entries);
}

/** A bar of colours from the lowest to the highest value. */
function colourBar(name, colour, low, high, classes) {
  const [first, last] = [low, high].map((value) => (classes ? classes[value] : shown(value)));
  const svg = s("svg", { viewBox: "0 0 160 10", class: "bar", role: "img", "aria-label": `colours from ${first} to ${last}` });
  for (let i = 0; i < 40; i++) {
    const patch = svg.appendChild(s("rect", { x: i * 4, y: 0, width: 4.2, height: 10 }));
    patch.style.fill = colour(low + ((high - low) * i) / 39);
  }
  return h("figcaption", { class: "legend" }, `${name}: ${first}`, svg, last);
}

/** A colour of the viridis scale for a value between 0 and 1, behind black or white text, whichever is read better. */
export function shade(element, share) {
  const background = d3.color(d3.interpolateViridis(Math.max(0, Math.min(1, share))));
  const linear = [background.r, background.g, background.b].map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]; // of WCAG 2
  element.style.background = background.toString();
  element.style.color = luminance > 0.179 ? "#000000" : "#ffffff";
  return element;
}
