// The scene as the panel reads it: rows with titles, neurons by id, wires one by one, and the network at earlier steps.
import { ACTIVE, IDLE } from "./neurons.js";

export function modelOf(content) {
  const scene = content.scene;
  const rows = scene.rows.map((row, index) => ({ ...row, index, half: Math.max(0, ...row.lift.map(Math.abs)) }));
  const model = { scene, rows, byName: new Map(rows.map((row) => [row.name, row])), frames: content.evolution?.frames ?? [], framesNote: content.evolution?.note ?? "" };
  model.kinds = scene.wires.map((entry) => kindOf(rows[entry.source], rows[entry.target], rows));
  const inOrder = scene.wires.map((entry, i) => [entry.target, entry.source, model.kinds[i]]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  model.kindNames = [...new Set(inOrder.map(([, , kind]) => kind))];
  model.wires = wiresOf(model, scene.wires.map((entry) => [entry.sources, entry.targets, entry.weights]), scene.wires);
  model.links = scene.links.flatMap(({ source, target, neurons }) =>
    neurons.map((n) => ({ source: `${rows[source].name}:${n}`, target: `${rows[target].name}:${n}` })));
  model.biases = biasesOf(scene, rows);
  model.dense = scene.wires.some((entry) => entry.density);
  model.heads = [...new Set(rows.flatMap((row) => row.boxes.map(([head]) => `${row.block}.${head}`)))].sort(byNumbers);
  model.earlier = new Map();
  return model;
}

const byNumbers = (a, b) => a.split(".")[0] - b.split(".")[0] || a.split(".")[1] - b.split(".")[1];

/** What a matrix does, from the stages that it joins: Q, K, V, O, MLP in and out, embed, unembed, or its two rows. */
function kindOf(source, target, rows) {
  const word = (row) => row.stage.split(".").pop();
  if (target.block !== null && ["q", "k", "v"].includes(word(target))) return word(target).toUpperCase();
  if (source.block !== null && word(source) === "v") return "O";
  if (target.block !== null) return `${target.label} in`;
  if (source.block !== null) return `${source.label} out`;
  const stream = rows.some((row) => row.block !== null);
  if (stream && source.depth === rows[0].depth) return "embed";
  if (stream && target.depth === rows[rows.length - 1].depth) return "unembed";
  return `${source.stage} to ${target.stage}`;
}

function headOf(row, neuron) {
  return row.block !== null && row.heads[neuron] >= 0 ? `${row.block}.${row.heads[neuron]}` : null;
}

/** Wires one by one from [sources, targets, weights] by matrix; ``entries``: the scene's, where these are its own. */
function wiresOf(model, matrices, entries) {
  const made = [];
  matrices.forEach(([sources, targets, weights], number) => {
    const place = model.scene.wires[number];
    const [from, to] = [model.rows[place.source], model.rows[place.target]];
    const largest = entries ? entries[number].largest : weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
    weights.forEach((weight, i) => {
      made.push({
        entry: number, parameter: place.parameter, kind: model.kinds[number],
        source: `${from.name}:${sources[i]}`, target: `${to.name}:${targets[i]}`,
        from: from.index, to: to.index, u: sources[i], v: targets[i],
        head: headOf(to, targets[i]) ?? headOf(from, sources[i]), weight, strength: largest > 0 ? Math.abs(weight) / largest : 0,
        active: entries ? entries[number].active[i] : true,
        at: entries?.[number].entries ? indices(entries[number].entries[i], entries[number].shape) : null,
      });
    });
  });
  return made;
}

/** A place in a flattened tensor as its indices. */
function indices(flat, shape) {
  const found = [];
  for (let d = shape.length - 1; d >= 0; d -= 1) {
    found.unshift(flat % shape[d]);
    flat = Math.floor(flat / shape[d]);
  }
  return found;
}

function biasesOf(scene, rows) {
  const found = new Map();
  for (const { parameter, row, neurons, values, largest } of scene.biases) {
    neurons.forEach((n, i) => found.set(`${rows[row].name}:${n}`, { parameter, value: values[i], share: values[i] / largest }));
  }
  return found;
}

/** {wires, touched, x, lift} of the network in the snapshot of this number, or as it is shown (null). */
export function networkAt(model, number, order) {
  const frame = number === null ? undefined : model.frames[number];
  if (!model.earlier.has(number)) {
    const wires = frame ? wiresOf(model, frame.wires, null) : model.wires;
    model.earlier.set(number, { wires, touched: new Set(wires.flatMap((wire) => [wire.source, wire.target])) });
  }
  const start = !frame && order === "start";
  const x = model.rows.map((row) => frame?.x?.[row.name] ?? (start ? row.start : null) ?? row.x);
  const lift = model.rows.map((row) => frame?.lift?.[row.name] ?? (start ? row.start_lift : null) ?? row.lift);
  return { ...model.earlier.get(number), number, frame, x, lift };
}

/** The wires that are drawn: at least as large as the threshold, of a kind and a head that are not hidden. */
export function drawnWires(wires, state) {
  const kinds = new Set(state.hiddenKinds);
  const heads = new Set(state.hiddenHeads);
  return wires.filter((wire) => Math.abs(wire.weight) >= state.threshold && !kinds.has(wire.kind) && !heads.has(wire.head));
}

/** What a neuron is: by the scene, or at an earlier step by whether a wire touches it. */
export function stateOf(model, network, row, index) {
  if (!network.frame) return model.rows[row].states[index];
  return network.touched.has(`${model.rows[row].name}:${index}`) ? ACTIVE : IDLE;
}
