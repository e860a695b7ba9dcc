// What the reader has chosen: one state, one place that changes it, and those who want to know.

/** A neuron is named "row:index", e.g. "Res2:9", everywhere in the page. */
export const initialState = Object.freeze({
  threshold: 0, // |w| of a wire that is drawn, at least
  frame: null, // number of the snapshot that is drawn, since steps of the elimination share theirs; null: the network as it is shown
  order: "now", // where neurons stand: "now" or "start"
  selected: [], // neurons that were clicked, the last one last; at most two
  wire: null, // the wire that was clicked: [parameter, source, target]
  hovered: null, // neuron under the pointer
  hiddenKinds: [], // of wires: "Q", "K", "V", "O", "in", "out" ...
  hiddenHeads: [], // "block.head"
  module: null, // the name of that whose neurons alone stand out
  colour: "sign", // of wires and neurons: "sign", "module", "effect", "activity"
  example: 0, // which of the stored examples is shown
  position: null, // which token; null: the one that answers
  quantity: null, // on the other axis of charts
  colourBy: null, // quantity that colours a neuron's examples; null: the sign of the target, or its class
  planeColour: null, // quantity that colours the plane of two neurons; null: the task's own
  probeShown: "read_out", // number of a probe map that is shown
  inputs: null, // of the live network: [position][feature]
  values: null, // {row name: [a number a neuron]} that colours neurons where colour is "activity"
  knocked: [], // neurons that are knocked out in the live network
  knockValue: "mean", // what is written there: "mean" over the stored examples, or "zero"
  theme: "auto", // "auto": as the reader's system says; "light", "dark"
});

export function createStore() {
  let state = { ...initialState };
  const listeners = [];
  return {
    get: () => state,
    /** Change some of it; listeners hear the new state and the names that changed. */
    set(patch) {
      const changed = Object.keys(patch).filter((key) => JSON.stringify(patch[key]) !== JSON.stringify(state[key]));
      if (changed.length === 0) return;
      state = { ...state, ...patch };
      for (const listener of listeners) listener(state, new Set(changed));
    },
    subscribe(listener) {
      listeners.push(listener);
      listener(state, new Set(Object.keys(state)));
    },
  };
}
