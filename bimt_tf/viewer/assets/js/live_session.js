// The live network of a page: what it makes of the inputs and knock-outs that the state holds.
import { liveNetwork, liveRun } from "./live.js";
import { partsOf } from "./neurons.js";
import { liveEdits, liveExample, liveMeasured, liveOutputs, liveSample } from "./live_sample.js";

/** Numbers beyond this are refused: an activation of them would overflow. */
export const LIVE_MOST = 1e6;

/** The decoded network and its sample, with room for results that are used again. */
export function liveSession(part) {
  const network = liveNetwork(part);
  const sample = liveSample(network, part);
  const session = { part, network, sample, losses: new Map(), now: null, whole: null };
  session.before = sample.loss === null ? null : liveMeasured(sample, sample.outputs);
  return session;
}

/** Which stored example the state names. */
export function liveExampleNumber({ sample }, state) {
  const number = Math.round(Number(state.example));
  return Number.isFinite(number) ? Math.min(Math.max(number, 0), sample.n - 1) : 0;
}

/** The inputs that the state holds, flat; those of its example where it holds none, or none that can be. */
export function liveInputsOf(session, state) {
  const stored = Float64Array.from(liveExample(session.sample, liveExampleNumber(session, state)));
  const [, positions, features] = session.part.examples.shape;
  if (!Array.isArray(state.inputs) || state.inputs.length !== positions) return stored;
  const given = state.inputs.flat().map((one) => (typeof one === "number" ? one : NaN));
  if (given.length !== positions * features) return stored;
  // What is offered may be anything in its bounds; the rest, such as padding, is as it is in every example.
  for (const one of session.part.inputs) {
    const at = one.position * features + one.feature;
    if (!liveAllowed(one, given[at])) return stored;
    stored[at] = given[at];
  }
  return stored;
}

/** Whether an input may have this value. */
export function liveAllowed(one, value) {
  if (one.choices !== null) return Number.isInteger(value) && value >= 0 && value < one.choices.length;
  return Number.isFinite(value) && Math.abs(value) <= LIVE_MOST;
}

/** Inputs as the state holds them: [position][feature]. */
export function liveNested(session, flat) {
  const [, positions, features] = session.part.examples.shape;
  return Array.from({ length: positions }, (_, p) => Array.from(flat.subarray(p * features, (p + 1) * features)));
}

/** The knocked-out neurons that there are, and the names of those that there are not. */
export function liveKnocked({ network }, state) {
  const known = [];
  const unknown = [];
  for (const name of new Set(state.knocked)) {
    const [row, index] = partsOf(String(name));
    const there = Object.hasOwn(network.rows, row) && Number.isInteger(index);
    if (there && index >= 0 && index < network.rows[row].size) known.push({ name, row, index });
    else unknown.push(String(name));
  }
  return { known, unknown };
}

/** The network's result for the state's inputs with its knock-outs, and the same with all neurons. */
export function liveResults(session, state) {
  const { network, sample } = session;
  const input = liveInputsOf(session, state);
  const { known, unknown } = liveKnocked(session, state);
  session.whole = liveRun(network, input, {}, session.whole);
  session.now = liveRun(network, input, liveEdits(network, sample, known, state.knockValue), session.now);
  return { input, known, unknown, now: session.now, whole: session.whole };
}

/** {loss, accuracy} on the stored examples without some neurons; null where the page does not know the loss. */
export function liveWithout(session, neurons, value) {
  const { network, sample, losses } = session;
  if (sample.loss === null) return null;
  if (neurons.length === 0) return session.before;
  const key = JSON.stringify([value, neurons.map(({ name }) => name).sort()]);
  if (!losses.has(key)) {
    losses.set(key, liveMeasured(sample, liveOutputs(network, sample, liveEdits(network, sample, neurons, value))));
  }
  return losses.get(key);
}

/** The token whose values are shown: the one that answers unless the state names another. */
export function livePosition({ part }, state) {
  const positions = Math.max(...Object.values(part.rows).map((row) => row.positions));
  const wanted = state.position;
  return Number.isInteger(wanted) && wanted >= 0 && wanted < positions ? wanted : part.answer;
}

/** {row: [a value a neuron]} at one token; rows of one token have that one. */
export function liveValuesAt({ network }, result, position) {
  const found = {};
  for (const [name, { positions, size }] of Object.entries(network.rows)) {
    const p = Math.min(position, positions - 1);
    found[name] = Array.from(result.values[name].subarray(p * size, (p + 1) * size));
  }
  return found;
}

/** Words for a token: the inputs that stand there. */
export function liveTokenName({ part }, position) {
  const names = part.inputs.filter((one) => one.position === position && one.choices === null).map(({ name }) => name);
  return names.length > 0 && names.length < 4 ? `token ${position} (${names.join(", ")})` : `token ${position}`;
}
