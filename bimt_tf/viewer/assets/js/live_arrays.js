// Arrays as the page's data hold them (viewer/live_arrays.py), as typed arrays.

const LIVE_TYPES = { f4: Float32Array, f8: Float64Array, i4: Int32Array };

/** {shape, type, data} as a typed array; whole numbers stay whole, all others become doubles. */
export function liveNumbers({ type, data }) {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  const found = new LIVE_TYPES[type](bytes.buffer);
  return type === "i4" ? found : Float64Array.from(found);
}

/** A weight [from, to] as its entries other than zero: {from, to, weight}. */
export function liveEntries({ shape, values, at }) {
  const weight = liveNumbers(values);
  const places = at === null ? Int32Array.from(weight.keys()) : liveNumbers(at);
  return {
    from: places.map((place) => Math.floor(place / shape[1])),
    to: places.map((place) => place % shape[1]),
    weight,
  };
}

/** A number for the reader: four digits. */
export function liveShown(value) {
  if (!Number.isFinite(value)) return "not a finite number";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e5 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

/** "Res2:9" as its row and number; rows may hold colons themselves. */
export function liveNeuron(name) {
  const colon = name.lastIndexOf(":");
  return { row: name.slice(0, colon), index: Number(name.slice(colon + 1)) };
}
