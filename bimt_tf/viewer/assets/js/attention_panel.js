// Attention patterns of one example: a grid a head, numbers in its cells.
import { h } from "./dom.js";
import { shown } from "./numbers.js";
import { folded, refill } from "./tables.js";
import { unpacked } from "./activity_data.js";
import { shade } from "./charts.js";
import { liveHasAttention } from "./live_attention.js";

export const attentionPanel = { id: "attention", title: "Attention", needs: "attention", unless: ({ live }) => liveHasAttention(live), build: buildAttention };

function buildAttention(section, content, store) {
  section.classList.add("detail");
  const { attention } = content;
  const patterns = attention.blocks.map((block) => unpacked(block.patterns));
  const step = (by) => () => store.set({ example: (shownExample(store.get(), attention) + by + attention.n) % attention.n });
  const number = h("input", { type: "number", min: 0, max: attention.n - 1, step: 1, onchange: (event) => jump(event.target, attention, store) });
  const choices = h(
    "div", { class: "choices" },
    h("button", { type: "button", onclick: step(-1) }, "Previous example"),
    h("label", { class: "choice" }, h("span", {}, `example (0 to ${attention.n - 1})`), number),
    h("button", { type: "button", onclick: step(1) }, "Next example"),
  );
  const heading = h("h3", { tabindex: -1 });
  const inside = h("div", { class: "grids" });
  const cut = attention.tokens < attention.of ? `, the first ${attention.tokens} of ${attention.of}` : "";
  section.append(choices, heading, h("p", { class: "quiet" }, `Each row is a token that reads${cut}; its numbers, one for each token that is read, add up to 1.`), inside);

  store.subscribe((state, changed) => {
    if (!changed.has("example")) return;
    const example = shownExample(state, attention);
    number.value = String(example);
    const labels = attention.labels[example];
    heading.textContent = `Example ${example}: ${labels.map((label, i) => `token ${i}: ${label}`).join("; ")}`;
    const grids = attention.blocks.flatMap((block, place) =>
      d3.range(block.heads).map((head) => attentionGrid(block, head, patterns[place], example, attention)),
    );
    refill(inside, heading, ...grids);
  });
}

/** The example that is shown: fewer have patterns than activations. */
function shownExample(state, attention) {
  return Math.min(Math.trunc(state.example), attention.n - 1);
}

function jump(input, attention, store) {
  const example = Number(input.value);
  if (input.value !== "" && Number.isInteger(example) && example >= 0 && example < attention.n) store.set({ example });
  else input.value = String(shownExample(store.get(), attention));
}

function attentionGrid(block, head, pattern, example, { tokens }) {
  const value = (query, key) => pattern[((example * block.heads + head) * tokens + query) * tokens + key];
  const wide = tokens > 6;
  const cell = (query, key) => {
    const number = value(query, key);
    if (key > query && number === 0) return h("td", {}); // a later token, which is not read
    return shade(h("td", { title: `token ${query} reads token ${key}: ${number}` }, wide ? "" : number.toFixed(3)), number);
  };
  const name = `Block ${block.block}, head ${head}`;
  const head_ = h("tr", {}, h("td", {}), ...d3.range(tokens).map((key) => h("th", { scope: "col" }, String(key))));
  const row = (query) => h("tr", {}, h("th", { scope: "row" }, String(query)), ...d3.range(tokens).map((key) => cell(query, key)));
  const grid = h("table", { class: wide ? "grid small" : "grid" }, h("caption", {}, name), h("thead", {}, head_), h("tbody", {}, ...d3.range(tokens).map(row)));
  return wide ? h("div", {}, grid, folded("Its numbers", attentionWords(value, tokens))) : grid;
}

function attentionWords(value, tokens) {
  const line = (query) => `${query}: ${d3.range(tokens).map((key) => shown(value(query, key))).join(", ")}`;
  return h("pre", { class: "scroll", tabindex: 0 }, d3.range(tokens).map(line).join("\n"));
}
