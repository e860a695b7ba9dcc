// The network evaluated: every row of the scene from the rows before it, in the steps that viewer/live_network.py wrote.
import { LIVE_ACTIVATIONS } from "./live_activations.js";
import { liveEntries, liveNumbers } from "./live_arrays.js";

const LIVE_OPERATIONS = { input: liveInputStep, lookup: liveLookupStep, linear: liveLinearStep, attend: liveAttendStep };

/** The page's description with its arrays decoded: {rows: {name: {positions, size}}, steps}. */
export function liveNetwork({ rows, steps }) {
  return { rows, steps: steps.map(liveDecoded), output: steps[steps.length - 1].to };
}

function liveDecoded(step) {
  const made = { ...step };
  if (step.op === "lookup") made.table = liveNumbers(step.table);
  if (step.op === "linear") {
    made.bias = liveNumbers(step.bias);
    made.parts = step.parts.map(({ from, weight }) => ({ source: from, entries: liveEntries(weight) }));
  }
  return made;
}

/**
 * Every neuron's value for one example: {values: {row: [positions * size]}, patterns: {block: [heads * to * from]}}.
 * input: [positions * features], or a number for each token. edits: {row: [{at, value}]}, written over what is computed.
 * into: an earlier result, whose arrays are used again.
 */
export function liveRun(network, input, edits = {}, into = null) {
  const made = into ?? liveEmpty(network);
  for (const step of network.steps) {
    const row = network.rows[step.to];
    LIVE_OPERATIONS[step.op](step, row, made, input, network.rows);
    for (const { at, value } of edits[step.to] ?? []) made.values[step.to][at] = value;
  }
  return made;
}

function liveEmpty({ rows, steps }) {
  const made = { values: {}, patterns: {} };
  for (const { op, to, heads, block } of steps) {
    const { positions, size } = rows[to];
    made.values[to] = new Float64Array(positions * size);
    if (op === "attend") made.patterns[block] = new Float64Array(heads * positions * positions);
  }
  return made;
}

function liveInputStep(step, row, { values }, input) {
  values[step.to].set(input);
}

function liveLookupStep({ to, token, table }, { size }, { values }, input) {
  values[to].set(table.subarray(input[token] * size, (input[token] + 1) * size));
}

function liveLinearStep({ to, parts, bias, acts, add }, { positions, size }, { values }, input, rows) {
  const out = values[to];
  for (let p = 0; p < positions; p += 1) out.set(bias, p * size);
  for (const { source, entries } of parts) {
    const { from, to: target, weight } = entries;
    const read = values[source];
    for (let p = 0; p < positions; p += 1) {
      const before = p * rows[source].size;
      const after = p * size;
      for (let k = 0; k < weight.length; k += 1) out[after + target[k]] += weight[k] * read[before + from[k]];
    }
  }
  for (const act of acts) {
    const f = LIVE_ACTIVATIONS[act];
    for (let i = 0; i < out.length; i += 1) out[i] = f(out[i]);
  }
  if (add !== null) for (let i = 0; i < out.length; i += 1) out[i] += values[add][i];
}

/** Causal attention; queries, keys and values [positions, heads * wide]. */
function liveAttendStep({ to, q, k, v, heads, scale, block }, { positions, size }, { values, patterns }) {
  const wide = size / heads;
  const [queries, keys, read, out, pattern] = [values[q], values[k], values[v], values[to], patterns[block]];
  out.fill(0);
  for (let head = 0; head < heads; head += 1) {
    const first = head * wide;
    for (let p = 0; p < positions; p += 1) {
      const weights = pattern.subarray((head * positions + p) * positions, (head * positions + p + 1) * positions);
      weights.fill(0);
      for (let t = 0; t <= p; t += 1) weights[t] = liveDot(queries, p * size + first, keys, t * size + first, wide) / scale;
      liveSoftmax(weights, p + 1);
      for (let t = 0; t <= p; t += 1) {
        for (let e = first; e < first + wide; e += 1) out[p * size + e] += weights[t] * read[t * size + e];
      }
    }
  }
}

function liveDot(a, from, b, start, length) {
  let sum = 0;
  for (let i = 0; i < length; i += 1) sum += a[from + i] * b[start + i];
  return sum;
}

/** Of the first numbers of an array, in place. */
function liveSoftmax(numbers, length) {
  let largest = -Infinity;
  let sum = 0;
  for (let i = 0; i < length; i += 1) largest = Math.max(largest, numbers[i]);
  for (let i = 0; i < length; i += 1) sum += numbers[i] = Math.exp(numbers[i] - largest);
  for (let i = 0; i < length; i += 1) numbers[i] /= sum;
}
