// Where things are in pixels: one scale for x in all rows, so that every wire's drawn |dx| is its true one, scaled.

const PITCH = [36, 96]; // pixels between two depths, at least and at most
const NARROW = 560;
const measuring = document.createElement("canvas").getContext("2d");

/** Width of a text in pixels. */
export function textWidth(text, size) {
  measuring.font = `${size}px system-ui, sans-serif`;
  return measuring.measureText(text).width;
}

/** A row's label in one or two lines. */
export function labelLines(row) {
  return row.label.split(", ").map((line) => (line.length > 14 ? `${line.slice(0, 13)}…` : line));
}

/** Margins and scales for a width, and a height that would be welcome; ``strips``: rows too crowded for dots. */
export function layoutOf(model, width, wanted) {
  const narrow = width < NARROW;
  const size = narrow ? 11 : 13;
  const blocks = model.rows.some((row) => row.block !== null);
  const aslant = model.rows.some((row) => row.half) ? 0.055 * width : 0; // for planes, which reach beyond their neurons
  const left = aslant + Math.max(...model.rows.flatMap((row) => labelLines(row).map((line) => textWidth(line, size)))) + (blocks ? 34 : 16);
  const right = aslant + Math.max(...model.rows.map((row) => textWidth(`${row.x.length}/${row.x.length}`, 11))) + (narrow ? 10 : 16);
  const low = Math.min(...model.rows.map((row) => row.y - row.half));
  const high = Math.max(...model.rows.map((row) => row.y + row.half));
  const plot = Math.max(120, width - left - right);
  const [top, bottom] = [roomFor(model, model.rows.length - 1, plot), roomFor(model, 0, plot)];
  const pitch = Math.max(PITCH[0], Math.min(PITCH[1], (wanted - top - bottom) / Math.max(1, high - low)));
  const layout = { width, left, right, plot, top, bottom, pitch, narrow, size, aslant, high, height: top + bottom + Math.max(1, high - low) * pitch };
  layout.room = model.rows.map((row) => (row.half ? plot / Math.sqrt(row.x.length) / 2 : plot / row.x.length));
  layout.strip = model.rows.map((row, i) => !row.half && row.x.length > 48 && (layout.room[i] < 1.9 || (model.dense && layout.room[i] < 3)));
  layout.radius = layout.room.map((room) => Math.max(2, Math.min(narrow ? 3.6 : 4.4, 0.4 * room)));
  layout.at = (y) => top + (high - y) * pitch;
  return layout;
}

/** Pixels beyond the first or the last row: for names of its neurons and for tables. */
function roomFor(model, index, plot) {
  const row = model.rows[index];
  const tables = model.scene.tables.filter((table) => model.rows[table.row].depth === row.depth).length;
  const room = 24 + 22 * tables;
  if (!row.labels) return room;
  return room + (standing(row, plot) ? Math.min(90, Math.max(...row.labels.map((name) => textWidth(name, 10)))) : 8);
}

/** Whether the names of a row's neurons stand upright, since they are too wide to lie beside each other. */
export function standing(row, plot) {
  const widest = Math.max(...row.labels.map((name) => textWidth(name, 11)));
  return !row.half && widest + 4 > plot / row.labels.length;
}
