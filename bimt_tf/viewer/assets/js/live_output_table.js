// What the network answers, beside what it should be and what it answers with all its neurons.
import { h } from "./dom.js";
import { shown } from "./numbers.js";
import { liveQuantities } from "./live_controls.js";
import { liveExampleNumber, liveTokenName } from "./live_session.js";
import { liveLogProbabilities } from "./live_sample.js";
import { liveWanted, liveWantedClass } from "./live_truth.js";

const LIVE_CLASSES = 5; // the likeliest, of many

/** The card of the outputs. */
export function liveOutputTable(session) {
  const heads = h("tr");
  const body = h("tbody");
  const table = h("table", { class: "live-table" }, liveCaption(session), h("thead", {}, heads), body);
  const element = h("div", { class: "live-card" }, h("h3", {}, "Outputs"), h("div", { class: "live-scroll", tabindex: "0", role: "group", "aria-label": "outputs" }, table));
  const update = (state, results) => {
    const classes = session.sample.loss !== null && session.sample.loss.classes !== null;
    const { columns, rows } = (classes ? liveClassRows : liveNumberRows)(session, state, results);
    heads.replaceChildren(...columns.map((name) => h("th", { scope: "col" }, name)));
    body.replaceChildren(...rows.map(liveRowElement));
  };
  return { element, update };
}

function liveCaption(session) {
  const { part, network } = session;
  const tokens = network.rows[network.output].positions;
  return tokens > 1 ? h("caption", {}, `at ${liveTokenName(session, part.answer)}`) : null;
}

function liveRowElement({ name, numbers, note }) {
  const cells = numbers.map((value) => h("td", { "data-value": value === null ? null : String(value) }, shown(value)));
  return h("tr", {}, h("th", { scope: "row" }, name, note ? h("span", { class: "live-note" }, ` ${note}`) : null), ...cells);
}

function liveRead({ part, network }, result) {
  const { size } = network.rows[network.output];
  return part.outputs.map(({ position, feature }) => result.values[network.output][position * size + feature]);
}

/** What the outputs should be: by formula, else of a stored example its targets. */
function liveTargets(session, state, input) {
  const { part, sample } = session;
  const known = liveWanted(part.truth, liveQuantities(session, input));
  if (known !== null) return known;
  if (state.inputs !== null || sample.loss === null) return part.outputs.map(() => null);
  const first = liveExampleNumber(session, state) * part.outputs.length;
  return part.outputs.map((_, i) => sample.loss.targets[first + i]);
}

function liveNumberRows(session, state, { input, now, whole, known }) {
  const wanted = liveTargets(session, state, input);
  const [found, before] = [liveRead(session, now), liveRead(session, whole)];
  const columns = ["output", "network", "should be", "error", ...(known.length > 0 ? ["with all neurons"] : [])];
  const rows = session.part.outputs.map(({ name }, i) => ({
    name,
    numbers: [found[i], wanted[i], wanted[i] === null ? null : found[i] - wanted[i], ...(known.length > 0 ? [before[i]] : [])],
  }));
  return { columns, rows };
}

function liveTrueClass(session, state, input) {
  const known = liveWantedClass(session.part.truth, input);
  if (known !== null) return known;
  return state.inputs === null ? session.sample.loss.classes[liveExampleNumber(session, state) * session.sample.loss.groups] : null;
}

/** The likeliest classes and the true one, each with its output and, of a cross entropy, its probability. */
function liveClassRows(session, state, { input, now, whole, known }) {
  const { loss } = session.sample;
  const [found, before] = [liveRead(session, now), liveRead(session, whole)];
  const chances = loss.kind === "cross entropy" && loss.groups === 1;
  const [share, earlier] = [found, before].map((one) => (chances ? liveLogProbabilities(one).map(Math.exp) : one));
  const truth = loss.groups === 1 ? liveTrueClass(session, state, input) : null;
  const order = [...found.keys()].sort((a, b) => found[b] - found[a]);
  const likeliest = order.filter((one, rank) => rank < LIVE_CLASSES || one === truth);
  const kind = chances ? ["output", "probability"] : ["output"];
  const rows = likeliest.map((one) => ({
    name: session.part.outputs[one].name,
    note: [one === order[0] ? "answer" : "", one === truth ? "true" : ""].filter(Boolean).join(", "),
    numbers: [found[one], ...(chances ? [share[one]] : []), ...(known.length > 0 ? [earlier[one]] : [])],
  }));
  return { columns: ["class", ...kind, ...(known.length > 0 ? ["with all neurons"] : [])], rows };
}
