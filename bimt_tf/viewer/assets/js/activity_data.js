// What neurons do on the stored examples, and what is named of these.
import { bytesOf } from "./bytes.js";
import { CARRIED, nameOf, partsOf } from "./neurons.js";

/** Base64 of little-endian 32-bit floats -> Float32Array. */
export function unpacked(text) {
  return new Float32Array(bytesOf(text).buffer);
}

/** The activity of a page's content, decoded when it is asked for; null where there is none. */
export function activityOf(content) {
  const part = content.activity;
  if (part === null) return null;
  if (!part.decoded) {
    const quantities = new Map(part.quantities.map((one) => [one.name, { ...one, values: unpacked(one.values) }]));
    part.decoded = { ...part, quantities, cache: new Map() };
  }
  return part.decoded;
}

/** A neuron's value on each example at a position (null: the one that answers); null where it is not stored. */
export function valuesOf(activity, name, position) {
  const [row, neuron] = partsOf(name);
  const found = activity?.rows[row];
  const place = found ? found.neurons.indexOf(neuron) : -1;
  if (place < 0) return null;
  if (!activity.cache.has(row)) activity.cache.set(row, unpacked(found.values));
  const token = found.tokens === null ? 0 : Math.min(Math.trunc(position ?? activity.answers), found.tokens - 1);
  const start = (place * (found.tokens ?? 1) + token) * activity.n;
  return activity.cache.get(row).subarray(start, start + activity.n);
}

/** A quantity's value of an example as text: the class's name, or the number. */
export function quantityText(quantity, example, number) {
  const value = quantity.values[example];
  return quantity.classes ? quantity.classes[value] ?? String(value) : number(value);
}

/** Options of a select of quantities. */
export function quantityOptions(activity) {
  const words = { task: "of the task", target: "targets", output: "outputs", input: "inputs" };
  const names = [...activity.quantities.values()];
  return Object.entries(words)
    .map(([of, group]) => ({ group, options: names.filter((one) => one.of === of).map(({ name }) => [name, name]) }))
    .filter(({ options }) => options.length > 0);
}

/** Options of a select of neurons: those with stored values, by row; without activity those that are active. */
export function neuronOptions(content) {
  const rows = content.activity
    ? Object.entries(content.activity.rows).map(([row, { neurons }]) => [row, neurons])
    : content.scene.rows.map((row) => [row.name, row.states.flatMap((state, i) => (state >= CARRIED ? [i] : []))]);
  return rows
    .filter(([, neurons]) => neurons.length > 0)
    .map(([row, neurons]) => ({ group: titleOf(content, row), options: neurons.map((i) => [`${row}:${i}`, nameOf(`${row}:${i}`)]) }));
}

function titleOf(content, name) {
  return content.scene.rows.find((row) => row.name === name)?.title ?? name;
}

/** Options of a select of positions; [] where there are none. */
export function positionOptions(activity) {
  const word = (token) => (token === activity.answers ? `token ${token} (answers)` : `token ${token}`);
  return activity?.tokens ? d3.range(activity.tokens).map((token) => [String(token), word(token)]) : [];
}
