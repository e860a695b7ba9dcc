// Neurons as marks by what they are, their biases, heads' boxes, tables, and strips of rows too crowded for dots.
import { s } from "./dom.js";
import { stateOf } from "./network_model.js";
import { ACTIVE, CARRIED, IDLE, STATES, shortOf } from "./neurons.js";

export const BIAS = 0.16; // length of the mark of the largest bias, in units of height
export const BOX = 0.19; // half the height of a head's box
const BINS = 128; // of a strip
const SHAPES = ["circle", "cross", "triangle", "circle", "circle"]; // by state
const MODULES = ["Circle", "Square", "Triangle", "Diamond", "Wye", "Cross", "Star"]; // by module

/** [row, index] of the neurons that get a mark of their own: all but those without weights; of a strip, those with a wire. */
export function marked(view) {
  return view.model.rows.flatMap((row, i) => {
    const found = [];
    for (let n = 0; n < row.x.length; n += 1) {
      const shown = view.layout.strip[i] ? view.network.touched.has(`${row.name}:${n}`) : stateOf(view.model, view.network, i, n) !== IDLE;
      if (shown) found.push([i, n]);
    }
    return found;
  });
}

/** One focusable mark a neuron; marks that are there already stay, and keep the focus. */
export function drawNeurons(group, view) {
  const there = new Map([...group.children].map((one) => [one.dataset.id, one]));
  const wanted = marked(view).map(([row, n]) => {
    const id = `${view.model.rows[row].name}:${n}`;
    const one = there.get(id) ?? s("g", { class: "neuron", role: "button", tabindex: "-1", "data-id": id });
    one.neuron = { id, row, n };
    one.what = stateOf(view.model, view.network, row, n);
    one.setAttribute("aria-label", `${shortOf(id)}, ${STATES[one.what]}`);
    one.replaceChildren(...parts(view, one).filter((part) => part instanceof Node));
    return one;
  });
  if (wanted.length !== group.childElementCount || wanted.some((one, i) => group.children[i] !== one)) group.replaceChildren(...wanted);
  if (!wanted.some((one) => one.tabIndex === 0) && wanted.length > 0) wanted[0].setAttribute("tabindex", "0");
}

function parts(view, { neuron: { id, row }, what }) {
  const r = view.layout.radius[row];
  const bias = view.network.frame ? undefined : view.model.biases.get(id);
  return [
    s("circle", { class: "ring", r: r + 3.5 }),
    s("path", { class: `dot state-${what}`, d: shape(SHAPES[what], what === ACTIVE ? r : what === CARRIED ? 0.7 * r : 1.1 * r) }),
    bias && s("path", { class: `bias ${bias.value < 0 ? "negative" : "positive"}`, d: `M${-r - 2.5},0v${(-BIAS * view.layout.pitch * bias.share).toFixed(1)}` }),
  ];
}

/** The outline of a mark about (0, 0). */
function shape(kind, r) {
  if (kind === "cross") return `M${-r},${-r}L${r},${r}M${-r},${r}L${r},${-r}`;
  if (kind === "triangle") return `M0,${-r}L${r},${r}L${-r},${r}Z`;
  return `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`;
}

export function placeNeurons(group, view) {
  for (const one of group.children) {
    const [x, y] = view.point(one.neuron.row, one.neuron.n);
    one.setAttribute("transform", `translate(${x.toFixed(2)},${y.toFixed(2)})`);
  }
}

/** Colours, rings, and what fades; values are by row, over the largest of the row: filled if positive, hollow if not. */
export function styleNeurons(group, view, marks, facts) {
  const { colour, selected, hovered, values, knocked } = view.state;
  const wired = new Set(view.drawn.flatMap((wire) => [wire.source, wire.target]));
  const largest = new Map(Object.entries(colour === "activity" && values ? values : {}).map(([row, all]) =>
    [row, Math.max(1e-300, ...all.map((value) => Math.abs(value ?? 0)))]));
  const strongest = Math.max(1e-300, ...[...facts.neuronEffects.values()].map(Math.abs));
  for (const one of group.children) {
    const { id, row, n } = one.neuron;
    const name = view.model.rows[row].name;
    one.classList.toggle("selected", selected.includes(id));
    one.classList.toggle("hovered", hovered === id);
    one.classList.toggle("faded", marks.lit !== null && !marks.lit.has(id));
    one.classList.toggle("bare", view.state.threshold > 0 && !wired.has(id));
    one.classList.toggle("knocked", knocked.includes(id));
    one.setAttribute("aria-pressed", String(selected.includes(id)));
    const dot = one.querySelector(".dot");
    const r = view.layout.radius[row];
    dot.removeAttribute("style");
    const outline = one.what === CARRIED ? 0.7 * r : one.what === ACTIVE ? r : 1.1 * r;
    dot.setAttribute("d", shape(SHAPES[one.what], outline));
    if (colour === "activity" && largest.has(name)) valued(dot, r, (values[name][n] ?? 0) / largest.get(name));
    if (colour === "effect" && facts.neuronEffects.has(id)) {
      const share = Math.sqrt(Math.abs(facts.neuronEffects.get(id)) / strongest);
      dot.style.fill = `color-mix(in srgb, var(--accent) ${Math.round(100 * share)}%, var(--paper))`;
      dot.style.stroke = "var(--ink)";
    }
    if (colour === "module" && facts.modules.of.has(id)) moduled(dot, r, facts.modules.of.get(id));
  }
}

function valued(dot, r, share) {
  dot.setAttribute("d", shape("circle", 1.5 + (1.25 * r - 1.5) * Math.sqrt(Math.abs(share))));
  dot.style.stroke = share < 0 ? "var(--negative)" : "var(--positive)";
  dot.style.strokeWidth = "1.6px";
  dot.style.fill = share < 0 ? "var(--paper)" : "var(--positive)";
}

/** Style a path as a neuron of a module, by its number: a colour and a shape. */
export function moduled(dot, r, number) {
  dot.setAttribute("d", d3.symbol().type(d3[`symbol${MODULES[number % MODULES.length]}`]).size(6 * r * r)());
  dot.style.fill = `var(--module-${number % 8})`;
  dot.style.stroke = "var(--ink)";
}

/** A row's box, or those of its heads; rows that share no depth and have no heads have none. */
export function drawBoxes(group, view, index) {
  const row = view.model.rows[index];
  const shared = view.model.rows.filter((other) => other.depth === row.depth).length > 1;
  const spans = row.boxes.length > 0 ? row.boxes : shared && !row.half ? [[null, -8 / view.layout.plot, 1 + 8 / view.layout.plot]] : [];
  const { left, plot, pitch } = view.layout;
  group.replaceChildren(...spans.map(([head, from, to]) => s("rect", {
    class: "head", "data-head": head === null ? null : `${row.block}.${head}`, rx: 3,
    x: left + from * plot, width: (to - from) * plot, y: view.layout.at(row.y + BOX), height: 2 * BOX * pitch,
  })));
}

/** The planes that rows with a second coordinate stand on. */
export function drawPlanes(group, view) {
  group.replaceChildren(...view.model.rows.filter((row) => row.half).map((row) => {
    const [edge, half] = [0.02, row.half * 1.06];
    const corners = [[-edge, -half], [1 + edge, -half], [1 + edge, half], [-edge, half]];
    const points = corners.map(([x, lift]) => view.spot(x, row.y, lift).map((v) => v.toFixed(1)).join(","));
    return s("polygon", { class: "plane", points: points.join(" ") });
  }));
}

/** Neurons without weights, as faint dots; of a strip, the share of active neurons among neighbours, as shades. */
export function drawIdle(group, view) {
  const drawn = [];
  view.model.rows.forEach((row, i) => {
    if (view.layout.strip[i]) return drawn.push(...strip(view, i));
    const dots = [];
    for (let n = 0; n < row.x.length; n += 1) {
      if (stateOf(view.model, view.network, i, n) === IDLE) dots.push(`M${view.base(i, n).map((v) => v.toFixed(1)).join(",")}h0`);
    }
    return drawn.push(s("path", { class: "idle", d: dots.join(""), "stroke-width": view.layout.room[i] < 4 ? 1.4 : 2.4 }));
  });
  group.replaceChildren(...drawn);
}

function strip(view, i) {
  const row = view.model.rows[i];
  const [counts, live] = [new Array(BINS).fill(0), new Array(BINS).fill(0)];
  for (let n = 0; n < row.x.length; n += 1) {
    const bin = Math.min(BINS - 1, Math.floor(view.x[i][n] * BINS));
    counts[bin] += 1;
    if (stateOf(view.model, view.network, i, n) === ACTIVE) live[bin] += 1;
  }
  const shades = [[], [], [], [], []];
  counts.forEach((count, bin) => {
    if (count === 0) return;
    const x = view.layout.left + (bin / BINS) * view.layout.plot;
    shades[Math.round((4 * live[bin]) / count)].push(`M${x.toFixed(1)},${view.layout.at(row.y).toFixed(1)}h${(view.layout.plot / BINS + 0.3).toFixed(2)}`);
  });
  return shades.map((d, share) => s("path", { class: "strip", d: d.join(""), "stroke-opacity": 0.12 + 0.13 * share }));
}

/** Cells beside a row, one a neuron, shaded by the size of its entries in a table without coordinates. */
export function drawTables(group, view) {
  const seen = new Map();
  group.replaceChildren(...view.model.scene.tables.flatMap((table) => {
    const place = seen.get(table.row) ?? 0;
    seen.set(table.row, place + 1);
    const largest = Math.max(1e-300, ...table.sizes);
    const width = Math.max(0.6, 0.8 * view.layout.room[table.row]);
    const away = 14 + 20 * place;
    return table.sizes.map((size, n) => {
      const [x, y] = view.base(table.row, n);
      return s("rect", { class: "cell", x: (x - width / 2).toFixed(1), y: (table.below ? y + away : y - away - 9).toFixed(1), width: width.toFixed(2), height: 9, "fill-opacity": (0.08 + (0.92 * size) / largest).toFixed(3) });
    });
  }));
}
