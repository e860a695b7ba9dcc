// The keyboard: one neuron is in the tab order; arrow keys go to its neighbours, Enter selects, Escape clears.

/** Listen on the neurons' group; ``toggle(id)`` selects, ``clear()``, ``zoomBy(factor)``, ``reset()``. */
export function keyboard(group, getView, { toggle, clear, zoomBy, reset }) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 0], ArrowDown: [-1, 0] };
  group.addEventListener("keydown", (event) => {
    const one = event.target.closest(".neuron");
    if (!one || event.ctrlKey || event.metaKey || event.altKey) return;
    const view = getView();
    let next = null;
    if (event.key in steps) next = neighbour(group, view, one, steps[event.key]);
    else if (event.key === "Home" || event.key === "End") next = end(group, view, one, event.key === "End");
    else if (event.key === "Enter" || event.key === " ") toggle(one.neuron.id);
    else if (event.key === "Escape") clear();
    else if (event.key === "+" || event.key === "=") zoomBy(1.5);
    else if (event.key === "-") zoomBy(1 / 1.5);
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
    if (next) focusOn(group, next);
  });
}

/** Give a neuron the focus and the one place in the tab order. */
export function focusOn(group, one) {
  for (const other of group.children) if (other.tabIndex === 0) other.setAttribute("tabindex", "-1");
  one.setAttribute("tabindex", "0");
  one.focus({ preventScroll: false });
}

const xOf = (view, one) => view.point(one.neuron.row, one.neuron.n)[0];

function inRow(group, row) {
  return [...group.children].filter((one) => one.neuron.row === row);
}

function neighbour(group, view, one, [up, right]) {
  const { row } = one.neuron;
  if (right !== 0) {
    const sorted = inRow(group, row).sort((a, b) => xOf(view, a) - xOf(view, b) || a.neuron.n - b.neuron.n);
    return sorted[sorted.indexOf(one) + right] ?? null;
  }
  for (let other = row + up; other >= 0 && other < view.model.rows.length; other += up) {
    const there = inRow(group, other);
    if (there.length === 0) continue;
    const x = xOf(view, one);
    return there.reduce((best, next) => (Math.abs(xOf(view, next) - x) < Math.abs(xOf(view, best) - x) ? next : best));
  }
  return null;
}

function end(group, view, one, last) {
  const sorted = inRow(group, one.neuron.row).sort((a, b) => xOf(view, a) - xOf(view, b));
  return sorted[last ? sorted.length - 1 : 0];
}
