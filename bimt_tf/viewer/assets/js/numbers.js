// Numbers as text.

/** Up to four significant digits; whole numbers in full, their thousands apart; "–" for what is not known. */
export function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return "not a finite number";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en-US");
  const [size, rounded] = [Math.abs(value), Number(value.toPrecision(4))];
  return size >= 1e5 || size < 1e-3 ? rounded.toExponential() : String(rounded);
}

/** The same with a + before what is positive. */
export function signed(value) {
  return typeof value === "number" && value > 0 ? `+${shown(value)}` : shown(value);
}

/** The same as a field for a number takes it. */
export function typed(value) {
  return shown(value).replaceAll(",", "");
}
