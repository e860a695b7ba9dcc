// The state in the address: what differs from the initial state stands behind #, and is taken up again on opening.
import { initialState } from "./store.js";
import { isNeuron } from "./neurons.js";

const LEFT_OUT = ["hovered", "values"]; // what is under the pointer, and what can be computed again
const KINDS = {
  frame: "number", module: "string", position: "number", quantity: "string", inputs: "object", wire: "object",
};
const CHOICES = { order: ["now", "start"], colour: ["sign", "module", "effect", "activity"], theme: ["auto", "light", "dark"] };
const WAIT = 200; // ms before the address follows the state

/** The part of the address behind #, without it. */
export function addressOf(state) {
  return Object.keys(initialState)
    .filter((key) => !LEFT_OUT.includes(key) && JSON.stringify(state[key]) !== JSON.stringify(initialState[key]))
    .map((key) => `${key}=${encodeURIComponent(JSON.stringify(state[key]))}`).join("&");
}

/** {state, wrong}: what an address says, and the parts of it that say nothing here. */
export function read(address, content) {
  const state = {};
  const wrong = [];
  for (const part of address.split("&").filter(Boolean)) {
    const at = part.indexOf("=");
    const key = at < 0 ? part : part.slice(0, at);
    try {
      const value = JSON.parse(decodeURIComponent(part.slice(at + 1)));
      if (!Object.hasOwn(initialState, key) || LEFT_OUT.includes(key) || !fits(key, value, content)) throw new Error(key);
      state[key] = value;
    } catch {
      wrong.push(part.slice(0, 60));
    }
  }
  return { state, wrong };
}

/** Whether a value can be one of this key: of its kind, and naming only neurons that are there. */
function fits(key, value, content) {
  const usual = initialState[key];
  if (value === null) return usual === null;
  if (key in CHOICES) return CHOICES[key].includes(value);
  if (key === "selected" || key === "knocked") return Array.isArray(value) && value.every((id) => isNeuron(content.scene.rows, id)) && (key !== "selected" || value.length <= 2);
  if (key === "wire") return Array.isArray(value) && value.length === 3 && typeof value[0] === "string" && value.slice(1).every((id) => isNeuron(content.scene.rows, id));
  if (key === "frame") return Number.isInteger(value) && value >= 0 && value < (content.evolution?.frames ?? []).length;
  if (Array.isArray(usual)) return Array.isArray(value) && value.every((one) => typeof one === "string");
  const kind = usual === null ? KINDS[key] : typeof usual;
  return kind === undefined || (typeof value === kind && (kind !== "number" || (Number.isFinite(value) && value >= 0)));
}

/** Take up what the address says; parts that say nothing here are named in the note, and left out. */
export function restoreFromAddress(store, content, note) {
  const { state, wrong } = read(location.hash.slice(1), content);
  const unset = Object.fromEntries(Object.entries(initialState).filter(([key]) => !LEFT_OUT.includes(key)));
  store.set({ ...unset, ...state });
  note.hidden = wrong.length === 0;
  note.textContent = wrong.length > 0 ? `Parts of this page's address mean nothing here and were left out: ${wrong.join(", ")}` : "";
}

/** Let the address follow the state, and the state an address that is put in by hand. */
export function keepInAddress(store, content, note) {
  let waiting = null;
  store.subscribe(() => {
    clearTimeout(waiting);
    waiting = setTimeout(() => write(addressOf(store.get())), WAIT);
  });
  window.addEventListener("hashchange", () => {
    if (location.hash.slice(1) !== addressOf(store.get())) restoreFromAddress(store, content, note);
  });
}

function write(address) {
  if (location.hash.slice(1) === address) return;
  try {
    history.replaceState(null, "", address ? `#${address}` : location.href.split("#")[0]);
  } catch {
    // a page inside another (a notebook) may have no address of its own; the state is then not kept
  }
}
