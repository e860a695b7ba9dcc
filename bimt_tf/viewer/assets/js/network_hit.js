// What is under the pointer: the nearest neuron, else the nearest wire that is drawn.

const WIRE = 5; // pixels

/** {neuron: id} or {wire} or {} at a point of the drawing; ``reach``: of a neuron, in pixels. */
export function hitAt(view, [x, y], reach) {
  return nearestNeuron(view, x, y, reach) ?? nearestWire(view, x, y) ?? {};
}

function nearestNeuron(view, x, y, reach) {
  let [best, found] = [reach, null];
  view.model.rows.forEach((row, i) => {
    const middle = view.zoom.applyY(view.layout.at(row.y));
    if (Math.abs(middle - y) > reach + row.half * view.layout.pitch * view.zoom.k) return;
    for (let n = 0; n < row.x.length; n += 1) {
      const [px, py] = view.point(i, n);
      const away = Math.hypot(px - x, py - y) + (row.states[n] === 0 ? 2 : 0); // of two as near, the one with weights
      if (away < best) [best, found] = [away, `${row.name}:${n}`];
    }
  });
  return found && { neuron: found };
}

function nearestWire(view, x, y) {
  let [best, found] = [WIRE, null];
  for (const wire of view.drawn) {
    const [ax, ay] = view.point(wire.from, wire.u);
    const [bx, by] = view.point(wire.to, wire.v);
    if (y < Math.min(ay, by) - WIRE || y > Math.max(ay, by) + WIRE) continue;
    const long = (bx - ax) ** 2 + (by - ay) ** 2;
    const share = Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / long));
    const away = Math.hypot(ax + share * (bx - ax) - x, ay + share * (by - ay) - y) - wire.strength;
    if (away < best) [best, found] = [away, wire];
  }
  return found && { wire: found };
}
