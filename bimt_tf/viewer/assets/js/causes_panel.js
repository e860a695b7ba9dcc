// What knock-outs cost, and the answers that were kept.
import { h } from "./dom.js";
import { shown, signed } from "./numbers.js";
import { neuronEffectsOf, wireEffectsOf, wireKey } from "./network_facts.js";
import { nameOf, partsOf } from "./neurons.js";
import { dataTable, folded, neuronButton } from "./tables.js";

export const causesPanel = { id: "causes", title: "Causes: knock-outs", needs: "causes", build: buildCauses };

const MOST_ROWS = 200;

function buildCauses(section, content, store) {
  section.classList.add("detail");
  const { causes } = content;
  const inside = h("div", { class: "columns" }, knockedNeurons(causes, store), knockedWires(causes, store));
  const chosen = h("p", { role: "status" });
  store.subscribe((state, changed) => {
    if (changed.has("wire")) chosen.textContent = state.wire === null ? "" : wireWords(state.wire, content);
  });
  section.append(chosen, ...causes.why.map((text) => h("p", { class: "quiet" }, text)), inside, ...keptAnswers(causes.answers));
}

/** The wire that is chosen in the network: its weight, and what the loss is without it. */
function wireWords([parameter, source, target], { scene, causes }) {
  const [from, to] = [source, target].map(nameOf);
  const [i, j] = [source, target].map((name) => partsOf(name)[1]);
  const isMeant = (wires) => wires.parameter === parameter && `${scene.rows[wires.source].name}:${i}` === source && `${scene.rows[wires.target].name}:${j}` === target;
  const wires = scene.wires.find(isMeant);
  const at = wires ? wires.weights.findIndex((_, place) => wires.sources[place] === i && wires.targets[place] === j) : -1;
  const weight = at < 0 ? "" : `, weight ${shown(wires.weights[at])}`;
  const found = wireEffectsOf(causes).get(wireKey({ parameter, source, target }));
  const effect = found !== undefined ? `; if it is 0, the loss changes by ${signed(found)}` : "; it was not knocked out for this page";
  return `Chosen wire: ${from} to ${to} (${parameter})${weight}${effect}`;
}

function knockedNeurons(causes, store) {
  const rows = [...neuronEffectsOf(causes)];
  if (!rows.length) return null;
  rows.sort((a, b) => b[1] - a[1]);
  const caption = `Rise of the held-out loss without one neuron (its mean over the examples instead), ${shown(causes.neuron_examples)} examples`;
  return dataTable(caption, ["neuron", "rise of the loss"], rows.slice(0, MOST_ROWS).map(([name, effect]) => [neuronButton(name, store), effect]));
}

function knockedWires(causes, store) {
  if (!causes.wires.length) return null;
  const caption = `Change of the loss (${shown(causes.before)}) if one weight is 0, the first ${shown(causes.wire_examples)} held-out examples${causes.wires.length > MOST_ROWS ? `; the ${MOST_ROWS} greatest of ${causes.wires.length}` : ""}`;
  const rows = causes.wires.slice(0, MOST_ROWS).map((wire) => [
    neuronButton(wire.source, store), neuronButton(wire.target, store), wire.weight, wire.effect, `${wire.parameter}[${wire.place.join(",")}]`,
  ]);
  return dataTable(caption, ["from", "to", "weight", "change", "place"], rows);
}

function keptAnswers(answers) {
  if (!answers.length) return [];
  const one = ({ question, about, command, lines }) =>
    folded(about ? `${question}: ${about}` : question, h("p", {}, h("code", {}, command)), dataTable(`What ${question} found, the first numbers`, ["name", "value"], lines));
  return [h("h3", {}, "Kept answers about this network"), ...answers.map(one)];
}
