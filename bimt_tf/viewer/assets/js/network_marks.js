// What stands out: the streams of selected neurons, a clicked wire, a module. The rest fades.
import { streams } from "./graph.js";

/** {lit: neurons or null for all, isLit(wire), up, down}. */
export function marksOf(view, facts) {
  const { state, drawn, model } = view;
  if (state.selected.length > 0) return selectedMarks(model, drawn, state.selected);
  if (state.wire) {
    const [parameter, source, target] = state.wire;
    return {
      lit: new Set([source, target]), up: new Set(), down: new Set(),
      isLit: (wire) => wire.parameter === parameter && wire.source === source && wire.target === target,
    };
  }
  const number = facts.modules.names.indexOf(state.module);
  if (number >= 0) {
    const lit = new Set([...facts.modules.of].filter(([, own]) => own === number).map(([neuron]) => neuron));
    return { lit, up: new Set(), down: new Set(), isLit: (wire) => lit.has(wire.source) && lit.has(wire.target) };
  }
  return { lit: null, up: new Set(), down: new Set(), isLit: () => true };
}

function selectedMarks(model, drawn, selected) {
  const { up, down } = streams(model, drawn, selected);
  const above = new Set([...up, ...selected]);
  const below = new Set([...down, ...selected]);
  return {
    lit: new Set([...up, ...down, ...selected]), up, down,
    isLit: (wire) => (above.has(wire.source) && above.has(wire.target)) || (below.has(wire.source) && below.has(wire.target)),
  };
}
