// Neurons by name, and what each of them is. The page's state and address know a neuron as "row:index", e.g. "Res2:9".
// A reader sees its name, which says where TransformerLens finds it, "blocks.0.hook_resid_post[9]", or, in the drawing,
// where there is no room for that, its short one: its row's title and its index, "Res2 9".

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

const ROWS = new Map(); // by name; those of the one network that the page is about

/** Make the rows of the scene known, by which neurons are named. */
export function nameBy(rows) {
  for (const row of rows) ROWS.set(row.name, row);
}

/** A neuron's name (adapters/stage_hooks.py: neuron_name), and what it is called in its task. */
export function nameOf(id) {
  const [row, index] = partsOf(id);
  const own = ROWS.get(row);
  if (own === undefined) return id;
  const token = own.token === null ? "" : ` at token ${own.token}`;
  return `${own.hook ?? own.stage}[${index}]${token}${ownName(own, index)}`;
}

/** A neuron's short name, as the drawing writes it. */
export function shortOf(id) {
  const [row, index] = partsOf(id);
  const own = ROWS.get(row);
  return own === undefined ? id : `${own.title} ${index}${ownName(own, index)}`;
}

function ownName(row, index) {
  return row.labels ? ` (${row.labels[index]})` : "";
}

/** Whether a name is that of a neuron of these rows of the scene. */
export function isNeuron(rows, name) {
  if (typeof name !== "string") return false;
  const [own, index] = partsOf(name);
  const row = rows.find((one) => one.name === own);
  return row !== undefined && Number.isInteger(index) && index >= 0 && index < row.x.length;
}
