// The network, drawn from its scene: what is drawn, what is pointed at, and what is told of it.
import { h } from "./dom.js";
import { choice, filters, thresholdSlider, zoomButtons } from "./controls.js";
import { createDrawing } from "./network_drawing.js";
import { effectOf, factsOf } from "./network_facts.js";
import { hitAt } from "./network_hit.js";
import { drawKey } from "./network_key.js";
import { focusOn, keyboard } from "./network_keys.js";
import { modelOf } from "./network_model.js";
import { selectionBar } from "./network_selection.js";
import { networkTables } from "./network_table.js";
import { isNeuron, shortOf } from "./neurons.js";
import { neuronFacts, tooltip, wireFacts, wireTitle } from "./network_tooltip.js";
import { searchBox } from "./search.js";
import { onTheme } from "./theme.js";
import { timeSlider } from "./time.js";

export const networkPanel = { id: "network", title: "Network", needs: "scene", build };

const DRAWN = ["threshold", "frame", "order", "hiddenKinds", "hiddenHeads"];
const UNCHOSEN = { selected: [], wire: null }; // behind what is selected a module would not be seen
const STYLED = ["selected", "wire", "hovered", "module", "colour", "values", "knocked"];

function build(section, content, store) {
  const model = modelOf(content);
  const facts = factsOf(content);
  const drawing = createDrawing(model, facts, store);
  const actions = actionsOf(store, drawing);
  const count = h("p", { class: "count", role: "status" });
  const chosen = selectionBar(store, actions);
  const key = h("ul", { class: "key", "aria-label": "Key" });
  const remarks = h("p", { class: "remarks" });
  const tables = networkTables();
  const help = h("p", { class: "remarks keys-hint", id: "network-help" },
    "Keys in the network: arrows walk, Enter selects, Escape clears, + − 0 zoom. Ctrl and wheel zooms, dragging then pans.");
  section.append(...[toolbar(model, facts, store, drawing, actions), timeSlider(model, store), h("div", { class: "told" }, filters(model, store) ?? "", count, chosen.element), drawing.svg, key, remarks, help, tables.details].filter(Boolean));
  const tip = tooltip(section);
  zoomable(drawing, actions);
  pointing(section, drawing, store, tip, facts);
  keyboard(drawing.layers.neurons, () => drawing.view, actions);
  const fit = () => {
    const [own, whole] = [drawing.svg.getBoundingClientRect(), section.getBoundingClientRect()];
    const above = own.top - whole.top + section.scrollTop + section.parentElement.offsetTop; // wherever things are scrolled to
    drawing.resize(Math.max(300, Math.floor(own.width) || 900), window.innerHeight - above - 32);
    actions.bound(drawing.view.layout);
  };
  const told = () => {
    drawKey(key, remarks, drawing.view, facts, drawing.view.leftOut);
    tables.update(drawing.view);
    count.textContent = counted(drawing.view);
    chosen.update(drawing);
  };
  store.subscribe((state, changed) => {
    if (!drawing.view.layout) return;
    drawing.view.state = state;
    if (DRAWN.some((name) => changed.has(name))) drawing.show(state);
    else if (STYLED.some((name) => changed.has(name))) drawing.style();
    if (changed.size > 1 || !changed.has("hovered")) told();
  });
  watchSize(drawing.svg, () => {
    fit();
    told();
  });
  onTheme(store, () => drawing.view.layout && drawing.repaint());
  window.addEventListener("beforeprint", () => tip.hide());
}

/** Lay out anew whenever the width is another one, or the height where the network stands beside the panels; first when the page has been laid out. */
function watchSize(element, fit) {
  let before = "";
  const beside = window.matchMedia("(min-width: 1180px)"); // below it, phones change the height whenever their bars come and go
  const look = () => {
    const width = Math.floor(element.getBoundingClientRect().width);
    const now = `${width} ${beside.matches ? window.innerHeight : ""}`;
    if (now === before || width === 0) return;
    before = now;
    fit();
  };
  new ResizeObserver(look).observe(element);
  window.addEventListener("resize", look);
}

function actionsOf(store, drawing) {
  return {
    toggle: (id) => toggle(store, id),
    choose(id) {
      store.set({ selected: [id], wire: null });
      const one = [...drawing.layers.neurons.children].find((other) => other.neuron.id === id);
      if (one) focusOn(drawing.layers.neurons, one);
    },
    clear: () => store.set({ selected: [], wire: null, module: null }),
  };
}

function toolbar(model, facts, store, drawing, actions) {
  const colours = [["sign", "sign"]];
  if (facts.modules.names.length > 0) colours.push(["module", "module"]);
  if (facts.neuronEffects.size > 0 || model.wires.some((wire) => effectOf(facts, wire) !== null)) colours.push(["effect", "effect of a knock-out"]);
  colours.push(["activity", "values on an example"]);
  return h("div", { class: "toolbar", role: "group", "aria-label": "What is drawn" },
    thresholdSlider(model, store),
    choice("colour", "colour", colours, store),
    choice("order", "order", [["now", "trained"], ["start", "initial"]], store),
    choice("module", "module", [[null, "all"], ...facts.modules.names.map((name) => [name, name])].slice(0, facts.modules.names.length ? undefined : 1), store, UNCHOSEN),
    searchBox(model, actions.choose),
    zoomButtons({ zoomBy: (factor) => actions.zoomBy(factor), reset: () => actions.reset() }));
}

/** d3's zoom: dragging pans where it is zoomed, Ctrl and the wheel or two fingers zoom; a page still scrolls. */
function zoomable(drawing, actions) {
  const zoom = d3.zoom().scaleExtent([1, 60]).filter(() => {
    const { event } = d3;
    if (event.type === "wheel") return event.ctrlKey || event.metaKey;
    if (event.type.startsWith("touch")) return event.touches.length > 1 || drawing.view.zoom.k > 1.001;
    return !event.button;
  }).on("zoom", () => drawing.zoomed(d3.event.transform));
  const svg = d3.select(drawing.svg).call(zoom).on("dblclick.zoom", null);
  actions.zoomBy = (factor) => svg.call(zoom.scaleBy, factor);
  actions.bound = ({ width, height }) => zoom.extent([[0, 0], [width, height]]).translateExtent([[-30, -30], [width + 30, height + 30]]);
  actions.reset = () => svg.call(zoom.transform, d3.zoomIdentity);
}

/** The pointer: what is near is told, and chosen by a click. */
function pointing(section, drawing, store, tip, facts) {
  const { svg, view } = drawing;
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const hover = (hit, x, y) => {
    store.set({ hovered: hit.neuron ?? null });
    svg.style.cursor = hit.neuron || hit.wire ? "pointer" : "";
    if (hit.neuron) tip.show(shortOf(hit.neuron), neuronFacts(view, facts, hit.neuron), x, y);
    else if (hit.wire) tip.show(wireTitle(hit.wire), wireFacts(view, facts, hit.wire), x, y);
    else tip.hide();
  };
  svg.addEventListener("pointermove", (event) => event.buttons === 0 && hover(hitAt(view, at(event), 9), event.clientX, event.clientY));
  svg.addEventListener("pointerleave", () => hover({}, 0, 0));
  svg.addEventListener("click", (event) => {
    const hit = hitAt(view, at(event), event.pointerType === "touch" ? 18 : 9);
    tip.hide(); // it may cover what lights up
    if (hit.neuron) toggle(store, hit.neuron);
    else if (hit.wire) store.set({ wire: [hit.wire.parameter, hit.wire.source, hit.wire.target], selected: [] });
    else store.set({ wire: null, selected: [] });
  });
  // on the section: an SVG element that listens for the focus would itself be a stop for the Tab key
  section.addEventListener("focusin", (event) => {
    if (!event.target.closest(".neuron")) return;
    const { id } = event.target.closest(".neuron").neuron;
    const box = event.target.getBoundingClientRect();
    if (event.target.matches(":focus-visible")) hover({ neuron: id }, box.right, box.bottom);
  });
  section.addEventListener("focusout", (event) => event.target.closest(".neuron") && hover({}, 0, 0));
  store.subscribe(({ hovered }, changed) => {
    if (changed.has("hovered") && (hovered === null || !isNeuron(view.model.rows, hovered))) tip.hide();
  });
}

/** Select a neuron beside the last one, or let it go. */
function toggle(store, id) {
  const { selected } = store.get();
  const others = selected.filter((one) => one !== id);
  store.set({ selected: others.length < selected.length ? others : [...selected, id].slice(-2), wire: null });
}

/** How many wires are drawn, of how many there are. */
function counted(view) {
  const { scene, dense } = view.model;
  const all = Math.max(view.network.wires.length, view.network.frame?.active ?? 0); // a snapshot holds the strongest alone
  const words = `${view.drawn.length.toLocaleString("en")} of ${all.toLocaleString("en")} wires drawn`;
  if (dense && !view.network.frame) return `${words}: the strongest of ${(scene.active + scene.off_path).toLocaleString("en")} weights above the threshold; shading stands for all`;
  if (!view.network.frame) return words;
  return `${words}, ${view.network.frame.phase === "eliminate" ? "during the elimination" : `at step ${view.network.frame.step.toLocaleString("en")}`}`;
}
