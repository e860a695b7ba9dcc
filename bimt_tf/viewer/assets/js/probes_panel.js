// Where quantities can be read, beside what they must be compared with.
import { h } from "./dom.js";
import { shown, signed } from "./numbers.js";
import { choose, dataTable, folded, labelled, refill } from "./tables.js";
import { shade } from "./charts.js";

export const probesPanel = { id: "probes", title: "Probes: where quantities can be read", needs: "probes", build: buildProbes };

const SHOWN_OF_MAP = [
  ["read_out", "read-out of all neurons there"], ["inputs", "read-out of the inputs that reach it (baseline)"],
  ["gain_inputs", "gain over the inputs"], ["gain_before", "gain over the stage before"],
  ["untrained", "untrained network (baseline)"], ["shuffled", "target shuffled (control)"],
];
const WORDS = [
  "That a quantity can be read off neurons is no finding by itself: the raw inputs may give it as well, or the stage before, or a network that was never trained. So each read-out stands beside these, and beside what is left with a shuffled target.",
  "A read-out does not show that the network uses what is read. Whether it does is for an intervention to tell (Causes, and bimt interchange).",
];

function buildProbes(section, content, store) {
  section.classList.add("detail");
  const { probes } = content;
  section.append(...WORDS.map((text) => h("p", {}, text)));
  if (probes.maps.length) {
    const what = labelled("shown", SHOWN_OF_MAP, (value) => store.set({ probeShown: value }));
    const inside = h("div", { tabindex: -1 });
    section.append(h("div", { class: "choices" }, what.whole), inside);
    store.subscribe((state, changed) => {
      if (!changed.has("probeShown")) return;
      const wanted = SHOWN_OF_MAP.some(([value]) => value === state.probeShown) ? state.probeShown : SHOWN_OF_MAP[0][0];
      choose(what.select, wanted);
      refill(inside, what.select, ...probes.maps.map((map) => probeHeat(map, wanted)));
    });
  } else {
    section.append(h("p", {}, "A map of every hook and token has not been made for this network: ", h("code", {}, probes.command)));
  }
  section.append(...probes.readouts.map(readoutTable));
}

/** A map as a grid: a row a hook and head, a column a token. */
function probeHeat(map, what) {
  const number = (cell) => (Array.isArray(cell[what]) ? cell[what][0] : cell[what]);
  const interval = (cell) => (Array.isArray(cell[what]) ? ` [${shown(cell[what][1])}, ${shown(cell[what][2])}]` : "");
  const tokens = [...new Set(map.cells.map((cell) => cell.position))].sort((a, b) => (a ?? -1) - (b ?? -1));
  const places = [...new Set(map.cells.map(probePlace))];
  const said = SHOWN_OF_MAP.find(([value]) => value === what)[1];
  const isGain = what.startsWith("gain");
  const filled = (place, token) => {
    const cell = map.cells.find((one) => one.position === token && probePlace(one) === place);
    if (!cell || number(cell) === null || number(cell) === undefined) return h("td", {}, "–");
    const title = `${place}, token ${token}: ${said} ${shown(number(cell))}${interval(cell)}; ${cell.neurons} neurons vary`;
    return shade(h("td", { title }, isGain ? signed(Number(number(cell).toFixed(4))) : number(cell).toFixed(3)), number(cell));
  };
  const head = h("tr", {}, h("td", {}), ...tokens.map((token) => h("th", { scope: "col" }, token === null ? "all" : `token ${token}`)));
  const rows = places.map((place) => h("tr", {}, h("th", { scope: "row" }, place), ...tokens.map((token) => filled(place, token))));
  const caption = `${map.target}: ${said}, ${map.regressor} regression, ${map.score}`;
  const grid = h("table", { class: "grid" }, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...rows));
  return h("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": caption }, grid);
}

function probePlace(cell) {
  return cell.head === null ? cell.hook : `${cell.hook}, head ${cell.head}`;
}

function readoutTable(one) {
  const where = one.position === null ? one.hook : `${one.hook}, token ${one.position}`;
  const heads = ["what is read", "linear", "nonlinear"];
  const table = dataTable(`${one.target || "quantity"} in ${where}: ${one.score}`, heads, one.rows);
  const single = dataTable(`Single neurons of ${where}`, ["neuron", "linear", "nonlinear"], one.neurons);
  const beside = one.compared ? null : h("p", { class: "quiet" }, "Beside inputs, stage before and an untrained network: ", h("code", {}, one.command));
  return h("div", {}, table, beside, one.neurons.length ? folded("Single neurons, the best first", single) : null);
}
