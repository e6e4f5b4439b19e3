// Pictures of the run's own, and the mask that a person draws over them.
const PAGE = 60; // pictures that are listed at a time
const UNDONE = 50; // strokes that can be taken back
const MIDDLE = 128; // level of a map from which on it is taken into a mask
const edits = new Map();
let edit = null; // {key, width, height, bits, before: [bits], changed}
let stroke = null; // {from, to} in pixels of the mask, while the pointer is down
let waiting = 0;

const tool = () => document.querySelector("[data-tool][aria-pressed=true]").dataset.tool;
const paints = () => Number(document.querySelector("[data-paints][aria-pressed=true]").dataset.paints);

// ---- The list.

async function list(split) {
  const turn = ++waiting;
  $("list").replaceChildren();
  let found;
  try {
    do {
      found = await ask(asked("pictures", { split }));
      if (turn !== waiting) return;
      $("measured").textContent = found.pictures ? `${found.pictures.length} pictures` : `looked at ${found.done} of ${found.of} ...`;
      if (!found.pictures) await new Promise((go) => setTimeout(go, 500));
    } while (!found.pictures && turn === waiting);
  } catch (error) {
    $("measured").textContent = error.message;
    return;
  }
  if (turn === waiting) listMore(found.pictures, 0);
}

function listMore(pictures, first) {
  const made = pictures.slice(first, first + PAGE).map((item) => {
    const button = make("button", undefined, { type: "button", title: item.path });
    button.dataset.key = item.key;
    const image = make("img", undefined, { loading: "lazy", alt: "", src: asked("picture", { key: item.key, side: 260 }) });
    const called = item.right ? make("span", item.label) : make("span", `called ${item.prediction}`, { className: "wrong" });
    const known = [item.drawn ? "drawn" : item.mask ? "" : "no mask", item.energy === null ? "" : `${percent(item.energy)} on object`];
    button.append(image, ...(item.right ? [called] : [make("span", item.label), called]));
    button.append(make("span", known.filter(Boolean).join(", ") || percent(item.share), { className: "small" }));
    button.addEventListener("click", () => open(item));
    return button;
  });
  const rest = pictures.length - first - made.length;
  if (rest > 0) {
    const more = make("button", `${rest} more`, { type: "button", className: "more" });
    more.addEventListener("click", () => { more.remove(); listMore(pictures, first + PAGE); });
    made.push(more);
  }
  $("list").append(...made);
}

async function open(item) {
  tell("One moment ...");
  try {
    const result = { ...(await timed(asked("open", { key: item.key }))), name: item.path, own: item };
    tell("");
    await show(result);
  } catch (error) {
    tell(error.message);
  }
}

// ---- The mask.

addEventListener("shown", async () => {
  const result = current;
  edit = null;
  $("tools").hidden = $("mask").hidden = true;
  for (const button of $("list")?.querySelectorAll("[data-key]") ?? []) button.setAttribute("aria-pressed", String(button.dataset.key === result.key));
  if (!result.own) return;
  $("reason").textContent += ` In the data it is ${result.own.label}.`;
  $("tools").hidden = false;
  try {
    if (!edits.has(result.key)) {
      $("drawn").textContent = "";
      const { mask, ...found } = await ask(asked("mask", { key: result.key }));
      edits.set(result.key, { ...found, key: result.key, bits: bytesOf(mask), before: [], changed: false });
    }
    if (current !== result) return;
    edit = edits.get(result.key);
    Object.assign($("mask"), { width: edit.width, height: edit.height });
    $("mask").hidden = false;
    const came = { here: "The mask that was drawn here.", drawn: "The mask of the data.", proposed: "A proposed mask.", "": "No mask yet: this is where the map is brightest." };
    $("drawn").textContent = edit.changed ? "Not saved yet." : came[edit.source];
    if (!edit.source && !edit.before.length) await fromMap(result);
    drawMask();
  } catch (error) {
    $("drawn").textContent = error.message;
  }
});

/** Take over where the map is bright. */
async function fromMap(result) {
  const map = await mapOf(result, chosen);
  if (!map || !edit || edit.key !== result.key) return;
  const [left, top, width, height] = map.box;
  for (let y = 0; y < edit.height; y++)
    for (let x = 0; x < edit.width; x++) {
      const u = Math.floor(((((x + 0.5) * result.width) / edit.width - left) / width) * map.width);
      const v = Math.floor(((((y + 0.5) * result.height) / edit.height - top) / height) * map.height);
      const seen = u >= 0 && v >= 0 && u < map.width && v < map.height;
      edit.bits[y * edit.width + x] = seen && map.levels[v * map.width + u] >= MIDDLE ? 1 : 0;
    }
  edit.changed = true;
}

/** Keep the mask as it is now, to come back to. */
function remember() {
  edit.before.push(edit.bits.slice());
  if (edit.before.length > UNDONE) edit.before.shift();
  edit.changed = true;
  $("drawn").textContent = "Not saved yet.";
}

function drawMask() {
  $("undo").disabled = !edit.before.length;
  $("save").disabled = !edit.changed;
  const { width, height, bits } = edit;
  const made = new ImageData(width, height);
  const line = Math.max(1, Math.round(Math.max(width, height) / 400));
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && bits[y * width + x];
  for (let y = 0, p = 0; y < height; y++)
    for (let x = 0; x < width; x++, p++) {
      if (!bits[p]) continue;
      const edge = !(inside(x - line, y) && inside(x + line, y) && inside(x, y - line) && inside(x, y + line));
      made.data.set(edge ? [255, 255, 255, 255] : [40, 200, 255, 48], p * 4);
    }
  const context = $("mask").getContext("2d");
  context.putImageData(made, 0, 0);
  if (stroke && tool() === "box") {
    const [x, y, w, h] = boxOf(stroke);
    context.setLineDash([6, 4]);
    context.lineWidth = line * 2;
    context.strokeStyle = "#fff";
    context.strokeRect(x, y, w, h);
  }
}

/** Where the pointer is, in pixels of the mask: the canvas may be letterboxed. */
function placeOf(event) {
  const frame = $("mask").getBoundingClientRect();
  const scale = Math.min(frame.width / edit.width, frame.height / edit.height);
  return {
    x: (event.clientX - frame.left - (frame.width - edit.width * scale) / 2) / scale,
    y: (event.clientY - frame.top - (frame.height - edit.height * scale) / 2) / scale,
  };
}

/** [left, top, width, height] of the whole pixels between two places. */
function boxOf({ from, to }) {
  const [left, right] = [from.x, to.x].map((x) => Math.min(edit.width, Math.max(0, Math.round(x)))).sort((a, b) => a - b);
  const [top, bottom] = [from.y, to.y].map((y) => Math.min(edit.height, Math.max(0, Math.round(y)))).sort((a, b) => a - b);
  return [left, top, right - left, bottom - top];
}

function dab({ x, y }, radius, value) {
  const reach = Math.ceil(radius);
  for (let j = Math.max(0, Math.floor(y) - reach); j <= Math.min(edit.height - 1, Math.floor(y) + reach); j++)
    for (let i = Math.max(0, Math.floor(x) - reach); i <= Math.min(edit.width - 1, Math.floor(x) + reach); i++)
      if (Math.hypot(i + 0.5 - x, j + 0.5 - y) <= radius) edit.bits[j * edit.width + i] = value;
}

function brush(from, to) {
  const radius = (Number($("thickness").value) / 100) ** 2 * 0.25 * Math.max(edit.width, edit.height) + 0.8;
  const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(1, radius / 3)));
  for (let k = 0; k <= steps; k++) dab({ x: from.x + ((to.x - from.x) * k) / steps, y: from.y + ((to.y - from.y) * k) / steps }, radius, paints());
}

$("mask").addEventListener("pointerdown", (event) => {
  if (!edit || event.button || !event.isPrimary) return;
  event.preventDefault();
  $("mask").setPointerCapture(event.pointerId);
  remember();
  stroke = { from: placeOf(event), to: placeOf(event) };
  if (tool() === "brush") brush(stroke.from, stroke.to);
  drawMask();
});
// A quick stroke would count as a swipe, and the next tap as what stops it.
$("mask").addEventListener("touchstart", (event) => event.touches.length === 1 && event.preventDefault(), { passive: false });
$("mask").addEventListener("pointermove", (event) => {
  if (!stroke || !event.isPrimary) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) {
    const to = placeOf(part);
    if (tool() === "brush") brush(stroke.to, to);
    stroke.to = to;
  }
  drawMask();
});
$("mask").addEventListener("pointerup", (event) => {
  if (!stroke || !event.isPrimary) return;
  if (tool() === "box") {
    const [left, top, width, height] = boxOf(stroke);
    for (let y = top; y < top + height; y++) edit.bits.fill(paints(), y * edit.width + left, y * edit.width + left + width);
  }
  stroke = null;
  drawMask();
});
$("mask").addEventListener("pointercancel", () => { // a second finger: the stroke was meant to be another gesture
  if (stroke) undo();
  stroke = null;
});

function undo() {
  if (!edit?.before.length) return;
  edit.bits = edit.before.pop();
  drawMask();
}

for (const kind of ["tool", "paints"])
  for (const button of document.querySelectorAll(`[data-${kind}]`))
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll(`[data-${kind}]`)) other.setAttribute("aria-pressed", String(other === button));
    });
$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", () => { remember(); edit.bits.fill(0); drawMask(); });
$("from-map").addEventListener("click", async () => { remember(); await fromMap(current); drawMask(); });
$("save").addEventListener("click", async () => {
  const saved = edit;
  try {
    const { file, command } = await ask(asked("mask", { key: saved.key }), { method: "POST", body: saved.bits });
    saved.changed = false;
    saved.source = "here";
    $("drawn").textContent = `Saved as ${file}; the command to train again stands below.`;
    $("again").hidden = false;
    $("command").textContent = command;
    const known = document.querySelector(`#list [data-key=${saved.key}] .small`);
    if (known && !known.textContent.startsWith("drawn")) known.textContent = `drawn, ${known.textContent}`;
  } catch (error) {
    $("drawn").textContent = error.message;
  }
  drawMask();
});
addEventListener("keydown", (event) => {
  if (edit && !$("tools").hidden && (event.ctrlKey || event.metaKey) && event.key === "z") { event.preventDefault(); undo(); }
});
addEventListener("beforeunload", (event) => {
  if ([...edits.values()].some((one) => one.changed && one.before.length)) event.preventDefault();
});

$("copy")?.addEventListener("click", async () => {
  await navigator.clipboard.writeText($("command").textContent);
  $("copy").textContent = "Copied";
});
if (card.splits.length) {
  $("split").addEventListener("change", () => list($("split").value));
  list(card.splits[0]);
}
globalThis.foveate = { card, edits };
