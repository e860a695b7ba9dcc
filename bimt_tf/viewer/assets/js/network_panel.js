// The network, drawn from its scene.
import { s } from "./dom.js";

export const networkPanel = { id: "network", title: "Network", needs: "scene", build };

function build(section, content, store) {
  const svg = s("svg", { viewBox: "0 0 1000 700", role: "img", "aria-label": "the network" });
  section.append(svg);
}
