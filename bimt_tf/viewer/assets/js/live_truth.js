// What the outputs should be: expressions of the inputs as nested lists (runs/page/live_truth.py), or a table of tokens.

const LIVE_SIGNS = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
  "**": (a, b) => a ** b,
  sin: Math.sin,
  sqrt: Math.sqrt,
};

/** An expression's value; names are looked up in quantities. */
export function liveValueOf(expression, quantities) {
  if (Array.isArray(expression)) {
    const [sign, ...parts] = expression;
    return LIVE_SIGNS[sign](...parts.map((part) => liveValueOf(part, quantities)));
  }
  return typeof expression === "string" ? quantities[expression] : expression;
}

/** The numbers that the outputs should be, one an expression; null where that is not known. */
export function liveWanted(truth, quantities) {
  return truth === null || truth.kind !== "expressions" ? null : truth.expressions.map((one) => liveValueOf(one, quantities));
}

/** The class that two tokens have; null where that is not known. */
export function liveWantedClass(truth, tokens) {
  return truth === null || truth.kind !== "table" ? null : truth.table[tokens[0]][tokens[1]];
}
