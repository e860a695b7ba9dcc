// Two neurons: the plane that they span, coloured by a quantity.
import { h } from "./dom.js";
import { shown } from "./numbers.js";
import { nameOf } from "./neurons.js";
import { choose, dataTable, folded, labelled, refill } from "./tables.js";
import { activityOf, neuronOptions, positionOptions, quantityOptions, quantityText, valuesOf } from "./activity_data.js";
import { marksOf, scatter } from "./charts.js";

export const planePanel = { id: "plane", title: "Plane of two neurons", needs: "activity", build: buildPlane };

function buildPlane(section, content, store) {
  section.classList.add("detail");
  const activity = activityOf(content);
  if (!activity.quantities.size) {
    section.append(h("p", { class: "quiet" }, "Nothing is named of these examples that could colour them."));
    return;
  }
  const options = [["", "choose one"], ...neuronOptions(content)];
  const pick = (place) => (name) => {
    const chosen = [...store.get().selected];
    while (chosen.length <= place) chosen.push(name);
    chosen[place] = name;
    if (name) store.set({ selected: chosen });
  };
  const selects = [labelled("across", options, pick(0)), labelled("up", options, pick(1))];
  const colour = labelled("coloured by", quantityOptions(activity), (name) => store.set({ planeColour: name }));
  const choices = [...selects, colour];
  const positions = positionOptions(activity);
  const position = positions.length ? labelled("at", positions, (token) => store.set({ position: Number(token) })) : null;
  if (position) choices.push(position);
  const inside = h("div", { tabindex: -1 });
  section.append(h("div", { class: "choices" }, ...choices.map((one) => one.whole)), inside);

  store.subscribe((state, changed) => {
    if (!["selected", "planeColour", "position", "example"].some((name) => changed.has(name))) return;
    const names = state.selected.slice(-2);
    selects.forEach(({ select }, place) => choose(select, names[place] ?? "", names[place] && nameOf(names[place])));
    choose(colour.select, state.planeColour ?? activity.quantity);
    if (position) choose(position.select, String(state.position ?? activity.answers));
    refill(inside, inside, ...drawPlane(names, state, activity, store));
  });
}

function drawPlane(names, state, activity, store) {
  if (names.length < 2 || names[0] === names[1]) return [h("p", { class: "quiet" }, "Choose two neurons here, or click two in the network.")];
  const [across, up] = names.map((name) => valuesOf(activity, name, state.position));
  if (!across || !up) return [h("p", { class: "quiet" }, "The values of one of these neurons are not stored.")];
  const by = activity.quantities.get(state.planeColour) ?? activity.quantities.get(activity.quantity);
  const [x, y] = names.map(nameOf);
  const summary = `${y} against ${x}, ${activity.n} examples, coloured by ${by.name}`;
  const figure = scatter({
    summary, x: { label: x, values: across }, y: { label: y, values: up }, mark: marksOf(by, false), chosen: state.example,
    title: (i) => `example ${i}: ${x} ${shown(across[i])}, ${y} ${shown(up[i])}, ${by.name} ${quantityText(by, i, shown)}`,
    onpoint: (example) => store.set({ example }),
  });
  const rows = d3.range(activity.n).map((i) => [i, across[i], up[i], quantityText(by, i, (number) => number)]);
  const table = dataTable(`${x} and ${y} on ${activity.n} examples`, ["example", x, y, by.name], rows);
  return [figure, h("p", { class: "quiet" }, activity.said.join("; ")), folded("The numbers of this chart", table)];
}
