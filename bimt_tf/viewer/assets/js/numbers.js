// Numbers as text.

/** Up to four significant digits; whole numbers with their thousands apart; "–" for what is not known. */
export function shown(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

/** The same with a + before what is positive. */
export function signed(value) {
  return typeof value === "number" && value > 0 ? `+${shown(value)}` : shown(value);
}
