// What other parts of the page know about neurons and wires: effects of knock-outs, modules. Each may be missing.

/** {wireEffects, neuronEffects, modules: {names, of: neuron -> number of its module}}. */
export function factsOf({ causes, modules }) {
  const names = (modules?.modules ?? []).map((one) => one.name);
  return { wireEffects: wireEffectsOf(causes), neuronEffects: neuronEffectsOf(causes), modules: { names, of: new Map(Object.entries(modules?.members ?? {})) } };
}

/** Neuron -> what the loss rises by without it. */
export function neuronEffectsOf(causes) {
  return new Map(Object.entries(causes?.neurons ?? {}).flatMap(([row, { neurons, effects }]) => neurons.map((n, i) => [`${row}:${n}`, effects[i]])));
}

/** Key of a wire -> what the loss changes by if this wire alone is cut. */
export function wireEffectsOf(causes) {
  return new Map((causes?.wires ?? []).map((wire) => [wireKey(wire), wire.effect]));
}

/** A wire by what it joins and the parameter that it is in. */
export function wireKey({ parameter, source, target }) {
  return JSON.stringify([parameter, source, target]);
}

/** What the loss changes by if this wire alone is cut; null where nothing is known. */
export function effectOf(facts, wire) {
  return facts.wireEffects.get(wireKey(wire)) ?? null;
}
