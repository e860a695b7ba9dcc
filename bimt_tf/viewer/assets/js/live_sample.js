// The stored examples: what the network makes of them, its loss, and what is written where a neuron is knocked out.
import { liveRun } from "./live.js";
import { liveNumbers } from "./live_arrays.js";

/** The stored examples, the outputs for them and every neuron's mean over them. */
export function liveSample(network, part) {
  const inputs = liveNumbers(part.examples);
  const [n, positions, features] = part.examples.shape;
  const sample = { inputs, n, width: positions * features, features, loss: liveLossOf(part.loss) };
  sample.means = {};
  sample.outputs = liveOutputs(network, sample, {}, ({ values }) => {
    for (const [row, numbers] of Object.entries(values)) {
      const mean = (sample.means[row] ??= new Float64Array(numbers.length));
      for (let i = 0; i < numbers.length; i += 1) mean[i] += numbers[i] / n;
    }
  });
  return sample;
}

/** The numbers of one stored example. */
export function liveExample({ inputs, width }, i) {
  return inputs.subarray(i * width, (i + 1) * width);
}

/** The outputs [n * output] for all stored examples; seen is told of each example's result. */
export function liveOutputs(network, sample, edits, seen = null) {
  let made = null;
  let found = null;
  for (let i = 0; i < sample.n; i += 1) {
    made = liveRun(network, liveExample(sample, i), edits, made);
    const output = made.values[network.output];
    found ??= new Float64Array(sample.n * output.length);
    found.set(output, i * output.length);
    if (seen !== null) seen(made);
  }
  return found;
}

/** What knock-outs write: of neurons [{row, index}] at every position their mean over the stored examples, or 0. */
export function liveEdits(network, sample, neurons, value) {
  const edits = {};
  for (const { row, index } of neurons) {
    const { positions, size } = network.rows[row];
    for (let p = 0; p < positions; p += 1) {
      const at = p * size + index;
      (edits[row] ??= []).push({ at, value: value === "zero" ? 0 : sample.means[row][at] });
    }
  }
  return edits;
}

function liveLossOf(loss) {
  if (loss === null) return null;
  const decoded = (numbers) => (numbers === null ? null : liveNumbers(numbers));
  return { ...loss, targets: decoded(loss.targets), classes: decoded(loss.classes) };
}

/** {loss, accuracy}: the task's reported loss of outputs; accuracy is null where no classes are predicted. */
export function liveMeasured({ loss, n }, outputs) {
  const wide = outputs.length / n;
  const classes = loss.cells.length / loss.groups;
  let sum = 0;
  let right = 0;
  for (let i = 0; i < n; i += 1) {
    const read = loss.cells.map((cell) => outputs[i * wide + cell]);
    if (loss.targets !== null) read.forEach((value, j) => (sum += (value - loss.targets[i * read.length + j]) ** 2));
    for (let g = 0; loss.classes !== null && g < loss.groups; g += 1) {
      const logits = read.slice(g * classes, (g + 1) * classes);
      const wanted = loss.classes[i * loss.groups + g];
      right += logits.indexOf(Math.max(...logits)) === wanted;
      if (loss.targets === null) sum -= liveLogProbabilities(logits)[wanted];
    }
  }
  const accuracy = loss.classes === null ? null : right / (n * loss.groups);
  return { loss: sum / (n * (loss.targets === null ? loss.groups : loss.cells.length)), accuracy };
}

/** Logarithms of the classes' probabilities. */
export function liveLogProbabilities(logits) {
  const largest = Math.max(...logits);
  const total = largest + Math.log(logits.reduce((sum, one) => sum + Math.exp(one - largest), 0));
  return logits.map((one) => one - total);
}
