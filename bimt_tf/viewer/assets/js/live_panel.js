// The live network: inputs to move, neurons to knock out, and what the network makes of it.
import { h } from "./dom.js";
import { liveAttention } from "./live_attention.js";
import { liveControls } from "./live_controls.js";
import { liveKnockOuts } from "./live_knock.js";
import { liveMap } from "./live_map.js";
import { liveNeurons } from "./live_neurons.js";
import { liveOutputTable } from "./live_output_table.js";
import { livePosition, liveResults, liveSession, liveValuesAt } from "./live_session.js";

export const livePanel = { id: "live", title: "Live network", needs: "live", build: liveBuild };

const LIVE_KEYS = ["inputs", "example", "knocked", "knockValue", "position", "selected"];

function liveBuild(section, content, store) {
  const part = content.live;
  if (part.reason !== undefined) {
    section.append(h("p", {}, `Not available: ${part.reason}.`));
    return;
  }
  const session = liveSession(part);
  const cards = [liveControls, liveOutputTable, liveKnockOuts, liveNeurons, liveAttention, liveMap];
  const built = cards.map((card) => card(session, content, store)).filter((card) => card !== null);
  section.append(
    h("p", { class: "live-about" }, "The network itself, computed in this page: change its inputs, or knock neurons out."),
    h("div", { class: "live-cards" }, ...built.map(({ element }) => element)),
  );
  store.subscribe((state, changed) => {
    if (!LIVE_KEYS.some((key) => changed.has(key))) return;
    if (state.inputs !== null && changed.has("example") && !changed.has("inputs")) {
      store.set({ inputs: null }); // another panel shows another example: it is loaded
      return;
    }
    const results = liveResults(session, state);
    for (const card of built) card.update(state, results, changed);
    store.set({ values: liveValuesAt(session, results.now, livePosition(session, state)) });
  });
}
