// The time slider: the network at the steps that were kept while it trained.
import { h } from "./dom.js";

const PAUSE = 450; // ms that a step is shown while playing

/** A slider over the frames of an evolution, the network as it is shown last; null where there is none. */
export function timeSlider(model, store) {
  const { frames } = model;
  if (frames.length === 0) return null;
  const slider = h("input", { type: "range", min: 0, max: frames.length, step: 1, "aria-label": "Step of training" });
  const words = h("output", {});
  const play = h("button", { type: "button" }, "▶ Play");
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ Play";
  };
  const go = (at) => store.set({ frame: at < frames.length ? at : null });
  slider.addEventListener("input", () => {
    stop();
    go(Number(slider.value));
  });
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    play.textContent = "❚❚ Pause";
    if (Number(slider.value) >= frames.length) go(0);
    timer = setInterval(() => {
      if (Number(slider.value) >= frames.length) return stop();
      return go(Number(slider.value) + 1);
    }, PAUSE);
    return undefined;
  });
  store.subscribe(({ frame }, changed) => {
    if (!changed.has("frame")) return;
    slider.value = String(frame ?? frames.length);
    words.textContent = frame === null ? "this page's network" : sentence(frames[frame]);
    slider.setAttribute("aria-valuetext", words.textContent);
  });
  return h("div", { class: "time toolbar", role: "group", "aria-label": "Training" }, play, h("label", { class: "threshold" }, "training", slider), words);
}

function sentence({ step, phase, active, loss }) {
  const words = [phase === "eliminate" ? "elimination" : `step ${step.toLocaleString("en")}`];
  if (typeof active === "number") words.push(`${active.toLocaleString("en")} weights`);
  if (typeof loss === "number") words.push(`loss ${Number(loss.toPrecision(2))}`);
  return words.join(", ");
}
