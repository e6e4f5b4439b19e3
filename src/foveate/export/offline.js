// The network answers in the page itself. `ort` (ONNX Runtime Web) and page.js stand above this text in the same script.
const SMALLEST = 1.401298464324817e-45;
const OCCLUSION = { places: 7, share: 0.3, batch: 7 };

/** Base64 of gzip in the page -> bytes. */
async function unpack(id) {
  const text = atob($(id).textContent.trim());
  const packed = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) packed[k] = text.charCodeAt(k);
  $(id).remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// ---- A picture as the network takes it: Pillow's resampling, step by step (libImaging/Resample.c).

const FILTERS = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at: (x) => {
      const a = -0.5;
      x = Math.abs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
};
const BITS = 22;

/** For each place of the result: first pixel, number of pixels, and their weights as whole numbers. */
function weightsOf(length, first, last, wanted, filter) {
  const scale = (last - first) / wanted;
  const stretch = Math.max(scale, 1);
  const shrink = 1 / stretch;
  const support = filter.support * stretch;
  const places = [];
  for (let k = 0; k < wanted; k++) {
    const centre = first + (k + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(length, Math.trunc(centre + support + 0.5)) - start;
    const found = new Float64Array(count);
    let sum = 0;
    for (let n = 0; n < count; n++) sum += found[n] = filter.at((n + start - centre + 0.5) * shrink);
    const whole = new Int32Array(count);
    for (let n = 0; n < count; n++) {
      const value = sum ? found[n] / sum : found[n];
      whole[n] = Math.trunc((value < 0 ? -0.5 : 0.5) + value * (1 << BITS));
    }
    places.push({ start, count, whole });
  }
  return places;
}

const clip = (sum) => Math.min(255, Math.max(0, sum >> BITS));

/** Pixels (channels last, `step` a pixel) -> RGB of `width` x `height`; box: [left, top, right, bottom] in pixels. */
function resize(image, width, height, kind, box = [0, 0, image.width, image.height]) {
  const filter = FILTERS[kind];
  const down = weightsOf(image.height, box[1], box[3], height, filter);
  const keepsRows = height === image.height && box[1] === 0 && box[3] === height;
  const keepsColumns = width === image.width && box[0] === 0 && box[2] === width;
  const top = keepsRows ? 0 : down[0].start;
  const bottom = keepsRows ? height : down[height - 1].start + down[height - 1].count;
  const rows = bottom - top;
  const half = 1 << (BITS - 1);
  const { data, step } = image;
  const wide = new Uint8Array(width * rows * 3);
  const across = keepsColumns ? null : weightsOf(image.width, box[0], box[2], width, filter);
  for (let y = 0; y < rows; y++) {
    const line = (y + top) * image.width * step;
    for (let x = 0; x < width; x++) {
      const to = (y * width + x) * 3;
      if (!across) {
        for (let c = 0; c < 3; c++) wide[to + c] = data[line + x * step + c];
        continue;
      }
      const { start, count, whole } = across[x];
      let r = half, g = half, b = half;
      for (let n = 0, from = line + start * step; n < count; n++, from += step) {
        r += data[from] * whole[n];
        g += data[from + 1] * whole[n];
        b += data[from + 2] * whole[n];
      }
      wide[to] = clip(r); wide[to + 1] = clip(g); wide[to + 2] = clip(b);
    }
  }
  if (keepsRows) return { data: wide, width, height, step: 3 };
  const result = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const { start, count, whole } = down[y];
    for (let x = 0; x < width * 3; x++) {
      let sum = half;
      for (let n = 0, from = (start - top) * width * 3 + x; n < count; n++, from += width * 3) sum += wide[from] * whole[n];
      result[y * width * 3 + x] = clip(sum);
    }
  }
  return { data: result, width, height, step: 3 };
}

/** Round to even, as Python does. */
function round(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

function fitOf(fit, size) {
  const [shape, side] = fit.split("@");
  return { shape: shape.replace("_bicubic", ""), kind: shape.endsWith("_bicubic") ? "bicubic" : "bilinear", outer: Number(side) || size };
}

/** {square: RGB of the side the network takes, seen: [left, top, width, height] of it in the picture's pixels}. */
function squareOf(image) {
  const side = card.kept ?? card.size;
  const { shape, kind, outer } = fitOf(card.fit, side);
  const { width, height } = image;
  let made;
  let frame = [0, 0, width, height]; // of the outer square, in pixels of the picture
  if (shape === "pad") {
    const scale = outer / Math.max(width, height);
    const [w, h] = [width, height].map((length) => Math.max(1, round(length * scale)));
    const [left, top] = [Math.floor((outer - w) / 2), Math.floor((outer - h) / 2)];
    const inner = resize(image, w, h, kind);
    made = { data: new Uint8Array(outer * outer * 3).fill(127), width: outer, height: outer, step: 3 };
    for (let y = 0; y < h; y++) made.data.set(inner.data.subarray(y * w * 3, (y + 1) * w * 3), ((y + top) * outer + left) * 3);
    frame = [(-left * width) / w, (-top * height) / h, (outer * width) / w, (outer * height) / h];
  } else {
    if (shape === "crop") {
      const length = Math.min(width, height);
      frame = [(width - length) / 2, (height - length) / 2, length, length];
    }
    made = resize(image, outer, outer, kind, [frame[0], frame[1], frame[0] + frame[2], frame[1] + frame[3]]);
  }
  if (outer !== side) {
    const start = Math.floor((outer - side) / 2);
    const part = new Uint8Array(side * side * 3);
    for (let y = 0; y < side; y++) {
      const from = ((y + start) * outer + start) * 3;
      part.set(made.data.subarray(from, from + side * 3), y * side * 3);
    }
    made = { data: part, width: side, height: side, step: 3 };
    const share = [start / outer, side / outer];
    frame = [frame[0] + frame[2] * share[0], frame[1] + frame[3] * share[0], frame[2] * share[1], frame[3] * share[1]];
  }
  return { square: side === card.size ? made : resize(made, card.size, card.size, "bilinear"), seen: frame };
}

/** A file -> upright pixels on white, colours as they are stored. */
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  return { data, width, height, step: 4, canvas };
}

// ---- The network.

const session = (async () => {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await unpack("wasm")).buffer;
  const made = await ort.InferenceSession.create(await unpack("network"), { executionProviders: ["wasm"] });
  return made;
})();

/** RGB squares -> {name: {data, dims}}. */
async function answersOf(squares) {
  const area = card.size * card.size;
  const bytes = new Uint8Array(squares.length * 3 * area);
  squares.forEach(({ data }, k) => {
    for (let p = 0; p < area; p++) for (let c = 0; c < 3; c++) bytes[(k * 3 + c) * area + p] = data[p * 3 + c];
  });
  const tensor = new ort.Tensor("uint8", bytes, [squares.length, 3, card.size, card.size]);
  return (await session).run({ images: tensor });
}

function softmax(logits, temperature = 1) {
  const top = Math.max(...logits);
  const shares = Array.from(logits, (value) => Math.exp((value - top) / temperature));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / sum);
}

let known = null;
/** Distance to the 5th nearest training picture, and the nearest ones: [{place, distance}]. */
function neighbours(features) {
  if (!known) {
    const text = atob(card.far.features);
    known = new Int8Array(text.length);
    for (let k = 0; k < text.length; k++) known[k] = text.charCodeAt(k);
  }
  const length = Math.hypot(...features) || 1;
  const found = card.far.scales.map((scale, place) => {
    let sum = 0;
    for (let f = 0; f < features.length; f++) {
      const difference = features[f] / length - known[place * features.length + f] * scale;
      sum += difference * difference;
    }
    return { place, distance: Math.sqrt(sum) };
  });
  return found.sort((a, b) => a.distance - b.distance);
}

async function classify(blob) {
  const image = await decode(blob);
  const started = performance.now();
  const { square, seen } = squareOf(image);
  const output = await answersOf([square]);
  const logits = output.logits.data;
  const raw = softmax(logits);
  const rule = card.answers;
  const shown = rule ? softmax(raw.map((p) => Math.log(Math.max(p, SMALLEST))), rule.temperature) : raw;
  const order = shown.map((_, k) => k).sort((a, b) => raw[b] - raw[a] || a - b);
  const near = card.far && output.features ? neighbours(Array.from(output.features.data)) : null;
  const scale = Math.min(1, SHOWN / Math.max(image.width, image.height));
  const [wide, high] = [image.width, image.height].map((length) => Math.max(1, Math.round(length * scale)));
  const preview = make("canvas", undefined, { width: wide, height: high });
  preview.getContext("2d").imageSmoothingQuality = "high";
  preview.getContext("2d").drawImage(image.canvas, 0, 0, wide, high);
  return {
    width: image.width, height: image.height, preview, square, seen, raw, shown, order, near,
    maps: output.class_map ? { data: output.class_map.data, dims: output.class_map.dims.slice(1) } : null,
    unsure: rule ? shown[order[0]] < rule.least_confidence : false,
    far: near ? near[4].distance > card.far.limit : false,
    possible: rule ? order.filter((k, rank) => !rank || shown[k] >= rule.least_probability) : [],
    seconds: (performance.now() - started) / 1000,
  };
}

/** What the answer loses where a square of the picture is hidden: (C, 7, 7), for networks without a class map. */
async function occlusion(result, stopped) {
  const { places, share, batch } = OCCLUSION;
  const { size } = card;
  const classes = result.raw.length;
  const patch = Math.round(size * share);
  const mean = [0, 1, 2].map((c) => {
    let sum = 0;
    for (let p = c; p < result.square.data.length; p += 3) sum += result.square.data[p];
    return Math.round(sum / (size * size));
  });
  const map = new Float32Array(classes * places * places);
  for (let first = 0; first < places * places; first += batch) {
    const squares = [];
    for (let place = first; place < first + batch; place++) {
      const data = result.square.data.slice();
      const [top, left] = [Math.floor(place / places), place % places].map((k) => Math.round(((k + 0.5) * size) / places - patch / 2));
      for (let y = Math.max(0, top); y < Math.min(size, top + patch); y++)
        for (let x = Math.max(0, left); x < Math.min(size, left + patch); x++)
          for (let c = 0; c < 3; c++) data[(y * size + x) * 3 + c] = mean[c];
      squares.push({ data });
    }
    const { logits } = await answersOf(squares);
    for (let n = 0; n < batch; n++) {
      const hidden = softmax(logits.data.subarray(n * classes, (n + 1) * classes));
      for (let c = 0; c < classes; c++)
        map[c * places * places + first + n] = Math.log(Math.max(result.raw[c], SMALLEST)) - Math.log(Math.max(hidden[c], SMALLEST));
    }
    await new Promise((go) => setTimeout(go));
    if (stopped()) return null;
  }
  return { data: map, dims: [classes, places, places] };
}

const previewOf = (result) => result.preview;

/** The map of a class in the square that the network saw; null once another picture is looked at. */
async function mapOf(result, target) {
  result.maps ??= await (result.pending ??= occlusion(result, () => current !== result));
  if (!result.maps) return void (result.pending = null);
  const [, rows, columns] = result.maps.dims;
  const values = Array.from(result.maps.data.slice(target * rows * columns, (target + 1) * rows * columns), (v) => Math.max(0, v));
  const top = Math.max(...values) || 1;
  const side = 192;
  const levels = new Uint8Array(side * side);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const [v, u] = [[y, rows], [x, columns]].map(([at, n]) => Math.min(n - 1, Math.max(0, ((at + 0.5) * n) / side - 0.5)));
      const [i, j] = [Math.floor(v), Math.floor(u)];
      const [k, l] = [Math.min(rows - 1, i + 1), Math.min(columns - 1, j + 1)];
      const [a, b] = [v - i, u - j];
      const value =
        (1 - a) * ((1 - b) * values[i * columns + j] + b * values[i * columns + l]) +
        a * ((1 - b) * values[k * columns + j] + b * values[k * columns + l]);
      levels[y * side + x] = Math.round((value / top) * 255);
    }
  return { levels, width: side, height: side, box: result.seen };
}

const legendOf = (name) =>
  card.outputs.includes("class_map") ? `Bright: places that speak for ${name}.` : `Bright: places without which ${name} would be less probable.`;

const refusalOf = (file) => `${file.name || "The picture"} cannot be read by this browser; save it as JPEG or PNG.`;

start(session, (error) => `This browser cannot run the network (${error.message}); a browser of 2023 or later can.`);
globalThis.foveate = { card, classify, squareOf, decode, resize, session, occlusion };
