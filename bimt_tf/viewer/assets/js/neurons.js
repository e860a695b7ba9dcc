// Neurons by name, and what each of them is. A neuron is named "row:index", e.g. "Res2:9", everywhere in the page.

export const IDLE = 0;
export const CARRIED = 3; // from here on a neuron is on a path from an input to an output
export const ACTIVE = 4;
/** What a neuron is, by its number (scene/scene.py). */
export const STATES = ["without weights", "dead end: leads to no output", "without input", "carried on by the stream", "active"];

/** "Res2:9" -> ["Res2", 9]; names of rows may hold colons themselves. */
export function partsOf(name) {
  const at = name.lastIndexOf(":");
  return [name.slice(0, at), Number(name.slice(at + 1))];
}

/** "Res2:9" as words. */
export function neuronWords(name) {
  return partsOf(name).join(" ");
}

/** Whether a name is that of a neuron of these rows of the scene. */
export function isNeuron(rows, name) {
  if (typeof name !== "string") return false;
  const [own, index] = partsOf(name);
  const row = rows.find((one) => one.name === own);
  return row !== undefined && Number.isInteger(index) && index >= 0 && index < row.x.length;
}
