// Inputs as sliders, number fields and choices, and the stored examples to load.
import { h } from "./dom.js";
import { shown, typed } from "./numbers.js";
import { LIVE_MOST, liveAllowed, liveExampleNumber, liveInputsOf, liveNested } from "./live_session.js";
import { liveValueOf } from "./live_truth.js";

const LIVE_FEW = 12; // inputs that stand there at once; more can be opened

/** The card of the inputs. */
export function liveControls(session, content, store) {
  const { part } = session;
  const message = h("p", { role: "status", class: "live-message" });
  const controls = part.inputs.map((one, i) => (one.choices === null ? liveSlider : liveChoice)(one, i, session, store, message));
  const grid = h("div", { class: "live-inputs" }, ...controls.flatMap(({ elements }) => elements));
  const derived = part.derived.map((one) => ({ one, output: h("output", { class: "live-number" }) }));
  const example = liveExampleLoader(session, store, message);
  const element = h(
    "div",
    { class: "live-card" },
    h("h3", {}, "Inputs"),
    part.inputs.length > LIVE_FEW ? h("details", {}, h("summary", {}, `${part.inputs.length} inputs`), grid) : grid,
    ...derived.map(({ one, output }) => h("p", {}, `${one.name} = `, output)),
    example.element,
    message,
  );
  const update = (state, { input }) => {
    const quantities = liveQuantities(session, input);
    controls.forEach((control, i) => control.show(quantities[part.inputs[i].name]));
    for (const { one, output } of derived) output.textContent = liveDerived(one, quantities);
    example.show(state);
  };
  return { element, update };
}

/** The inputs that are offered, by name. */
export function liveQuantities({ part, sample }, input) {
  return Object.fromEntries(part.inputs.map((one) => [one.name, input[one.position * sample.features + one.feature]]));
}

function liveDerived({ expression, low, high }, quantities) {
  const value = liveValueOf(expression, quantities);
  const range = `${shown(low)} to ${shown(high)}`;
  if (value >= low && value <= high) return shown(value);
  return `${shown(value)}, outside of the held-out examples (${range})`;
}

function liveChange(one, value, session, store) {
  const flat = liveInputsOf(session, store.get());
  flat[one.position * session.sample.features + one.feature] = value;
  store.set({ inputs: liveNested(session, flat) });
}

function liveSlider(one, i, session, store, message) {
  const id = `live-input-${i}`;
  const slider = h("input", { type: "range", id, min: one.low, max: one.high, step: "any" });
  const field = h("input", { type: "text", inputmode: "decimal", "aria-label": `${one.name}, as a number`, size: 9, autocomplete: "off" });
  slider.addEventListener("input", () => {
    message.textContent = "";
    liveChange(one, Number(slider.value), session, store);
  });
  field.addEventListener("change", () => {
    const value = field.value.trim() === "" ? NaN : Number(field.value);
    const good = liveAllowed(one, value);
    field.setAttribute("aria-invalid", String(!good));
    message.textContent = good ? liveOutside(one, value) : liveRefusal(one, field.value);
    if (good) liveChange(one, value, session, store);
  });
  const show = (value) => {
    slider.value = String(value);
    slider.setAttribute("aria-valuetext", shown(value));
    field.value = typed(value);
    field.dataset.value = String(value);
    field.setAttribute("aria-invalid", "false");
  };
  return { elements: [h("label", { for: id }, one.name), slider, field], show };
}

function liveOutside({ name, low, high }, value) {
  if (value >= low && value <= high) return "";
  return `${name} is outside of the held-out examples, ${shown(low)} to ${shown(high)}.`;
}

function liveRefusal(one, text) {
  const most = LIVE_MOST.toLocaleString("en");
  return `${one.name} must be a number from -${most} to ${most}, such as ${shown((one.low + one.high) / 2)}; found "${text.slice(0, 40)}"`;
}

function liveChoice(one, i, session, store, message) {
  const id = `live-input-${i}`;
  const options = one.choices.map((name, value) => h("option", { value }, name));
  const select = h("select", { id }, ...options);
  select.addEventListener("change", () => {
    message.textContent = "";
    liveChange(one, Number(select.value), session, store);
  });
  return { elements: [h("label", { for: id }, one.name), select, h("span")], show: (value) => (select.value = String(value)) };
}

/** A field for the number of a stored example, and buttons around it. */
function liveExampleLoader(session, store, message) {
  const last = session.sample.n - 1;
  const field = h("input", { type: "text", inputmode: "numeric", id: "live-example", size: 5, autocomplete: "off" });
  const load = (number) => {
    const good = Number.isInteger(number) && number >= 0 && number <= last;
    field.setAttribute("aria-invalid", String(!good));
    message.textContent = good ? "" : `example must be a whole number from 0 to ${last}; found "${field.value.slice(0, 40)}"`;
    if (good) store.set({ example: number, inputs: null });
  };
  const read = () => load(field.value.trim() === "" ? NaN : Number(field.value));
  field.addEventListener("change", read);
  const step = (by) => () => load((liveExampleNumber(session, store.get()) + by + last + 1) % (last + 1));
  const note = h("span", { class: "live-note" });
  const element = h(
    "p",
    { class: "live-example" },
    h("label", { for: "live-example" }, "Held-out example "),
    field,
    h("button", { type: "button", onclick: read }, "Load"),
    h("button", { type: "button", "aria-label": "previous example", onclick: step(-1) }, "←"),
    h("button", { type: "button", "aria-label": "next example", onclick: step(1) }, "→"),
    note,
  );
  const show = (state) => {
    field.value = String(liveExampleNumber(session, state));
    note.textContent = ` 0 to ${last}${state.inputs === null ? "" : "; inputs were changed"}`;
  };
  return { element, show };
}
