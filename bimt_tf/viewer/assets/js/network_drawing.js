// The drawing: one SVG, its layers, what is in them by the state, and where everything stands while it moves or zooms.
import { s } from "./dom.js";
import { drawDensities } from "./network_density.js";
import { drawRowWords, drawWords } from "./network_labels.js";
import { layoutOf } from "./network_layout.js";
import { marksOf } from "./network_marks.js";
import { drawnWires, networkAt } from "./network_model.js";
import { drawBoxes, drawIdle, drawNeurons, drawPlanes, drawTables, marked, placeNeurons, styleNeurons } from "./network_neurons.js";
import { partsOf } from "./neurons.js";
import { depths, drawLinks, drawWires, placeWires, styleWires } from "./network_wires.js";

const MOVE = 500; // ms that neurons take to another order

/** The layers from back to front; boxes and wires lie over and under each other by their depths. */
function layersOf(model) {
  const order = depths(model);
  const made = { boxes: model.rows.map(() => s("g")), wires: model.scene.wires.map(() => s("g")), densities: model.scene.wires.map(() => s("g")) };
  const sorted = [
    ...made.boxes.map((group, i) => [order.boxes[i], group]),
    ...made.densities.map((group, i) => [order.wires[i], group]),
    ...made.wires.map((group, i) => [order.wires[i] + 0.5, group]),
  ].sort((a, b) => a[0] - b[0]);
  for (const name of ["planes", "links", "idle", "tables", "words", "rowWords"]) made[name] = s("g", { "aria-hidden": "true" });
  made.neurons = s("g", { role: "group", "aria-label": "neurons" });
  made.moving = s("g", { "aria-hidden": "true" }, made.planes, made.links, ...sorted.map(([, group]) => group), made.tables, made.idle);
  return made;
}

export function createDrawing(model, facts, store) {
  const layers = layersOf(model);
  const clip = s("rect", { y: 0 });
  const svg = s("svg", { class: "plot", role: "group", "aria-label": "The network: rows from the input at the bottom to the output at the top", "aria-describedby": "network-help" },
    s("defs", {}, s("clipPath", { id: "network-clip" }, clip)),
    s("g", { "clip-path": "url(#network-clip)" }, layers.moving, layers.neurons, layers.words), layers.rowWords);
  const view = { model, zoom: d3.zoomIdentity, state: store.get(), x: null, lift: null, leftOut: 0 };
  view.spot = (x, y, lift) => [view.layout.left + (x + model.scene.shear * lift) * view.layout.plot, view.layout.at(y + lift)];
  view.base = (row, n) => view.spot(view.x[row][n], model.rows[row].y, view.lift[row][n] ?? 0);
  view.point = (row, n) => view.zoom.apply(view.base(row, n));
  view.place = (id) => {
    const [name, n] = partsOf(id);
    return [model.byName.get(name).index, n];
  };
  const drawing = { svg, view, layers, clip, facts, marks: null, moving: null, pending: false };
  drawing.resize = (width, wanted) => resize(drawing, width, wanted);
  drawing.show = (state) => show(drawing, state);
  drawing.zoomed = (transform) => zoomed(drawing, transform);
  drawing.style = () => style(drawing);
  drawing.repaint = () => {
    drawing.stopDensities?.();
    drawing.stopDensities = drawDensities(layers.densities, view);
  };
  return drawing;
}

function resize(drawing, width, wanted) {
  const { view, svg, clip } = drawing;
  view.layout = layoutOf(view.model, width, wanted);
  const { left, plot, height } = view.layout;
  svg.setAttribute("viewBox", `0 0 ${width} ${height.toFixed(1)}`);
  svg.setAttribute("height", height.toFixed(1));
  for (const [key, value] of Object.entries({ x: left - 14, width: plot + 28, height })) clip.setAttribute(key, value);
  view.x = null;
  show(drawing, view.state);
}

/** Draw what the state asks for; neurons that stand elsewhere then move there, unless the reader wants no motion. */
function show(drawing, state) {
  const { view } = drawing;
  const before = view.network;
  view.state = state;
  view.network = networkAt(view.model, state.frame, state.order);
  view.drawn = drawnWires(view.network.wires, state);
  const target = { x: view.network.x, lift: view.network.lift };
  const still = view.x === null || window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (still || !before || !apart(view.x, target.x)) {
    drawing.moving?.stop();
    drawing.svg.classList.remove("moving");
    const same = !still && before && before.frame === view.network.frame && drawing.settled;
    [view.x, view.lift] = [target.x, target.lift];
    return same ? redraw(drawing) : draw(drawing);
  }
  const from = { x: view.x, lift: view.lift };
  draw(drawing);
  drawing.moving?.stop();
  drawing.svg.classList.add("moving");
  drawing.moving = d3.timer((passed) => {
    const share = d3.easeCubicInOut(Math.min(1, passed / MOVE));
    const between = (a, b) => a.map((row, i) => (row === b[i] ? row : row.map((value, n) => value + share * (b[i][n] - value))));
    [view.x, view.lift] = share < 1 ? [between(from.x, target.x), between(from.lift, target.lift)] : [target.x, target.lift];
    place(drawing);
    if (share >= 1) {
      drawing.moving.stop();
      drawing.svg.classList.remove("moving");
      draw(drawing);
    }
  });
  return undefined;
}

function apart(a, b) {
  return a.some((row, i) => row !== b[i] && row.some((value, n) => Math.abs(value - b[i][n]) > 1e-6));
}

/** Other wires between neurons that stay as they are. */
function redraw(drawing) {
  drawWires(drawing.layers.wires, drawing.view);
  placeWires(drawing.layers.wires, drawing.view);
  style(drawing);
}

function draw(drawing) {
  const { view, layers } = drawing;
  drawing.settled = view.x === view.network.x; // else neurons are on their way
  view.marked = marked(view);
  layers.boxes.forEach((group, i) => drawBoxes(group, view, i));
  drawPlanes(layers.planes, view);
  drawWires(layers.wires, view);
  drawNeurons(layers.neurons, view);
  drawDensitiesOnce(drawing);
  place(drawing);
  style(drawing);
}

/** Images of densities take their time: they are drawn again only where they are others. */
function drawDensitiesOnce(drawing) {
  const { view, layers } = drawing;
  const key = `${view.layout.width} ${view.layout.height} ${view.network.number ?? ""}`;
  if (drawing.densitiesOf === key) return;
  drawing.densitiesOf = key;
  drawing.stopDensities?.();
  drawing.stopDensities = drawDensities(layers.densities, view);
}

function place(drawing) {
  const { view, layers } = drawing;
  placeWires(layers.wires, view);
  drawLinks(layers.links, view);
  drawIdle(layers.idle, view);
  drawTables(layers.tables, view);
  words(drawing);
}

/** Colours and what fades; words are placed anew, since what is selected is numbered first. */
function style(drawing) {
  const { view, layers, facts } = drawing;
  drawing.marks = marksOf(view, facts);
  styleWires(layers.wires, view, drawing.marks, facts);
  styleNeurons(layers.neurons, view, drawing.marks, facts);
  layers.links.style.opacity = drawing.marks.lit === null ? "" : "0.4";
  const heads = new Set(view.state.hiddenHeads);
  for (const group of layers.boxes) for (const box of group.children) box.style.opacity = heads.has(box.dataset.head) ? "0.3" : "";
  words(drawing);
}

function words(drawing) {
  const { view, layers } = drawing;
  placeNeurons(layers.neurons, view);
  drawRowWords(layers.rowWords, view);
  view.leftOut = drawWords(layers.words, view, drawing.marks ?? { lit: null });
}

function zoomed(drawing, transform) {
  const { view, layers, svg } = drawing;
  view.zoom = transform;
  svg.classList.toggle("zoomed", transform.k > 1.001);
  if (drawing.pending) return;
  drawing.pending = true;
  requestAnimationFrame(() => {
    drawing.pending = false;
    layers.moving.setAttribute("transform", view.zoom.toString());
    words(drawing);
  });
}
