// Neurons knocked out, as `bimt ablate` does it, and the loss on the stored examples without them.
import { h } from "./dom.js";
import { nameOf, partsOf } from "./neurons.js";
import { shown, signed } from "./numbers.js";
import { liveWithout } from "./live_session.js";

const LIVE_TYPED = "select, textarea, input:not([type=range]):not([type=checkbox]):not([type=radio])";

/** The card of the knock-outs. */
export function liveKnockOuts(session, content, store) {
  const button = h("button", { type: "button", "aria-keyshortcuts": "k", onclick: () => liveToggle(session, store) });
  const select = h(
    "select",
    { id: "live-knock-value", onchange: () => store.set({ knockValue: select.value }) },
    h("option", { value: "mean" }, `their mean over the ${session.sample.n} examples`),
    h("option", { value: "zero" }, "zero"),
  );
  const told = h("p", { role: "status", class: "live-loss" });
  const list = h("ul", { class: "live-knocked" });
  const command = h("code");
  const same = h("p", { class: "live-note" }, "On all held-out examples: ", command);
  const all = h("button", { type: "button", onclick: () => liveRestore(store, [], button, select) }, "Restore all");
  const tokens = Object.values(session.network.rows).some(({ positions }) => positions > 1);
  const choice = h("p", {}, h("label", { for: "live-knock-value" }, "In their place stands "), select, tokens ? ", at every token" : null);
  const element = h("div", { class: "live-card" }, h("h3", {}, "Knock-outs"), h("p", {}, button), choice, told, list, all, same);
  document.addEventListener("keydown", (event) => liveKey(event, session, store));
  const update = (state, { known, unknown }, changed) => {
    liveShowButton(button, session, state);
    if (!["knocked", "knockValue"].some((key) => changed.has(key))) return;
    select.value = state.knockValue === "zero" ? "zero" : "mean";
    told.textContent = liveLossTold(session, known, state.knockValue) + liveUnknown(unknown);
    list.replaceChildren(...known.map((one) => liveItem(session, store, one, state.knockValue, button, select)));
    all.hidden = known.length + unknown.length < 2;
    command.textContent = liveCommand(session, known, state.knockValue);
    same.hidden = command.textContent === "";
  };
  return { element, update };
}

/** Knock the selected neuron out, or restore it. */
function liveToggle({ network }, store) {
  const { selected, knocked } = store.get();
  const name = liveCandidate(network, selected);
  if (name === null) return;
  store.set({ knocked: knocked.includes(name) ? knocked.filter((one) => one !== name) : [...knocked, name] });
}

function liveCandidate({ rows }, selected) {
  const name = selected[selected.length - 1];
  return name !== undefined && Object.hasOwn(rows, partsOf(name)[0]) ? name : null;
}

function liveShowButton(button, { network }, { selected, knocked }) {
  const name = liveCandidate(network, selected);
  button.disabled = name === null;
  if (name === null) button.textContent = "Select a neuron to knock it out";
  else button.textContent = `${knocked.includes(name) ? "Restore" : "Knock out"} ${nameOf(name)} (key K)`;
}

/** "k" knocks out the selected neuron, unless something is being typed. */
function liveKey(event, session, store) {
  if (event.key.toLowerCase() !== "k" || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target instanceof Element && event.target.closest(LIVE_TYPED) !== null) return;
  liveToggle(session, store);
}

function liveRestore(store, knocked, button, select) {
  store.set({ knocked });
  (button.disabled ? select : button).focus(); // the button that was pressed is gone
}

function liveItem(session, store, one, value, button, select) {
  const alone = liveWithout(session, [one], value);
  const others = () => store.get().knocked.filter((name) => name !== one.name);
  const cost = alone === null ? "" : ` alone: loss ${shown(alone.loss)} (${signed(alone.loss - session.before.loss)}) `;
  const restore = h("button", { type: "button", "aria-label": `Restore ${nameOf(one.name)}`, onclick: () => liveRestore(store, others(), button, select) }, "Restore");
  return h("li", { "data-loss": alone === null ? null : String(alone.loss) }, h("strong", {}, nameOf(one.name)), cost, restore);
}

function liveLossTold(session, known, value) {
  const { part, sample, before } = session;
  if (before === null) return "The page does not know this task's loss.";
  const on = `Loss on ${sample.n === part.of ? "the" : `the first ${sample.n} of`} ${part.of} held-out examples`;
  const correct = ({ accuracy }) => (accuracy === null ? "" : `, ${shown(100 * accuracy)}% correct`);
  const whole = `${shown(before.loss)} with all neurons${correct(before)}`;
  if (known.length === 0) return `${on}: ${whole}.`;
  const now = liveWithout(session, known, value);
  const those = known.length === 1 ? "this one" : `these ${known.length}`;
  return `${on}: ${whole}; ${shown(now.loss)} without ${those}${correct(now)} (${signed(now.loss - before.loss)}).`;
}

function liveUnknown(unknown) {
  return unknown.length === 0 ? "" : ` Not in this network: ${unknown.slice(0, 5).map((name) => name.slice(0, 40)).join(", ")}.`;
}

/** The command that measures the same; "" where it takes more than one. */
function liveCommand({ network }, known, value) {
  const rows = [...new Set(known.map(({ row }) => row))];
  if (rows.length !== 1 || network.rows[rows[0]].hook === null) return "";
  const { hook, token } = network.rows[rows[0]];
  const at = token === null ? "" : ` --position ${token}`;
  const neurons = known.map(({ index }) => index).join(",");
  return `bimt ablate DIR --hook ${hook} --neurons ${neurons}${at}${value === "zero" ? " --value zero" : ""}`;
}
