// Bytes that the page's data hold as base64 (viewer/packing.py, scene/wires.py).

/** The bytes of a text in base64; the length of a typed array on them is that of its numbers. */
export function bytesOf(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i += 1) bytes[i] = letters.charCodeAt(i);
  return bytes;
}
