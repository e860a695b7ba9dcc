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
  const go = (at) => store.set({ step: at < frames.length ? frames[at].step : null });
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
  store.subscribe(({ step }, changed) => {
    if (!changed.has("step")) return;
    const at = step === null ? frames.length : frames.findIndex((frame) => frame.step === step);
    slider.value = String(at);
    words.textContent = at === frames.length ? "as shown now" : sentence(frames[at]);
    slider.setAttribute("aria-valuetext", words.textContent);
  });
  return h("div", { class: "time toolbar", role: "group", "aria-label": "Training" }, play, h("label", { class: "threshold" }, "step", slider), words);
}

function sentence({ step, phase, loss }) {
  const after = typeof loss === "number" ? `, loss ${Number(loss.toPrecision(3))}` : "";
  return `${step.toLocaleString("en")}${phase ? `, ${phase}` : ""}${after}`;
}
