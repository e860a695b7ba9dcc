// Up- and downstream of a neuron: through the wires that are drawn, and where a neuron passes from row to row unchanged.

/** {forward, back}: neuron -> the neurons next to it, by wires and by the scene's links. */
export function graphOf(model, wires) {
  const forward = new Map();
  const back = new Map();
  const join = (source, target) => {
    if (!forward.has(source)) forward.set(source, []);
    if (!back.has(target)) back.set(target, []);
    forward.get(source).push(target);
    back.get(target).push(source);
  };
  for (const wire of wires) join(wire.source, wire.target);
  for (const link of model.links) join(link.source, link.target);
  return { forward, back };
}

/** The neurons that are reached from one through a map of neighbours, itself left out. */
export function reached(neighbours, start) {
  const found = new Set();
  const waiting = [start];
  while (waiting.length > 0) {
    for (const next of neighbours.get(waiting.pop()) ?? []) {
      if (found.has(next) || next === start) continue;
      found.add(next);
      waiting.push(next);
    }
  }
  return found;
}

/** What is up- and downstream of some neurons: two sets of neurons; those that are asked about are in neither. */
export function streams(model, wires, neurons) {
  const { forward, back } = graphOf(model, wires);
  const up = new Set();
  const down = new Set();
  for (const neuron of neurons) {
    for (const one of reached(back, neuron)) up.add(one);
    for (const one of reached(forward, neuron)) down.add(one);
  }
  for (const neuron of neurons) {
    up.delete(neuron);
    down.delete(neuron);
  }
  return { up, down };
}
