// Wires: width and opacity by |w| over the largest of its matrix; negative ones dashed and of the other colour.
import { s } from "./dom.js";
import { effectOf } from "./network_facts.js";

const [THIN, THICK] = [0.7, 3.4]; // pixels, of a wire of strength 0 and 1
const CROWD = 250; // wires between two rows beyond which they get thinner and paler
const DENSE = 0.4; // the same where densities are drawn beneath
const FADED = 0.1; // opacity left to what does not stand out

/** What is drawn over what: a head's box covers the wires that only pass it on their way, not its own. */
export function depths(model) {
  const { rows, scene } = model;
  const targets = new Set(scene.wires.map((entry) => entry.target));
  const alone = (row) => rows.filter((other) => other.depth === rows[row].depth).length === 1;
  const boxes = rows.map((_, i) => 2 * (targets.has(i) ? rows.length - i : rows.length + i));
  return { boxes, wires: scene.wires.map((entry) => 1 + boxes[alone(entry.source) ? entry.target : entry.source]) };
}

/** Fill each matrix's group with a line for each wire that is drawn, the strongest on top. */
export function drawWires(groups, view) {
  const byEntry = groups.map(() => []);
  for (const wire of view.drawn) byEntry[wire.entry].push(wire);
  byEntry.forEach((wires, entry) => {
    const room = Math.min(view.model.dense ? DENSE : 1, (CROWD / Math.max(wires.length, 1)) ** 0.6);
    wires.sort((a, b) => a.active - b.active || a.strength - b.strength);
    groups[entry].replaceChildren(...wires.map((wire) => line(wire, room, view.layout.narrow || view.layout.aslant > 0)));
  });
}

function line(wire, room, thin) {
  const width = (THIN + (THICK - THIN) * wire.strength) * Math.sqrt(room) * (thin ? 0.7 : 1);
  const dashes = `${Math.max(3.4, 2.4 * width).toFixed(1)} ${Math.max(2, width).toFixed(1)}`;
  const drawn = s("line", {
    class: `wire ${wire.weight < 0 ? "negative" : "positive"}${wire.active ? "" : " off"}`,
    "stroke-width": width.toFixed(2), "stroke-dasharray": wire.active ? (wire.weight < 0 ? dashes : null) : "1.2 2.6",
    "data-weight": wire.weight, "data-source": wire.source, "data-target": wire.target, "data-parameter": wire.parameter,
  });
  drawn.wire = wire;
  drawn.opacity = (0.3 + 0.65 * Math.sqrt(wire.strength)) * room;
  return drawn;
}

/** Put every line where its neurons stand. */
export function placeWires(groups, view) {
  for (const group of groups) {
    for (const one of group.children) {
      const { from, to, u, v } = one.wire;
      const [x1, y1] = view.base(from, u);
      const [x2, y2] = view.base(to, v);
      one.setAttribute("x1", x1.toFixed(2));
      one.setAttribute("y1", y1.toFixed(2));
      one.setAttribute("x2", x2.toFixed(2));
      one.setAttribute("y2", y2.toFixed(2));
    }
  }
}

/** Colours, and what fades, by the state and the marks. */
export function styleWires(groups, view, marks, facts) {
  const { colour, hovered } = view.state;
  const largest = colour === "effect" ? Math.max(1e-300, ...view.drawn.map((wire) => Math.abs(effectOf(facts, wire) ?? 0))) : 1;
  for (const group of groups) {
    for (const one of group.children) {
      const { wire } = one;
      const near = hovered !== null && (wire.source === hovered || wire.target === hovered);
      const lit = marks.isLit(wire);
      one.classList.toggle("lit", lit && marks.lit !== null);
      one.classList.toggle("near", near);
      let opacity = one.opacity;
      one.style.stroke = "";
      if (colour === "module") one.style.stroke = moduleColour(facts, wire);
      if (colour === "effect") {
        const share = Math.sqrt(Math.abs(effectOf(facts, wire) ?? 0) / largest);
        one.style.stroke = effectOf(facts, wire) === null ? "var(--faint)" : `color-mix(in srgb, var(--accent) ${Math.round(100 * share)}%, var(--faint))`;
        opacity = 0.25 + 0.7 * share;
      }
      if (near) opacity = 1;
      else if (!lit) opacity *= FADED;
      else if (marks.lit !== null) opacity = Math.min(1, opacity + 0.3);
      one.style.opacity = opacity.toFixed(3);
    }
  }
}

function moduleColour(facts, wire) {
  const [a, b] = [facts.modules.of.get(wire.source), facts.modules.of.get(wire.target)];
  return a === undefined || a !== b ? "var(--faint)" : `var(--module-${a % 8})`;
}

/** Dotted verticals: neurons that pass from row to row unchanged. */
export function drawLinks(group, view) {
  const path = view.model.links.filter(({ source, target }) => !view.layout.strip[view.place(source)[0]] && !view.layout.strip[view.place(target)[0]])
    .map(({ source, target }) => {
      const [a, b] = [view.base(...view.place(source)), view.base(...view.place(target))];
      return `M${a[0].toFixed(1)},${a[1].toFixed(1)}L${b[0].toFixed(1)},${b[1].toFixed(1)}`;
    });
  group.replaceChildren(s("path", { class: "link", d: path.join("") }));
}
