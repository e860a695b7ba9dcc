// The network as tables, for those who do not see it, and for copying numbers: made when they are opened.
import { h } from "./dom.js";
import { CARRIED, nameOf } from "./neurons.js";
import { dataTable } from "./tables.js";

/** A <details> element and update(view), which fills it if it is open. */
export function networkTables() {
  const body = h("div", {});
  const details = h("details", { class: "tables" }, h("summary", {}, "The network as tables"), body);
  let latest = null;
  const fill = () => details.open && latest && body.replaceChildren(rowsTable(latest), wiresTable(latest));
  details.addEventListener("toggle", fill);
  return {
    details,
    update(view) {
      latest = view;
      fill();
    },
  };
}

function rowsTable({ model, network }) {
  const lines = model.rows.map((row) => {
    const live = row.x.map((_, n) => n).filter((n) => (network.frame ? network.touched.has(`${row.name}:${n}`) : row.states[n] >= CARRIED));
    const names = live.map((n) => (row.labels ? `${n} (${row.labels[n]})` : String(n))).sort((a, b) => parseInt(a, 10) - parseInt(b, 10));
    return [row.title, names.slice(0, 400).join(", ") + (names.length > 400 ? ", …" : "") || "none", `${live.length} of ${row.x.length}`, row.hook ?? "none"];
  });
  return dataTable("Rows, from the input to the output", ["row", "neurons on a path", "how many", "hook"], lines);
}

function wiresTable({ model, drawn }) {
  const lines = drawn.map((wire) => [nameOf(wire.source), nameOf(wire.target), String(wire.weight), wire.at ? `${wire.parameter}[${wire.at.join(", ")}]` : wire.parameter]);
  return dataTable(`The ${drawn.length} wires that are drawn`, ["from", "to", "weight", "parameter"], lines);
}
