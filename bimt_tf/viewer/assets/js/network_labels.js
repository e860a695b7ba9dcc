// Words in the network: rows, blocks, heads, names of inputs and outputs, and neurons by index where there is room.
import { s } from "./dom.js";
import { labelLines, standing, textWidth } from "./network_layout.js";
import { ACTIVE } from "./neurons.js";
import { BIAS, BOX } from "./network_neurons.js";

const NUMBER = 10; // font sizes
const HEAD = 9.5;
const MOST = 700; // numbers

/** Rectangles that are taken, in bands of their height, so that few are compared. */
class Taken {
  constructor() {
    this.bands = new Map();
  }
  add(box) {
    for (let band = Math.floor(box[1] / 40); band <= Math.floor(box[3] / 40); band += 1) {
      if (!this.bands.has(band)) this.bands.set(band, []);
      this.bands.get(band).push(box);
    }
  }
  free([left, top, right, bottom]) {
    for (let band = Math.floor(top / 40); band <= Math.floor(bottom / 40); band += 1) {
      for (const [l, t, r, b] of this.bands.get(band) ?? []) if (left < r && right > l && top < b && bottom > t) return false;
    }
    return true;
  }
}

/** Names of rows at the left, how many neurons are active at the right, blocks by brackets; they follow the zoom in y. */
export function drawRowWords(group, view) {
  const { layout, model, network } = view;
  const words = [];
  model.rows.forEach((row, i) => {
    const y = view.zoom.applyY(layout.at(row.y));
    if (y < 4 || y > layout.height) return;
    const lines = labelLines(row);
    lines.forEach((line, k) => words.push(s("text", { class: "row", x: layout.left - layout.aslant - 13, y: y + layout.size * (0.35 + 0.95 * (k - (lines.length - 1) / 2)), "text-anchor": "end", "font-size": layout.size }, line)));
    const count = network.frame ? row.x.reduce((sum, _, n) => sum + network.touched.has(`${row.name}:${n}`), 0) : row.count;
    words.push(s("text", { class: "count", x: layout.width - 2, y: y + 4, "text-anchor": "end" }, `${count}/${row.x.length}`));
  });
  for (const block of new Set(model.rows.map((row) => row.block).filter((one) => one !== null))) {
    const inside = model.rows.filter((row) => row.block === block);
    const [low, high] = [inside[0], inside[inside.length - 1]].map((row) => view.zoom.applyY(layout.at(row.y)));
    const x = layout.narrow ? 13 : 15;
    words.push(s("path", { class: "bracket", d: `M${x},${low + 12}V${high - 12}` }));
    words.push(s("text", { class: "count", transform: `translate(${x - 4},${(low + high) / 2}) rotate(-90)`, "text-anchor": "middle" }, `block ${block}`));
  }
  group.replaceChildren(...words);
}

/** Names and numbers inside the plot, each where it collides with nothing; how many names found no room. */
export function drawWords(group, view, marks) {
  const taken = new Taken();
  const shown = view.marked.filter(([row, n]) => inside(view, view.point(row, n)));
  for (const [row, n] of shown) {
    const [[x, y], r] = [view.point(row, n), view.layout.radius[row]];
    taken.add([x - r, y - r, x + r, y + r]);
    const bias = view.network.frame ? undefined : view.model.biases.get(`${view.model.rows[row].name}:${n}`);
    const end = bias ? y - BIAS * view.layout.pitch * bias.share : y;
    if (bias) taken.add([x - r - 4, Math.min(y, end), x - r, Math.max(y, end)]);
  }
  const words = [];
  let left = 0;
  for (const i of [0, view.model.rows.length - 1]) left += view.model.rows[i].labels ? names(words, view, taken, i) : 0;
  view.model.rows.forEach((row, i) => heads(words, view, taken, row, i));
  numbers(words, view, taken, shown, marks);
  group.replaceChildren(...words);
  return left;
}

function inside(view, [x, y]) {
  return x > view.layout.left - 20 && x < view.layout.width - view.layout.right + 20 && y > -10 && y < view.layout.height + 10;
}

/** Names of a row's neurons, below the first row and above the last, active ones first. */
function names(words, view, taken, i) {
  const row = view.model.rows[i];
  const below = i === 0;
  const away = 9 + 20 * view.model.scene.tables.filter((table) => table.row === i).length;
  const upright = standing(row, view.layout.plot * view.zoom.k);
  const order = row.x.map((_, n) => n).filter((n) => row.labels[n].trim()).sort((a, b) => row.states[b] - row.states[a] || row.x[a] - row.x[b]);
  let left = 0;
  for (const n of order) {
    const [x, y] = view.point(i, n);
    if (!inside(view, [x, y])) continue;
    const name = row.labels[n].length > 16 ? `${row.labels[n].slice(0, 15)}…` : row.labels[n];
    const [size, wide] = upright ? [10, textWidth(name, 10)] : [12, textWidth(name, 12)];
    const [w, h] = upright ? [size, wide] : [wide, size];
    const spots = row.half ? [[x + 6 + w / 2, y], [x, y - 10], [x, y + 10], [x - 6 - w / 2, y]] : [[x, below ? y + away + h / 2 : y - away - h / 2]];
    const at = spots.find(([cx, cy]) => taken.free([cx - w / 2 - 1, cy - h / 2, cx + w / 2 + 1, cy + h / 2]));
    if (at === undefined) {
      left += 1;
      continue;
    }
    taken.add([at[0] - w / 2 - 1, at[1] - h / 2, at[0] + w / 2 + 1, at[1] + h / 2]);
    const turn = upright ? " rotate(-90)" : "";
    words.push(s("text", { class: row.states[n] === ACTIVE ? "name" : "name quiet", "font-size": size, "text-anchor": "middle", "dominant-baseline": "central", transform: `translate(${at[0].toFixed(1)},${at[1].toFixed(1)})${turn}` }, name));
  }
  return left;
}

function heads(words, view, taken, row, i) {
  for (const [head, from, to] of row.boxes) {
    const [x, y] = view.zoom.apply([view.layout.left + from * view.layout.plot, view.layout.at(row.y + BOX)]);
    const room = (to - from) * view.layout.plot * view.zoom.k;
    const name = [`head ${head}`, `${head}`].find((word) => textWidth(word, HEAD) + 6 < room);
    if (name === undefined || !inside(view, [Math.max(x, view.layout.left), y])) continue;
    const w = textWidth(name, HEAD);
    const at = [[x + 4, y + 9], [x + room - w - 4, y + 9]].find(([l, b]) => taken.free([l, b - 8, l + w, b]));
    if (at === undefined) continue;
    taken.add([at[0], at[1] - 9, at[0] + w, at[1]]);
    words.push(s("text", { class: "head-name", x: at[0].toFixed(1), y: at[1].toFixed(1), "font-size": HEAD, "data-row": i }, name));
  }
}

/** Neurons by index: selected ones first, then those of most weight; where their name does not say it already. */
function numbers(words, view, taken, shown, marks) {
  const weight = new Map();
  for (const wire of view.drawn) {
    weight.set(wire.source, (weight.get(wire.source) ?? 0) + wire.strength);
    weight.set(wire.target, (weight.get(wire.target) ?? 0) + wire.strength);
  }
  const first = (id) => (view.state.selected.includes(id) ? 1e6 : marks.lit?.has(id) ? 1e3 : 0) + (weight.get(id) ?? 0);
  const ranked = shown.map(([row, n]) => ({ row, n, id: `${view.model.rows[row].name}:${n}` })).map((one) => ({ ...one, rank: first(one.id) }));
  const edge = view.layout.left + view.layout.plot + 13;
  const named = (own, row) => own.labels && view.layout.room[row] < 26 && own.x.length > 8;
  ranked.sort((a, b) => b.rank - a.rank);
  for (const { row, n, id } of ranked.slice(0, MOST)) {
    const own = view.model.rows[row];
    if (own.labels?.[n] === String(n) || named(own, row) || ((view.model.dense || view.layout.strip[row]) && !weight.has(id))) continue;
    const [[x, y], r] = [view.point(row, n), view.layout.radius[row]];
    const w = textWidth(String(n), NUMBER);
    const spots = own.boxes.length > 0 ? [[0, 1], [0, -1], [1, 0], [-1, 0]] : [[1, -1], [-1, -1], [1, 1], [-1, 1], [0, -1], [0, 1], [1, 0], [-1, 0]];
    for (const [dx, dy] of spots) {
      const [cx, cy] = [x + dx * (w / 2 + (dy ? 0.6 : 1) * r + 1.5), y + dy * (r + 6.5 - (dx ? 1 : 0))];
      const box = [cx - w / 2, cy - 4.5, cx + w / 2, cy + 4.5];
      if (!taken.free(box) || box[2] > edge) continue;
      taken.add(box);
      const faded = marks.lit !== null && !marks.lit.has(id) ? " faded" : "";
      words.push(s("text", { class: `number${faded}`, x: cx.toFixed(1), y: (cy + 3.6).toFixed(1), "font-size": NUMBER, "text-anchor": "middle" }, String(n)));
      break;
    }
  }
}
