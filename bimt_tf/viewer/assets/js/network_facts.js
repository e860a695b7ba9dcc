// What other parts of the page know about neurons and wires: effects, modules, probes. Each may be missing.
import { partsOf } from "./network_model.js";

export function factsOf(content, model) {
  const causes = content.causes ?? {};
  const wires = new Map((causes.wires ?? []).map((one) => [wireKey(one), one.effect]));
  const neurons = new Map();
  for (const [row, found] of Object.entries(causes.neurons ?? {})) {
    (found.neurons ?? []).forEach((n, i) => neurons.set(`${row}:${n}`, found.effects?.[i]));
  }
  return { wireEffects: wires, neuronEffects: neurons, modules: modulesOf(content.modules, model) };
}

/** A wire by what it joins and the parameter that it is in. */
export function wireKey(wire) {
  return JSON.stringify([wire.parameter, wire.source, wire.target]);
}

/** What the loss changes by if this wire alone is cut; null where nothing is known. */
export function effectOf(facts, wire) {
  return wire.effect ?? facts.wireEffects.get(wireKey(wire)) ?? null;
}

/** {names, of: neuron -> number of its module}: as the part says, or else from the nodes, in all rows of their stage. */
function modulesOf(part, model) {
  const found = { names: [], of: new Map() };
  if (part?.members) {
    found.names = (part.modules ?? []).map((one) => one.name);
    found.of = new Map(Object.entries(part.members));
    return found;
  }
  for (const one of part?.modules ?? []) {
    const number = found.names.push(String(one.name ?? one.label ?? `module ${found.names.length + 1}`)) - 1;
    for (const node of one.neurons ?? one.nodes ?? []) {
      const [name, index] = Array.isArray(node) ? node : partsOf(String(node));
      const named = model.rows.filter((row) => row.name === name || row.stage === name);
      const rows = named.length > 0 ? named : model.rows.filter((row) => row.population === name);
      for (const row of rows) found.of.set(`${row.name}:${index}`, number);
    }
  }
  return found;
}
