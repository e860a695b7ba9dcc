// Densities of a large network: |w| by bins of neighbouring slots, spread along the lines that join the bins, as an image.
import { bytesOf } from "./bytes.js";
import { s } from "./dom.js";
import { colourOf } from "./theme.js";

const [ACROSS, UP] = [260, 36]; // cells of an image
const SMOOTH = [1, 2, 3, 2, 1].map((w) => w / 9);

/** One image a matrix, between its two rows, from the top of the page downwards while it is already in use; what stops that. */
export function drawDensities(groups, view) {
  const colours = ["--positive", "--negative"].map((name) => d3.rgb(colourOf(name)));
  const waiting = [];
  view.model.scene.wires.forEach((entry, number) => {
    groups[number].replaceChildren();
    if (entry.density && !view.network.frame) waiting.unshift([entry, groups[number]]);
  });
  let timer = null;
  const next = () => {
    if (waiting.length === 0) return;
    const [entry, group] = waiting.shift();
    group.replaceChildren(image(entry, view, colours));
    timer = setTimeout(next, 0);
  };
  timer = setTimeout(next, 0);
  return () => clearTimeout(timer);
}

function image(entry, view, colours) {
  const [low, high] = [entry.source, entry.target].map((row) => view.layout.at(view.model.rows[row].y));
  return s("image", {
    href: picture(entry.density, colours), x: view.layout.left, y: high, width: view.layout.plot, height: low - high,
    preserveAspectRatio: "none", class: "density",
  });
}

/** The mixture of the signs' colours is theirs by share. */
function picture(density, colours) {
  const [positive, negative] = [density.positive, density.negative].map((text) => spread(density, bytesOf(text)));
  const both = positive.map((value, i) => value + negative[i]);
  const full = d3.quantile(Float64Array.from(both).sort(), 0.995) || 1;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [ACROSS, UP];
  const context = canvas.getContext("2d");
  const image = context.createImageData(ACROSS, UP);
  both.forEach((value, i) => {
    const share = value > 0 ? positive[i] / value : 0;
    ["r", "g", "b"].forEach((name, c) => {
      image.data[4 * i + c] = share * colours[0][name] + (1 - share) * colours[1][name];
    });
    image.data[4 * i + 3] = 255 * 0.6 * Math.min(1, value / full) ** 0.8;
  });
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

/** Sums between bins along straight lines, from the top row of cells to the bottom one, smoothed across. */
function spread({ source_x: from, target_x: to }, sums) {
  const cells = new Float64Array(ACROSS * UP);
  for (let line = 0; line < UP; line += 1) {
    const share = 1 - (line + 0.5) / UP; // the target's row is on top
    for (let i = 0; i < from.length; i += 1) {
      for (let j = 0; j < to.length; j += 1) {
        const cell = Math.floor(((1 - share) * from[i] + share * to[j]) * ACROSS);
        cells[line * ACROSS + Math.max(0, Math.min(ACROSS - 1, cell))] += sums[i * to.length + j];
      }
    }
  }
  return cells.map((_, i) => {
    let sum = 0;
    const column = i % ACROSS;
    SMOOTH.forEach((weight, k) => {
      const other = column + k - 2;
      if (other >= 0 && other < ACROSS) sum += weight * cells[i - column + other];
    });
    return sum;
  });
}
