// How much each token attends to those before it, for the present inputs: a small table a head.
import { h } from "./dom.js";
import { liveTokenName } from "./live_session.js";
import { CARRIED } from "./neurons.js";

const LIVE_TOKENS = 12; // a larger table would be wider than the card

/** Whether the live network of a page shows its attention: the panel of stored patterns would show it once more. */
export function liveHasAttention(part) {
  return part?.steps !== undefined && part.steps.some(({ op }) => op === "attend") && part.examples.shape[1] <= LIVE_TOKENS;
}

/** The card of the attention patterns; null for a network without. */
export function liveAttention(session, content) {
  const steps = session.network.steps.filter(({ op }) => op === "attend");
  const [, positions] = session.part.examples.shape;
  if (!liveHasAttention(session.part)) return null;
  const grids = steps.flatMap((step) => liveHeads(step, content.scene).map((head) => liveGrid(step, head, session)));
  const none = h("p", { class: "live-note" }, "No head writes anything that an output depends on.");
  const element = h(
    "div",
    { class: "live-card" },
    h("h3", {}, "Attention"),
    h("div", { class: "live-grids" }, ...(grids.length === 0 ? [none] : grids.map(({ table }) => table))),
    h("p", { class: "live-note" }, "A line shows how much its token attends to each; heads that write nothing are left out."),
  );
  const update = (state, { now }) => {
    for (const { cells, block, head } of grids) {
      const pattern = now.patterns[block].subarray(head * positions * positions, (head + 1) * positions * positions);
      for (const { cell, at } of cells) {
        cell.textContent = pattern[at].toFixed(3);
        cell.dataset.value = String(pattern[at]);
        cell.style.setProperty("--share", `${Math.round(40 * pattern[at])}%`);
      }
    }
  };
  return { element, update };
}

/** The heads whose values are on a path to an output. */
function liveHeads({ to }, { rows }) {
  const row = rows.find(({ name }) => name === to);
  return [...new Set(row.heads.filter((_, i) => row.states[i] >= CARRIED))].sort((a, b) => a - b);
}

function liveGrid({ block }, head, session) {
  const [, positions] = session.part.examples.shape;
  const numbers = [...Array(positions).keys()];
  const cells = [];
  const lines = numbers.map((to) => {
    const line = numbers.map((from) => {
      const cell = h("td", { class: from > to ? null : "live-share" });
      if (from <= to) cells.push({ cell, at: to * positions + from });
      return cell;
    });
    return h("tr", {}, h("th", { scope: "row" }, liveTokenName(session, to)), ...line);
  });
  const heads = h("tr", {}, h("td"), ...numbers.map((from) => h("th", { scope: "col" }, String(from))));
  const caption = h("caption", {}, `block ${block.split(".").pop()}, head ${head}`);
  const table = h("table", { class: "live-table" }, caption, h("thead", {}, heads), h("tbody", {}, ...lines));
  return { table, cells, block, head };
}
