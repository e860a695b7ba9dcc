// Every neuron's value, one row of the network at a time.
import { h } from "./dom.js";
import { IDLE, nameOf, partsOf } from "./neurons.js";
import { shown } from "./numbers.js";
import { livePosition, liveTokenName } from "./live_session.js";

/** The card of the neurons' values. */
export function liveNeurons(session, content, store) {
  const rows = content.scene.rows.filter(({ name }) => Object.hasOwn(session.network.rows, name));
  const select = h("select", { id: "live-row" }, ...rows.map((row) => h("option", { value: row.name }, row.title)));
  select.value = (rows[1] ?? rows[0]).name;
  const table = h("table", { class: "live-table" });
  const note = h("p", { class: "live-note" });
  const view = { select, table, note, rows, cells: [], session, store, threshold: content.scene.threshold };
  const tokens = liveTokens(session, store);
  const element = h(
    "div",
    { class: "live-card" },
    h("h3", {}, "Neurons"),
    h("p", {}, h("label", { for: "live-row" }, "Row "), select),
    tokens.element,
    h("div", { class: "live-scroll live-tall", tabindex: "0", role: "group", "aria-label": "values of neurons" }, table),
    note,
  );
  let results = null;
  select.addEventListener("change", () => {
    liveLayOut(view);
    liveFill(view, store.get(), results);
  });
  liveLayOut(view);
  const update = (state, found, changed) => {
    results = found;
    tokens.show(state);
    const chosen = state.selected[state.selected.length - 1];
    if (changed.has("selected") && chosen !== undefined && liveFollow(select, chosen)) liveLayOut(view);
    liveFill(view, state, results);
  };
  return { element, update };
}

/** Show the row of the neuron that was selected; whether that is another one. */
function liveFollow(select, chosen) {
  const [row] = partsOf(chosen);
  const there = Array.from(select.options).some(({ value }) => value === row);
  if (!there || select.value === row) return false;
  select.value = row;
  return true;
}

function liveTokens(session, store) {
  const [, positions] = session.part.examples.shape;
  if (positions === 1 || Object.values(session.network.rows).every((row) => row.positions === 1)) return { element: null, show: () => {} };
  const options = Array.from({ length: positions }, (_, p) => h("option", { value: p }, liveTokenName(session, p)));
  const select = h("select", { id: "live-token", onchange: () => store.set({ position: Number(select.value) }) }, ...options);
  const element = h("p", {}, h("label", { for: "live-token" }, "Colours of the network are of "), select);
  return { element, show: (state) => (select.value = String(livePosition(session, state))) };
}

/** The table of the chosen row, without numbers. */
function liveLayOut(view) {
  const { select, table, note, rows, session, store } = view;
  const row = rows.find(({ name }) => name === select.value);
  const { positions, size } = session.network.rows[row.name];
  const neurons = [...Array(size).keys()].filter((index) => row.states[index] !== IDLE);
  const tokens = positions === 1 ? ["value"] : Array.from({ length: positions }, (_, p) => liveTokenName(session, p));
  view.cells = neurons.map((index) => ({ index, name: `${row.name}:${index}`, cells: tokens.map(() => h("td")) }));
  const lines = view.cells.map((one) => {
    one.button = h("button", { type: "button", onclick: () => store.set({ selected: [one.name] }) }, nameOf(one.name));
    return h("tr", {}, h("th", { scope: "row" }, one.button), ...one.cells);
  });
  const heads = ["neuron", ...tokens].map((name) => h("th", { scope: "col" }, name));
  table.replaceChildren(h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...lines));
  const least = view.threshold > 0 ? ` above ${shown(view.threshold)}` : "";
  note.textContent = `${neurons.length} of ${size} neurons have weights${least} here.`;
}

function liveFill({ select, cells, session }, state, { now }) {
  const { size } = session.network.rows[select.value];
  const values = now.values[select.value];
  const chosen = state.selected[state.selected.length - 1];
  for (const one of cells) {
    one.button.setAttribute("aria-pressed", String(one.name === chosen));
    const out = state.knocked.includes(one.name);
    one.button.textContent = out ? `${nameOf(one.name)}, knocked out` : nameOf(one.name);
    one.cells.forEach((cell, p) => {
      const value = values[p * size + one.index];
      cell.textContent = shown(value);
      cell.dataset.value = String(value);
    });
  }
}
