// Small statistics of two lists of numbers.

const SHUFFLES = 20;

/** Share of the variance of ys that a straight line in xs explains; of classes, that the means of the classes explain. */
export function explained(xs, ys, areClasses) {
  return areClasses ? byGroups(xs, ys) : byLine(xs, ys);
}

/** The highest such share of SHUFFLES shuffles of xs, always the same ones. */
export function explainedByChance(xs, ys, areClasses) {
  let seed = 12345;
  const order = Array.from(xs);
  let highest = 0;
  for (let shuffle = 0; shuffle < SHUFFLES; shuffle++) {
    for (let i = order.length - 1; i > 0; i--) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const j = Math.floor((seed / 4294967296) * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    highest = Math.max(highest, explained(order, ys, areClasses) ?? 0);
  }
  return highest;
}

function byLine(xs, ys) {
  const mx = d3.mean(xs), my = d3.mean(ys);
  let xx = 0, xy = 0, yy = 0;
  for (let i = 0; i < xs.length; i++) {
    xx += (xs[i] - mx) ** 2;
    xy += (xs[i] - mx) * (ys[i] - my);
    yy += (ys[i] - my) ** 2;
  }
  return xx === 0 || yy === 0 ? null : xy ** 2 / (xx * yy);
}

function byGroups(xs, ys) {
  const groups = new Map();
  xs.forEach((x, i) => groups.set(x, [...(groups.get(x) ?? []), ys[i]]));
  const mean = d3.mean(ys);
  const between = d3.sum([...groups.values()], (group) => group.length * (d3.mean(group) - mean) ** 2);
  const total = d3.sum(ys, (y) => (y - mean) ** 2);
  return total === 0 ? null : between / total;
}
