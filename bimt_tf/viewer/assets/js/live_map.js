// Which class the network answers for every pair of two inputs: the border between two classes, and the examples.
import { h, s } from "./dom.js";
import { liveRun } from "./live.js";
import { liveQuantities } from "./live_controls.js";
import { liveEdits } from "./live_sample.js";
import { liveNested } from "./live_session.js";

const LIVE_CELLS = 51; // points a side at which the network is asked
const LIVE_SIDE = 300;
const LIVE_MARGIN = 0.08; // around the examples, of their range

/** The card of the map; null for a network that does not tell two classes by two numbers. */
export function liveMap(session, content, store) {
  const { part, sample } = session;
  const two = part.inputs.length === 2 && sample.width === 2 && part.inputs.every(({ choices }) => choices === null);
  if (!two || sample.loss === null || sample.loss.classes === null || part.outputs.length !== 2) return null;
  const scales = part.inputs.map(({ low, high }, i) => {
    const pad = LIVE_MARGIN * (high - low);
    return d3.scaleLinear().domain([low - pad, high + pad]).range(i === 0 ? [0, LIVE_SIDE] : [LIVE_SIDE, 0]);
  });
  const names = part.outputs.map(({ name }) => name);
  const said = `Border between ${names[0]} and ${names[1]} over ${part.inputs[0].name} (to the right) and ${part.inputs[1].name} (upwards)`;
  const border = s("path", { class: "live-border" });
  const half = s("path", { class: "live-half" });
  const here = s("path", { class: "live-here", d: "M-7,0H7M0,-7V7" });
  const svg = s("svg", { viewBox: `0 0 ${LIVE_SIDE} ${LIVE_SIDE}`, role: "img", "aria-label": said, class: "live-map" }, half, ...livePoints(sample, scales), border, here);
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top].map((one) => (one / box.width) * LIVE_SIDE);
    store.set({ inputs: liveNested(session, Float64Array.from(scales.map((scale, i) => scale.invert(at[i])))) });
  });
  const legend = `Shaded and ringed: ${names[1]}; crosses: ${names[0]}; plus: the present inputs. A click moves them there.`;
  const element = h("div", { class: "live-card" }, h("h3", {}, "Map of the answer"), svg, h("p", { class: "live-note" }, `${said}. ${legend}`));
  const update = (state, { input, known }, changed) => {
    const at = Object.values(liveQuantities(session, input)).map((value, i) => scales[i](value));
    here.setAttribute("transform", `translate(${at.join(",")})`);
    if (!["knocked", "knockValue"].some((key) => changed.has(key))) return;
    const edges = liveEdges(session, scales, liveEdits(session.network, sample, known, state.knockValue));
    border.setAttribute("d", edges);
    half.setAttribute("d", edges);
  };
  return { element, update };
}

/** A path around the region where the second class is the answer. */
function liveEdges({ network }, scales, edits) {
  const step = LIVE_SIDE / (LIVE_CELLS - 1);
  const margins = [];
  let made = null;
  for (let row = 0; row < LIVE_CELLS; row += 1) {
    for (let column = 0; column < LIVE_CELLS; column += 1) {
      made = liveRun(network, [scales[0].invert(column * step), scales[1].invert(row * step)], edits, made);
      const [first, second] = made.values[network.output];
      margins.push(second - first);
    }
  }
  const [contour] = d3.contours().size([LIVE_CELLS, LIVE_CELLS]).thresholds([0])(margins);
  // A cell's value stands at its middle in d3, and at a corner of ours.
  const moved = d3.geoTransform({ point(x, y) { this.stream.point((x - 0.5) * step, (y - 0.5) * step); } });
  return d3.geoPath(moved)(contour) ?? "";
}

function livePoints({ inputs, n, loss }, scales) {
  return Array.from({ length: n }, (_, i) => {
    const at = `translate(${scales[0](inputs[2 * i])},${scales[1](inputs[2 * i + 1])})`;
    return loss.classes[i] === 1
      ? s("circle", { r: 2.6, transform: at, class: "live-second" })
      : s("path", { d: "M-2.5,-2.5L2.5,2.5M-2.5,2.5L2.5,-2.5", transform: at, class: "live-first" });
  });
}
