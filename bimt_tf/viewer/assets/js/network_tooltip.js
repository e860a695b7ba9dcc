// What is told of a neuron or a wire: beside the pointer or the focus.
import { h } from "./dom.js";
import { effectOf } from "./network_facts.js";
import { stateOf } from "./network_model.js";
import { STATES, nameOf, partsOf, shortOf } from "./neurons.js";
import { shown, signed } from "./numbers.js";

const MOST = 5; // weights in and out

/** [name, text or lines of text] pairs about a neuron. */
export function neuronFacts(view, facts, id) {
  const [name, n] = partsOf(id);
  const row = view.model.byName.get(name);
  const bias = view.network.frame ? undefined : view.model.biases.get(id);
  const module = facts.modules.of.get(id);
  const effect = facts.neuronEffects.get(id);
  const value = view.state.values?.[name]?.[n];
  const found = [
    ["name", nameOf(id)],
    ["row", row.title],
    ["index, slot", `${n}, ${row.slots[n]}`],
    row.heads[n] >= 0 && ["head", String(row.heads[n])],
    ["state", STATES[stateOf(view.model, view.network, row.index, n)]],
    bias && ["bias", `${shown(bias.value)} (${bias.parameter})`],
    ["weights in", weights(view, id, "target", "source")],
    ["weights out", weights(view, id, "source", "target")],
    typeof value === "number" && ["value", shown(value)],
    module !== undefined && ["module", facts.modules.names[module]],
    typeof effect === "number" && ["knocked out", `loss ${signed(effect)}`],
  ];
  return found.filter(Boolean);
}

function weights(view, id, own, other) {
  const all = view.network.wires.filter((wire) => wire[own] === id).sort((a, b) => b.strength - a.strength);
  const first = all.slice(0, MOST).map((wire) => `${shown(wire.weight)} ${own === "target" ? "from" : "to"} ${shortOf(wire[other])}`);
  const more = all.length > MOST ? [`and ${all.length - MOST} more`] : [];
  if (view.model.dense && !view.network.frame) more.push("of those drawn one by one");
  return all.length === 0 ? "none" : [...first, ...more];
}

/** [name, text] pairs about a wire. */
export function wireFacts(view, facts, wire) {
  const { scale } = view.model.scene;
  const dx = Math.abs(view.x[wire.from][wire.u] - view.x[wire.to][wire.v]);
  const effect = effectOf(facts, wire);
  const found = [
    ["from", nameOf(wire.source)],
    ["to", nameOf(wire.target)],
    ["weight", String(wire.weight)],
    ["parameter", wire.at ? `${wire.parameter}[${wire.at.join(", ")}]` : wire.parameter],
    ["size", `${shown(wire.strength)} of its matrix's largest`],
    scale !== null && ["length", `${shown(dx / scale)} across (width A = ${shown(view.model.scene.width)})`],
    !wire.active && ["path", "on none from an input to an output"],
    typeof effect === "number" && ["cut alone", `loss ${signed(effect)}`],
  ];
  return found.filter(Boolean);
}

export function wireTitle(wire) {
  return `${shortOf(wire.source)} → ${shortOf(wire.target)}`;
}

/** The box itself: show(title, pairs, x, y) in the window's pixels, hide(). */
export function tooltip(section) {
  const box = section.appendChild(h("div", { class: "tip", role: "tooltip", id: "network-tip", hidden: true }));
  return {
    show(title, pairs, x, y) {
      box.replaceChildren(h("h3", {}, title), h("dl", {}, ...pairs.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, ...[text].flat().map((line) => h("div", {}, line)))])));
      box.hidden = false;
      const [w, tall] = [box.offsetWidth, box.offsetHeight];
      const right = x + 16 + w < window.innerWidth;
      box.style.left = `${Math.max(4, right ? x + 16 : x - 16 - w)}px`;
      box.style.top = `${Math.max(4, Math.min(y + 14, window.innerHeight - tall - 6))}px`;
    },
    hide() {
      box.hidden = true;
    },
  };
}
