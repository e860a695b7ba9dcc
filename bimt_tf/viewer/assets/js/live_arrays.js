// Arrays as the page's data hold them (viewer/packing.py), as typed arrays.
import { bytesOf } from "./bytes.js";

const LIVE_TYPES = { f4: Float32Array, f8: Float64Array, i4: Int32Array };

/** {shape, type, data} as a typed array; whole numbers stay whole, all others become doubles. */
export function liveNumbers({ type, data }) {
  const found = new LIVE_TYPES[type](bytesOf(data).buffer);
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
